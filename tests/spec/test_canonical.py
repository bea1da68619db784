"""Canonical JSON gives the same bytes whatever the order of keys, and digests nothing but content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.spec import canonical

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_key_order_never_shows(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))
    assert canonical.to_text(value) == canonical.to_text(backwards)
    assert canonical.digest(value) == canonical.digest(backwards)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_reads_back_exactly(value: float) -> None:
    assert float(json.loads(canonical.to_text([value]))[0]) == value


def test_the_digest_is_that_of_the_rfc_8785_form() -> None:
    value = {"b": [1, True, None], "a": "é", "\ue000": 1, "\U00010000": 2}
    by_hand = '{"a":"é","b":[1,true,null],"\U00010000":2,"\ue000":1}'  # UTF-16 order: surrogates before U+E000
    assert canonical.digest(value) == hashlib.sha256(by_hand.encode()).hexdigest()


def test_files_end_with_one_newline_and_have_sorted_keys() -> None:
    assert canonical.to_text({"b": 0.5, "a": (1,)}) == '{\n  "a": [\n    1\n  ],\n  "b": "0.5"\n}\n'


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="not a JSON value: set"):
        canonical.digest({"a": {1}})


def test_file_digest_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc" * 1000)
    assert canonical.file_digest(file) == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_a_file_is_digested_with_signs_of_progress(tmp_path: Path) -> None:
    file, heard = tmp_path / "file", list[None]()
    file.write_bytes(b"abc" * 2**20)
    assert canonical.file_digest(file, lambda: heard.append(None)) == hashlib.sha256(b"abc" * 2**20).hexdigest()
    assert len(heard) == 3
