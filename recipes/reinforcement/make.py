"""Makes what the recipes here need, out of nothing: rows, and tiny models that have begun to learn.

Each model is a Llama of two layers that reads characters. It is trained here on a part of the rows, for so few steps
that it is often wrong; the recipes of policies go on with other rows, whose answers they don't see, and `scorer.yaml`
compares answers to those. Takes two minutes on one core.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LARGEST, SHOWN, STEPS, BATCH = 49, 500, 200, 128
COMPARED, ASKED, WRONG = 1400, 16, 6
"""Sums of which answers are compared, how often the model answers each, and wrong answers to each."""
_SPECIAL = ("<pad>", "<s>", "</s>")
_CHARACTERS = "0123456789+="
_WORDS = {"add": "+", "subtract": "-", "multiply": "*"}
_CODE = "0123456789+-*():= " + "".join(sorted({*"".join(_WORDS), *"f=lambda x"} - {*"= "}))
CODE_STEPS = 85


def sums() -> list[dict[str, str]]:
    """All sums of two numbers, in an order of their own."""
    numbers = range(LARGEST + 1)
    rows = [{"prompt": f"{a}+{b}=", "answer": str(a + b)} for a in numbers for b in numbers]
    random.Random(7).shuffle(rows)
    return rows


def pairs(rows: list[dict[str, str]], model: Any, tokenizer: Any) -> list[dict[str, str]]:
    """The right answer of each row beside wrong ones: those that the model samples, one digit changed, and any sum."""
    import torch

    torch.manual_seed(8)
    draw = random.Random(8)
    asked: dict[int, list[dict[str, str]]] = {}
    for row in rows:
        asked.setdefault(len(row["prompt"]), []).append(row)
    made = []
    for group in asked.values():
        ids = torch.tensor([tokenizer.encode(row["prompt"]).ids for row in group])
        options = {"do_sample": True, "top_k": 0, "max_new_tokens": 4, "num_return_sequences": ASKED}
        found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)[:, ids.shape[1] :]
        said = tokenizer.decode_batch(found.tolist())
        for number, row in enumerate(group):
            right, own = row["answer"], said[number * ASKED : (number + 1) * ASKED]
            wrong = [*dict.fromkeys(one for one in own if one not in ("", right))][: WRONG // 3]
            while len(wrong) < WRONG:
                place = draw.randrange(len(right))
                near = right[:place] + draw.choice("0123456789") + right[place + 1 :]
                other = near if len(wrong) % 2 else str(draw.randint(0, 2 * LARGEST))
                wrong += [other] if other not in (right, *wrong) else []
            made += [{"prompt": row["prompt"], "chosen": right, "rejected": one} for one in wrong]
    return made


def functions() -> list[dict[str, Any]]:
    """Functions of two steps in words, with their code and tests of it, in an order of their own."""
    rows = []
    for first, one in _WORDS.items():
        for second, other in _WORDS.items():
            for a in range(1, 10):
                for b in range(1, 10):
                    code = f"f=lambda x:(x{one}{a}){other}{b}"
                    right = {"+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y}
                    tests = [f"assert f({x}) == {right[other](right[one](x, a), b)}" for x in (0, 2, 5)]
                    rows.append({"prompt": f"{first} {a} {second} {b}:", "answer": code, "tests": tests})
    random.Random(7).shuffle(rows)
    return rows


def write_tokenizer(folder: Path, characters: str = _CHARACTERS, longest: int = 32) -> Any:
    """A tokenizer that takes characters one by one."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    tokens = {token: number for number, token in enumerate((*_SPECIAL, *characters))}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token=_SPECIAL[0]))
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    pad, begin, end = _SPECIAL
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, "bos_token": begin, "eos_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": longest}), encoding="utf-8")
    return tokenizer


def train(tokenizer: Any, rows: list[dict[str, Any]], steps: int = STEPS, positions: int = 32) -> Any:
    """A Llama after a few steps on rows with their answers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    torch.set_num_threads(1)
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    vocabulary = tokenizer.get_vocab_size()
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, max_position_embeddings=positions, **size, **ids))
    lines = [[*tokenizer.encode(row["prompt"] + row["answer"]).ids, 2] for row in rows]
    starts = [len(tokenizer.encode(row["prompt"]).ids) for row in rows]
    longest = max(map(len, lines))
    padded = torch.tensor([line + [0] * (longest - len(line)) for line in lines])
    places = torch.arange(longest)
    wanted = (places >= torch.tensor(starts)[:, None]) & (places < torch.tensor(list(map(len, lines)))[:, None])
    labels = padded.masked_fill(~wanted, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(steps):
        some = torch.randint(len(rows), (BATCH,), generator=torch.Generator().manual_seed(step))
        loss = model(input_ids=padded[some], labels=labels[some]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)
    return model


def write_rows(file: str, rows: list[dict[str, Any]]) -> None:
    """Writes rows beside this file."""
    (HERE / "data").mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (HERE / "data" / file).write_text(text, encoding="utf-8")
    print(f"{len(rows)} rows in data/{file}")


def write(name: str, model: Any, file: str, rows: list[dict[str, Any]]) -> None:
    """Writes a model and rows beside this file."""
    folder = HERE / "models" / name
    model.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    write_rows(file, rows)
    print(f"the model in models/{name}")


def main() -> int:
    """Writes all of them."""
    for name in ("adder", "coder"):
        (HERE / "models" / name).mkdir(parents=True, exist_ok=True)
    rows = sums()
    characters = write_tokenizer(HERE / "models" / "adder")
    adder = train(characters, rows[:SHOWN])
    write("adder", adder, "sums.jsonl", rows[SHOWN:])
    write_rows("pairs.jsonl", pairs(rows[SHOWN : SHOWN + COMPARED], adder, characters))
    write_rows("asked.jsonl", rows[SHOWN : SHOWN + COMPARED])
    write_rows("unseen.jsonl", rows[SHOWN + COMPARED :])
    coded = functions()
    tokenizer = write_tokenizer(HERE / "models" / "coder", _CODE, 64)
    coder = train(tokenizer, coded[: len(coded) // 4], CODE_STEPS, 64)
    write("coder", coder, "functions.jsonl", coded[len(coded) // 4 :])
    return 0


if __name__ == "__main__":
    sys.exit(main())
