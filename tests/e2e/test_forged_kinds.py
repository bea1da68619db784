"""Runs of every newer kind: an untouched one is consistent, and a forgery of it is named though all checksums fit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.compiler.audit.tally import ROWS, SAMPLES, WEIGHTS
from ftc.spec.storage.paths import RunFolder
from ftc.verbs.runs import load_run
from tests.e2e.conftest import Ftc, in_a_copy
from tests.support.forging import edit, edit_json, edit_lines, rechain, reseal, reseal_plan
from tests.support.projects import make_model, make_project
from tests.support.vision_models import make_vision_project

Forge = Callable[[RunFolder], object]


def metric(name: str) -> Forge:
    return lambda run: edit_json(run.evaluation, f"tuned.metrics.{name}", "0.4321")


def row(**said: Any) -> Forge:
    """Another thing that the tuned model said of the first row."""
    return lambda run: edit_lines(run.outcomes, lambda number, line: number or line["tuned"].update(said))


def answer(**fields: Any) -> Forge:
    return lambda run: edit_lines(run.answers, lambda number, line: number or line.update(fields))


def one_token(token: int) -> Forge:
    """Another token at the begin of the first answer, which is as long as before."""
    return lambda run: edit_lines(run.answers, lambda number, line: number or line["ids"].__setitem__(0, token))


def exchanged(run: RunFolder) -> None:
    """Two tokens of an answer in the other order: as long as before, and it earns the same."""
    is_done: list[dict[str, Any]] = []

    def change(_: int, line: dict[str, Any]) -> None:
        first, second, *others = line["ids"] if len(line["ids"]) > 2 else (0, 0)
        if first != second and not is_done and line["rewards"][0] == "0.0":
            line["ids"] = [second, first, *others]
            is_done.append(line)

    edit_lines(run.answers, change)
    assert is_done


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


def process(number: int, **changes: Any) -> Forge:
    """Another thing that the record says of a process of the last segment."""

    def forge(run: RunFolder) -> None:
        *before, last = load_run(run.path).record.segments
        each = list(last.processes)
        each[number] = each[number].model_copy(update=changes)
        reseal(run, with_ledger=False, segments=(*before, last.model_copy(update={"processes": tuple(each)})))

    return forge


def alone(run: RunFolder) -> None:
    """As if one process had done it all."""
    *before, last = load_run(run.path).record.segments
    one = last.model_copy(update={"processes": last.processes[:1]})
    reseal(run, with_ledger=False, segments=(*before, one))


def planned(**changes: Any) -> Forge:
    """Another model under the plan's settings, everything sealed."""

    def forge(run: RunFolder) -> None:
        model = load_run(run.path).plan.model
        reseal_plan(run, with_ledger=False, changes={"model": model.model_copy(update=changes)})

    return forge


def router(run: RunFolder) -> None:
    """Another part of the loss for balanced experts than the run was trained with."""
    settings = load_run(run.path).plan.settings
    assert settings.train.router is not None
    other = settings.train.router.model_copy(update={"aux_loss": 0.5})
    train = settings.train.model_copy(update={"router": other})
    reseal_plan(run, with_ledger=False, changes={"settings": settings.model_copy(update={"train": train})})


def tokens_of_an_image(run: RunFolder) -> None:
    """As if rows held more of their images than they do."""
    plan = load_run(run.path).plan
    train = plan.data["train"].model_copy(update={"length_max": 60})
    reseal_plan(run, with_ledger=False, changes={"data": {**plan.data, "train": train}})


