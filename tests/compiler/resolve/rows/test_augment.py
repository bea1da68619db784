"""Variants of training rows: the same for the same seed, never of what is learned, counted, and with a place."""

from __future__ import annotations

import json
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.compiler.resolve.rows.augment import augmented, paraphrases_of
from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.table import PartRows, Table
from ftc.spec.documents.streams import open_stream
from ftc.spec.sections.augment import Augment, with_prompts
from ftc.spec.storage.paths import streams_folder
from tests.diagnostics.worlds import write_plain_model

ROWS = [
    {"text": f"the quick brown fox number{letter} jumps over it", "label": "x"} for letter in "abcdefghijklmnopqrst"
]
TABLE = Table("rows.csv", ("text", "label"), [dict(row) for row in ROWS], list(range(2, 22)))
COLUMNS = Columns({"text": "text", "label": "label"})


def variants(rule: Augment, phrases: dict[str, list[str]] | None = None, part: PartRows | None = None) -> PartRows:
    return augmented(rule, part or PartRows(TABLE, range(10)), COLUMNS, phrases or {})[0]


@pytest.mark.parametrize(
    ("rule", "phrases"),
    [
        (Augment(characters=0.1, variants=3), None),
        (Augment(words=0.2, variants=3), None),
        (Augment(words=0.1, characters=0.05), {"quick": ["fast", "swift"], "jumps over": ["clears"]}),
    ],
)
def test_variants_follow_from_the_seed_and_the_row(rule: Augment, phrases: Any) -> None:
    first, again = variants(rule, phrases), variants(rule, phrases)
    assert first.rows == again.rows
    assert first.rows[:10] == ROWS[:10], "the rows themselves stay, and come first"
    made = first.rows[10:]
    assert made
    assert all(
        row["label"] == "x" and row["text"].strip() and row["text"] not in [r["text"] for r in ROWS] for row in made
    )
    assert variants(rule.model_copy(update={"seed": 5}), phrases).rows != first.rows
    fewer = variants(rule, phrases, PartRows(TABLE, range(5)))
    assert [row["text"] for row in fewer.rows[5:]] == [row["text"] for row in made][: len(fewer.rows) - 5]


def test_a_variant_is_named_by_the_row_that_it_was_made_of() -> None:
    part, check = augmented(Augment(characters=0.3, share=0.5), PartRows(TABLE, range(20)), COLUMNS, {})
    made = [number for number in part.numbers if number >= 20]
    assert 3 <= len(made) <= 17
    assert check.result == f"{len(made)} variants of {len(made)} of 20 train rows"
    for number in made:
        line = int(part.place(number).removeprefix("rows.csv:"))
        assert SequenceMatcher(None, part.table.rows[number]["text"], ROWS[line - 2]["text"]).ratio() > 0.6


def test_paraphrases_keep_case_and_words_whole() -> None:
    table = Table("p.csv", ("from", "to"), [{"from": "fox", "to": "animal"}, {"from": "the", "to": "a"}], [2, 3])
    phrases = paraphrases_of(table, lambda path: None)
    rows = Table("r.csv", ("text", "label"), [{"text": "The fox and foxes, the other", "label": "x"}] * 1, [2])
    found = Counter(
        row["text"]
        for seed in range(40)
        for row in augmented(Augment(paraphrases=None, seed=seed), PartRows(rows, [0]), COLUMNS, phrases)[0].rows[1:]
    )
    assert len(found) == 7, "three places, each replaced or not, but all as they were"
    assert all("foxes" in text and "other" in text and text.startswith(("The ", "A ")) for text in found)


def test_turns_of_the_user_alone_are_varied() -> None:
    turns = [{"role": role, "content": "many words stand here"} for role in ("system", "user", "assistant")]
    table = Table("r.jsonl", ("messages",), [{"messages": turns}], [1])
    part, _ = augmented(Augment(characters=0.5), PartRows(table, [0]), Columns({"messages": "messages"}), {})
    varied = part.rows[1]["messages"]
    assert [turn["content"] != "many words stand here" for turn in varied] == [False, True, False]
    assert table.rows[0]["messages"][1]["content"] == "many words stand here"


def test_prompts_are_one_template() -> None:
    assert with_prompts("{{ q }}", ()) == "{{ q }}"
    assert with_prompts("A", ("B", "C")) == (
        "{% if ftc_prompt is defined and ftc_prompt == 1 %}B{% elif ftc_prompt is defined and ftc_prompt == 2 %}C"
        "{% else %}A{% endif %}"
    )


def test_variants_reach_the_stream_of_training_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ftc").mkdir()
    write_plain_model(tmp_path / "model")
    rows = [{"question": f"cold number {number}", "answer": "warm"} for number in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(
        "ftc: 1\nname: tiny\ntask: {kind: generation, prompt: '{{ question }}'}\n"
        "data:\n  source: {path: rows.jsonl}\n  fields: {completion: answer}\n  split: {validation: 0, test: 0.2}\n"
        "  augment: {variants: 2, prompts: ['cold {{ question }}', 'warm {{ question }}']}\n"
        "model: {base: ./model}\nstrategy: {kind: lora}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    planned = api.plan(tmp_path / "recipe.yaml", offline=True)
    folder = streams_folder(planned.plan.stream_key)
    train, test = open_stream(folder / "train.arrow"), open_stream(folder / "test.arrow")
    assert (len(train), len(test)) == (48, 4)
    assert len(set(train.lengths[:16].tolist())) == 1
    assert set(train.lengths[16:].tolist()) == {int(train.lengths[0]) + 1}, "each variant has another prompt"
    assert "32 variants of 16 of 16 train rows" in [check.result for check in planned.plan.checks]
