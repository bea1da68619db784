"""What a task reads of its rows: columns are found, values checked, labels written as text, contents digested."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.compiler.resolve.rows.columns import Columns, missing_columns, task_columns
from ftc.compiler.resolve.rows.conversation_checks import conversation_fault
from ftc.compiler.resolve.rows.prompt_columns import prompt_columns
from ftc.compiler.resolve.rows.row_checks import check_values, label_text, sorted_labels
from ftc.compiler.resolve.rows.row_digests import example_digests, row_digests, rows_digest, unordered_digest
from ftc.compiler.resolve.rows.table import Row, Table
from ftc.spec.diagnostics import Diagnostic, Span
from ftc.spec.sections.data import Data, PathSource
from ftc.spec.tasks import Task
from ftc.spec.tasks.chat import Chat
from ftc.spec.tasks.classification import Classification
from ftc.spec.tasks.generation import Generation

CLASSIFICATION = Classification(kind="classification")
CHAT = Chat(kind="chat")
GENERATION = Generation(kind="generation")
USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}


def table(*rows: Row) -> Table:
    columns = dict.fromkeys(column for row in rows for column in row)
    return Table("data/a.jsonl", tuple(columns), list(rows), list(range(1, len(rows) + 1)))


def absent(task: Task, fields: dict[str, str], rows: Table) -> list[Diagnostic]:
    data = Data(source=PathSource(path="a.jsonl"), fields=fields)
    columns = task_columns(task, fields, rows.columns)
    return list(missing_columns(columns, data, rows, lambda path: Span("recipe.yaml", len(path), 1, 1, 1)))


def test_columns_are_named_like_the_parts_unless_mapped() -> None:
    columns = task_columns(CLASSIFICATION, {"text": "message"}, ("message", "label", "id"))
    assert columns.by_part == {"text": "message", "label": "label"}
    assert columns.used == ("label", "message")
    with_pair = task_columns(CLASSIFICATION, {}, ("text", "text_pair", "label"))
    assert with_pair.by_part["text_pair"] == "text_pair"


def test_a_template_takes_the_place_of_the_prompt() -> None:
    templated = Generation(kind="generation", prompt="Title of {{ article }}:")
    columns = task_columns(templated, {"completion": "title"}, ("article", "title", "prompt"))
    assert columns.by_part == {"completion": "title"}
    assert columns.used == ("article", "title")
    plain = task_columns(Generation(kind="generation"), {}, ("completion",))
    assert plain.by_part == {"completion": "completion", "prompt": "prompt"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ text }} and {{ other.title | upper }}", ("other", "text")),
        ("{% for item in items %}{{ loop.index }} {{ item }}{% endfor %}", ("items",)),
        ("{% set x = text %}{{ x }}", ("text",)),
        ("{% if note is defined %}{{ note }}{% endif %}{{ text }}", ("text",)),
        ("{{ range(3) }}{{ namespace }}", ()),
        ("{{ 'a' * 10 ** 9 }}{{ text }}", ("text",)),
        ("{{ broken", ()),
        ("no column", ()),
    ],
)
def test_columns_of_a_prompt(template: str, expected: tuple[str, ...]) -> None:
    assert prompt_columns(template, ("text",)) == expected


def test_a_column_may_have_a_name_of_jinja() -> None:
    assert prompt_columns("{{ range }}", ("range",)) == ("range",)


def test_an_absent_column_is_told_with_the_nearest_and_all_others() -> None:
    (found,) = absent(CLASSIFICATION, {"text": "mesage"}, table({"message": "a", "label": "b"}))
    assert (found.code, found.path, found.help) == ("FTC362", "data.fields.text", ("did you mean `message`?",))
    assert found.notes == ("columns: `message`, `label`",)
    assert "data/a.jsonl" in found.summary


def test_an_unmapped_part_is_told_with_the_line_to_add() -> None:
    (found,) = absent(CLASSIFICATION, {}, table({"texts": "a", "label": "b"}))
    assert found.path == "data.fields"
    assert "{text: texts}" in found.help[0]


def test_all_absent_columns_are_told() -> None:
    assert len(absent(CLASSIFICATION, {}, table({"a": 1}))) == 2
    task = Generation(kind="generation", prompt="{{ artikle }} {{ x }}")
    found = absent(task, {}, table({"article": "a", "completion": "b"}))
    assert [finding.path for finding in found] == ["task.prompt", "task.prompt"]
    assert "{{ article }}" in found[0].help[0]


@pytest.mark.parametrize(
    ("part", "value", "code", "words"),
    [
        ("text", "", "FTC364", "is empty"),
        ("text", " \n", "FTC364", "is empty"),
        ("text", None, "FTC364", "has no value"),
        ("text", "\u200b\u200b\ufeff", "FTC364", "is empty"),
        ("text", 3, "FTC363", "a number, not text"),
        ("text", True, "FTC363", "true or false, not text"),
        ("text", ["a"], "FTC363", "a list, not text"),
        ("label", None, "FTC364", "has no value"),
        ("label", 1.5, "FTC363", "fraction"),
        ("label", {"a": 1}, "FTC363", "an object"),
        ("label", "", "FTC364", "is empty"),
    ],
)
def test_values_of_the_wrong_kind(part: str, value: Any, code: str, words: str) -> None:
    columns = Columns({"text": "text", "label": "label"})
    good = {"text": "a", "label": "b"}
    (found,) = check_values(CLASSIFICATION, columns, table(good, {**good, part: value}, good))
    assert (found.code, found.span) == (code, Span("data/a.jsonl", 2, 1, 2, 2))
    assert words in found.summary
    assert "in 1 of 3 rows" in found.summary
    assert found.help


def test_faults_of_a_kind_are_one_finding_with_count_and_first_rows() -> None:
    rows = [{"prompt": "a", "completion": "b" if number % 2 else " "} for number in range(20)]
    (found,) = check_values(GENERATION, Columns({"completion": "completion", "prompt": "prompt"}), table(*rows))
    assert "in 10 of 20 rows" in found.summary
    assert found.notes == ("data/a.jsonl:1, 3, 5, 7, 9 and 5 more", 'data/a.jsonl:1 contains " "')


def test_a_key_that_some_rows_lack_has_no_value_there() -> None:
    (found,) = check_values(CLASSIFICATION, Columns({"text": "text"}), table({"text": "a"}, {"id": 1}))
    assert (found.code, found.span and found.span.line) == ("FTC364", 2)


def test_whole_numbers_of_a_data_frame_are_labels() -> None:
    assert check_values(CLASSIFICATION, Columns({"label": "label"}), table({"label": 1.0})) == []
    assert (label_text(1.0), label_text(True), label_text("1.0")) == ("1", "true", "1.0")


@pytest.mark.parametrize(
    "messages",
    [
        [USER, ANSWER],
        [{"role": "system", "content": ""}, USER, ANSWER, USER, ANSWER],
        [USER, ANSWER, {"role": "tool", "content": "4"}, ANSWER],
        [USER, {**ANSWER, "name": "bot"}],
    ],
)
def test_conversations_that_can_be_learned(messages: Any) -> None:
    assert conversation_fault(messages) is None


@pytest.mark.parametrize(
    ("messages", "code", "words"),
    [
        ([USER, ANSWER, USER], "FTC366", "ends with a turn of `user`"),
        ([{"role": "system", "content": "a"}], "FTC366", "`system`"),
        ([USER, {**ANSWER, "content": " "}], "FTC364", "empty"),
        ([USER, USER, ANSWER], "FTC365", "`user` after `user`"),
        ([USER, ANSWER, ANSWER], "FTC365", "`assistant` after `assistant`"),
        ([ANSWER], "FTC365", "`assistant` comes first"),
        ([USER, {"role": "system", "content": "a"}, ANSWER], "FTC365", "`system` after `user`"),
        ([], "FTC365", "no turn"),
        ([{"role": "usr", "content": "a"}], "FTC365", "did you mean `user`"),
        ([{"role": "human", "content": "a"}], "FTC365", "known are"),
        ([{"role": ["user"], "content": "a"}], "FTC365", "unknown role"),
        ([{"role": "user", "content": None}, ANSWER], "FTC365", "not text"),
        ([{"role": "user", "content": [{"type": "text"}]}, ANSWER], "FTC365", "not text"),
        ([{"role": "user"}], "FTC365", "{role, content}"),
        (["Hi"], "FTC365", "{role, content}"),
        ([{"from": "human", "value": "Hi"}], "FTC367", "ShareGPT"),
        ("Hi", "FTC363", "not a list"),
        ('[{"role": "user"}]', "FTC363", "text that contains a list"),
        (None, "FTC363", "not a list"),
    ],
)
def test_conversations_that_cant_be_learned(messages: Any, code: str, words: str) -> None:
    fault = conversation_fault(messages)
    assert fault is not None
    assert fault[0] == code
    assert words in fault[1]
    (found,) = check_values(CHAT, Columns({"messages": "messages"}), table({"messages": messages, "id": 1}))
    assert found.code == code
    assert found.help


@pytest.mark.parametrize(("value", "text"), [("Ham ", "Ham "), (3, "3"), (-1, "-1"), (True, "true"), (False, "false")])
def test_labels_as_text(value: Any, text: str) -> None:
    assert label_text(value) == text


def test_whole_numbers_are_sorted_by_value_and_all_else_as_text() -> None:
    assert sorted_labels(["10", "2", "-1", "2"]) == ("-1", "2", "10")
    assert sorted_labels(["b", "10", "2", "a"]) == ("10", "2", "a", "b")
    assert sorted_labels(["²", "1"]) == ("1", "²")


# printf of {"a":1,"b":"ü"} through sha256sum, its 32 bytes through sha256sum once more.
DIGEST = "033a2fa123fe7fff8b3c10f88fd06f0f2d8d2b1559326906e60d028e038129c5"


def digest_of(rows: list[Row]) -> str:
    return rows_digest(row_digests(rows))


ROWS = st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3), max_size=5)


@given(rows=ROWS)
def test_the_digest_follows_the_rows_and_not_the_order_of_their_keys(rows: list[Row]) -> None:
    turned = [dict(reversed(row.items())) for row in rows]
    assert digest_of(rows) == digest_of(turned)
    assert digest_of(rows) == digest_of(json.loads(json.dumps(rows)))


@given(rows=ROWS, order=st.randoms())
def test_order_free_means_free_of_order_alone(rows: list[Row], order: random.Random) -> None:
    shuffled = order.sample(rows, len(rows))
    assert unordered_digest(row_digests(rows)) == unordered_digest(row_digests(shuffled))
    assert unordered_digest(row_digests(rows)) != unordered_digest(row_digests([*rows, {"one": "more"}]))


@given(rows=ROWS, others=ROWS)
def test_other_rows_have_another_digest(rows: list[Row], others: list[Row]) -> None:
    assert (digest_of(rows) == digest_of(others)) == (rows == others)


def test_the_digest_is_the_same_in_every_release() -> None:
    assert digest_of([{"b": "ü", "a": 1}]) == DIGEST
    assert digest_of([{"a": 1}, {"b": 2}]) != digest_of([{"b": 2}, {"a": 1}])


def test_examples_are_what_the_task_reads() -> None:
    rows: list[Row] = [
        {"text": "a", "label": "x", "id": 1},
        {"text": "a", "label": "x", "id": 2},
        {"text": "a", "label": "y"},
    ]
    first, second, third = example_digests(rows, ("label", "text"))
    assert first == second != third
