"""Which tokens of a conversation are trained on: marks in the rows, `task.train_on`, system columns and histories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.cli.main import main
from tests.diagnostics.worlds import edit_json, write_plain_model

RECIPE = """\
ftc: 1
name: tiny
task: {task}
data:
  source: {{path: rows.jsonl}}
  split: {{validation: 0, test: 0}}
model: {{base: ./model}}
strategy: {{kind: lora}}
"""
TEMPLATE = (
    "{% for m in messages %}<s> {{ m.role }} {{ m.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant {% endif %}"
)
"""The model's words are `a`, `b` and `c`; any other word, as roles are, becomes `a`."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plain_model(tmp_path / "model")
    edit_json(tmp_path / "model" / "tokenizer_config.json", chat_template=TEMPLATE)
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def write(task: str, *rows: dict[str, Any]) -> Path:
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    Path("recipe.yaml").write_text(RECIPE.format(task=task), encoding="utf-8")
    return Path("recipe.yaml")


def trained(task: str, *rows: dict[str, Any]) -> list[list[str]]:
    """What is trained on of each row, a text for each stretch."""
    found = api.tokens(write(task, *rows), rows=range(1, len(rows) + 1), offline=True)
    texts = []
    for row in found.rows:
        pieces = "".join(f"[{one.piece}]" if one.supervised else "|" for one in row.tokens)
        texts.append([span.translate(str.maketrans("", "", "[] ")) for span in pieces.split("|") if span])
    return texts


def turn(role: str, content: str, **marks: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **marks}


TALK = [turn("user", "b"), turn("assistant", "c"), turn("user", "b b"), turn("assistant", "c c")]
OTHER = {"messages": [turn("user", "b"), turn("assistant", "c b")]}


@pytest.mark.parametrize(
    ("train_on", "spans"),
    [
        ("assistant", ["c</s>", "cc</s>"]),
        ("last", ["cc</s>"]),
        ("[assistant, user]", ["b</s>", "c</s>", "bb</s>", "cc</s>"]),
        ("[user]", ["b</s>", "bb</s>"]),
        ("all", ["<s>ab</s><s>ac</s><s>abb</s><s>acc</s>"]),
    ],
)
def test_the_recipe_says_which_turns(train_on: str, spans: list[str]) -> None:
    found = trained(f"{{kind: chat, train_on: {train_on}}}", {"messages": TALK}, OTHER)
    assert found[0] == spans


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}, {"training": False}, {"weight": 0, "train": None}])
def test_a_marked_turn_is_context_alone(mark: dict[str, Any]) -> None:
    marked = [TALK[0], {**TALK[1], **mark}, TALK[2], {**TALK[3], "weight": 1}]
    assert trained("{kind: chat}", {"messages": marked}, {"messages": TALK}, OTHER)[0] == ["cc</s>"]


def test_marks_of_sharegpt_rows() -> None:
    said = [{"from": "human", "value": "b"}, {"from": "gpt", "value": "c", "weight": 0}]
    more = [{"from": "human", "value": "b b"}, {"from": "gpt", "value": "c c"}]
    assert trained("{kind: chat}", {"conversations": [*said, *more]}, {"conversations": more})[0] == ["cc</s>"]


def test_a_mark_that_says_neither_is_pointed_at(capsys: pytest.CaptureFixture[str]) -> None:
    path = write("{kind: chat}", {"messages": [TALK[0], {**TALK[1], "weight": 0.5}]}, OTHER)
    assert main(["plan", str(path), "--offline"]) == 3
    error = " ".join(capsys.readouterr().err.split())
    assert "FTC363" in error
    assert "`weight` is not 0, 1, false or true" in error
    assert "rows.jsonl:1" in error


def test_a_conversation_without_a_turn_to_train_on_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    path = write("{kind: chat}", {"messages": [TALK[0], {**TALK[1], "weight": 0}]}, OTHER, {"messages": TALK})
    assert main(["plan", str(path), "--offline", "--no-trace"]) == 0
    shown = " ".join("".join(capsys.readouterr()).split())
    assert "1 of 3" in shown or "1 row" in shown, shown
    assert "it has no turn to train on" in shown, shown


def text_of(row: Any) -> str:
    return "".join(one.piece for one in row.tokens).replace(" ", "")