KINDS: dict[str, dict[str, tuple[Forge, str]]] = {
    "rated": {
        "a metric": (metric("preference_accuracy"), r"eval\.json: preference_accuracy of tuned"),
        "a margin": (row(predicted=["-1.0", "-2.0", "-3.0"]), r"eval\.json: .* of tuned"),
        "an answer": (row(text="a worse answer"), r"eval\.json: predictions\.0\.tuned"),
    },
    "classification": {
        "the loss of a row": (row(loss_sum="0.001"), r"predictions\.ndjson, line 1: loss_sum of tuned"),
        "the confidence of a row": (row(confidence="0.99"), r"predictions\.ndjson, line 1: loss_sum of tuned"),
    },
    "multi_label": {
        "the losses of rows": (
            lambda run: edit_lines(run.outcomes, lambda _, line: line["tuned"].update(loss_sum="0.0001")),
            r"predictions\.ndjson, line \d: loss_sum of tuned",
        )
    },
    "several_numbers": {
        "the loss of a row": (row(loss_sum="0.001"), r"predictions\.ndjson, line 1: loss_sum of tuned"),
    },
    "images": {
        "a metric": (metric("exact_match"), r"eval\.json: exact_match of tuned"),
        "an answer": (row(text="red green"), r"eval\.json: predictions\.0\.tuned"),
        "what was asked": (
            lambda run: edit_lines(run.outcomes, lambda _, line: line.update(prompt="another image")),
            r"(predictions\.ndjson, line 1: prompt|eval\.json: predictions\.0\.text)",
        ),
        "the length of rows": (tokens_of_an_image, r"plan\.json: data\.train\.length_max"),
    },
    "experts": {
        "a metric": (metric("perplexity"), r"eval\.json: perplexity of tuned"),
        "the loss of a row": (row(loss_sum="0.001"), r"eval\.json: perplexity of tuned"),
        "active parameters": (planned(num_active=7), r"plan\.json: model\.num_active"),
        "the loss of the router": (router, r"plan\.json: settings\.train\.router"),
    },
    "two processes": {
        "a metric": (metric("accuracy"), r"eval\.json: accuracy of tuned"),
        "one process": (alone, r"record\.json: segments\.0\.processes"),
        **{
            f"the {what} of a process": (
                process(1, **{f"{what}_sha256": "0" * 64}),
                rf"record\.json: segments\.0\.processes\.1\.{what}_sha256",
            )
            for what in ("ftc", "job", "packages", "machine")
        },
        "the number of a process": (process(1, rank=2), r"record\.json: segments\.0\.processes"),
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
        "other tokens that earn the same": (exchanged, r"answers\.ndjson, step \d: tokens"),
        **{
            f"the token {token}, which no model has": (one_token(token), r"answers\.ndjson, line 1: tokens")
            for token in (2**70, 2**40, 2**20, -1)
        },
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
MEASURED = {
    "classification": "samples: 2, metrics: [accuracy]",
    "multi_label": "samples: 2, metrics: [macro_f1]",
    "several_numbers": "samples: 2, metrics: [mae]",
}
"""So that no metric sums up the losses of rows."""


def of_images(root: Path, _models: Path) -> None:
    pytest.importorskip("PIL")
    (root / ".ftc").mkdir(parents=True)
    make_vision_project(root)


def of_experts(root: Path, models: Path) -> None:
    if not (models / "qwen3_moe").is_dir():
        make_model(models / "qwen3_moe", "qwen3_moe")
    make_project(root, models, "pretraining", model="qwen3_moe")
    edit(root / "recipe.yaml", "train: {", "train: {router_aux_loss: 0.01, ")


def of_two(root: Path, models: Path) -> None:
    make_project(root, models, "classification")
    edit(root / "recipe.yaml", "threads: 1}", "threads: 1, devices: 2}")


MAKERS: dict[str, Callable[[Path, Path], object]] = {
    "images": of_images,
    "experts": of_experts,
    "two processes": of_two,
}
CASES = [(kind, what) for kind, own in KINDS.items() for what in (*own, *EVERY)]


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`finished("rated")` is a project with a finished run, made once."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            MAKERS.get(kind, partial(make_project, task=kind, evaluation=MEASURED.get(kind, "samples: 2")))(
                folder / "project", models
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("FTC_CACHE", str(folder / "cache"))
                applied = [sys.executable, "-m", "ftc", "apply", "recipe.yaml", "--yes", "--offline"]
                if kind == "two processes":  # which the verb starts
                    subprocess.run(applied, cwd=folder / "project", check=True, capture_output=True)
                else:
                    assert api.apply(folder / "project" / "recipe.yaml").record.status == "finished"
            made[kind] = folder / "project"
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


@pytest.mark.slow
def test_what_no_metric_depends_on_is_said_and_a_repetition_names_it(
    finished: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc
) -> None:
    """Losses of written answers: the static level says that it can't check them, the full level does."""
    in_a_copy(finished("reinforcement"), tmp_path, monkeypatch)
    (record,) = Path("runs").glob("*/*/record.json")
    run = RunFolder(record.parent.absolute())
    row(loss_sum="0.001")(run)
    reseal(run, with_ledger=False)
    rechain(run)
    static = ftc("audit", run.path.name, "--json")
    assert static.code == 0, static.text
    unchecked = json.loads(static.out)["not_checked"]
    assert {ROWS, SAMPLES, WEIGHTS} <= {*unchecked}
    full = ftc("audit", run.path.name, "--level", "full", "--json")
    assert full.code == 7, full.text
    report = json.loads(full.out)
    assert [one["subject"] for one in report["findings"]] == ["predictions.ndjson, line 1: tuned.loss_sum"]
    assert not {ROWS, SAMPLES, WEIGHTS} & {*report["not_checked"]}


@pytest.mark.slow
def test_sampled_answers_are_audited_without_torch(
    finished: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_copy(finished("reinforcement"), tmp_path, monkeypatch)
    (record,) = Path("runs").glob("*/*/record.json")
    seen = (
        "import sys; from ftc.cli.main import main; code = main(sys.argv[1:]); "
        "sys.stderr.write(' '.join({'torch', 'transformers', 'pandas'} & set(sys.modules))); sys.exit(code)"
    )
    command = [sys.executable, "-c", seen, "audit", record.parent.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "made again from written answers" in " ".join(done.stdout.split())
