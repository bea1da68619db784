"""Prompts that are conversations: their earlier turns are part of the row, and each is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.rows.data import ResolvedData, resolve_data
from ftc.compiler.resolve.rows.data_files import DataFile
from ftc.compiler.resolve.rows.source_paths import source_paths
from ftc.compiler.tokens.row_form import turns_column
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import FileFacts
from ftc.spec.sections.data import Data, MixedPath, PathSource, Split
from ftc.spec.tasks import Task
from ftc.spec.tasks.generation import Generation
from ftc.spec.tasks.preference import Preference
from ftc.spec.tasks.rows import TURNS_COLUMN

GENERATION, KTO = Generation(kind="generation"), Preference(kind="preference", loss="kto")
FACTS = FileFacts(size=1, sha256="0" * 64)


def conversation(first: str, system: str | None = None) -> list[dict[str, str]]:
    turns = [("user", first), ("assistant", "I see."), ("user", "So what do I do?")]
    return [{"role": role, "content": text} for role, text in ((("system", system),) if system else ()) + tuple(turns)]


def row(prompt: Any, task: Task = GENERATION, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": "Call us.", **({"label": True} if task is KTO else {}), **more}


def resolved(folder: Path, files: dict[str, list[dict[str, Any]]], data: Data, task: Task = GENERATION) -> ResolvedData:
    for name, rows in files.items():
        (folder / name).write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    found = {
        use: DataFile(folder / source.path, source.path, at, source.to_json(), None, None, FACTS)
        for use, (at, source) in source_paths(data).items()
        if isinstance(source, PathSource)
    }
    return resolve_data(data, task, found, lambda path: None)


def one_file(folder: Path, rows: list[dict[str, Any]], task: Task = GENERATION) -> ResolvedData:
    data = Data(source=PathSource(path="rows.jsonl"), split=Split(validation=0.0, test=0.2))
    return resolved(folder, {"rows.jsonl": rows}, data, task)


@pytest.mark.parametrize("task", [GENERATION, KTO])
def test_rows_that_differ_in_an_earlier_turn_are_different(tmp_path: Path, task: Task) -> None:
    rows = [row(conversation(f"My parcel {number} is lost."), task) for number in range(20)]
    data = one_file(tmp_path, rows, task)
    assert {part: len(found.rows) for part, found in data.parts.items()} == {"train": 16, "test": 4}
    assert "FTC373" not in {one.code for one in data.diagnostics}, "none is a copy"
    copied = one_file(tmp_path, rows + rows[:3], task)
    assert "FTC373" in {one.code for one in copied.diagnostics}


def test_an_address_in_an_earlier_turn_is_found(tmp_path: Path) -> None:
    rows = [row(conversation(f"My parcel {number} is lost.")) for number in range(20)]
    rows[3] = row(conversation("Write to tom.miller@example.com about it."))
    [found] = one_file(tmp_path, rows).quality.findings
    assert (found.rule, found.samples[0].place) == ("e-mail addresses", "rows.jsonl:4")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (
            [{"content": "be brief"}, {"role": "user", "content": "q"}],
            "has a turn that is not a `{role, content}` object",
        ),
        ([{"role": "bot", "content": "hi"}, {"role": "user", "content": "q"}], "has a turn with an unknown role"),
        ([{"role": "user", "content": "p"}, {"role": "user", "content": "q"}], "has turns out of order"),
        ([{"role": "user", "content": "p"}, {"role": "assistant", "content": "q"}], "ends with a turn of `assistant`"),
        (
            [{"role": "system", "content": "p"}, {"role": "user", "content": ["q"]}],
            "has a turn whose content is not text",
        ),
        ([{"from": ["human"], "value": "p"}, {"from": "human", "value": "q"}], "has a turn with an unknown role"),
        (["p", "q"], "is a list, not text"),
        ([], "is a list, not text"),
    ],
)
@pytest.mark.parametrize("task", [GENERATION, KTO])
def test_each_turn_is_checked(tmp_path: Path, task: Task, prompt: Any, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        one_file(tmp_path, [row(prompt, task)] * 10, task)
    [found] = caught.value.diagnostics
    assert found.summary.startswith(f"column `prompt` {words}"), found.summary


def test_several_sources_keep_the_turns(tmp_path: Path) -> None:
    files = {f"{name}.jsonl": [row(conversation(f"{name}{n}"), system="be kind") for n in range(20)] for name in "ab"}
    sources = tuple(MixedPath(path=name) for name in files)
    data = resolved(tmp_path, files, Data(source=sources, split=Split(validation=0.0, test=0.2)))
    turns = [[turn["role"] for turn in one[TURNS_COLUMN]] for one in data.rows_of("train")]
    assert turns == [["system", "user", "assistant"]] * 32


def test_turns_of_test_rows_alone_are_read() -> None:
    columns = {"prompt": "prompt", "completion": "completion"}
    texts: list[dict[str, Any]] = [{"prompt": "q"}]
    turns = [*texts, {"prompt": "q", TURNS_COLUMN: []}]
    assert turns_column(columns, texts, turns) == TURNS_COLUMN
    assert turns_column(columns, texts, texts) is None
    assert turns_column({**columns, "system": "system"}, texts) == TURNS_COLUMN
