"""A run that stopped goes on with other processes: the same rows in the same order, and a record that says so."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import StepDone
from ftc.verbs.runs import Run, load_events, load_run
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents

ONE, TWO, PARTS = "budget.devices=1", "budget.devices=2", "train.sharding=fsdp"


def _project(project: MakeProject, steps: int = 6) -> Path:
    """A chat project whose model has no dropout, so that losses don't hang on how rows are shared."""
    root = project("chat", steps=steps)
    recipe = root / "recipe.yaml"
    text = recipe.read_text().replace("dropout: 0.1", "dropout: 0.0")
    recipe.write_text(re.sub(r"evaluate_every: \d+", "evaluate_every: 2", text))
    return root


def _set(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def _shared(*words: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which starts the other ones of a run."""
    command = [sys.executable, "-m", "ftc", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def _steps(run: Run) -> dict[int, StepDone]:
    return {one.step: one for one in load_events(run.folder) if isinstance(one, StepDone)}


def _new_run(root: Path, *known: Run) -> Run:
    (found,) = [one for one in api.runs(root) if one.record.id not in {run.record.id for run in known}]
    return found


def _goes_on_like(undisturbed: Run, run: Run, source: Run) -> None:
    (continued,) = run.record.continued
    assert (continued.run_id, continued.job_sha256) == (source.record.id, source.plan.job_sha256())
    assert continued.record_sha256 == source.record.sha256
    assert (continued.step, run.record.segments[-1].from_step) == (4, 4)
    assert run.record.determinism.level == "D0"
    ours, theirs = _steps(run), _steps(undisturbed)
    assert ours.keys() == theirs.keys() == {1, 2, 3, 4, 5, 6}
    for step, one in theirs.items():
        assert (ours[step].tokens, ours[step].supervised) == (one.tokens, one.supervised)
        assert ours[step].loss == pytest.approx(one.loss, rel=1e-6)
        assert ours[step].learning_rate == one.learning_rate
    assert {step: one.loss for step, one in ours.items() if step <= 4} == {
        step: one.loss for step, one in _steps(source).items()
    }


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_as_one(project: MakeProject, ftc: Ftc) -> None:
    root = _project(project)
    _shared("apply", "--yes", *_set(TWO), "--until", "4")
    (source,) = api.runs(root)
    _shared("plan", *_set(ONE), "-o", "one.plan.json")
    done = _shared("apply", "one.plan.json", "--from", source.record.id)
    assert "whose steps 2 processes shared" in done.stderr
    run = _new_run(root, source)
    assert [len(one.processes) for one in run.record.segments] == [2, 0]
    _shared("apply", "--yes", "--again", *_set(ONE))
    _goes_on_like(_new_run(root, source, run), run, source)
    assert load_run(source.folder).record == source.record, "the other run is left as it was"
    assert "up to date" in _shared("apply", "one.plan.json", "--from", source.record.id).stdout

    shown = ftc("show", run.record.id)
    assert f"run {source.record.id} from step 4" in shown.text
    audited = ftc("audit", run.record.id)
    assert (audited.code, f"the step log of run {source.record.id}" in audited.text) == (0, True), audited.text
    replayed = _shared("audit", run.record.id, "--level", "replay", "--from-step", "4", "--steps", "2")
    assert "REPRODUCED_PREFIX" in replayed.stdout
    whole = ftc("audit", run.record.id, "--level", "full")
    assert (whole.code, "FTC715" in whole.text) == (8, True), whole.text

    log = source.folder / "ladder.ndjson"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    first = next(number for number, line in enumerate(lines) if line["kind"] == "step")
    lines[first] = {**lines[first], "loss": (1.5).hex()}
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    forged = ftc("audit", run.record.id)
    assert (forged.code, "FTC567" in forged.text) == (6, True), forged.text


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_in_parts_on_two(project: MakeProject, ftc: Ftc) -> None:
    root = _project(project)
    _shared("apply", "--yes", *_set(ONE), "--until", "4")
    (source,) = api.runs(root)
    _shared("apply", "--yes", *_set(TWO, PARTS), "--from", "tiny")
    run = _new_run(root, source)
    assert api.find_run("tiny", root).record.id == run.record.id, "the newest one"
    assert (run.record.observed.wrapper, len(run.record.segments[-1].processes)) == ("FSDP2", 2)
    _shared("apply", "--yes", "--again", *_set(ONE))
    _goes_on_like(_new_run(root, source, run), run, source)
    audited = ftc("audit", run.record.id)
    assert audited.code == 0, audited.text


@pytest.mark.slow
def test_what_is_not_the_same_work_is_refused(
    project: MakeProject, ftc: Ftc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _project(project)
    assert ftc("apply", "--yes", *_set(ONE), "--until", "2").code == 0
    (source,) = api.runs(root)
    before = contents(root / "runs")

    def refused(*values: str, words: str) -> None:
        found = ftc("apply", "--yes", *_set(*values), "--from", "tiny")
        assert (found.code, "FTC714" in found.err, words in found.text) == (1, True, True), found.err
        assert contents(root / "runs") == before

    shutil.copytree(source.folder, tmp_path / "elsewhere")
    with pytest.raises(Refusal, match="in another project"):
        api.apply(api.plan("recipe.yaml", overrides=[TWO]), source=load_run(tmp_path / "elsewhere"))
    refused(TWO, "train.learning_rate=2e-3", words="train.learning_rate: 0.001 → 0.002")
    refused(TWO, "train.batch_size=4", words="train.batch_size: 8 → 4")
    refused(ONE, words="has begun by itself")
    refused(ONE, "train.micro_batch=4", "train.determinism=bitwise", words="asks for the same bits")
    with monkeypatch.context() as launched:
        launched.setenv("RANK", "0")
        launched.setenv("WORLD_SIZE", "2")
        assert ftc("apply", "--yes", *_set(TWO), "--from", "tiny").code == 64
    for manifest in (source.folder / "checkpoints").glob("*/MANIFEST.json"):
        manifest.unlink()
    before = contents(root / "runs")
    refused(TWO, words="no checkpoint")
    assert ftc("apply", "--yes", *_set(ONE)).code == 0
    before = contents(root / "runs")
    refused(TWO, words="is over")


@pytest.mark.slow
def test_a_run_is_made_ready_for_several_machines(project: MakeProject, ftc: Ftc) -> None:
    root = _project(project)
    assert ftc("apply", "--yes", *_set(ONE), "--until", "4").code == 0
    (source,) = api.runs(root)
    done = ftc("apply", "--yes", *_set(ONE, "budget.nodes=2", PARTS), "--from", "tiny")
    assert (done.code, "`ftc launch PLAN`" in done.err) == (0, True), done.err
    run = _new_run(root, source)
    assert (run.record.status, run.record.steps_done, run.record.continued[-1].step) == ("paused", 4, 4)
    assert (run.folder / "checkpoints" / "step-00000004" / "MANIFEST.json").is_file()
