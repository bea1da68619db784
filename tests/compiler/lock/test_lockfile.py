"""The lock: sealed by section, written whole, read back or refused, and compared line by line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.compiler.diff.compare import lock_differences
from ftc.compiler.lock.lockfile import differences, lock_changes, lock_path, read_lock
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.lockfile import Lock, sealed
from tests.support.documents import plan

LOCK = plan().lock


def changed(section: str, **values: Any) -> Lock:
    part = getattr(LOCK, section).model_copy(update=values)
    return sealed(LOCK.model_copy(update={section: part}))


def refused(path: Path) -> tuple[list[str], int]:
    with pytest.raises(Refusal) as caught:
        read_lock(path)
    assert all(found.help for found in caught.value.diagnostics)
    return [found.code for found in caught.value.diagnostics], caught.value.exit_code


def test_its_name() -> None:
    assert lock_path(Path("recipes/bbc-news.yaml")) == Path("recipes/bbc-news.lock.json")


def test_it_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "a.lock.json"
    assert read_lock(file) is None
    file.write_text(LOCK.to_text(), encoding="utf-8")
    assert read_lock(file) == LOCK


def test_it_names_no_clock_host_user_or_absolute_path() -> None:
    text = LOCK.to_text()
    for word in (os.sep + "home", os.sep + "tmp", str(Path.cwd()), "T00:", "hostname"):
        assert word not in text


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", LOCK.to_text()[:-20].encode()])
def test_what_is_no_lock(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.lock.json"
    file.write_bytes(content)
    assert refused(file) == (["FTC501"], 6)
    assert file.read_bytes() == content


@pytest.mark.parametrize("section", ["model", "text", "data", "train", "length", "platforms"])
def test_an_edited_section_breaks_its_own_seal(tmp_path: Path, section: str) -> None:
    document = json.loads(LOCK.to_text())
    part = document[section] if section != "platforms" else next(iter(document[section].values()))
    part["seal"] = "0" * 64
    file = tmp_path / "a.lock.json"
    file.write_text(json.dumps(document))
    assert refused(file) == (["FTC502"], 6)


def test_sections_merged_from_two_sides_are_one_lock(tmp_path: Path) -> None:
    """Somebody changes the model, somebody else the training; git merges both without a conflict."""
    ours, theirs = changed("model", license="mit"), changed("train", settings={"rank": 8})
    both = ours.model_copy(update={"train": theirs.train})
    file = tmp_path / "a.lock.json"
    file.write_text(both.to_text())
    assert read_lock(file) == both


def test_changes_are_told_by_place_with_both_values() -> None:
    assert lock_changes(LOCK, LOCK) == ()
    assert lock_changes(LOCK, changed("model", license="mit")) == ("model.license: apache-2.0 → mit",)
    shorter = changed("text", settings={**LOCK.text.settings, "max_length": 64})
    assert lock_changes(LOCK, shorter) == ("text.settings.max_length: 512 → 64",)
    digest = {"tokenizer.json": "0a" * 32}
    (line,) = lock_changes(LOCK, changed("text", tokenizer_files=digest))
    assert line == "text.tokenizer_files.tokenizer.json: f6f6…f6f6 → 0a0a…0a0a"


def test_a_platform_that_only_one_has_changes_nothing_else() -> None:
    (here,) = LOCK.platforms.values()
    other = here.model_copy(update={"platform": "other"})
    both = sealed(LOCK.model_copy(update={"platforms": {**LOCK.platforms, "other": other}}))
    assert lock_changes(LOCK, both) == ("other: new platform",)
    assert lock_changes(both, LOCK) == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, json_values)
def test_differences_are_none_exactly_when_values_are_equal(old: Any, new: Any) -> None:
    assert differences("x", old, old) == []
    assert bool(differences("x", {"k": old}, {"k": new})) == (old != new)


def test_a_setting_that_the_old_lock_did_not_know_is_news_where_it_does_something() -> None:
    settings = LOCK.train.settings
    known = {**settings, "later": None, "flag": False, "names": []}
    assert lock_changes(LOCK, changed("train", settings=known)) == ()
    assert lock_changes(changed("train", settings=known), LOCK), "what is gone was known"
    asked = {**settings, "later": "something"}
    assert lock_changes(LOCK, changed("train", settings=asked)) == ("train.settings.later: absent → something",)


def test_names_of_classes_are_pinned(tmp_path: Path) -> None:
    """Rows have the same digests with other names, so that the names stand beside them."""
    rows = LOCK.data.sources["rows"]
    named = changed("data", sources={"rows": rows.model_copy(update={"class_names": {"label": ("bad", "good")}})})
    file = tmp_path / "a.lock.json"
    file.write_text(named.to_text(), encoding="utf-8")
    assert read_lock(file) == named
    assert named.data.seal != LOCK.data.seal
    assert "class_names" not in LOCK.to_text(), "a lock of rows without names stays as it was"
    (line,) = lock_changes(LOCK, named)
    assert line.startswith("data.sources.rows.class_names: absent → ")
    (change,), _ = lock_differences(LOCK, named, lambda use, was, now: None)
    assert (change.path, change.old, change.new) == ("data.rows.class_names.label", None, "bad, good")
    assert change.action == "retrain"
