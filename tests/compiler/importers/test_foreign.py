"""Foreign files: what is read tolerantly, with its places, and what is refused, in bounded time."""

from __future__ import annotations

import json
import string
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.compiler.importers.foreign import read_foreign
from ftc.spec.diagnostics import Refusal
from ftc.spec.language.foreign_yaml import LARGEST_FILE, MOST_NODES
from tests.compiler.importers.examples import read_plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-04", 1e-4),
        ("2E5", 2e5),
        (".5", 0.5),
        ("1_000", 1000),
        ("-3", -3),
        ("007", 7.0),
        ("yes", True),
        ("Off", False),
        ("NO", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("'1e-4'", "1e-4"),
        ('"no"', "no"),
        ("1:30", "1:30"),
        ("4.0.1", "4.0.1"),
        ("1" * 65, "1" * 65),
        ("[a, 1e-3, off]", ("a", 1e-3, False)),
    ],
)
def test_values_are_what_users_of_pyyaml_mean(text: str, value: Any) -> None:
    found = read_plain(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


def test_anchors_aliases_and_merge_keys_are_read() -> None:
    text = (
        "usual: &usual {a: 1, b: 2}\nother: &other {b: 3, c: 4}\njob:\n  <<: [*usual, *other]\n  a: 9\nagain: *usual\n"
    )
    found = read_plain(text)
    assert found["job"] == {"a": 9, "b": 2, "c": 4}
    assert found["again"] == {"a": 1, "b": 2}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert read_plain("'<<': {a: 1}") == {"<<": {"a": 1}}


def test_the_last_of_two_keys_counts_and_the_first_is_told() -> None:
    read = read_foreign(b"a: 1\nb: 2\na: 3\n", "job.yaml")
    assert read.root.entries["a"].key_span.line == 3
    assert [(key, place.line) for key, place in read.repeated] == [("a", 1)]


def test_json_may_be_indented_by_tabs() -> None:
    assert read_plain('{\n\t"a": [1e-05,\n\t\ttrue, null]}') == {"a": (1e-05, True, None)}


def test_secrets_never_leave_the_reader() -> None:
    read = read_foreign(b"token: hf_abcdefghijklmnopqrstuvwxyz\n", "job.yaml")
    assert "abcdefghijkl" not in repr(read)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: !!python/object/apply:os.system ['true']", "a tag"),
        (b"a: !!str x", "a tag"),
        (b"? [a, b]\n: 1", "can't be a key"),
        (b"k: &k [1]\n*k : 2", "can't be a key"),
        (b"a: 1\n---\nb: 2", "a second document"),
        (b"a: &a [*a]", "missing or enclosing value"),
        (b"a: *nowhere", "missing or enclosing value"),
        (BOMB.encode(), "aliases counted in full"),
        (b"a: " + b"[" * 40 + b"]" * 40, "levels of nesting"),
        (b"a: " + b"[" * 5000, "levels of nesting"),
        (b"- 1\n- 2", "must be a mapping"),
        (b"just words", "must be a mapping"),
        (b"", "must be a mapping"),
        (b"a: [1, 2", "not YAML or JSON"),
        (b"a: 'open", "not YAML or JSON"),
        (b"a:\n\t- 1", "not YAML or JSON"),
        (b"a: \xff\xfe", "not UTF-8"),
        (b"\x00" * 50, "not YAML or JSON|must be a mapping"),
        (b"a: 1\n" * (LARGEST_FILE // 5 + 1), "the largest"),
        (b"".join(b"k%d: 1\n" % n for n in range(MOST_NODES)), "keys and values"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_what_is_not_read_is_refused_with_a_place(data: bytes, words: str) -> None:
    with pytest.raises(Refusal, match=words) as refusal:
        read_foreign(data, "job.yaml")
    (finding,) = refusal.value.diagnostics
    assert finding.code == "FTC390"
    assert finding.span is not None
    assert finding.span.file == "job.yaml"
    assert finding.help


@pytest.mark.parametrize(("file", "kind"), [("train.py", "Python script"), ("Run.IPYNB", "notebook")])
def test_a_program_is_refused_by_name_with_what_to_give_instead(file: str, kind: str) -> None:
    for data in (
        b"from trl import SFTConfig\nconfig = SFTConfig(learning_rate=2e-4)\n",
        b"{}",
        b"learning_rate: 1e-4\n",
    ):
        with pytest.raises(Refusal) as refusal:
            read_foreign(data, file)
        (finding,) = refusal.value.diagnostics
        assert finding.code == "FTC390"
        assert finding.summary.startswith(f"a {kind} is a program")
        assert "`.sh` file" in finding.help[0]
        assert "`ftc init" in finding.help[1]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=string.printable + "&*<!|>é\u202e", max_size=60) | st.binary(max_size=60))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    with suppress(Refusal):
        read_foreign(text if isinstance(text, bytes) else text.encode(), "job.yaml")
    if isinstance(text, str):
        assert read_plain(json.dumps({"key": text})) == {"key": text}, "as a string of JSON anything is read"
