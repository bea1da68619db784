"""A starter names the columns of the data by what they are called and what they hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.recipes.guesses import likely_task
from ftc.compiler.recipes.starter import write_starter
from ftc.compiler.resolve.models.model import PLACEHOLDER
from ftc.compiler.resolve.rows.table import Table
from ftc.spec.base_models import BASE_MODELS
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.started import Started
from ftc.spec.language.parse import parse_recipe
from ftc.spec.language.source import read_source
from ftc.spec.tasks import TASKS
from ftc.spec.tasks.card import TaskSection
from ftc.views.started import started_text
from tests.support.tickets import tickets_csv


def rows(count: int = 12) -> list[dict[str, Any]]:
    """Rows with columns that no part is called like."""
    return [
        {"nr": n, "headline": f"what happened on day {n} of the year", "section": ("sport", "arts")[n % 2]}
        for n in range(count)
    ]


def starter(folder: Path, found: Sequence[dict[str, Any]], task: str = "classification") -> str:
    data = folder / "rows.jsonl"
    data.write_text("\n".join(map(json.dumps, found)), encoding="utf-8")
    return Path(write_starter(folder / "new.yaml", task=task, data=data, base=None).file).read_text(encoding="utf-8")


def fields(text: str) -> dict[str, str]:
    """The columns as the language reads them."""
    source, found = read_source(text, "new.yaml")
    assert source is not None, found
    recipe, problems = parse_recipe(source)
    assert recipe is not None, problems
    return recipe.data.fields


def test_columns_are_known_by_what_they_hold(tmp_path: Path) -> None:
    assert fields(starter(tmp_path, rows())) == {"text": "headline", "label": "section"}


def test_names_go_before_contents(tmp_path: Path) -> None:
    named = [{"message": "x", "note": "a much longer text", "topic": n, "flag": n % 2} for n in range(12)]
    assert fields(starter(tmp_path, named)) == {"text": "message", "label": "topic"}


def test_columns_called_like_the_parts_need_no_line(tmp_path: Path) -> None:
    assert "fields" not in starter(tmp_path, [{"text": "a", "label": "b"}, {"text": "c", "label": "d"}])


@pytest.mark.parametrize("column", ["yes", "12", "it's: odd", "a b", ".inf", "# no"])
def test_odd_names_survive_the_language(tmp_path: Path, column: str) -> None:
    odd = [{"message": f"text {n}", column: ("x", "y")[n % 2]} for n in range(12)]
    assert fields(starter(tmp_path, odd)) == {"text": "message", "label": column}


def test_what_stays_open_is_a_comment_with_the_columns(tmp_path: Path) -> None:
    unknown = starter(tmp_path, [{"text": f"text {n}", "key": f"unlike {n}", "b\nc": 1} for n in range(12)])
    line = next(line for line in unknown.splitlines() if "fields" in line)
    assert line == "  # fields: {label: COLUMN}   # the file has `text`, `key`, `b\\u{a}c`"
    assert fields(unknown) == {}


def test_a_prompt_is_not_guessed_from_its_content(tmp_path: Path) -> None:
    pairs = [{"left": f"a long question number {n}", "answer": "no"} for n in range(12)]
    assert "# fields: {prompt: COLUMN, completion: answer}" in starter(tmp_path, pairs, "generation")


@pytest.mark.parametrize(
    ("row", "task"),
    [
        ({"messages": [{"role": "user", "content": "a"}]}, "chat"),
        ({"conversations": [{"from": "human", "value": "a"}], "id": "1"}, "chat"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "preference"),
        ({"tokens": ["a"], "ner_tags": ["O"], "id": "1"}, "token_classification"),
        ({"text": "a", "entities": [{"start": 0, "end": 1, "label": "X"}]}, "token_classification"),
        ({"context": "a", "question": "b", "answers": {"text": ["a"]}}, "question_answering"),
        ({"question": "b", "answer": "a"}, "question_answering"),
        ({"article": "a", "highlights": "b", "id": "1"}, "summarization"),
        ({"source": "a", "target": "b"}, "translation"),
        ({"instruction": "a", "input": "", "output": "b"}, "generation"),
        ({"prompt": "a", "response": "b"}, "generation"),
        ({"text": "a", "label": 1}, "classification"),
        ({"sentence": "a", "labels": ["x"]}, "classification"),
        ({"text": "a long text"}, "pretraining"),
        ({"a": "1", "b": "2"}, "classification"),
    ],
)
def test_columns_tell_the_task(row: dict[str, Any], task: str) -> None:
    assert likely_task(Table("rows.jsonl", tuple(row), [row])) == task


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "a", "completion": "b", "label": True}, "{kind: preference, loss: kto}"),
        ({"question": "a", "answer": "b", "kto_tag": "-1"}, "{kind: preference, loss: kto}"),
        ({"messages": [{"role": "user", "content": "a"}], "rating": 1}, "{kind: preference, loss: kto}"),
        ({"prompt": "a", "completion": "b", "rating": 4}, "{kind: generation}"),
        ({"text": "a longer text", "label": 1}, "{kind: classification}"),
        ({"text": "a longer text", "label": ["x"]}, "{kind: classification, multi_label: true}"),
        ({"sentence1": "a", "sentence2": "b", "score": 0.5}, "{kind: embedding, loss: cosent}"),
        ({"query": "a", "positive_passages": [{"text": "b"}], "negative_passages": []}, "{kind: embedding}"),
        ({"prompt": "a", "completions": ["b"], "labels": [True]}, "{kind: reward, loss: step_cross_entropy}"),
        ({"question": "a", "steps": ["b", "c"], "labels": [1, 0]}, "{kind: reward, loss: step_cross_entropy}"),
    ],
)
def test_rows_tell_options_of_their_task(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    data = tmp_path / "rows.jsonl"
    twelve = [
        {**row, **{"label": row["label"] if isinstance(row["label"], list) else bool(n % 2)}} if "label" in row else row
        for n in range(12)
    ]
    data.write_text("\n".join(map(json.dumps, twelve)), encoding="utf-8")
    text = Path(write_starter(tmp_path / "new.yaml", task=None, data=data, base=None).file).read_text(encoding="utf-8")
    assert f"task: {says}\n" in text
    assert "COLUMN" not in text


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name())
def test_without_a_model_the_tasks_usual_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: type[TaskSection]
) -> None:
    monkeypatch.delenv("FTC_OFFLINE", raising=False)
    begun = write_starter(tmp_path / "a.yaml", task=task.name(), data=None, base=None)
    assert begun.base == task.CARD.starter
    assert f"model: {{base: {begun.base}}}  # a small public one" in (tmp_path / "a.yaml").read_text(encoding="utf-8")
    known = {one.name: one for one in BASE_MODELS}
    name = task.CARD.starter.removesuffix("-Instruct")
    assert name not in known or known[name].gated is False, "a beginner is asked for no consent"
    monkeypatch.setenv("FTC_OFFLINE", "1")
    offline = write_starter(tmp_path / "b.yaml", task=task.name(), data=None, base=None)
    assert offline.base is None, "nothing can be fetched"
    assert f"model: {{base: {PLACEHOLDER}}}" in (tmp_path / "b.yaml").read_text(encoding="utf-8")


def test_the_job_is_called_as_the_rows_where_the_recipe_has_the_usual_name(tmp_path: Path) -> None:
    (tmp_path / "Tickets 2026.csv").write_text("text,label\na,b\nc,d\n", encoding="utf-8")
    for file, name in (("recipe.yaml", "tickets-2026"), ("support.yaml", "support")):
        write_starter(tmp_path / file, task=None, data=tmp_path / "Tickets 2026.csv", base=None)
        assert f"\nname: {name}\n" in (tmp_path / file).read_text(encoding="utf-8")


@pytest.mark.parametrize(("asked", "name"), [("parts", "parts"), ("parts/*.csv", "parts")])
def test_a_folder_or_a_pattern_begins_a_recipe_too(tmp_path: Path, asked: str, name: str) -> None:
    (tmp_path / "parts").mkdir()
    for number in range(2):
        (tmp_path / "parts" / f"{number}.csv").write_text("Body,Queue\nhello there,a\nbye now,b\n", encoding="utf-8")
    found = write_starter(tmp_path / "recipe.yaml", task=None, data=tmp_path / asked, base=None)
    assert (found.rows, found.shown[0].place) == (4, "parts/0.csv:2")
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert f"\nname: {name}\n" in text
    assert f"source: {{path: {asked if asked == name else repr(asked)}}}" in text
    with pytest.raises(Refusal, match="no data file is"):
        write_starter(tmp_path / "other.yaml", task=None, data=tmp_path / "parts" / "*.parquet", base=None)


def test_a_model_beside_the_recipe_is_named_and_others_are_listed(tmp_path: Path) -> None:
    for name in ("small", "large"):
        folder = tmp_path / name / "models" / "small"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    assert "model: {base: models/small}\n" in starter(tmp_path / "small", rows())
    (tmp_path / "large" / "models" / "large").mkdir()
    (tmp_path / "large" / "models" / "large" / "config.json").write_text("{}")
    assert "model: {base: models/large}  # or `models/small`\n" in starter(tmp_path / "large", rows())


def test_the_model_that_suits_the_task_is_named_and_none_that_cannot_do_it(tmp_path: Path) -> None:
    for name, kind in (("a-decoder", "llama"), ("b-encoder", "bert"), ("c-both", "t5")):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "config.json").write_text(json.dumps({"model_type": kind}))
    text = starter(tmp_path, rows())
    assert "model: {base: models/b-encoder}  # or `models/a-decoder`, `models/c-both`\n" in text
    (tmp_path / "new.yaml").unlink()
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert "model: {base: models/a-decoder}\n" in starter(tmp_path, [{"messages": turns}] * 12, "chat")
    (tmp_path / "new.yaml").unlink()
    shutil.rmtree(tmp_path / "models" / "a-decoder")
    shutil.rmtree(tmp_path / "models" / "c-both")
    assert "models/" not in starter(tmp_path, [{"messages": turns}] * 12, "chat"), "the only one can't do it"


def begun(folder: Path, **changes: Any) -> tuple[Started, str]:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "tickets.csv").write_bytes(tickets_csv(**changes))
    found = write_starter(folder / "new.yaml", task=None, data=folder / "data" / "tickets.csv", base=None)
    return found, Path(found.file).read_text(encoding="utf-8")


def test_a_strangers_export_gets_the_full_column_of_labels_and_says_what_else_could_be_meant(tmp_path: Path) -> None:
    found, text = begun(tmp_path)
    assert fields(text) == {"text": "Body", "label": "Queue"}
    assert [(one.column, one.facts) for one in found.columns] == [("Body", ""), ("Queue", "4 values, 1 % empty")]
    also = {one.column: one.facts for one in found.also}
    assert also["Priority"].startswith("3 values, 2"), "half-filled, so it comes behind"
    assert "Received" not in also, "dates are no labels"
    assert "Ticket ID" not in also
    assert "  # the label could also be `Customer` (5 values), `Priority` (3 values, " in text
    assert "  empty: drop   # 20 of 800 rows have no `Body` or no `Queue`; `error` stops at them\n" in text
    assert '  labels: {normalize: [case, space]}   # "Billing" 4 as billing; "billing " 3 as billing\n' in text
    assert len(found.shown) == 2
    assert found.shown[0].place.startswith("data/tickets.csv:")
    shown = started_text(found)
    for words in ("Queue (4 values, 1 % empty)", "also possible as the label: Customer", "set"):
        assert words in shown


def test_questions_and_answers_are_shown_apart_from_their_names(tmp_path: Path) -> None:
    """`question` is longer than the room that most names need."""
    rows = [{"Question": f"Where is parcel {n}?", "Answer": f"In depot {n}."} for n in range(20)]
    file = tmp_path / "faq.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shown = started_text(write_starter(tmp_path / "new.yaml", task=None, data=file, base=None)).splitlines()
    assert '    question  "Where is parcel 0?"' in shown
    assert '    answers   "In depot 0."' in shown
    assert "  question  Question" in shown


@pytest.mark.parametrize(
    ("row", "unused"),
    [
        ({"prompt": "a", "completion": "b", "thumb": "up", "id": 7}, ("thumb", "id")),
        ({"question": "a", "answer": "b", "photo": "1.png"}, ("photo",)),
        ({"prompt": "a", "completion": "b", "image": "1.png", "system": "c"}, ()),
        ({"text": "a message", "toxic": 1, "rude": 0, "odd": 1, "id": "x7"}, ("id",)),
    ],
    ids=["a rating in words", "a photo", "an image is read by name", "labels in several columns"],
)
def test_columns_that_the_recipe_does_not_read_are_listed(
    tmp_path: Path, row: dict[str, Any], unused: tuple[str, ...]
) -> None:
    """A rating that is no part of the task trains on bad answers as on good ones."""
    every = [{column: f"{value} {n}" if value == "a" else value for column, value in row.items()} for n in range(12)]
    if "toxic" in row:
        every = [{**one, "toxic": n % 2, "rude": n % 3 // 2, "odd": n % 5 // 4} for n, one in enumerate(every)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, every)), encoding="utf-8")
    found = write_starter(tmp_path / "new.yaml", task=None, data=tmp_path / "rows.jsonl", base=None)
    assert found.unused == unused
    said = [line.split() for line in started_text(found).splitlines() if line.startswith("  not used")]
    assert said == ([f"not used {', '.join(unused)}".split()] if unused else [])


def test_of_many_columns_that_are_not_read_some_are_listed(tmp_path: Path) -> None:
    rows = [{"prompt": f"a {n}", "completion": "b", **{f"c{at}": at for at in range(20)}} for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shown = started_text(write_starter(tmp_path / "new.yaml", task=None, data=tmp_path / "rows.jsonl", base=None))
    assert "c0, c1, c2, c3, c4, c5, c6, c7 and 12 more" in shown


def test_a_file_without_a_header_gets_names_and_keeps_its_first_row(tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text(
        "".join(f"film {n} was seen,{('good', 'bad')[n % 2]}\n" for n in range(40)), "utf-8"
    )
    for name, asked in (("one", "films.csv"), ("several", "*.csv")):
        found = write_starter(tmp_path / f"{name}.yaml", task=None, data=tmp_path / asked, base=None)
        text = Path(found.file).read_text(encoding="utf-8")
        assert "columns: [column_1, column_2]}\n" in text
        assert fields(text) == {"text": "column_1", "label": "column_2"}
        assert (found.rows, found.shown[0].place) == (40, "films.csv:1")
        assert "the first line looks like a row" in found.settled[0]


def test_shards_without_a_header_get_the_names_of_one(tmp_path: Path) -> None:
    """Each shard has a first row of its own, and no more columns for it."""
    (tmp_path / "shards").mkdir()
    for shard in range(2):
        lines = [f"film {shard}-{n} was seen,{('good', 'bad')[(n + shard) % 2]}\n" for n in range(20)]
        (tmp_path / "shards" / f"{shard}.csv").write_text("".join(lines), encoding="utf-8")
    found = write_starter(tmp_path / "new.yaml", task=None, data=tmp_path / "shards", base=None)
    text = Path(found.file).read_text(encoding="utf-8")
    assert "source: {path: shards, columns: [column_1, column_2]}\n" in text
    assert (found.rows, fields(text)) == (40, {"text": "column_1", "label": "column_2"})
    (tmp_path / "shards" / "2.csv").write_text("text,label\na film,good\nanother,bad\n", encoding="utf-8")
    mixed = write_starter(tmp_path / "mixed.yaml", task=None, data=tmp_path / "shards", base=None)
    assert "columns:" not in Path(mixed.file).read_text(encoding="utf-8")
    assert [(one.code, "columns: [column_1, column_2]" in one.help[0]) for one in mixed.warnings] == [
        ("FTC488", True)
    ] * 2


def test_a_single_number_in_the_first_line_is_kept_as_a_name_with_a_warning(tmp_path: Path) -> None:
    lines = "".join(f"the region of number {n},{n * 3}\n" for n in range(20))
    (tmp_path / "sales.csv").write_text(f"region,2020\n{lines}", encoding="utf-8")
    found = write_starter(tmp_path / "new.yaml", task="regression", data=tmp_path / "sales.csv", base=None)
    text = Path(found.file).read_text(encoding="utf-8")
    assert "source: {path: sales.csv}\n" in text
    assert (found.rows, "2020" in text) == (20, True)
    (warning,) = found.warnings
    assert warning.reasons == ('"2020" is a number, as all values below it are',)
    said = " ".join(started_text(found).split())
    assert f"check {warning.summary} (FTC488; {warning.reasons[0]}): {', '.join(warning.help)}" in said


_FLAGS = "{kind: classification, multi_label: true, label_columns: [toxic, 'very rude', odd]}"
_JOINED = "{kind: classification, multi_label: true, label_separator: ';'}"


@pytest.mark.parametrize(
    ("row", "says", "why"),
    [
        (lambda n: {"topics": "a;b;c"[: 1 + 2 * (n % 3)]}, _JOINED, "several labels with `;` between them"),
        (lambda n: {"topics": str(["a", "b", "c"][: 1 + n % 3])}, "{kind: classification, multi_label: true}", ""),
        (lambda n: {"toxic": n % 2, "very rude": str(n % 3 // 2), "odd": n % 5 == 0}, _FLAGS, "hold 0 and 1"),
        (lambda n: {"label": ("x", "y")[n % 2], "a": n % 2, "b": n % 2, "c": n % 2}, "{kind: classification}", ""),
    ],
)
def test_several_labels_a_row_are_told_by_what_cells_hold(
    tmp_path: Path, row: Callable[[int], dict[str, Any]], says: str, why: str
) -> None:
    rows = [{"id": f"x{n}", "message": f"a message of number {n}", **row(n)} for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = write_starter(tmp_path / "new.yaml", task=None, data=tmp_path / "rows.jsonl", base=None)
    text = Path(found.file).read_text(encoding="utf-8")
    assert f"task: {says}\n" in text
    assert why in "".join(found.settled)
    assert "COLUMN" not in text
    assert fields(text).get("text") == "message"


def test_numbers_with_decimal_commas_are_numbers(tmp_path: Path) -> None:
    lines = "".join(f"film number {n};{n}{'.000' * (n % 2)},5;{'ab'[n % 2]}\n" for n in range(1, 41))
    (tmp_path / "films.csv").write_text(f"text;score;shop\n{lines}", encoding="utf-8")
    found = write_starter(tmp_path / "new.yaml", task=None, data=tmp_path / "films.csv", base=None)
    text = Path(found.file).read_text(encoding="utf-8")
    assert "task: {kind: regression}\n" in text
    assert "source: {path: films.csv, decimal: ','}\n" in text
    assert found.settled == ("decimal: ',', since `score` has numbers with commas",)
    assert [row.values["score"] for row in found.shown] == ['"1000.5"', '"2.5"']


def test_commas_in_cells_between_commas_are_no_decimal_marks(tmp_path: Path) -> None:
    """Quoted lists of numbers, such as ids of labels."""
    lines = "".join(f'film number {n},"{n % 3},{n % 4}",{n % 2}\n' for n in range(1, 41))
    (tmp_path / "films.csv").write_text(f"text,ids,label\n{lines}", encoding="utf-8")
    found = write_starter(tmp_path / "new.yaml", task=None, data=tmp_path / "films.csv", base=None)
    assert "decimal" not in Path(found.file).read_text(encoding="utf-8")


def test_flags_beside_a_label_are_no_labels(tmp_path: Path) -> None:
    lines = "".join(f"film number {n},{n % 2},{n % 3 == 0:d},{n % 5 == 0:d},{n % 5 + 1}\n" for n in range(1, 101))
    for name, is_label in (("stars", True), ("language", False)):
        (tmp_path / f"{name}.csv").write_text(f"text,verified,new,image,{name}\n{lines}", encoding="utf-8")
        found = write_starter(tmp_path / f"{name}.yaml", task=None, data=tmp_path / f"{name}.csv", base=None)
        assert ("label_columns" not in Path(found.file).read_text(encoding="utf-8")) is is_label


def test_semicolons_make_no_difference(tmp_path: Path) -> None:
    assert fields(begun(tmp_path, delimiter=";", bom=False)[1]) == {"text": "Body", "label": "Queue"}


def test_nothing_is_set_that_the_rows_do_not_need(tmp_path: Path) -> None:
    text = starter(tmp_path, rows())
    assert "empty" not in text
    assert "labels" not in text


def test_a_full_column_of_another_name_goes_before_a_usual_name_that_is_mostly_empty(tmp_path: Path) -> None:
    odd = [{"text": f"text {n}", "topic": None if n % 3 else "a", "queue": ("x", "y")[n % 2]} for n in range(12)]
    assert fields(starter(tmp_path, odd)) == {"label": "queue"}
