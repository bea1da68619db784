"""Several labels of a row in one cell, or in columns of 0 and 1: how they are read, and what tells them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ftc.compiler.resolve.rows.data import ResolvedData
from ftc.compiler.resolve.rows.joined_labels import flag_columns, labels_in, list_in, separator_of
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.sections.data import Data, PathSource
from ftc.spec.tasks.classification import Classification
from ftc.spec.tasks.rows import LABELS_COLUMN
from tests.support import resolved_rows


def resolved(folder: Path, rows: list[dict[str, Any]], **task: Any) -> ResolvedData:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = Data(source=PathSource(path="rows.jsonl"))
    return resolved_rows.resolved(data, folder, Classification(kind="classification", **task))


def refused(folder: Path, rows: list[dict[str, Any]], **task: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(Refusal) as caught:
        resolved(folder, rows, **task)
    return caught.value.diagnostics


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["billing;refund", "refund;login", "billing"], ";"),
        (["a | b", "b | c", "a"], "|"),
        (["a,b", "b", "a"], ","),
        (["a;b", "c;d"], None),  # no part is met again
        (["Food, drink", "Health, care", "Sports"], None),
        (["3,5", "4,5", "3", "4", "5"], None),  # numbers as half the world writes them
        (["a;", "b;", "a"], None),
        (["yes", "no"], None),
    ],
)
def test_what_separates_labels_is_what_parts_that_are_met_again_stand_between(
    cells: list[str], separator: str | None
) -> None:
    assert separator_of(dict.fromkeys(cells, 5)) == separator


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', \"it's\"]", ["a", "it's"]),
        ("['a' 'b']", ["a", "b"]),  # as NumPy prints them
        (r"['it\'s',]", ["it's"]),
        (r"['a\nb', 'c\td']", ["a\nb", "c\td"]),
        (r"""['\\', 'C:\\new', "it\'s"]""", ["\\", r"C:\new", "it's"]),
        (r"['\xe9', '\u00e9', '\U0001f600']", ["é", "é", "\U0001f600"]),
        (r"['\d+', 'a']", [r"\d+", "a"]),  # no escape of Python's: both characters stay
        ("['a\nb', 'c\\\\d']", ["a\nb", r"c\d"]),  # a line that ends in quotes
        ("['a\n\\t']", ["a\n\t"]),
        (r"['\x', 'a']", None),
        (r"['\ud800']", None),
        (r"['\N{no such name}']", None),
        ("[]", []),
        (" [] ", []),
        ("[sic] a note", None),
        ("[a, b]", None),
        ("['a', __import__('os')]", None),
        ("[" * 5000 + "]" * 5000, None),
        ("a", None),
    ],
)
def test_a_cell_may_be_a_list_as_json_or_python_writes_it(text: str, found: list[str] | None) -> None:
    assert list_in(text) == found


def test_labels_of_a_cell_are_told_apart_once_each() -> None:
    assert labels_in(" b ;a;; b", ";") == ["b", "a"]
    assert labels_in("", ";") == []
    assert labels_in('["a;b"]', ";") == ["a;b"]
    assert labels_in("a;b", None) is None


def test_columns_of_flags_have_nothing_but_zero_and_one() -> None:
    rows = [
        {"a": n % 2, "b": str(n % 2), "c": bool(n % 2), "d": n % 3, "e": 1, "f": "x", "g": -(n % 2)} for n in range(9)
    ]
    assert flag_columns(rows, ["a", "b", "c", "d", "e", "f", "g"]) == ("a", "b", "c")


def test_advice_on_columns_of_flags_can_be_pasted(tmp_path: Path) -> None:
    """Whatever they are called: YAML would read some names as something else."""
    names = ["a: b", "x,y", "yes", "it's", "plain"]
    rows = [{"text": f"row {n}", **{name: (n + k) % 2 for k, name in enumerate(names)}} for n in range(9)]
    (advice,) = [help for one in refused(tmp_path, rows) for help in one.help if "columns of 0 and 1" in help]
    task = YAML(typ="safe").load(advice.split("`")[1])["task"]
    assert Classification.model_validate_json(json.dumps(task)).label_columns == tuple(names)


JOINED = [{"text": f"row number {n}", "label": ("a;b", "b;c", "a", "c")[n % 4]} for n in range(80)]


def test_joined_labels_are_no_class_in_silence(tmp_path: Path) -> None:
    (found,) = [one for one in resolved(tmp_path, JOINED).diagnostics if one.code == "FTC489"]
    assert "`label` seems to hold several labels a row" in found.summary
    assert "multi_label: true, label_separator: ';'" in found.help[0]
    assert found.notes == ('40 of 80 rows: "a;b" 20, "b;c" 20',)
    rare = [{"text": f"row {n}", "label": ";".join("abcdef"[n % 5 : n % 5 + 2 + n % 3])} for n in range(12)]
    assert "FTC489" in {one.code for one in refused(tmp_path, rare, labels=("a", "b"))}, "beside what stops the plan"
    lists = [{**row, "label": str(row["label"].split(";"))} for row in JOINED]
    (listed,) = [one for one in resolved(tmp_path, lists).diagnostics if one.code == "FTC489"]
    assert "multi_label: true}" in listed.help[0]


def test_a_separator_makes_labels_of_a_cell(tmp_path: Path) -> None:
    data = resolved(tmp_path, [*JOINED, {"text": "none of these", "label": ""}], multi_label=True, label_separator=";")
    assert data.labels == ("a", "b", "c")
    assert data.quality.labels["train"].keys() == {"a", "b", "c"}
    assert not [one for one in data.diagnostics if one.code in ("FTC489", "FTC364")]
    assert any(row["label"] == ["a", "b"] for row in data.rows_of("train"))


def test_columns_of_zero_and_one_are_labels_by_their_names(tmp_path: Path) -> None:
    rows = [{"text": f"row number {n}", "toxic": n % 2, "rude": str(n % 3 // 2), "odd": n % 5 == 0} for n in range(60)]
    data = resolved(tmp_path, rows, multi_label=True, label_columns=("toxic", "rude", "odd"))
    assert data.labels == ("toxic", "rude", "odd")
    for row in data.rows_of("train"):
        number = int(row["text"].split()[-1])
        wanted = {"toxic": number % 2 == 1, "rude": number % 3 == 2, "odd": number % 5 == 0}
        assert row[LABELS_COLUMN] == [name for name, has in wanted.items() if has]
    (missing,) = refused(tmp_path, rows)
    assert "label_columns: [toxic, rude, odd]" in missing.help[1]
    (absent,) = refused(tmp_path, rows, multi_label=True, label_columns=("toxic", "rued"))
    assert (absent.code, absent.path, absent.help) == ("FTC362", "task.label_columns[1]", ("did you mean `rude`?",))
    rows[7]["toxic"] = 2
    (odd,) = refused(tmp_path, rows, multi_label=True, label_columns=("toxic", "rude"))
    assert (odd.code, "neither 1 nor 0" in odd.summary) == ("FTC363", True)


def test_labels_stand_in_one_place() -> None:
    with pytest.raises(ValueError, match="leave out `label_separator`"):
        Classification(kind="classification", multi_label=True, label_separator=";", label_columns=("a", "b"))
    plain = Classification(kind="classification").to_json()
    assert not {"label_separator", "label_columns"} & plain.keys(), "absent where nobody named them"
