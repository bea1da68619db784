"""Reward models of rated answers and of rated steps, from recipe to audit: rows, loss, metrics and predictions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from tests.e2e.conftest import Ftc, MakeProject


def _evaluated() -> dict[str, Any]:
    (file,) = Path("runs").glob("*/*/eval.json")
    evaluation: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return evaluation


def _predicted(ftc: Ftc, run: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    Path("new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    answer = ftc("predict", run, "--data", "new.jsonl")
    assert answer.code == 0, answer.text
    return [json.loads(line) for line in answer.out.splitlines()]


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("kind", "loss", "metrics"),
    [
        ("rated_reward", "binary_cross_entropy", {"rating_accuracy", "spearman"}),
        ("scored_reward", "mse", {"mae", "rmse", "r2", "pearson", "spearman"}),
    ],
)
def test_a_run_learns_from_rated_answers(
    project: MakeProject, ftc: Ftc, kind: str, loss: str, metrics: set[str]
) -> None:
    project(kind, "lora", steps=2)
    applied = api.apply(Path("recipe.yaml"))
    plan = api.plan(Path("recipe.yaml")).plan
    assert plan.settings.train.regression is not None
    assert (plan.settings.train.regression.loss, plan.settings.answer) == (loss, "numbers")
    assert plan.settings.text.uses_chat_template, "an answer is read as a preference's is"
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    evaluation = _evaluated()
    assert evaluation["tuned"]["metrics"].keys() == metrics
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text(encoding="utf-8").splitlines()]
    single = [{"prompt": row["prompt"], "completion": row["completion"]} for row in rows]
    found = [one["numbers"]["reward"] for one in _predicted(ftc, applied.record.id, single)]
    (file,) = Path("runs").glob("*/*/predictions.ndjson")
    for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        number = int(line["row"].rpartition(":")[2]) - 1 if isinstance(line["row"], str) else line["row"]
        assert found[number] == pytest.approx(float(line["tuned"]["predicted"][0]), abs=1e-5)


@pytest.mark.sample(1)
@pytest.mark.parametrize("kind", ["scored_reward", "reward"])
def test_a_conversation_behind_a_system_message_is_scored_as_it_was_learned(
    project: MakeProject, ftc: Ftc, kind: str
) -> None:
    """As a prompt of several turns with one answer, and as two conversations of which only the ends differ."""
    project(kind, "lora", steps=2)
    recipe = Path("recipe.yaml").read_text(encoding="utf-8").replace("max_length: 32", "max_length: 60")
    Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text(encoding="utf-8").splitlines()]
    turns = [{"role": "user", "content": "a song"}, {"role": "assistant", "content": "the film"}]
    for row in rows:
        asked = [*turns, {"role": "user", "content": " ".join(row.pop("prompt").split()[-3:])}]
        row["system"] = "the bank"
        if kind == "scored_reward":
            row["prompt"] = asked
        else:
            for one in ("chosen", "rejected"):
                row[one] = [*asked, {"role": "assistant", "content": row[one]}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    applied = api.apply(Path("recipe.yaml"))
    (file,) = Path("runs").glob("*/*/predictions.ndjson")
    first = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    row = rows[int(first["row"].rpartition(":")[2]) - 1 if isinstance(first["row"], str) else first["row"]]
    if kind == "scored_reward":
        single = {"prompt": row["prompt"], "completion": row["completion"]}
        said = [{**single, "system": "the bank"}, {**single, "system": ""}]
        (learned, bare) = _predicted(ftc, applied.record.id, said)
        assert learned["numbers"]["reward"] == pytest.approx(float(first["tuned"]["predicted"][0]), abs=1e-5)
    else:
        said = [{"messages": row[one], "system": "the bank"} for one in ("chosen", "rejected")]
        learned, other, bare = _predicted(ftc, applied.record.id, [*said, {"messages": row["chosen"], "system": ""}])
        apart = learned["numbers"]["reward"] - other["numbers"]["reward"]
        assert math.log1p(math.exp(-apart)) == pytest.approx(float(first["tuned"]["loss_sum"]), abs=1e-4)
    assert learned["numbers"]["reward"] != bare["numbers"]["reward"], "the system message is read"


@pytest.mark.slow
def test_a_run_learns_from_rated_steps(project: MakeProject, ftc: Ftc) -> None:
    project("steps", "lora", steps=2)
    applied = api.apply(Path("recipe.yaml"))
    plan = api.plan(Path("recipe.yaml")).plan
    assert (plan.settings.model.head, plan.settings.text.labels) == ("token_classification", ("wrong", "right"))
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    assert _evaluated()["tuned"]["metrics"].keys() == {"step_accuracy", "first_error_accuracy"}
    (one,) = _predicted(
        ftc, applied.record.id, [{"prompt": "the goal", "completions": ["a film", "the film", "a song"]}]
    )
    assert one["numbers"].keys() == {"1", "2", "3"}
    said = ["right" if chance > 0.5 else "wrong" for chance in one["numbers"].values()]
    assert (one["labels"], one["prediction"]) == (said, ", ".join(said))


def test_what_a_step_can_be_rated_with(project: MakeProject) -> None:
    project("steps", "lora", steps=2)
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text(encoding="utf-8").splitlines()]

    def write(change: Any) -> None:
        said = [{**row, "labels": [change(one) for one in row["labels"]]} for row in rows]
        Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")

    streams = api.plan(Path("recipe.yaml")).plan.data["train"].stream_digest
    for change in (lambda one: "+" if one else "-", int):
        write(change)
        assert api.plan(Path("recipe.yaml")).plan.data["train"].stream_digest == streams
    write(lambda one: 1 if one else -1)  # beside which 0 is neither right nor wrong
    with pytest.raises(Refusal) as refused:
        api.plan(Path("recipe.yaml"))
    assert refused.value.diagnostics[0].code == "FTC363"


@pytest.mark.slow
def test_every_preferred_answer_is_compared_with_every_rejected_one(project: MakeProject) -> None:
    project("preference", "lora", steps=2)
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text(encoding="utf-8").splitlines()]
    said = [{**row, "chosen": [row["chosen"], "a goal"], "rejected": [row["rejected"]]} for row in rows[::2]]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*said, *rows[1::2])), encoding="utf-8")
    applied = api.apply(Path("recipe.yaml"))
    plan = api.plan(Path("recipe.yaml")).plan
    assert sum(plan.data[split].rows for split in plan.data) == 72
    (told,) = (check.result for check in plan.checks if check.name == "pairs")
    assert told.startswith("72 of 48 rows")
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
