"""Recipes to begin with, and seeded ways to damage them: in bytes, in tokens, in lines."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["corpus", "mutant"]

_ROOT = Path(__file__).parents[2]
_TOKEN = re.compile(rb"\"[^\"\n]*\"|'[^'\n]*'|[\w.]+|[ \t]+|\r?\n|.", re.DOTALL)

_WRITTEN = (
    """ftc: 1
name: all-of-it
task: {kind: classification, labels: [ham, spam]}
data:
  source: {hub: owner/name, file: data/train.parquet, revision: v1.0}
  fields: {text: message, label: class, text_pair: reply}
  split: {validation: {path: validation.jsonl}, test: 0.2, stratify: class, seed: 3}
  max_rows: 1000
  max_length: 128
  overflow: refuse
model: {base: owner/model, revision: main, license: {allow: [apache-2.0, mit]}, attention: sdpa}
strategy: {kind: qlora, rank: 8, alpha: 16, dropout: 0.05, targets: [q_proj, v_proj], quantization: nf4,
  double_quantization: false}
train:
  epochs: 0.5
  max_steps: 100
  batch_size: 32
  micro_batch: 4
  learning_rate: 2.5e-4
  schedule: {kind: cosine, warmup_ratio: 0.1}
  optimizer: {kind: adamw, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.01}
  max_grad_norm: null
  precision: bfloat16
  activation_checkpointing: true
  seed: 7
  evaluate_every: 50
  keep_checkpoints: 3
  early_stopping: {metric: val_macro_f1, patience: 3, min_delta: 0.001}
eval:
  metrics: [accuracy, macro_f1, mcc]
  baseline: false
  gates: {accuracy: ">= 0.9", macro_f1: "> 0.8"}
  batch_size: 16
  samples: 4
budget: {device: rtx-4090, vram: 24GiB, time: 1.5h, price_per_hour: 0.40 USD, cost: 5 USD, threads: 4}
""",
    """ftc: 1
name: prompted
task:
  kind: generation
  prompt: |
    Summarize:
    {{ article }}
  system: >-
    One sentence.
    No more.
data:
  source:
    path: "data/rows.jsonl"
  fields:
    completion: 'answer'
model:
  base: ./models/tiny
strategy:
  kind: full
eval:
  metrics:
    - rouge_l
    - valid_json
""",
    "{ftc: 1, name: flow, task: {kind: chat}, data: {source: {path: a}}, model: {base: m}, strategy: {kind: lora}}\n",
    """ftc: 1
name: "2024"
task: {kind: chat}
data: {source: {path: ä.jsonl}}
model: {base: 'm'}
strategy: {kind: lora, rank: 0x10}
""".replace("\n", "\r\n"),
)
_TOKENS = (
    *(
        b"&a",
        b"*a",
        b"<<",
        b"<<: *a",
        b"!!python/object/apply:os.system",
        b"!!binary",
        b"!include",
        b"!",
        b"---",
        b"...",
    ),
    *(b"%YAML 1.1", b"? ", b"- ", b": ", b":", b"#", b"|", b">", b"|9", b"@", b"`", b"\t", b"\r", b"\r\n", b"\n\n"),
    *(b"{", b"}", b"[", b"]", b"{}", b"[]", b",", b"{{", b"}}", b"'", b'"', b'"\\x00"', b'"\\ud800"', b"\\"),
    *(b"null", b"~", b"true", b"yes", b"no", b"on", b"-1", b"0", b"-0", b"+1", b"1.0", b"1e999", b".nan", b"-.inf"),
    *(b"0x10", b"0o17", b"017", b"1_000", b"1:30", b"2001-12-14", b"9" * 40, b"1e-400", b"16.5", b"NaN", b"auto"),
    *(b"${HOME}", b"$(id)", b"hf_" + b"a1" * 17, b"../../x", b"/etc/passwd", b"http://127.0.0.1/", b"os.system"),
    *(
        "lеarning_rate".encode(),
        "\u200b".encode(),
        "\u202e".encode(),
        "\u2028".encode(),
        "🙂".encode(),
        b"\xff",
        b"\x00",
    ),
    *(b"\xef\xbb\xbf", b"\x85", b"a" * 300, b"kind", b"path", b"hub", b"seed", b"extends", b"trust_remote_code"),
    *(b"24GiB", b"24 gib", b"5 USD", b"2h", b">= 0.9", b"lora", b"full", b"classification", b"chat", b"rank", b"name"),
)


def corpus() -> tuple[bytes, ...]:
    """Valid recipes: those that are shipped, and some that use every key and every style."""
    shipped = (path for path in sorted((_ROOT / "recipes").rglob("*.yaml")) if ".cache" not in path.parts)
    return (*(path.read_bytes() for path in shipped), *(text.encode() for text in _WRITTEN))


def mutant(number: int, recipes: tuple[bytes, ...]) -> bytes:
    """The mutant with a number: always the same one."""
    chance = random.Random(f"ftc-{number}")
    data = chance.choice(recipes)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        data = chance.choice(_MUTATIONS)(data, chance, recipes)
    return data


def _place(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((0, 1, 1, 2, 4, 16, 64)))


def _flip(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _cut(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + data[end:]


def _end_early(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _insert(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + chance.choice(_TOKENS) + data[chance.choice((start, end)) :]


def _repeat(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + data[start:end] * chance.choice((2, 3, 50)) + data[end:]


def _splice(data: bytes, chance: random.Random, recipes: tuple[bytes, ...]) -> bytes:
    other = chance.choice(recipes)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other)) :]


def _replace_token(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    return _with_tokens(data, chance, lambda tokens, at: tokens[:at] + [chance.choice(_TOKENS)] + tokens[at + 1 :])


def _drop_token(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    return _with_tokens(data, chance, lambda tokens, at: tokens[:at] + tokens[at + 1 :])


def _swap_tokens(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    def swap(tokens: list[bytes], at: int) -> list[bytes]:
        other = chance.randrange(len(tokens))
        tokens[at], tokens[other] = tokens[other], tokens[at]
        return tokens

    return _with_tokens(data, chance, swap)


def _misspell(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    """One letter of a word is doubled, dropped or exchanged."""

    def change(tokens: list[bytes], at: int) -> list[bytes]:
        word = tokens[at]
        where = chance.randrange(len(word))
        letter = word[where : where + 1]
        tokens[at] = word[:where] + chance.choice((letter * 2, b"", b"x", letter.swapcase())) + word[where + 1 :]
        return tokens

    return _with_tokens(data, chance, change)


def _move_line(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    line = lines.pop(chance.randrange(len(lines)))
    lines.insert(chance.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _indent(data: bytes, chance: random.Random, _recipes: tuple[bytes, ...]) -> bytes:
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at = chance.randrange(len(lines))
    lines[at] = chance.choice((b" ", b"  ", b"\t")) + lines[at] if chance.random() < 0.5 else lines[at].lstrip(b" ")
    return b"".join(lines)


def _with_tokens(data: bytes, chance: random.Random, change: Callable[[list[bytes], int], list[bytes]]) -> bytes:
    tokens = _TOKEN.findall(data)
    return b"".join(change(tokens, chance.randrange(len(tokens)))) if tokens else data


_MUTATIONS = (
    _flip,
    _cut,
    _end_early,
    _insert,
    _repeat,
    _splice,
    _replace_token,
    _replace_token,
    _drop_token,
    _swap_tokens,
    _misspell,
    _misspell,
    _move_line,
    _indent,
)
