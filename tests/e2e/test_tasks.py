"""Every task from its rows to its model card, on a tiny model: what a recipe can ask for is carried out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.documents.loss_settings import PreferenceSettings
from ftc.spec.preference_losses import PREFERENCE_LOSSES, preference_loss
from tests.e2e.conftest import Ftc, MakeProject
from tests.e2e.use import predicts_as_evaluated
from tests.support.cards import CardRunner

USUAL = {
    "multi_label": {"micro_f1", "macro_f1"},
    "regression": {"mae", "rmse", "r2", "pearson", "spearman"},
    "several_numbers": {"mae", "rmse", "r2", "pearson", "spearman"},
    "choice": {"accuracy", "macro_f1"},
    "token_classification": {"entity_f1", "entity_precision", "entity_recall"},
    "spans": {"entity_f1", "entity_precision", "entity_recall"},
    "extraction": {"exact_match", "answer_f1"},
    "question_answering": {"exact_match", "answer_f1"},
    "summarization": {"rouge_1", "rouge_2", "rouge_l", "rouge_lsum"},
    "preference": {"preference_accuracy", "reward_margin", "logps_accuracy"},
    "pretraining": {"perplexity"},
}
"""Metrics of `auto` by task."""


def measured(root: Path) -> dict[str, dict[str, str]]:
    (file,) = (root / "runs").glob("*/*/eval.json")
    result = json.loads(file.read_text())
    return {subject: result[subject]["metrics"] for subject in ("base", "tuned")}


@pytest.mark.slow
@pytest.mark.parametrize("task", USUAL)
def test_a_task_from_rows_to_card(project: MakeProject, ftc: Ftc, cards: CardRunner, task: str) -> None:
    root = project(task, steps=2)
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    found = measured(root)
    assert found["base"].keys() == found["tuned"].keys() == USUAL[task]
    (card,) = (root / "runs").glob("*/*/README.md")
    assert cards.run(card).endswith("\n"), "its code prints what the model says"
    again = ftc("apply", "recipe.yaml", "--yes")
    assert again.code == 0, again.text
    predicts_as_evaluated(api.find_run(card.parent.name), task, ftc, root)
    audited = ftc("audit", card.parent.name)
    assert audited.code == 0, audited.text
    assert f"{2 * len(USUAL[task])} scores computed again from" in audited.text


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("task", "model"),
    [("summarization", "bart"), ("question_answering", "encoder_decoder"), ("classification", "bart")],
)
def test_an_encoder_decoder(project: MakeProject, ftc: Ftc, task: str, model: str) -> None:
    root = project(task, steps=2, model=model)
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    assert measured(root)["tuned"]


@pytest.mark.slow
def test_questions_are_counted_and_not_their_windows(project: MakeProject, ftc: Ftc) -> None:
    root = project("extraction", steps=1)
    recipe = root / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(re.sub(r"max_length: \d+", "max_length: 14", text).replace("stride: 8", "stride: 2"))
    planned = json.loads(ftc("plan", "recipe.yaml", "--json").out)["plan"]["data"]["test"]
    assert planned["rows"] > planned["rows_read"], "a context needs several windows"
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert f"evaluated on test, {planned['rows_read']} rows, once" in applied.text, applied.text


def test_full_training_on_preferences_needs_no_second_model(project: MakeProject, ftc: Ftc) -> None:
    root = project("preference", "full", steps=2)
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    found = measured(root)
    assert abs(float(found["base"]["reward_margin"])) < 1e-6, "the base is its own reference"
    assert float(found["base"]["preference_accuracy"]) == 0, found["base"]["reward_margin"]
    assert abs(float(found["tuned"]["reward_margin"])) > 1e-4


@pytest.mark.sample(1)
@pytest.mark.parametrize("loss", [card.kind for card in PREFERENCE_LOSSES if card.kind != "dpo" and not card.rates])
def test_every_loss_of_preferences_trains_and_is_audited(project: MakeProject, ftc: Ftc, loss: str) -> None:
    root = project("preference", steps=2)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("kind: preference", f"kind: preference, loss: {loss}"))
    planned = json.loads(ftc("plan", "recipe.yaml", "--json").out)["plan"]
    settled = PreferenceSettings.model_validate_json(json.dumps(planned["settings"]["train"]["preference"]))
    assert settled.per_token == preference_loss(loss).averages
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    (run,) = (root / "runs").glob("*/*/record.json")
    reference = (run.parent / "references" / "train").exists()
    assert reference == settled.needs_reference, "no pass over the training rows that nobody needs"
    base = measured(root)["base"]
    assert (abs(float(base["reward_margin"])) < 1e-6) == settled.needs_reference
    audited = ftc("audit", run.parent.name)
    assert audited.code == 0, audited.text


@pytest.mark.slow
def test_a_reward_model_scores_single_answers(project: MakeProject, ftc: Ftc, cards: CardRunner) -> None:
    root = project("reward", steps=12)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("max_length: 32", "max_length: 60"))  # of pairs both prompts are cut
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    found = measured(root)
    assert found["base"].keys() == found["tuned"].keys() == {"preference_accuracy", "reward_margin"}
    (card,) = (root / "runs").glob("*/*/README.md")
    assert "reward" in cards.run(card)
    run = card.parent
    audited = ftc("audit", run.name)
    assert audited.code == 0, audited.text
    assert "4 scores computed again from" in audited.text
    # Each answer alone scores what it scored in its pair.
    rows = [json.loads(line) for line in (root / "rows.jsonl").read_text().splitlines()]
    outcomes = [json.loads(line) for line in (run / "predictions.ndjson").read_text().splitlines()]
    file = root / "new.jsonl"
    single = [{"prompt": row["prompt"], "completion": row[part]} for row in rows for part in ("chosen", "rejected")]
    file.write_text("".join(json.dumps(row) + "\n" for row in single))
    answer = ftc("predict", run.name, "--data", file)
    assert answer.code == 0, answer.text
    scored = [json.loads(line)["numbers"]["reward"] for line in answer.out.splitlines()]
    for one in outcomes:
        pair = [float(number) for number in one["tuned"]["predicted"]]
        assert scored[2 * one["row"] : 2 * one["row"] + 2] == pytest.approx(pair[:2], abs=1e-5)
        assert pair[2] == pytest.approx(pair[0] - pair[1], abs=1e-6)
    assert "has no column `completion`" in ftc("predict", run.name, "--data", root / "rows.jsonl").text


@pytest.mark.slow
def test_what_is_written_beside_the_classes_is_wrong_and_shown(project: MakeProject, ftc: Ftc) -> None:
    root = project("choice", steps=1)
    assert ftc("apply", "recipe.yaml", "--yes").code == 0
    found = measured(root)["tuned"]
    (run,) = (root / "runs").glob("*/*/predictions.ndjson")
    rows = [json.loads(line) for line in run.read_text().splitlines()]
    right = [row for row in rows if row["tuned"]["text"].strip() == row["expected"]]
    assert float(found["accuracy"]) == pytest.approx(len(right) / len(rows))
    assert any(row["tuned"]["text"].strip() not in ("film", "money", "sport") for row in rows), "it has learned nothing"
    report = (run.parent / "report.html").read_text()
    assert "(no class)" in report


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("mode: generative, multi_label: true", "a model that generates its label gives one per row"),
        ("label_separator: ';'", "`label_separator` has no effect where a row has one label"),
        ("label_columns: [text, label]", "`label_columns` has no effect where a row has one label"),
        ("prompt: '{{ text }}'", "`prompt` has no effect for a label from an output layer"),
    ],
)
def test_what_belongs_to_the_other_way_to_classify(project: MakeProject, ftc: Ftc, task: str, words: str) -> None:
    recipe = project("choice") / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("mode: generative, prompt: '{{ text }}'", task))
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "FTC252" in refused.text, words in refused.text) == (3, True, True), refused.text
