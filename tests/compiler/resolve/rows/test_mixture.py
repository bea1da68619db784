"""Several sources: columns of one name, a share of each in every part, and an epoch by weight."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.rows.data import ResolvedData, resolve_data
from ftc.compiler.resolve.rows.data_files import DataFile
from ftc.compiler.resolve.rows.source_paths import source_paths
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import FileFacts
from ftc.spec.sections.data import Data, MixedPath, PathSource, Split
from ftc.spec.tasks import Task
from ftc.spec.tasks.classification import Classification
from ftc.spec.tasks.generation import Generation

TASK = Classification(kind="classification")


def rows_of(word: str, count: int, text: str = "text", label: str = "label") -> list[dict[str, Any]]:
    return [{text: f"{word} number {number}", label: ("ham", "spam")[number % 2]} for number in range(count)]


FACTS = FileFacts(size=1, sha256="0" * 64)


def mixed(folder: Path, files: dict[str, list[dict[str, Any]]], data: Data, task: Task = TASK) -> ResolvedData:
    for name, rows in files.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = {
        use: DataFile(folder / source.path, source.path, at, source.to_json(), None, None, FACTS)
        for use, (at, source) in source_paths(data).items()
        if isinstance(source, PathSource)
    }
    return resolve_data(data, task, found, lambda path: None)


def words_of(data: ResolvedData, part: Any) -> Counter[str]:
    return Counter(row["text"].split()[0] for row in data.parts[part].rows)


def test_each_source_gives_its_share_to_every_part(tmp_path: Path) -> None:
    sources = (
        MixedPath(path="a.jsonl"),
        MixedPath(path="b.jsonl", fields={"text": "message", "label": "class"}),
        MixedPath(path="c.jsonl", only_train=True),
    )
    files = {
        "a.jsonl": rows_of("apple", 100),
        "b.jsonl": rows_of("pear", 40, "message", "class"),
        "c.jsonl": rows_of("plum", 30),
    }
    data = mixed(tmp_path, files, Data(source=sources, split=Split(validation=0.1, test=0.2)))
    assert words_of(data, "train") == {"apple": 70, "pear": 28, "plum": 30}
    assert words_of(data, "validation") == {"apple": 10, "pear": 4}
    assert words_of(data, "test") == {"apple": 20, "pear": 8}
    assert sorted(data.sources) == ["rows[0]", "rows[1]", "rows[2]"]
    last = data.parts["train"]
    assert last.place(last.numbers[-1]) == "c.jsonl:30"
    assert data.mixture is not None
    words = "a.jsonl 70 rows (54.7%), b.jsonl 28 rows (21.9%), c.jsonl 30 rows (23.4%)"
    assert data.mixture.check([0, 0, 0]).result == words
    assert "a.jsonl 14 of 70 rows (19.4%, 56 left out)" in data.mixture.check([56, 0, 0]).result


@pytest.mark.parametrize(
    ("exhausted", "most", "expected"),
    [
        ("stop", None, {"apple": 60, "plum": 20}),  # the 60 apples are three quarters of 80
        ("repeat", None, {"apple": 600, "plum": 200}),  # all 200 plums are a quarter of 800
        ("stop", 40, {"apple": 30, "plum": 10}),
        ("repeat", 100, {"apple": 75, "plum": 25}),
    ],
)
def test_weights_make_an_epoch(tmp_path: Path, exhausted: Any, most: int | None, expected: dict[str, int]) -> None:
    sources = (MixedPath(path="a.jsonl", weight=3.0), MixedPath(path="c.jsonl", weight=1.0, only_train=True))
    files = {"a.jsonl": rows_of("apple", 75), "c.jsonl": rows_of("plum", 200)}
    split = Split(validation=0, test=0.2)
    data = Data(source=sources, split=split, exhausted=exhausted, max_rows=most)
    first, again = mixed(tmp_path, files, data), mixed(tmp_path, files, data)
    assert words_of(first, "train") == expected
    assert words_of(first, "test") == {"apple": 15}
    assert first.parts["train"].rows == again.parts["train"].rows
    repeats = Counter(row["text"] for row in first.parts["train"].rows if row["text"].startswith("apple"))
    assert max(repeats.values()) - min(repeats.values()) <= 1, "every row about as often"
    assert len(first.parts["train"].numbers) == len(set(first.parts["train"].numbers))
    part = first.parts["train"]
    assert {part.place(number).split(":")[0] for number in part.numbers} == {"a.jsonl", "c.jsonl"}


def test_a_source_that_lacks_a_column_is_named_by_its_place(tmp_path: Path) -> None:
    sources = (MixedPath(path="a.jsonl"), MixedPath(path="b.jsonl", fields={"text": "massage", "label": "class"}))
    files = {"a.jsonl": rows_of("apple", 10), "b.jsonl": rows_of("pear", 10, "message", "class")}
    with pytest.raises(Refusal) as caught:
        mixed(tmp_path, files, Data(source=sources))
    (found,) = caught.value.diagnostics
    assert found.summary == "b.jsonl has no column `massage`"
    assert found.help == ("did you mean `message`?",)


def test_another_seed_draws_other_rows(tmp_path: Path) -> None:
    sources = (MixedPath(path="a.jsonl", weight=1.0), MixedPath(path="c.jsonl", weight=1.0, only_train=True))
    files = {"a.jsonl": rows_of("apple", 50), "c.jsonl": rows_of("plum", 200)}
    drawn = [
        {
            row["text"]
            for row in mixed(tmp_path, files, Data(source=sources, split=Split(test=0, seed=seed))).parts["train"].rows
        }
        for seed in (1, 2)
    ]
    assert drawn[0] != drawn[1]


def test_a_source_may_name_the_columns_of_the_prompt_otherwise(tmp_path: Path) -> None:
    """One template serves files of other columns: each source says which of its columns the template means."""
    sources = (
        MixedPath(path="a.jsonl"),
        MixedPath(path="b.jsonl", fields={"question": "subject", "completion": "reply"}),
    )
    files: dict[str, list[dict[str, Any]]] = {
        "a.jsonl": [{"question": f"apple {number}", "completion": "yes"} for number in range(20)],
        "b.jsonl": [{"subject": f"pear {number}", "reply": "no", "question": 7} for number in range(20)],
    }
    task = Generation(kind="generation", prompt="Q: {{ question }}")
    data = mixed(tmp_path, files, Data(source=sources, split=Split(validation=0.1, test=0.2)), task)
    rows = [row for part in data.parts.values() for row in part.rows]
    assert {(row["question"].split()[0], row["completion"]) for row in rows} == {("apple", "yes"), ("pear", "no")}
    with pytest.raises(Refusal) as refused:
        mixed(tmp_path, {"b.jsonl": [{"reply": "no"}] * 20}, Data(source=sources), task)
    assert "b.jsonl has no column `question`, which the prompt uses" in refused.value.diagnostics[0].summary


def test_classes_are_counted_in_the_epoch_that_is_trained_on(tmp_path: Path) -> None:
    """What is not drawn is never trained on, so that no weight of a class and no count of the plan goes by it."""
    sources = (MixedPath(path="a.jsonl", weight=3), MixedPath(path="b.jsonl", weight=1))
    files = {"a.jsonl": rows_of("apple", 40), "b.jsonl": rows_of("pear", 400)}
    for row in files["b.jsonl"]:
        row["label"] = "ham"
    data = mixed(tmp_path, files, Data(source=sources, split=Split(validation=0, test=0)))
    trained = Counter(row["label"] for row in data.parts["train"].rows)
    assert trained.total() == 53
    assert data.quality.labels["train"] == dict(trained)


def test_a_class_of_which_no_row_is_drawn_is_not_measured_as_if_it_were_learned(tmp_path: Path) -> None:
    sources = (MixedPath(path="a.jsonl", weight=1), MixedPath(path="b.jsonl", weight=0.0001))
    files = {"a.jsonl": rows_of("apple", 100), "b.jsonl": rows_of("pear", 100)}
    for row in files["b.jsonl"]:
        row["label"] = "other"
    data = Data(source=sources, split=Split(validation=0, test=0.1))
    with pytest.raises(Refusal) as caught:
        mixed(tmp_path, files, data)
    advice = "raise the `weight` of b.jsonl: its rows with such labels are not drawn"
    assert [(one.code, one.help) for one in caught.value.diagnostics] == [("FTC372", (advice,))]

    named = Classification(kind="classification", labels=("ham", "spam", "other", "none"))
    [found] = [one for one in mixed(tmp_path, files, data, named).diagnostics if one.code == "FTC375"]
    assert found.help == (advice, "add training rows for them, or remove them from `task.labels`")


def test_a_source_that_gives_no_row_is_named(tmp_path: Path) -> None:
    files = {"a.jsonl": rows_of("apple", 100), "b.jsonl": rows_of("pear", 100)}
    small = (MixedPath(path="a.jsonl", weight=1), MixedPath(path="b.jsonl", weight=0.0001))
    data = mixed(tmp_path, files, Data(source=small, split=Split(validation=0, test=0.1)))
    [found] = [one for one in data.diagnostics if one.code == "FTC487"]
    assert (found.summary, found.path) == ("no row of b.jsonl is trained on", "data.source[1].weight")
    assert "raise its `weight`" in found.help[0]
    assert "90 of its rows" in found.help[0]
    assert words_of(data, "train") == {"apple": 90}


@pytest.mark.parametrize("weight", [None, 1.0])
def test_a_source_whose_rows_are_all_evaluated_is_named_and_ends_no_epoch_in_silence(
    tmp_path: Path, weight: float | None
) -> None:
    whole = {"a.jsonl": rows_of("apple", 60)}
    split = Split(validation=0, test=0.3, by="hash")
    [first, *_] = mixed(tmp_path, whole, Data(source=PathSource(path="a.jsonl"), split=split)).parts["test"].rows
    files = {"a.jsonl": [row for row in whole["a.jsonl"] if row != first], "b.jsonl": [dict(first)]}
    sources = (MixedPath(path="a.jsonl", weight=weight), MixedPath(path="b.jsonl", weight=weight))
    if weight is None:
        [found] = [
            one for one in mixed(tmp_path, files, Data(source=sources, split=split)).diagnostics if "487" in one.code
        ]
        assert (found.is_error, found.path) == (False, "data.source[1]")
        return
    with pytest.raises(Refusal) as caught:
        mixed(tmp_path, files, Data(source=sources, split=split))
    [found] = [one for one in caught.value.diagnostics if one.is_error or one.code == "FTC487"]
    assert (found.code, found.summary) == ("FTC487", "no row of b.jsonl is trained on, and the epoch ends with it")
    assert "all_exhausted" in found.help[1]
    repeated = mixed(tmp_path, files, Data(source=sources, split=split, exhausted="all_exhausted"))
    assert set(words_of(repeated, "train")) == {"apple"}
