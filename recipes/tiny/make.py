"""Makes what these recipes need out of the demo's news: rows, a teacher that files stories, and models that can't yet.

    python recipes/demo/fetch.py              first: the news
    python recipes/tiny/make.py               then this, in some minutes on one core

It writes:

    data/stories-{train,validation,test}.jsonl   40 words of a story and its section: {prompt, completion}
    data/texts-{train,validation,test}.jsonl     the same stories, more of each: {text}
    data/pairs-{train,validation,test}.jsonl     the same stories, two answers each: {prompt, chosen, rejected}
    models/teacher          a Llama of two layers that was trained here on other stories
    models/pupil            a smaller one of random weights, with the teacher's tokenizer
    models/foreign-pupil    the same, with another tokenizer
    models/spans            a T5 of two layers and random weights

A step that is done is not done again.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NEWS = HERE.parent / "demo" / "data" / "bbc.jsonl"
TAUGHT, COUNTS = 900, {"train": 640, "validation": 100, "test": 400}
"""Stories that the teacher learns from, and how many others the recipes have."""
WORDS, STEPS, BATCH = 40, 400, 32
SPECIAL = ("<pad>", "<s>", "</s>")
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(40))
PIECES = {"teacher": 2048, "foreign-pupil": 512}
"""Tokens of each tokenizer."""


def main() -> int:
    """Makes what is missing, and returns the exit status."""
    if not NEWS.exists():
        print("make: the news are missing; run recipes/demo/fetch.py first", file=sys.stderr)
        return 1
    stories = [json.loads(line) for line in NEWS.read_text(encoding="utf-8").splitlines()]
    random.Random(7).shuffle(stories)
    taught, others = stories[:TAUGHT], stories[TAUGHT:]
    sections, chance = sorted({row["label"] for row in stories}), random.Random(7)
    (HERE / "data").mkdir(exist_ok=True)
    for part, count in COUNTS.items():
        rows, others = others[:count], others[count:]
        write(f"stories-{part}", ({"prompt": prompt(words(row)), "completion": row["label"]} for row in rows))
        write(f"texts-{part}", ({"text": " ".join(words(row)[: 5 * WORDS])} for row in rows))
        wrong = [chance.choice([one for one in sections if one != row["label"]]) for row in rows]
        pairs = ((prompt(words(row)), row["label"], other) for row, other in zip(rows, wrong, strict=True))
        write(f"pairs-{part}", (dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in pairs))
    texts = [row["text"] for row in taught]
    for name, size in PIECES.items():
        write_tokenizer(HERE / "models" / name, texts, size, SPECIAL)
    write_tokenizer(HERE / "models" / "pupil", texts, PIECES["teacher"], SPECIAL)
    write_tokenizer(HERE / "models" / "spans", texts, PIECES["teacher"], (*SPECIAL, *SENTINELS))
    for name in ("pupil", "foreign-pupil"):
        write_model(name, llama(name, hidden=48))
    write_model("spans", t5("spans"))
    if not (HERE / "models" / "teacher" / "model.safetensors").exists():
        write_model("teacher", train(llama("teacher", hidden=128), tokenizer("teacher"), taught))
    print("the rows are in data/, the models in models/")
    return 0


def words(row: dict[str, str]) -> list[str]:
    """The words of a story, with its headline."""
    return row["text"].split()


def prompt(some: list[str]) -> str:
    """The beginning of a story, and what is asked."""
    return " ".join(some[:WORDS]) + "\nSection:"


def write(name: str, rows: Iterable[dict[str, str]]) -> None:
    """Writes rows as JSON lines."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (HERE / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8", newline="\n")


def write_tokenizer(folder: Path, texts: list[str], size: int, special: tuple[str, ...]) -> None:
    """Byte-level BPE, learned from the teacher's stories."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    folder.mkdir(parents=True, exist_ok=True)
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[*special], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    if special == SPECIAL:
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    else:
        made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    made.save(str(folder / "tokenizer.json"))
    pad, begin, end = SPECIAL
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, "bos_token": begin, "eos_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 512}), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")


def tokenizer(name: str) -> Any:
    """A tokenizer that was written."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(HERE / "models" / name / "tokenizer.json"))


def llama(name: str, *, hidden: int) -> Any:
    """A Llama of two layers with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    torch.set_num_threads(1)
    size = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    vocabulary = tokenizer(name).get_vocab_size()
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, max_position_embeddings=512, **size, **ids))


def t5(name: str) -> Any:
    """A T5 of two layers on each side, with random weights."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(7)
    size = {"d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
    ids = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
    return T5ForConditionalGeneration(T5Config(vocab_size=tokenizer(name).get_vocab_size(), **size, **ids))


def train(model: Any, reader: Any, rows: list[dict[str, str]]) -> Any:
    """A model that has learned which section some words of a story belong to, wherever in it they stand."""
    import torch

    optimizer, chance = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1), random.Random(7)
    for step in range(STEPS):
        lines, labels = [], []
        for row in chance.sample(rows, BATCH):
            begin = chance.randrange(max(1, len(words(row)) - WORDS))
            asked, answer = reader.encode(prompt(words(row)[begin:])).ids, reader.encode(row["label"]).ids[1:]
            lines.append([*asked, *answer, 2])
            labels.append([-100] * len(asked) + [*answer, 2])
        longest = max(map(len, lines))
        ids = torch.tensor([line + [0] * (longest - len(line)) for line in lines])
        wanted = torch.tensor([line + [-100] * (longest - len(line)) for line in labels])
        loss = model(input_ids=ids, labels=wanted).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} of {STEPS}: loss {loss.item():.3f}", flush=True)
    return model


def write_model(name: str, model: Any) -> None:
    """Writes a model beside its tokenizer."""
    model.save_pretrained(HERE / "models" / name)


if __name__ == "__main__":
    sys.exit(main())
