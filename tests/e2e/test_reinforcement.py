"""Training on sampled answers from rows to audit, and the same bits where a run is interrupted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ftc import api
from tests.e2e.conftest import Ftc, MakeProject
from tests.e2e.use import predicts_as_evaluated
from tests.support.cards import CardRunner
from tests.support.judges import chat, serving


def _run(root: Path) -> Path:
    (record,) = (root / "runs").glob("*/*/record.json")
    return record.parent


@pytest.mark.slow
def test_from_rows_to_audit_and_the_same_bits_after_an_interruption(
    project: MakeProject, ftc: Ftc, cards: CardRunner
) -> None:
    # One run in three segments: what a run writes for the first two is what it writes when nothing stops it.
    root = project("reinforcement", steps=4)
    planned = ftc("plan", "recipe.yaml", "-o", "plan.json")
    assert planned.code == 0, planned.text
    assert ftc("apply", "plan.json", "--until", "3").code == 0
    run = _run(root)
    kept = (run / "answers.ndjson").read_bytes()
    lines = [json.loads(line) for line in kept.splitlines()]
    assert [line["step"] for line in lines] == [step for step in (1, 2, 3) for _ in range(8)]
    # A crash behind the checkpoint leaves answers of a step that is done again.
    (run / "answers.ndjson").write_bytes(kept + kept.splitlines(keepends=True)[-1].replace(b'"step":3', b'"step":4'))
    applied = ftc("apply", "plan.json")
    assert applied.code == 0, applied.text
    whole = (run / "answers.ndjson").read_bytes()
    assert whole.startswith(kept)
    assert len(whole.splitlines()) == 4 * 8
    record = json.loads((run / "record.json").read_bytes())
    assert "answers.ndjson" in record["outputs"], "the record names its digest"
    steps = [json.loads(line) for line in (run / "ladder.ndjson").read_text().splitlines()]
    (root / "runs").rename(root / "before")
    assert ftc("apply", "plan.json", "--again").code == 0
    again = _run(root)
    assert (again / "answers.ndjson").read_bytes() == whole
    alike = [json.loads(line) for line in (again / "ladder.ndjson").read_text().splitlines()]
    only = [[line for line in one if line["kind"] == "step"] for one in (steps, alike)]
    assert only[0] == only[1]
    # Evaluation, use and audit.
    measured = json.loads((again / "eval.json").read_text())
    assert measured["tuned"]["metrics"].keys() == {"mean_reward", "correct"}
    assert "correct" in measured["gains"]
    predicts_as_evaluated(api.find_run(again.name), "reinforcement", ftc, root)
    assert cards.run(again / "README.md").endswith("\n"), "its code prints what the model says"
    audited = ftc("audit", again.name)
    assert audited.code == 0, audited.text
    assert "4 scores computed again from" in audited.text
    assert "32 sampled answers" in audited.text
    replayed = ftc("audit", again.name, "--level", "replay", "--steps", "2")
    assert replayed.code == 0, replayed.text
    # Somebody who edits a reward is found.
    text = (again / "answers.ndjson").read_text()
    (again / "answers.ndjson").write_text(re.sub(r'"rewards":\["[\d.]+"', '"rewards":["7.0"', text, count=1))
    forged = ftc("audit", again.name)
    assert forged.code != 0
    assert "answers.ndjson" in forged.text


def test_full_training_with_validation_by_reward(project: MakeProject, ftc: Ftc) -> None:
    root = project("reinforcement", "full", steps=2)
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    events = [json.loads(line) for line in (_run(root) / "events.ndjson").read_text().splitlines()]
    sampled = [event["sampled"] for event in events if event["kind"] == "step"]
    assert [one["answers"] for one in sampled] == [8, 8]
    card = (_run(root) / "README.md").read_text()
    assert "- training: 2 steps of 8 sampled answers" in card
    assert "- answers: 4 per prompt, up to 6 tokens each, sampled at temperature 1" in card
    assert "- rewards: exact match (weight 1), regular expression (weight 0.5)" in card
    assert "- loss: GRPO" in card
    looks = [event for event in events if event["kind"] == "evaluated"]
    assert looks
    assert all(look["metrics"].keys() == {"mean_reward", "correct"} for look in looks)


@pytest.mark.parametrize(("key", "words"), [("budget.devices=2", "FTC446"), ("task.group_size=3", "FTC443")])
def test_what_sampling_cannot_be_done_with(project: MakeProject, ftc: Ftc, key: str, words: str) -> None:
    project("reinforcement")
    refused = ftc("validate", "recipe.yaml", "--set", key)
    assert refused.code == 3
    assert words in refused.text


@pytest.mark.slow
def test_a_judge_is_asked_once_and_an_audit_and_a_replay_ask_nobody(
    project: MakeProject, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(monkeypatch) as service:
        service.reply = lambda number, given: chat(str(1 + len(given["answer"]) % 10))
        root = project("reinforcement", steps=2)
        recipe = root / "recipe.yaml"
        judge = f"{{kind: judge, judge: {{url: '{service.judge.url}', model: large}}}}"
        prices = "price_per_hour: 1 USD, price_per_million_tokens: {sent: 1 USD, received: 2 USD}"
        text = recipe.read_text().replace("{kind: exact_match}", f"{{kind: exact_match}}, {judge}")
        recipe.write_text(text.replace("threads: 1}", f"threads: 1, {prices}}}"))
        planned = ftc("plan", "recipe.yaml")
        assert planned.code == 0, planned.text
        assert "at most" in planned.text
        assert "sampled answers and their prompts are sent to" in planned.text
        refused = ftc("plan", "recipe.yaml", "--set", "budget.cost=0.0001 USD")
        assert "FTC404" in refused.text
        assert not service.asked, "a plan asks nobody"
        applied = ftc("apply", "recipe.yaml", "--yes")
        assert applied.code == 0, applied.text
        run = _run(root)
        record = json.loads((run / "record.json").read_bytes())
        assert "judged.ndjson" in record["outputs"]
        asked = len(service.asked)
        assert asked == len((run / "judged.ndjson").read_text().splitlines())
        audited = ftc("audit", run.name)
        assert audited.code == 0, audited.text
        assert "16 sampled answers" in audited.text
        replayed = ftc("audit", run.name, "--level", "replay", "--steps", "2")
        assert replayed.code == 0, replayed.text
        assert len(service.asked) == asked
    # Somebody who edits a grade is found, by its digest and by what answers earned.
    judged = run / "judged.ndjson"
    judged.write_text(re.sub(r'"grade":\d+', '"grade":9', judged.read_text()))
    forged = ftc("audit", run.name)
    assert forged.code != 0
    assert "answers.ndjson" in forged.text
