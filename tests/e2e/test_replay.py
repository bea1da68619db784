"""`ftc audit --level replay` and `full`: training done again in fresh processes, and what shows when it differs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.documents.record import Predecessor, RunRecord
from ftc.spec.documents.step_log import line_text, parse_line
from ftc.spec.storage.paths import RunFolder
from tests.e2e.conftest import Answer, Ftc, finished_project, in_a_copy
from tests.support.forging import reseal
from tests.support.projects import contents

STEPS = 16


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one finished run; its tests work on copies."""
    return finished_project(tmp_path_factory.mktemp("replayed"), models, STEPS)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """The run in a copy of the project and of its cache."""
    in_a_copy(finished, tmp_path, monkeypatch)
    (record,) = Path("runs").glob("*/*/record.json")
    return RunFolder(record.parent.absolute())


def change_step_log(run: RunFolder, step: int, **changes: str) -> None:
    """Forges a step in the step log, and in the events, which would contradict it."""
    events = [json.loads(line) for line in run.events.read_bytes().splitlines()]
    for event in events:
        if event["kind"] == "step" and event["step"] == step:
            event |= {name: repr(float.fromhex(value)) for name, value in changes.items()}
    run.events.write_text("".join(json.dumps(event, sort_keys=True) + "\n" for event in events))
    lines = [parse_line(line) for line in run.step_log.read_bytes().splitlines()]
    changed = [line.model_copy(update=changes) if line.kind == "step" and line.step == step else line for line in lines]
    run.step_log.write_bytes(b"".join(map(line_text, changed)))
    reseal(run)


def report(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.out)
    assert found["not_checked"], "silence must not read as success"
    assert found["exit_code"] == answer.code
    return found


@pytest.mark.slow
def test_all_of_a_run_comes_out_again_and_nothing_is_written_into_it(run: RunFolder, ftc: Ftc) -> None:
    before = contents(run.path)
    audited = ftc("audit", run.path.name, "--level", "full", "--json")
    assert audited.code == 0, audited.text
    found = report(audited)
    assert found["verdict"] == "REPRODUCED_BITWISE"
    assert found["machine"]["equal"] is True
    assert found["replay"]["steps_compared"] == STEPS
    assert found["replay"]["equal_rungs"] == [0, 1, 2, 4, 8, 16]
    assert contents(run.path) == before
    (logged,) = run.path.with_name(f"{run.path.name}.audits.ndjson").read_text().splitlines()
    assert json.loads(logged)["verdict"] == "REPRODUCED_BITWISE"


@pytest.mark.slow
def test_one_thread_more_is_inconclusive_before_anything_is_done(run: RunFolder, ftc: Ftc) -> None:
    audited = ftc("audit", run.path.name, "--level", "replay", "--threads", "2", "--json")
    assert audited.code == 8, audited.text
    found = report(audited)
    assert (found["verdict"], found["replay"]) == ("INCONCLUSIVE", None)
    (finding,) = found["findings"]
    assert [finding[key] for key in ("code", "subject", "expected", "found")] == ["FTC531", "threads", "1", "2"]


@pytest.mark.slow
def test_with_force_the_first_step_that_differs_is_named(run: RunFolder, ftc: Ftc) -> None:
    """A forged loss at the sixth step, from the checkpoint of the eighth on and from the beginning."""
    loss = (3.0).hex()
    change_step_log(run, 6, loss=loss)
    assert ftc("audit", run.path.name).code == 0, "no digest shows it"
    audited = ftc("audit", run.path.name, "--level", "replay", "--steps", "8", "--force")
    assert audited.code == 7, audited.text
    assert "NOT_REPRODUCED" in audited.out
    assert "it differs at step 6: loss" in audited.text
    assert f"recorded {loss} (3)" in audited.text
    assert "weights were last equal at step 4" in audited.text


@pytest.mark.slow
def test_a_replay_may_begin_at_a_checkpoint(run: RunFolder, ftc: Ftc) -> None:
    change_step_log(run, 6, loss=(3.0).hex())  # before the checkpoint, so it is not compared
    audited = ftc("audit", run.path.name, "--level", "replay", "--from", "8", "--to", "12")
    assert audited.code == 0, audited.text
    assert "REPRODUCED_PREFIX" in audited.out
    assert "steps 8–12" in audited.out
    assert "steps 1 to 8" in audited.text
    assert "steps 13 to 16" in audited.text


