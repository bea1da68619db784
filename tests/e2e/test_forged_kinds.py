"""Runs of every newer kind: an untouched one is consistent, and a forgery of it is named though all checksums fit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.storage.paths import RunFolder
from tests.e2e.conftest import Ftc, in_a_copy
from tests.support.forging import edit, edit_json, edit_lines, rechain, reseal
from tests.support.projects import make_project

Forge = Callable[[RunFolder], object]


def metric(name: str) -> Forge:
    return lambda run: edit_json(run.evaluation, f"tuned.metrics.{name}", "0.4321")


def row(**said: Any) -> Forge:
    """Another thing that the tuned model said of the first row."""
    return lambda run: edit_lines(run.outcomes, lambda number, line: number or line["tuned"].update(said))


def answer(**fields: Any) -> Forge:
    return lambda run: edit_lines(run.answers, lambda number, line: number or line.update(fields))


def event(kind: str, change: Callable[[dict[str, Any]], object]) -> Forge:
    """All events of a kind, changed."""
    return lambda run: edit_lines(run.events, lambda _, line: change(line) if line["kind"] == kind else None)


def validation(line: dict[str, Any]) -> None:
    line["metrics"] = {name: str(float(value) / 2 + 0.1) for name, value in line["metrics"].items()}


def step_loss(run: RunFolder) -> None:
    edit(run.step_log, '"loss":"(-?)0x1', r'"loss":"\g<1>0x3')


EVERY: dict[str, tuple[Forge, str]] = {
    "a validation": (event("evaluated", validation), r"events\.ndjson: best_value until step "),
    "a loss of a step": (step_loss, r"ladder\.ndjson, step \d: loss"),
    "the seconds": (lambda run: reseal(run, with_ledger=False, train_seconds=0.5), r"record\.json: train_seconds"),
}
KINDS: dict[str, dict[str, tuple[Forge, str]]] = {
    "rated": {
        "a metric": (metric("preference_accuracy"), r"eval\.json: preference_accuracy of tuned"),
        "a margin": (row(predicted=["-1.0", "-2.0", "-3.0"]), r"eval\.json: .* of tuned"),
        "an answer": (row(text="a worse answer"), r"eval\.json: predictions\.0\.tuned"),
    },
    "embedding": {
        "a metric": (metric("ndcg_at_10"), r"eval\.json: ndcg_at_10 of tuned"),
        "a rank": (row(predicted=["1.0", "0.9"]), r"eval\.json: .* of tuned"),
    },
    "reinforcement": {
        "a metric": (metric("mean_reward"), r"eval\.json: mean_reward of tuned"),
        "an answer": (row(text="sport"), r"eval\.json: .*"),
        "a reward": (answer(reward="9.0"), r"answers\.ndjson, step 1: mean reward"),
        "a part of a reward": (answer(rewards=["1.0", "0.0"]), r"answers\.ndjson, (line 1: rewards|step 1: correct)"),
        "an advantage": (answer(advantage="0.125"), r"answers\.ndjson, line 1: advantage"),
        "the tokens of an answer": (answer(ids=[5]), r"answers\.ndjson, step 1: mean length"),
        "another prompt": (answer(prompt=0), r"answers\.ndjson, step 1: prompts"),
        "the share that is correct": (
            event("step", lambda line: line["sampled"].update(correct="0.75")),
            r"answers\.ndjson, step 1: correct",
        ),
        "the share that ended": (
            event("step", lambda line: line["sampled"].update(ended="0.75")),
            r"answers\.ndjson, step 1: ended",
        ),
    },
}
CASES = [(kind, what) for kind, own in KINDS.items() for what in (*own, *EVERY)]


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`finished("rated")` is a project with a finished run, made once."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            root = folder / "project"
            make_project(root, models, kind)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("FTC_CACHE", str(folder / "cache"))
                assert api.apply(root / "recipe.yaml").record.status == "finished"
            made[kind] = root
        return made[kind]

    return make


def audited(ftc: Ftc, run: RunFolder) -> tuple[int, list[str]]:
    """Exit code and findings, each with its code."""
    report = ftc("audit", run.path.name, "--json")
    return report.code, [f"{one['code']} {one['subject']}" for one in json.loads(report.out)["findings"]]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "what"), CASES)
def test_a_forgery_of_a_newer_kind_is_named(
    finished: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc, kind: str, what: str
) -> None:
    in_a_copy(finished(kind), tmp_path, monkeypatch)
    (record,) = Path("runs").glob("*/*/record.json")
    run = RunFolder(record.parent.absolute())
    assert audited(ftc, run) == (0, []), "an untouched run is consistent"
    forge, place = (KINDS[kind] | EVERY)[what]
    forge(run)
    if what != "the seconds":
        reseal(run, with_ledger=False)
    rechain(run)
    code, found = audited(ftc, run)
    assert code == 6, found
    assert any(re.match(f"FTC537 {place}", one) for one in found), found
