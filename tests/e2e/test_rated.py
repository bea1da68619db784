"""Rated answers (KTO), from recipe to audit: rows in each form, the loss, the metrics and predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from tests.e2e.conftest import Ftc, MakeProject


@pytest.mark.slow
def test_a_run_learns_from_ratings(project: MakeProject, ftc: Ftc) -> None:
    project("rated", "lora", steps=4)
    plan = api.plan(Path("recipe.yaml")).plan
    compared = plan.settings.train.preference
    assert compared is not None
    assert (compared.loss, compared.beta, plan.settings.answer) == ("kto", 0.1, "rated")
    applied = api.apply(Path("recipe.yaml"))
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    (file,) = Path("runs").glob("*/*/eval.json")
    evaluation = json.loads(file.read_text(encoding="utf-8"))
    base, tuned = (evaluation[which]["metrics"] for which in ("base", "tuned"))
    assert float(base["reward_margin"]) == 0, "the base is the reference"
    assert 0 <= float(tuned["preference_accuracy"]) <= 1
    assert ftc("predict", applied.record.id, "red apple").code == 0


def test_a_conversation_can_be_rated_and_a_rating_has_two_values(project: MakeProject, ftc: Ftc) -> None:
    project("rated", "lora", steps=2)
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text(encoding="utf-8").splitlines()]

    def turns(row: dict[str, object]) -> list[dict[str, object]]:
        return [{"from": "human", "value": row["prompt"]}, {"from": "gpt", "value": row["completion"]}]

    said = [{"conversations": turns(row), "kto_tag": "1" if row["label"] else "-1"} for row in rows]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")
    plan = api.plan(Path("recipe.yaml")).plan
    assert plan.settings.text.columns == {"messages": "conversations", "rating": "kto_tag"}
    assert "tokens, the rating of each row" in ftc("plan", "recipe.yaml").text

    said[3]["kto_tag"] = "good"
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")
    with pytest.raises(Refusal) as refused:
        api.plan(Path("recipe.yaml"))
    assert refused.value.diagnostics[0].code == "FTC363"


def test_a_key_of_pairs_has_no_effect_on_ratings(project: MakeProject, ftc: Ftc) -> None:
    project("rated", "lora", steps=2)
    recipe = Path("recipe.yaml")
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("loss: kto", "loss: kto, sft_weight: 0.5"), "utf-8")
    assert "`sft_weight` has no effect on `kto`" in ftc("validate", "recipe.yaml").text
