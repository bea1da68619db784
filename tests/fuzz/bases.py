"""Small whole projects, one for each kind of file that a stranger may write."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.bad_inputs import recipe
from tests.support.model_folder import CONFIG, SHAPES, model_files, safetensors_bytes

__all__ = ["PROJECTS", "Files", "Project"]

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Project:
    """Files by name, and those of them that are damaged."""

    files: Files
    targets: tuple[str, ...]


_TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
_WORDS = ("cold", "warm", "hot", "mild", "wet")
_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def _added(*tokens: tuple[int, str]) -> list[dict[str, Any]]:
    return [{"id": number, "content": text, **_FLAGS} for number, text in tokens]


def _word_level() -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added((3, "<s>"), (4, "</s>"), (5, "<pad>")),
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}},
        },
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2, "<s>": 3}, "unk_token": "a"},
    }


def _byte_level() -> dict[str, Any]:
    """A byte-level BPE with every byte and a few merges, as most decoders have it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    bytes_ = [chr(byte) if byte in printable else chr(next(rest)) for byte in range(256)]
    vocab = {char: number for number, char in enumerate(bytes_)} | {"an": 256, "ol": 257, "ar": 258}
    split = {
        "type": "Split",
        "pattern": {"Regex": r"\s?\p{L}+|\s?\p{N}+|[^\s]"},
        "behavior": "Isolated",
        "invert": False,
    }
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        **_word_level(),
        "added_tokens": _added((259, "<s>"), (260, "</s>"), (261, "<pad>")),
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": level,
        "decoder": level,
        "model": {
            **{"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None},
            **{"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False},
            "vocab": vocab,
            "merges": [["a", "n"], ["o", "l"], ["a", "r"]],
        },
    }


def _unigram() -> dict[str, Any]:
    vocab = [["<unk>", 0.0], ["▁", -2.0], ["a", -3.0], ["▁cold", -4.0], ["o", -5.0], ["l", -5.5]]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return {
        **_word_level(),
        "added_tokens": _added((3, "<s>"), (4, "</s>"), (5, "<pad>")),
        "normalizer": {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        "pre_tokenizer": metaspace,
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False},
    }


def _model(tokenizer: dict[str, Any], rows: int = 6, template: str = _TEMPLATE) -> Files:
    shapes = {**SHAPES, "model.embed_tokens.weight": (rows, 8), "lm_head.weight": (rows, 8)}
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": "<pad>", "model_max_length": 64}
    files = {
        **model_files(),
        "config.json": json.dumps({**CONFIG, "vocab_size": rows}).encode(),
        "generation_config.json": b'{"bos_token_id": 3, "eos_token_id": [4], "temperature": 0.7}',
        "special_tokens_map.json": b'{"bos_token": "<s>", "eos_token": {"content": "</s>"}}',
        "tokenizer.json": json.dumps(tokenizer).encode(),
        "tokenizer_config.json": json.dumps({**config, "chat_template": template}).encode(),
        "model.safetensors": safetensors_bytes(shapes),
    }
    return {f"model/{name}": data for name, data in files.items()}


def _sharded() -> Files:
    files = _model(_word_level())
    del files["model/model.safetensors"]
    halves = [dict(list(SHAPES.items())[:3]), dict(list(SHAPES.items())[3:])]
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    weight_map = {tensor: name for half, name in zip(halves, names, strict=True) for tensor in half}
    index = {"metadata": {"total_size": 1000}, "weight_map": weight_map}
    parts = {f"model/{name}": safetensors_bytes(half) for half, name in zip(halves, names, strict=True)}
    return {**files, **parts, "model/model.safetensors.index.json": json.dumps(index).encode()}


def _pairs() -> list[dict[str, Any]]:
    return [{"text": f"{word} number {n}", "label": word} for n in range(8) for word in _WORDS[:2]]


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _csv() -> bytes:
    lines = ["text,label", *(f'"{row["text"]}, said",{row["label"]}' for row in _pairs()), ""]
    return "\n".join(lines).encode()


def _conversations() -> list[dict[str, Any]]:
    turns = [("system", "brief"), ("user", "{}?"), ("assistant", "{}!"), ("user", "and?"), ("assistant", "a b {}")]
    return [
        {"messages": [{"role": role, "content": text.format(word * n)} for role, text in turns]}
        for n in range(1, 5)
        for word in _WORDS[:3]
    ]


def _squad() -> list[dict[str, Any]]:
    return [
        {"question": f"which {n}?", "context": f"it is {w} {n}", "answers": {"text": [w], "answer_start": [6]}}
        for n in range(6)
        for w in _WORDS[:2]
    ]


def _tags() -> bytes:
    return "\n".join(f"{word}\tB-A\n{n}\tO\n" for n in range(6) for word in _WORDS[:3]).encode()


def _arrow(is_parquet: bool) -> bytes:
    import pyarrow as pa
    from pyarrow import ipc, parquet

    table = pa.Table.from_pylist([{**row, "day": n} for n, row in enumerate(_pairs())])
    out = io.BytesIO()
    if is_parquet:
        parquet.write_table(table, out)
    else:
        with ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()


def _project(rows: str, content: bytes, model: Files, targets: tuple[str, ...], **sections: str) -> Project:
    text = recipe(**{"data": f"{{source: {{path: {rows}}}}}", **sections})
    return Project({"recipe.yaml": text.encode(), rows: content, **model}, targets or (rows,))


_TOKENIZER = "model/tokenizer.json"
_SMALL = (
    "model/config.json",
    "model/generation_config.json",
    "model/tokenizer_config.json",
    "model/special_tokens_map.json",
)
_CHAT = {"task": "{kind: chat}"}
_WRITES = {"task": "{kind: generation, prompt: '{{ text }} ='}"}
_BY_DAY = {"data": "{source: {path: rows.jsonl}, split: {time: day}}"}

PROJECTS: tuple[Callable[[], Project], ...] = tuple(
    cache(make)
    for make in (
        lambda: _project("rows.csv", _csv(), _model(_word_level()), ()),
        lambda: _project("rows.jsonl", _lines(_pairs()), _model(_word_level()), ()),
        lambda: _project("rows.json", json.dumps(_pairs()).encode(), _model(_word_level()), ()),
        lambda: _project("rows.parquet", _arrow(True), _model(_word_level()), ()),
        lambda: _project("rows.arrow", _arrow(False), _model(_word_level()), ()),
        lambda: _project("rows.jsonl", _lines(_conversations()), _model(_byte_level(), 262), (), **_CHAT),
        lambda: _project("rows.jsonl", _lines(_squad()), _model(_word_level()), (), task="{kind: question_answering}"),
        lambda: _project("rows.conll", _tags(), _model(_word_level()), (), task="{kind: token_classification}"),
        lambda: _project(
            "rows.jsonl",
            _lines([{**row, "day": f"2024-01-{n + 1:02}"} for n, row in enumerate(_pairs())]),
            _model(_word_level()),
            (),
            **_BY_DAY,
        ),
        lambda: _project("rows.csv", _csv(), _model(_word_level()), (_TOKENIZER,)),
        lambda: _project("rows.csv", _csv(), _model(_unigram()), (_TOKENIZER,)),
        lambda: _project("rows.jsonl", _lines(_conversations()), _model(_byte_level(), 262), (_TOKENIZER,), **_CHAT),
        lambda: _project(
            "rows.csv",
            _csv(),
            _model(_byte_level(), 262),
            (_TOKENIZER, *_SMALL),
            **{**_WRITES, "data": "{source: {path: rows.csv}, fields: {completion: label}}"},
        ),
        lambda: _project("rows.csv", _csv(), _model(_word_level()), _SMALL),
        lambda: _project("rows.jsonl", _lines(_conversations()), _model(_word_level()), _SMALL, **_CHAT),
        lambda: _project(
            "rows.jsonl",
            _lines(_conversations()),
            {**_model(_byte_level(), 262), "model/chat_template.jinja": _TEMPLATE.encode()},
            ("model/chat_template.jinja",),
            **_CHAT,
        ),
        lambda: _project("rows.csv", _csv(), _model(_word_level()), ("model/model.safetensors",)),
        lambda: _project(
            "rows.csv",
            _csv(),
            _sharded(),
            ("model/model.safetensors.index.json", "model/model-00001-of-00002.safetensors"),
        ),
    )
)
