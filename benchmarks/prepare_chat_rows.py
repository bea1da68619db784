"""Measures rows to tokens: 50,000 short conversations, ftc's first run beside the least that has to be done.

The least is what one writes by hand for one model and one data set: read JSON, fill an f-string, encode everything in
one batch, pack greedily. ftc does more in its run: the model's own template, rendered in a child process; supervised
tokens; statistics; the Arrow file and its digest. Both run in fresh processes, in turns; CPU seconds are those of the
whole process tree, from the first line after the imports to the end, and with start and imports beside it.

    python benchmarks/prepare_chat_rows.py FOLDER_WITH_TOKENIZER_JSON_AND_CHAT_TEMPLATE
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NUM_ROWS = 50_000
MAX_LENGTH = 256
SYSTEM = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
NOUNS = (
    "river stone winter ledger copper signal garden harbour engine letter market valley paper candle ticket mirror"
    " bridge doctor farmer teacher pilot baker weaver index queue buffer thread socket kernel vector matrix token"
).split()


def conversations(count: int) -> Iterator[dict[str, Any]]:
    """Instructions and answers of six kinds, the same on every run."""
    draw = random.Random(7)
    for _ in range(count):
        question, answer = draw.choice(KINDS)(draw.sample(NOUNS, 5), draw.randrange(1000), draw.randrange(1000))
        yield {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def _sentence(w: list[str], _x: int, _y: int) -> tuple[str, str]:
    question = f"Write a sentence that uses the words {w[0]} and {w[1]}."
    return question, f"The {w[2]} near the {w[3]} kept a {w[0]} beside the {w[1]} all year, and nobody asked why."


def _sorting(w: list[str], _x: int, _y: int) -> tuple[str, str]:
    return f"Sort these words alphabetically.\n{', '.join(w)}", ", ".join(sorted(w))


def _counting(w: list[str], _x: int, _y: int) -> tuple[str, str]:
    return f"Count the letters in the word.\n{w[0]}", f"The word {w[0]} has {len(w[0])} letters."


def _adding(_w: list[str], x: int, y: int) -> tuple[str, str]:
    question = f"Add the two numbers and explain the steps.\n{x} and {y}"
    return question, f"First take {x}. Then add {y}. The result is {x + y}, since {x} + {y} = {x + y}."


def _summary(w: list[str], x: int, y: int) -> tuple[str, str]:
    note = (
        f"On day {x} the {w[0]} was moved from the {w[1]} to the {w[2]}. The {w[3]} was told on day {y}. Nothing else"
        f" changed, and the {w[4]} stayed closed until the {w[0]} had been checked twice by two people."
    )
    answer = f"The {w[0]} moved from the {w[1]} to the {w[2]} on day {x}; the {w[3]} heard on day {y}."
    return f"Summarise the note in one line.\n{note}", answer


def _record(w: list[str], x: int, _y: int) -> tuple[str, str]:
    question = f"Turn the record into JSON.\nname={w[0]}; kind={w[1]}; size={x}; owner={w[2]}"
    return question, json.dumps({"name": w[0], "kind": w[1], "size": x, "owner": w[2]})


KINDS: tuple[Callable[[list[str], int, int], tuple[str, str]], ...] = (
    _sentence,
    _sorting,
    _counting,
    _adding,
    _summary,
    _record,
)


def by_hand(data: Path, model: Path) -> Callable[[], dict[str, int]]:
    """The f-string, one batch, greedy packing."""
    from tokenizers import Tokenizer

    def work() -> dict[str, int]:
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        with data.open(encoding="utf-8") as lines:
            rows = [json.loads(line)["messages"] for line in lines]
        texts = [
            SYSTEM + "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in row)
            for row in rows
        ]
        encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        packed = pack([encoding.ids for encoding in encodings])
        return {"rows": len(rows), "tokens": sum(map(len, packed))}

    return work


def pack(rows: list[list[int]]) -> list[list[int]]:
    """Rows one after the other in stretches of at most `MAX_LENGTH` tokens."""
    packed: list[list[int]] = [[]]
    for ids in rows:
        if len(packed[-1]) + len(ids) > MAX_LENGTH:
            packed.append([])
        packed[-1] = packed[-1] + ids[:MAX_LENGTH]
    return packed


def with_ftc(data: Path, model: Path) -> Callable[[], dict[str, int]]:
    """Everything that ftc does from the rows' file to the token stream's."""
    from ftc.compiler.tokens.encoder import TextTokenizer
    from ftc.compiler.tokens.forms import ChatForm
    from ftc.compiler.tokens.row_tokens import encode_rows
    from ftc.compiler.tokens.sandbox import TemplateRenderer
    from ftc.compiler.tokens.stream_writer import write_stream
    from ftc.spec.documents.facts import TokenizerFacts

    tokens = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    numbers = {"bos_id": 1, "eos_id": 2, "pad_id": 2, "vocab_size": 49152, "model_max_length": 8192}
    source = (model / "chat_template.jinja").read_text(encoding="utf-8")
    facts = TokenizerFacts.model_validate({**tokens, **numbers, "chat_template": source})

    def work() -> dict[str, int]:
        with data.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        tokenizer = TextTokenizer(model / "tokenizer.json")
        with TemplateRenderer() as renderer:
            encoded = encode_rows(rows, ChatForm(), tokenizer, facts, renderer, max_length=MAX_LENGTH)
        report = write_stream(data.with_suffix(".arrow"), encoded)
        return {"rows": report.rows, "tokens": report.tokens, "supervised": report.supervised_tokens}

    return work


WAYS = {"by_hand": by_hand, "ftc": with_ftc}


def cpu_seconds() -> float:
    """CPU time of this process and of the children that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def worker(way: str, data: Path, model: Path) -> None:
    """Runs one way and prints its figures as JSON."""
    work = WAYS[way](data, model)
    before = cpu_seconds()
    figures = work()
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"work": cpu_seconds() - before, "all": cpu_seconds(), "peak_mib": peak_kib // 1024, **figures}))


def measure(model: Path, repeats: int) -> None:
    """Runs the ways in turns and prints medians and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in conversations(NUM_ROWS)), encoding="utf-8")
        results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(repeats):
            for way in WAYS:
                command = [sys.executable, __file__, str(model), "--worker", way, "--data", str(data)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                results[way].append(json.loads(out))
                print(way, out.strip(), flush=True)
    for part in ("work", "all"):
        seconds = {way: statistics.median(run[part] for run in runs) for way, runs in results.items()}
        rates = ", ".join(f"{way} {NUM_ROWS / s:,.0f} examples per CPU s" for way, s in seconds.items())
        print(f"{part}: {rates}; ftc does {seconds['by_hand'] / seconds['ftc']:.2f} times as many")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", choices=WAYS)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.data, arguments.model)
    else:
        measure(arguments.model, arguments.repeats)


if __name__ == "__main__":
    main()
