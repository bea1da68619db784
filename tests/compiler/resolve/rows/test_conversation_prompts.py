"""Prompts that are conversations: their earlier turns are part of the row, and each is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
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


@pytest.mark.parametrize("is_first", [True, False])
def test_pairs_with_prompts_of_both_kinds_are_all_read(tmp_path: Path, *, is_first: bool) -> None:
    """A prompt as text or as a conversation, with answers as texts or as single turns."""
    kinds: list[Callable[[int], dict[str, Any]]] = [
        lambda n: {"prompt": f"Where is parcel {n}?", "chosen": "Here.", "rejected": "No."},
        lambda n: {"prompt": conversation(f"Parcel {n} is lost."), "chosen": "Call us.", "rejected": "No."},
        lambda n: {
            "prompt": conversation(f"Parcel {n} came late."),
            "chosen": [{"role": "assistant", "content": "We are sorry."}],
            "rejected": [{"role": "assistant", "content": "So what?"}],
        },
    ]
    rows = [kind(number) for number in range(10) for kind in (kinds if is_first else kinds[::-1])]
    task = Preference(kind="preference")
    data = one_file(tmp_path, rows, task)
    every = [*data.rows_of("train"), *data.rows_of("test")]
    assert len(every) == 30
    assert {type(one[column]) for one in every for column in ("prompt", "chosen", "rejected")} == {str}
    assert sum(len(one.get(TURNS_COLUMN) or ()) == 2 for one in every) == 20


CALLS = [{"type": "function", "function": {"name": "track", "arguments": {"parcel": 7}}}]
WAIT = {"role": "assistant", "content": "wait"}


@pytest.mark.parametrize("several", [True, False])
def test_tool_calls_of_an_answer_to_turns_are_kept(tmp_path: Path, *, several: bool) -> None:
    """Then both answers are conversations; keys without a value, as Parquet has them, are no keys."""
    calls, empty = [{**WAIT, "tool_calls": CALLS}], [{**WAIT, "content": "No.", "tool_calls": None}]
    rows = [{"prompt": conversation(f"Parcel {n} is lost."), "chosen": calls, "rejected": empty} for n in range(20)]
    if several:
        rows = [{**one, "rejected": [empty, [{**WAIT, "content": "So?"}]]} for one in rows]
    train = one_file(tmp_path, rows, Preference(kind="preference")).rows_of("train")
    for one in train:
        asked, (*before, last) = one["prompt"], one["chosen"]
        assert (before[-1]["content"], last) == (asked, calls[0])
        for other in one["rejected"] if several else [one["rejected"]]:
            assert (other[:-1], other[-1]["content"] in ("No.", "So?")) == (before, True)
    plain = [{**one, "chosen": [WAIT]} for one in rows]
    texts = one_file(tmp_path, plain, Preference(kind="preference")).rows_of("train")
    assert {one["chosen"] for one in texts} == {"wait"}


def test_an_answer_of_several_turns_is_no_text_beside_a_conversation(tmp_path: Path) -> None:
    """Both answers of the file are turns, so that is what the finding says."""
    turns = [{**WAIT, "tool_calls": CALLS}, {"role": "tool", "content": "here"}, {**WAIT, "content": "It is here."}]
    rows = [{"prompt": conversation(f"Parcel {n}?"), "chosen": [WAIT], "rejected": turns} for n in range(20)]
    with pytest.raises(Refusal) as caught:
        one_file(tmp_path, rows, Preference(kind="preference"))
    assert {one.summary for one in caught.value.diagnostics} == {
        "the two conversations differ before their last turn in 20 of 20 rows"
    }


@pytest.mark.parametrize("task", [GENERATION, KTO])
def test_a_completion_with_tool_calls_is_no_text(tmp_path: Path, task: Task) -> None:
    completion = [{**WAIT, "tool_calls": CALLS}]
    rows = [row(conversation(f"Parcel {n}?"), task, completion=completion) for n in range(20)]
    with pytest.raises(Refusal) as caught:
        one_file(tmp_path, rows, task)
    (found,) = caught.value.diagnostics
    assert (found.code, "`completion` is a list, not text" in found.summary) == ("FTC363", True)


PAIRS = [
    ({"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}, {"from": "gpt", "value": "What?"}),
    ({"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."},
     {"role": "assistant", "content": "What?"}),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "chosen", "rejected"), PAIRS, ids=["from and value", "role and content"])
def test_answers_that_are_single_turns_are_the_answers_of_lists(
    asked: dict[str, str], chosen: dict[str, str], rejected: dict[str, str], tmp_path: Path
) -> None:
    """Preferences in LLaMA-Factory's ShareGPT form, as its `dpo_en_demo` has them."""
    task = Preference(kind="preference")

    def pairs(form: Callable[[dict[str, str]], Any]) -> ResolvedData:
        said = "content" if "content" in asked else "value"
        rows = [
            {"conversations": [{**asked, said: f"Hi {n}."}], "chosen": form(chosen), "rejected": form(rejected)}
            for n in range(20)
        ]
        fields, split = {"prompt": "conversations"}, Split(validation=0.0, test=0.2)
        data = Data.model_validate({"source": {"path": "rows.jsonl"}, "split": split, "fields": fields})
        return resolved(tmp_path, {"rows.jsonl": rows}, data, task)

    bare, listed = pairs(lambda turn: turn), pairs(lambda turn: [turn])
    assert list(bare.parts["train"].rows) == list(listed.parts["train"].rows)
    first = bare.parts["train"].rows[0]
    assert (first["chosen"], first["rejected"]) == ("Hello.", "What?")
    assert first["conversations"].startswith("Hi ")


def test_an_answer_that_is_an_object_of_something_else_is_refused(tmp_path: Path) -> None:
    rows = [{"prompt": "Hi.", "chosen": {"text": "Hello."}, "rejected": {"text": "What?"}} for _ in range(20)]
    with pytest.raises(Refusal, match="is an object, not text"):
        one_file(tmp_path, rows, Preference(kind="preference"))


@pytest.mark.parametrize(("rating", "words"), [(True, "rated good"), (0, "rated bad")])
def test_ratings_that_are_all_the_same_are_a_warning(rating: bool | int, words: str, tmp_path: Path) -> None:
    """FTC374: such rows were trained on without a word, though nothing can be compared."""
    rows = [row(f"My parcel {number} is lost.", KTO, label=rating) for number in range(20)]
    (found,) = (one for one in one_file(tmp_path, rows, KTO).diagnostics if one.code == "FTC374")
    assert not found.is_error
    assert f"all 16 training rows are {words}" in found.summary
    rows = [{**one, "label": number % 2 == 0} for number, one in enumerate(rows)]
    assert "FTC374" not in {one.code for one in one_file(tmp_path, rows, KTO).diagnostics}