def test_other_code_or_packages_are_told_before_a_process_is_started(
    run: RunFolder, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.runtime.replay import replay

    monkeypatch.setattr(replay, "_started", lambda *request: pytest.fail("nothing is to be started"))
    record = RunRecord.model_validate_json(run.record.read_bytes())
    then = record.observed.environment
    package = then.packages["torch"].model_copy(update={"version": "2.0.0"})
    here = then.model_copy(update={"packages": {**then.packages, "torch": package}})
    monkeypatch.setattr("ftc.compiler.audit.locate.environment_of", lambda *_, **__: here)
    code = record.observed.code.model_copy(update={"ftc_sha256": "0" * 64})
    observed = record.observed.model_copy(update={"code": code})
    (segment,) = record.segments
    reseal(run, observed=observed, segments=(segment.model_copy(update={"ftc_sha256": code.ftc_sha256}),))
    audited = ftc("audit", run.path.name, "--level", "replay", "--json")
    assert audited.code == 8, audited.text
    subjects = [finding["subject"] for finding in report(audited)["findings"]]
    assert subjects[:2] == ["package torch", "ftc's own code"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--from", "7"), 8, "start at 0, 8 or 16"),
        (("--from", "12", "--to", "8"), 64, "no steps from 12 to 8 in a run of 16"),
        (("--to", "17"), 64, "[FTC535]"),
    ],
)
def test_steps_that_cannot_be_done_again(
    run: RunFolder, ftc: Ftc, words: tuple[str, ...], code: int, told: str
) -> None:
    audited = ftc("audit", run.path.name, "--level", "replay", *words)
    assert audited.code == code, audited.text
    assert told in audited.text
    assert "FTC532" in audited.text or "FTC535" in audited.text


def test_what_is_tampered_with_is_not_executed(run: RunFolder, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftc.runtime.replay import replay

    monkeypatch.setattr(replay, "_started", lambda *request: pytest.fail("nothing is to be started"))
    run.step_log.write_bytes(b"".join(run.step_log.read_bytes().splitlines(keepends=True)[:-3]))
    audited = ftc("audit", run.path.name, "--level", "replay", "--json")
    assert audited.code == 6, audited.text
    assert {finding["code"] for finding in report(audited)["findings"]} == {"FTC521", "FTC534"}


def test_a_process_that_breaks_off_gives_no_verdict(run: RunFolder, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr("sys.executable", "/bin/false")
    audited = ftc("audit", run.path.name, "--level", "replay")
    assert audited.code == 8, audited.text
    assert "FTC536" in audited.text


def test_a_replaced_record_breaks_the_chain(run: RunFolder, ftc: Ftc) -> None:
    record = RunRecord.model_validate_json(run.record.read_bytes())
    later = run.path.with_name(f"{run.path.name}-2")
    shutil.copytree(run.path, later)
    events = RunFolder(later).events
    events.write_text(events.read_text("utf-8").replace(run.path.name, later.name), encoding="utf-8")
    reseal(RunFolder(later), id=later.name, previous=Predecessor(run_id=run.path.name, record_sha256=record.sha256))
    assert ftc("audit", later.name).code == 0
    reseal(run, memory_method="guessed")
    assert ftc("audit", run.path.name).code == 0, "it was sealed again"
    audited = ftc("audit", later.name, "--json")
    assert audited.code == 6, audited.text
    assert [finding["code"] for finding in report(audited)["findings"]] == ["FTC533"]
    shutil.rmtree(run.path)
    audited = ftc("audit", later.name)
    assert audited.code == 0, audited.text
    assert "which ended before this one: it is missing" in audited.text


@pytest.mark.skipif(os.environ.get("FTC_CRASH") != "1", reason="trains three times; `nox -s crash` runs it")
def test_where_bits_can_not_be_equal_other_seeds_tell_whether_a_score_is_one_of_the_job(
    run: RunFolder, ftc: Ftc
) -> None:
    audited = ftc("audit", run.path.name, "--level", "full", "--seeds", "3", "--threads", "2", "--json")
    assert audited.code == 0, audited.text
    found = report(audited)
    assert found["verdict"] == "REPRODUCED_STATISTICAL"
    assert [one["number"] for one in found["repetitions"]] == [1, 2, 3]


def test_how_many_seeds_are_enough(run: RunFolder, ftc: Ftc) -> None:
    for words in (("--seeds", "2"), ("--seeds", "3", "--force"), ("--seeds", "11")):
        assert ftc("audit", run.path.name, "--level", "full", *words).code == 64
    assert ftc("audit", run.path.name, "--seeds", "3").code == 64
