"""What is said of a model's text file that is another by now."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.audit.model_texts import remember_texts, text_part
from ftc.spec.documents.facts import FileFacts


def part(folder: Path, name: str, before: Any, after: Any) -> str:
    """The part of a file that was remembered as it was before."""
    folder.mkdir(exist_ok=True)
    texts = [one if isinstance(one, str) else json.dumps(one) for one in (before, after)]
    sha256 = hashlib.sha256(texts[0].encode()).hexdigest()
    (folder / name).write_text(texts[0], encoding="utf-8", newline="\n")
    remember_texts(folder / "cache", folder, {name: FileFacts(size=len(texts[0]), sha256=sha256)})
    (folder / name).write_text(texts[1], encoding="utf-8", newline="\n")
    return text_part(folder / name, sha256, folder / "cache")


TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("tokenizer.json", {"model": {"vocab": {"a": 1}}}, {"model": {"vocab": {"a": 2}}}, "`model.vocab.a` 1 -> 2"),
        ("tokenizer.json", {"merges": ["a b"]}, {"merges": ["a b", "b c"]}, "`merges` has 2 entries instead of 1"),
        (
            "tokenizer.json",
            {"added_tokens": [{"id": 7, "content": "<tool>"}]},
            {"added_tokens": [{"id": 8, "content": "<tool>"}]},
            '`added_tokens.0.id` 7 -> 8 of token "<tool>"',
        ),
        (
            "tokenizer_config.json",
            {"chat_template": TEMPLATE},
            {"chat_template": f"{TEMPLATE} "},
            '`chat_template`, character 64 (line 2): "" -> " "',
        ),
        ("chat_template.jinja", TEMPLATE, TEMPLATE.replace("content", "text"), "character 41 (line 1): "),
        ("config.json", {"a": 1, "b": 2}, '{"b": 2,   "a": 1}', "only its formatting"),
        ("config.json", {"a": 1}, {}, "`a` is gone"),
        ("config.json", {"a": 1}, {"a": True}, "`a` 1 -> true"),
        ("config.json", {"a": 1}, "{", "it can't be read any longer"),
    ],
)
def test_the_first_difference_is_named(tmp_path: Path, name: str, before: Any, after: Any, said: str) -> None:
    assert part(tmp_path, name, before, after).startswith(said)


def test_a_cache_that_holds_something_else_says_nothing(tmp_path: Path) -> None:
    part(tmp_path, "config.json", {"a": 1}, {"a": 2})
    (kept,) = (tmp_path / "cache" / "texts").iterdir()
    for data in (b"{}", b"", kept.read_bytes()[:-8]):
        kept.write_bytes(data)
        assert text_part(tmp_path / "config.json", kept.name, tmp_path / "cache") == ""
