"""From real files to the rows of each part, with every fault at its place and the lock's entries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.rows.data import ResolvedData
from ftc.compiler.resolve.rows.row_digests import row_digests, rows_digest
from ftc.spec import canonical
from ftc.spec.diagnostics import Diagnostic, Refusal, Severity, Span
from ftc.spec.sections.data import Data, PathSource, Split
from ftc.spec.tasks import Task
from ftc.spec.tasks.chat import Chat
from ftc.spec.tasks.classification import Classification
from ftc.spec.tasks.generation import Generation
from tests.support.resolved_rows import resolved

CLASSIFICATION = Classification(kind="classification")
HAM = [{"text": f"see you at {number}", "label": "ham"} for number in range(60)]
SPAM = [{"text": f"win {number} now", "label": "spam"} for number in range(20)]

Resolve = Callable[..., ResolvedData]


def span_of(path: str) -> Span:
    return Span(f"recipe.yaml: {path}", 1, 1, 1, 2)


@pytest.fixture
def resolve(tmp_path: Path) -> Resolve:
    """Writes the given files as JSON lines into a project and resolves `data` there."""

    def run(files: dict[str, list[dict[str, Any]]], task: Task = CLASSIFICATION, **data: Any) -> ResolvedData:
        for name, rows in files.items():
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            (tmp_path / name).write_text("".join(lines), encoding="utf-8")
        document = Data(source=PathSource(path=next(iter(files), "absent.jsonl")), **data)
        return resolved(document, tmp_path, task, span_of=span_of)

    return run


def refused(resolve: Resolve, *args: Any, **kwargs: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(Refusal) as caught:
        resolve(*args, **kwargs)
    assert all(found.help for found in caught.value.diagnostics if found.is_error)
    return caught.value.diagnostics


def labels_of(data: ResolvedData, part: str) -> Counter[str]:
    return Counter(row["label"] for row in data.parts[part].rows)  # type: ignore[index]


def test_a_classification_is_stratified_by_its_label(resolve: Resolve) -> None:
    data = resolve({"sms.jsonl": HAM + SPAM})
    assert data.labels == ("ham", "spam")
    assert {part: len(found.rows) for part, found in data.parts.items()} == {"train": 64, "validation": 8, "test": 8}
    assert labels_of(data, "test") == labels_of(data, "validation") == {"ham": 6, "spam": 2}
    assert not data.diagnostics
    assert sorted(map(str, HAM + SPAM)) == sorted(str(row) for found in data.parts.values() for row in found.rows)


def test_the_lock_has_the_file_and_its_rows(resolve: Resolve, tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": number % 2} for number in range(20)]
    lock = resolve({"a.jsonl": rows}).sources["rows"]
    assert lock.asked == {"path": "a.jsonl"}
    assert lock.file.sha256 == canonical.file_digest(tmp_path / "a.jsonl")
    assert (lock.rows, lock.rows_sha256, lock.commit) == (20, rows_digest(row_digests(rows)), None)


def test_labels_become_text_in_one_order(resolve: Resolve) -> None:
    rows = [{"text": f"text {number}", "label": number % 11} for number in range(110)]
    data = resolve({"a.jsonl": rows})
    assert data.labels == tuple(str(number) for number in range(11))
    assert {row["label"] for row in data.parts["train"].rows} == set(data.labels)


def test_files_of_their_own_stay_whole(resolve: Resolve) -> None:
    split = Split(validation=PathSource(path="v.jsonl"), test=0.25)
    data = resolve({"a.jsonl": HAM + SPAM[:10], "v.jsonl": SPAM[10:]}, split=split)
    assert data.parts["validation"].rows == SPAM[10:]
    assert len(data.parts["test"].rows) == 18
    assert sorted(data.sources) == ["rows", "validation"]


def test_fewer_training_rows_leave_the_measured_parts_alone(resolve: Resolve) -> None:
    whole = resolve({"a.jsonl": HAM + SPAM})
    fewer = resolve({"a.jsonl": HAM + SPAM}, max_rows=20)
    assert len(fewer.parts["train"].rows) == 20
    assert fewer.parts["test"].rows == whole.parts["test"].rows
    assert all(row in whole.parts["train"].rows for row in fewer.parts["train"].rows)


def test_a_row_that_is_trained_on_and_measured(resolve: Resolve) -> None:
    split = Split(validation=0, test=PathSource(path="t.jsonl"))
    test = [{"text": "new", "label": "ham"}, *HAM[3:8]]
    found = next(one for one in refused(resolve, {"a.jsonl": HAM + SPAM, "t.jsonl": test}, split=split) if one.is_error)
    assert (found.code, found.path) == ("FTC370", "data.split.test")
    assert "5 of 6 test rows are also training rows" in found.summary
    assert len(found.notes) == 3
    assert found.notes[0].startswith("t.jsonl:2: ")


def test_a_row_in_validation_and_test_is_a_warning(resolve: Resolve) -> None:
    split = Split(validation=PathSource(path="v.jsonl"), test=PathSource(path="t.jsonl"))
    data = resolve({"a.jsonl": HAM + SPAM[2:], "v.jsonl": SPAM[:2], "t.jsonl": SPAM[:1]}, split=split)
    found = next(finding for finding in data.diagnostics if finding.code == "FTC370")
    assert found.severity is Severity.WARNING


def test_copies_in_one_file_stay_together_and_are_counted(resolve: Resolve) -> None:
    data = resolve({"a.jsonl": HAM + SPAM + HAM[:15]})
    (found,) = data.diagnostics
    assert (found.code, found.severity) == ("FTC373", Severity.WARNING)
    assert "15 of 95 rows" in found.summary
    texts = [{row["text"] for row in found.rows} for found in data.parts.values()]
    assert sum(map(len, texts)) == len(set().union(*texts))


def test_a_label_that_training_lacks(resolve: Resolve) -> None:
    split = Split(validation=0, test=PathSource(path="t.jsonl"))
    test = [{"text": f"scam {number}", "label": "scam"} for number in range(3)]
    (found,) = refused(resolve, {"a.jsonl": HAM + SPAM, "t.jsonl": test}, split=split)
    assert (found.code, found.notes) == ("FTC372", ("`scam` (3)",))


def test_declared_labels_keep_their_order(resolve: Resolve) -> None:
    task = Classification(kind="classification", labels=("spam", "ham"))
    assert resolve({"a.jsonl": HAM + SPAM}, task).labels == ("spam", "ham")
    (found,) = resolve({"a.jsonl": HAM + SPAM}, task.model_copy(update={"labels": ("spam", "ham", "x")})).diagnostics
    assert (found.code, found.severity) == ("FTC375", Severity.WARNING)
    unknown = refused(resolve, {"a.jsonl": HAM + SPAM}, task.model_copy(update={"labels": ("spam", "eggs")}))
    assert {finding.code for finding in unknown if finding.is_error} == {"FTC372"}


def test_one_class_is_none(resolve: Resolve) -> None:
    (found,) = refused(resolve, {"a.jsonl": HAM})
    assert found.code == "FTC374"


def test_too_few_rows(resolve: Resolve) -> None:
    (found,) = refused(resolve, {"a.jsonl": HAM[:10] + SPAM[:10]}, split=Split(validation=0.01, test=0.1))
    assert (found.code, found.path) == ("FTC371", "data.split.validation")
    assert found.span == span_of("data.split.validation")


def test_stratify_by_another_column(resolve: Resolve) -> None:
    rows = [{"text": f"t{n}", "label": "ab"[n % 2], "source": "x" if n < 20 else None} for n in range(100)]
    del rows[0]["source"]
    data = resolve({"a.jsonl": rows}, split=Split(stratify="source"))
    assert Counter(row.get("source") for row in data.parts["test"].rows)["x"] == 2
    (found,) = refused(resolve, {"a.jsonl": rows}, split=Split(stratify="sorce"))
    assert (found.code, found.help) == ("FTC362", ("did you mean `source`?",))


def test_faults_of_all_files_are_told_at_once(resolve: Resolve) -> None:
    split = Split(validation=PathSource(path="v.jsonl"), test=PathSource(path="t.jsonl"))
    files = {"a.jsonl": [{"text": "a", "label": None}], "v.jsonl": [{"text": "", "label": "b"}], "t.jsonl": [{"x": 1}]}
    found = refused(resolve, files, split=split)
    assert sorted(finding.code for finding in found) == ["FTC362", "FTC362", "FTC364", "FTC364"]
    absent = refused(resolve, {}, split=split.model_copy(update={"test": PathSource(path="../../etc/passwd")}))
    assert sorted(finding.code for finding in absent) == ["FTC300", "FTC350"]


def test_broken_files_are_all_told(resolve: Resolve, tmp_path: Path) -> None:
    (tmp_path / "v.jsonl").write_text('{"text": 1\n', encoding="utf-8")
    (tmp_path / "t.jsonl").write_bytes(b"PK\x03\x04")
    split = Split(validation=PathSource(path="v.jsonl"), test=PathSource(path="t.jsonl"))
    found = refused(resolve, {"a.jsonl": HAM}, split=split)
    assert [finding.code for finding in found] == ["FTC353", "FTC355"]


def test_generation_and_chat(resolve: Resolve) -> None:
    task = Generation(kind="generation", prompt="Title of {{ article }}:")
    rows = [{"article": f"news {number}", "title": f"title {number}"} for number in range(30)]
    data = resolve({"a.jsonl": rows}, task, fields={"completion": "title"})
    assert (data.labels, data.columns.used) == ((), ("article", "title"))
    turns = [
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]}
        for n in range(30)
    ]
    assert len(resolve({"a.jsonl": turns}, Chat(kind="chat")).parts["train"].rows) == 24


def test_the_order_of_the_file_changes_no_part(resolve: Resolve) -> None:
    def texts(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
        return {part: {row["text"] for row in found.rows} for part, found in resolve({"a.jsonl": rows}).parts.items()}

    assert texts(HAM + SPAM) == texts((HAM + SPAM)[::-1])


def test_a_column_without_a_name_plays_no_part(resolve: Resolve) -> None:
    """JSON and Parquet can have one; what stands in it is neither a system message nor an image."""
    roles = ("user", "assistant")
    rows = [
        {"": "be rude", "messages": [{"role": role, "content": f"{role} {number}"} for role in roles]}
        for number in range(30)
    ]
    found = resolve({"rows.jsonl": rows}, Chat(kind="chat"))
    assert {tuple(turn["role"] for turn in row["messages"]) for row in found.parts["train"].rows} == {roles}