def test_a_system_column_begins_the_conversation() -> None:
    own = {"messages": [turn("system", "b c"), *TALK], "system": "c"}
    rows = {"messages": TALK, "system": "c"}, {"messages": TALK, "system": ""}, own
    found = api.tokens(write("{kind: chat}", *rows), rows=[1, 2, 3], offline=True)
    plain = "<s>ab</s><s>ac</s><s>abb</s><s>acc</s>"
    texts = [text_of(row) for row in found.rows]
    assert texts == [f"<s>ac</s>{plain}", plain, f"<s>abc</s>{plain}"], "a conversation's own message is kept"


def test_history_and_system_stand_before_an_instruction() -> None:
    ask = {"instruction": "b", "input": "", "output": "c"}
    rows = {**ask, "system": "c c", "history": [["b b", "c b"]]}, {**ask, "system": "", "history": []}
    path = write("{kind: generation, system: b}", *rows)
    found = api.tokens(path, rows=[1, 2], offline=True)
    assert [text_of(row) for row in found.rows] == [
        "<s>acc</s><s>abb</s><s>acb</s><s>ab</s><s>ac</s>",
        "<s>ab</s><s>ab</s><s>ac</s>",
    ]
    assert trained("{kind: generation}", *rows) == [["c</s>"], ["c</s>"]], "the completion alone"


def test_a_history_of_another_form_is_pointed_at(capsys: pytest.CaptureFixture[str]) -> None:
    ask = {"instruction": "b", "output": "c"}
    path = write("{kind: generation}", {**ask, "history": ["b"]}, {**ask, "history": []})
    assert main(["plan", str(path), "--offline"]) == 3
    assert "is not a list of `[question, answer]`" in " ".join(capsys.readouterr().err.split())


def test_a_column_functions_of_something_else_is_no_tools(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"messages": TALK, "functions": text} for text in ("greets [people]", "asks", None)]
    assert main(["plan", str(write("{kind: chat}", *rows)), "--offline", "--no-trace"]) == 0, capsys.readouterr()
    defined = [{**rows[0], "functions": [{"name": "greet", "parameters": {}}]}, rows[1]]
    assert main(["plan", str(write("{kind: chat}", *defined)), "--offline", "--no-trace"]) == 3
    as_text = [{"messages": TALK, "functions": '[{"name": "greet"}]'}]
    assert main(["plan", str(write("{kind: chat}", *as_text)), "--offline", "--no-trace"]) == 3
    error = " ".join(capsys.readouterr().err.split())
    assert error.count("is text, not a list of JSON schemas") == 2, error


def test_a_mixture_says_what_is_left_of_each_source(capsys: pytest.CaptureFixture[str]) -> None:
    path = write("{kind: chat}", *({"messages": [turn("user", f"{'a ' * n}b"), *TALK[1:]]} for n in range(10)))
    long = [{"messages": [turn("user", f"{'b ' * (n + 60)}c"), turn("assistant", "c")]} for n in range(8)]
    rows = [*long, *({"messages": [turn("user", f"{'c ' * n}c"), turn("assistant", "c")]} for n in range(2))]
    Path("long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plain = path.read_text(encoding="utf-8")
    for weights, is_weighted in ((("", ""), False), ((", weight: 1", ", weight: 1"), True)):
        sources = f"[{{path: rows.jsonl{weights[0]}}}, {{path: long.jsonl{weights[1]}}}]\n  max_length: 48"
        path.write_text(plain.replace("{path: rows.jsonl}", sources), encoding="utf-8")
        assert main(["plan", str(path), "--offline", "--no-trace"]) == 0, capsys.readouterr()
        shown = " ".join("".join(capsys.readouterr()).split())
        assert "[FTC338]: 8 of 20 rows are left out" in shown, shown
        assert "long.jsonl keeps 2 of 10 rows and is 16.7% of an epoch, not 50.0%" in shown, shown
        trained = "rows.jsonl 10 rows (83.3%), long.jsonl 2 of 10 rows (16.7%, 8 left out)"
        (line,) = [one.result for one in api.plan(path, offline=True).plan.checks if one.name == "mixture"]
        assert line == trained
        assert ("a `weight` counts a source's rows before any is left out" in shown) == is_weighted
