"""Rows as people have them: CoNLL files, ShareGPT, instructions and SQuAD, and the columns that are recognized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.rows.canonical_rows import write_canonical
from ftc.compiler.resolve.rows.columns import Columns, task_columns
from ftc.compiler.resolve.rows.joint_checks import check_together
from ftc.compiler.resolve.rows.labels import labels_of
from ftc.compiler.resolve.rows.row_checks import check_values
from ftc.compiler.resolve.rows.table import Table
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.diagnostics import Refusal
from ftc.spec.tasks import Task
from ftc.spec.tasks.chat import Chat
from ftc.spec.tasks.classification import Classification
from ftc.spec.tasks.generation import Generation
from ftc.spec.tasks.question_answering import QuestionAnswering
from ftc.spec.tasks.regression import Regression
from ftc.spec.tasks.rows import ANSWER_COLUMN, INSTRUCTION_PROMPT, NUMBERS_COLUMN
from ftc.spec.tasks.summarization import Summarization
from ftc.spec.tasks.token_classification import TokenClassification

WORDS = TokenClassification(kind="token_classification")
EXTRACT = QuestionAnswering(kind="question_answering", mode="extractive")


def read(folder: Path, text: str, name: str = "rows.conll") -> Table:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return read_rows(folder / name, f"data/{name}")


def canonical(task: Task, *rows: dict[str, Any], **fields: str) -> list[dict[str, Any]]:
    table = Table("rows.jsonl", tuple(rows[0]), list(rows))
    write_canonical(task, task_columns(task, fields, table.columns, table.rows), table)
    return list(table.rows)


def test_a_conll_file(tmp_path: Path) -> None:
    found = read(
        tmp_path, "-DOCSTART- -X- O O\n\n# a comment\nAda NNP I-NP B-PER\nsaw VBD I-VP O\n\n \nParis NNP I-NP B-LOC\n"
    )
    assert found.columns == ("tokens", "column_2", "column_3", "tags")
    assert [row["tokens"] for row in found.rows] == [["Ada", "saw"], ["Paris"]]
    assert found.rows[0]["tags"] == ["B-PER", "O"]
    assert list(found.lines or ()) == [4, 8]


def test_numbers_in_one_column_or_in_several() -> None:
    task = Regression(kind="regression")
    plain = canonical(task, {"text": "a", "score": 2}, {"text": "b", "score": "-1.5"})
    assert [row[NUMBERS_COLUMN] for row in plain] == [[2.0], [-1.5]]
    assert canonical(task, {"text": "a", "score": [1, "2e3"]})[0][NUMBERS_COLUMN] == [1.0, 2000.0]
    several = Regression(kind="regression", scores=("b", "a"))
    columns = task_columns(several, {}, ("text", "a", "b"))
    assert (columns.by_part, columns.own, columns.used) == ({"text": "text"}, ("b", "a"), ("a", "b", "text"))
    assert canonical(several, {"text": "x", "a": 1, "b": 2})[0][NUMBERS_COLUMN] == [2.0, 1.0]
    for odd in (True, "four", "nan", float("inf"), None, "", [], [1, None]):
        assert NUMBERS_COLUMN not in canonical(task, {"text": "a", "score": odd})[0]


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("four", "FTC363", "is text and not a number such as 4.5"),
        ("4,5", "FTC363", "is text and not a number such as 4.5"),
        ("NaN", "FTC363", "is text and not a number such as 4.5"),
        (True, "FTC363", "is true or false, not a number"),
        ({"a": 1}, "FTC363", "is an object, not a number"),
        ([1, "x"], "FTC363", "is text and not a number such as 4.5"),
        ([], "FTC364", "has no numbers"),
        (" ", "FTC364", "is empty"),
        (None, "FTC364", "has no value"),
    ],
)
def test_what_is_no_number_is_named(value: Any, code: str, words: str) -> None:
    for task in (Regression(kind="regression"), Regression(kind="regression", scores=("score",))):
        if isinstance(value, list) and task.scores:
            continue
        table = Table("rows.jsonl", ("text", "score"), [{"text": "a", "score": 1}, {"text": "b", "score": value}])
        (found,) = check_values(task, task_columns(task, {}, table.columns), table)
        assert (found.code, f"`score` {words} in 1 of 2 rows" in found.summary) == (code, True), found.summary


def test_tabs_keep_words_with_spaces_and_hashes(tmp_path: Path) -> None:
    found = read(tmp_path, "New York\tB-LOC\r\n#tag\tO\r\n\t\r\n# \tO\r\n")
    assert [row["tokens"] for row in found.rows] == [["New York", "#tag"]]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a\tO\nb\n", 2, "without a tag"),
        ("a\tO\nb\tX\tO\n", 2, "3 columns; the first word has 2"),
        ("a\tO\n\nb\t\n", 3, "column 2 is empty"),
    ],
)
def test_broken_lines_of_a_conll_file(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(tmp_path, text)
    (found,) = caught.value.diagnostics
    assert found.code == "FTC357"
    assert found.span is not None
    assert found.span.line == line
    assert words in found.summary


def test_a_broken_tag_is_placed_at_its_own_line(tmp_path: Path) -> None:
    table = read(tmp_path, "a\tB-X\nb\tI-X\n\nc\tO\nd\tI-X\n")
    (found,) = check_together(WORDS, task_columns(WORDS, {}, table.columns), table)
    assert found.code == "FTC376"
    assert found.span is not None
    assert (found.span.file, found.span.line) == ("data/rows.conll", 5)


@pytest.mark.parametrize(
    ("task", "columns", "expected"),
    [
        (Classification(kind="classification"), ("sentence", "class"), {"text": "sentence", "label": "class"}),
        (Generation(kind="generation"), ("question", "answer"), {"prompt": "question", "completion": "answer"}),
        (
            Generation(kind="generation"),
            ("instruction", "input", "output"),
            {"instruction": "instruction", "input": "input", "output": "output"},
        ),
        (Generation(kind="generation", prompt="{{ a }}"), ("a", "response"), {"completion": "response"}),
        (
            Summarization(kind="summarization"),
            ("article", "highlights"),
            {"document": "article", "summary": "highlights"},
        ),
        (WORDS, ("words", "ner_tags"), {"tokens": "words", "tags": "ner_tags"}),
        (WORDS, ("text", "entities"), {"text": "text", "spans": "entities"}),
        (Chat(kind="chat"), ("conversations",), {"messages": "conversations"}),
    ],
)
def test_columns_are_recognized(task: Task, columns: tuple[str, ...], expected: dict[str, str]) -> None:
    assert task_columns(task, {}, columns).by_part == expected


def test_two_candidates_are_none() -> None:
    found = task_columns(Classification(kind="classification"), {}, ("review", "sentence", "label"))
    assert found.by_part["text"] == "text"
    assert not found.recognized


def test_the_reason_names_what_was_recognized() -> None:
    found = task_columns(Summarization(kind="summarization"), {"summary": "short"}, ("article", "short"))
    assert "`article` as document" in found.reason


def test_sharegpt_becomes_messages() -> None:
    turns = [{"from": "system", "value": "S"}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    (row,) = canonical(Chat(kind="chat"), {"conversations": turns})
    assert [turn["role"] for turn in row["conversations"]] == ["system", "user", "assistant"]
    assert row["conversations"][2]["content"] == "Hello"


def test_functions_of_openais_older_form_are_tools() -> None:
    call, schema = {"name": "track", "arguments": '{"parcel": 7}'}, {"name": "track", "parameters": {"type": "object"}}
    turns = [
        {"role": "user", "content": "Where is parcel 7?"},
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "track", "content": "here"},
        {"role": "assistant", "content": "It is here.", "function_call": None},
    ]
    plain = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows = [{"messages": turns, "functions": [schema]}, {"messages": plain, "functions": [schema]}]
    rows.append({"messages": plain, "functions": None})
    assert not check_values(Chat(kind="chat"), *older(rows))
    assert rows[0]["messages"] == [
        turns[0],
        {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": call}]},
        {"role": "tool", "name": "track", "content": "here"},
        {"role": "assistant", "content": "It is here."},
    ]
    assert [row["functions"] for row in rows] == [[{"type": "function", "function": schema}]] * 2 + [None]
    odd = [{"messages": plain, "functions": '[{"name": "track"}]'}]
    (found,) = check_values(Chat(kind="chat"), *older(odd))
    assert "`functions` is text, not a list of JSON schemas" in found.summary
    assert "fromjson" in found.help[0]


def older(rows: list[dict[str, Any]]) -> tuple[Columns, Table]:
    columns = task_columns(Chat(kind="chat"), {}, tuple(rows[0]), rows)
    assert columns.by_part == {"messages": "messages", "tools": "functions"}
    table = Table("rows.jsonl", tuple(rows[0]), rows)
    write_canonical(Chat(kind="chat"), columns, table)
    return columns, table


def test_an_instruction_with_its_input() -> None:
    rows = canonical(
        Generation(kind="generation"),
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        {"instruction": "Say hi.", "input": "", "output": "hi"},
    )
    assert [row[INSTRUCTION_PROMPT] for row in rows] == ["Add.\n\n1 and 2", "Say hi."]


@pytest.mark.parametrize(
    ("value", "texts", "starts"),
    [
        ({"text": ["Ada"], "answer_start": [4]}, ["Ada"], [4]),
        ("Ada", ["Ada"], []),
        (["Ada", "she"], ["Ada", "she"], []),
        ([{"text": "Ada", "answer_start": 4}], ["Ada"], [4]),
        (None, [], []),
        ({"text": []}, [], []),
    ],
)
def test_answers_in_any_of_the_usual_ways(value: Any, texts: list[str], starts: list[int]) -> None:
    (row,) = canonical(EXTRACT, {"question": "who", "context": "was Ada", "answers": value})
    assert row["answers"] == {"text": texts, "answer_start": starts}
    assert row[ANSWER_COLUMN] == (texts[0] if texts else "")


def test_an_answer_that_stands_once_needs_no_place() -> None:
    rows = canonical(EXTRACT, {"question": "who", "context": "it was Ada", "answers": "Ada"})
    table = Table("rows.jsonl", tuple(rows[0]), rows)
    assert check_together(EXTRACT, task_columns(EXTRACT, {}, ("question", "context", "answers")), table) == []
    assert rows[0]["answers"]["answer_start"] == [7]


def test_labels_of_words_are_types_of_entities() -> None:
    labeled = labels_of(WORDS, task_columns(WORDS, {}, ("tokens", "tags")))
    assert labeled is not None
    counts = labeled.count([{"tags": ["B-PER", "I-PER", "O", "B-PER", "B-LOC"]}])
    assert counts == {"PER": 2, "LOC": 1}
    assert labeled.outputs(("LOC", "PER")) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
