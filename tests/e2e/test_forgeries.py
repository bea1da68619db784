"""Forgeries after which every checksum is right again: what contradicts the evidence is found, and the rest is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.documents.interruption import Interruption
from ftc.spec.documents.segments import ProcessSeen
from ftc.spec.storage.paths import RunFolder
from ftc.verbs.runs import load_run
from tests.e2e.conftest import Ftc, finished_project, in_a_copy
from tests.support.forging import LEDGER, cut_ledger, edit_json, edit_lines, rechain, reseal, reseal_plan
from tests.support.keys import make_keys

STEPS = 6
MEASURED = (
    'samples: 2, gates: {loss: "< 9"}, slices: [label], '
    "metrics: [accuracy, macro_f1, mcc, calibration_error, loss, f1 of sport]"
)


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one finished run that has metrics of every kind, a gate and groups."""
    return finished_project(tmp_path_factory.mktemp("forged"), models, STEPS, evaluation=MEASURED)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """The run in a copy of the project and of its cache."""
    in_a_copy(finished, tmp_path, monkeypatch)
    (record,) = Path("runs").glob("*/*/record.json")
    return RunFolder(record.parent.absolute())


def scores(run: RunFolder, path: str, value: Any) -> None:
    """Another figure in eval.json, everything sealed and the ledger chained anew."""
    edit_json(run.evaluation, path, value)
    reseal(run, with_ledger=False)
    rechain(run)


def record(run: RunFolder, **changes: Any) -> None:
    reseal(run, with_ledger=False, **changes)
    rechain(run)


def rows(run: RunFolder, change: Callable[[int, dict[str, Any]], None]) -> None:
    edit_lines(run.outcomes, change)
    reseal(run, with_ledger=False)
    rechain(run)


def ledger_cut(run: RunFolder) -> None:
    """A2: another score, and the ledger's end cut away."""
    edit_json(run.evaluation, "tuned.metrics.macro_f1", "0.95")
    reseal(run, with_ledger=False)
    cut_ledger()


def ledger_kept(run: RunFolder) -> None:
    """A1: another score, and the ledger as it was."""
    edit_json(run.evaluation, "tuned.metrics.macro_f1", "0.95")
    reseal(run, with_ledger=False)


def device(run: RunFolder) -> None:
    """G3."""
    seen = load_run(run.path).record.observed.model_copy(update={"device": "NVIDIA H100"})
    record(run, observed=seen)


def process_of_many(run: RunFolder) -> None:
    """A second process, in a run of one."""
    seen = load_run(run.path).record.observed
    each = [
        ProcessSeen(rank=rank, device=seen.device, machine_sha256=seen.machine.digest(), ftc_sha256="")
        for rank in (0, 1)
    ]
    record(run, observed=seen.model_copy(update={"processes": tuple(each)}))


def process_of_other_code(run: RunFolder) -> None:
    """Two processes, of which the second one has packages of its own."""
    *earlier, last = load_run(run.path).record.segments
    each = [
        ProcessSeen(
            rank=rank,
            device="",
            machine_sha256=last.machine_sha256,
            ftc_sha256=last.ftc_sha256,
            packages_sha256=str(rank) * 64,
        )
        for rank in (0, 1)
    ]
    record(run, segments=(*earlier, last.model_copy(update={"processes": tuple(each)})))


def data_of_the_plan(run: RunFolder) -> None:
    """Fewer test rows in what the report shows of the data."""
    plan = load_run(run.path).plan
    test = plan.data["test"].model_copy(update={"truncated_rows": 3})
    reseal_plan(run, {"data": {**plan.data, "test": test}})


def license_of_the_plan(run: RunFolder) -> None:
    model = load_run(run.path).plan.model.model_copy(update={"license": "mit"})
    reseal_plan(run, {"model": model})


def exchanged_ids(_number: int, line: dict[str, Any]) -> None:
    line["row"] += 1


def losses(_number: int, line: dict[str, Any]) -> None:
    line["tuned"]["loss_sum"] = "0.01"


def no_code_event(run: RunFolder) -> None:
    """G2 the other way round: the run said that its code changed, and the record doesn't."""
    noticed = {"code": "FTC645", "kind": "noticed", "text": "ftc's own files changed while the run went on"}
    with run.events.open("ab") as file:
        file.write(json.dumps(noticed).encode() + b"\n")
    record(run)


def segment_of_more_steps(run: RunFolder) -> None:
    known = load_run(run.path).record
    before = known.segments[0].model_copy(update={"to_step": 3})
    after = known.segments[0].model_copy(update={"from_step": 5})
    record(run, segments=(before, after))


def unproved(run: RunFolder, *, usable: int | None, proved: int | None) -> None:
    """Inputs changed behind step 3, and what came afterwards is said to count."""
    reason = "`model.safetensors` of the model changed after it was verified"
    at = "2026-01-01T00:00:00Z"
    one = Interruption(at=at, segment=1, kind="failed", code="FTC515", reason=reason, step=4, usable_step=usable)
    record(run, interruptions=(one,), proved_step=proved)


FOUND: dict[str, tuple[Callable[[RunFolder], object], str, str]] = {
    "A1: a score, and the ledger as it was": (ledger_kept, "FTC537", "eval.json: macro_f1 of tuned"),
    "A2: a score, and the ledger cut": (ledger_cut, "FTC537", "eval.json: macro_f1 of tuned"),
    "A3: macro F1 of the tuned model": (
        lambda run: scores(run, "tuned.metrics.macro_f1", "0.95"),
        "FTC537",
        "eval.json: macro_f1 of tuned",
    ),
    "macro F1 of the base": (
        lambda run: scores(run, "base.metrics.macro_f1", "0.01"),
        "FTC537",
        "eval.json: macro_f1 of base",
    ),
    "B1: accuracy": (
        lambda run: scores(run, "tuned.metrics.accuracy", "0.9"),
        "FTC537",
        "eval.json: accuracy of tuned",
    ),
    "calibration": (
        lambda run: scores(run, "tuned.metrics.calibration_error", "0.001"),
        "FTC537",
        "eval.json: calibration_error of tuned",
    ),
    "the F1 of one class": (
        lambda run: scores(run, "tuned.metrics.f1 of sport", "0.9"),
        "FTC537",
        "eval.json: f1 of sport of tuned",
    ),
    "G1: an interval without its value": (
        lambda run: scores(run, "tuned.intervals.accuracy", {"low": "0.9", "high": "0.99"}),
        "FTC537",
        "eval.json: interval of accuracy of tuned",
    ),
    "a narrower interval around its value": (
        lambda run: scores(run, "tuned.intervals.loss.high", "1.2"),
        "FTC537",
        "eval.json: interval of loss of tuned",
    ),
    "a gain": (lambda run: scores(run, "gains.macro_f1.value", "0.4"), "FTC537", "eval.json: gain in macro_f1"),
    "the interval of a gain": (
        lambda run: scores(run, "gains.loss.interval", {"low": "-0.5", "high": "-0.4"}),
        "FTC537",
        "eval.json: interval of the gain in loss",
    ),
    "a group's score": (
        lambda run: scores(run, "slices.0.groups.0.tuned.loss", "0.4"),
        "FTC537",
        "eval.json: loss on label = ",
    ),
    "a group's rows": (lambda run: scores(run, "slices.0.groups.0.rows", 9), "FTC537", "eval.json: rows on label = "),
    "the gap between groups": (
        lambda run: scores(run, "slices.0.gaps.loss.value", "0.0"),
        "FTC537",
        "eval.json: loss gap on label",
    ),
    "a gate's outcome": (lambda run: scores(run, "gates.0.passed", False), "FTC537", "eval.json: gate loss, passed"),
    "a gate's bound": (lambda run: scores(run, "gates.0.bound", "< 1"), "FTC537", "eval.json: gate loss, bound"),
    "the rows that were measured": (lambda run: scores(run, "tuned.rows", 500), "FTC537", "eval.json: rows of tuned"),
    "an answer that the report shows": (
        lambda run: scores(run, "predictions.0.tuned", "film"),
        "FTC537",
        "eval.json: predictions.0.tuned",
    ),
    "the losses of single rows": (lambda run: rows(run, losses), "FTC537", "eval.json: (loss|f1|accuracy).* of tuned"),
    "ids of test rows": (lambda run: rows(run, exchanged_ids), "FTC537", r"predictions\.ndjson, line 1: row"),
    "what a row should be": (
        lambda run: rows(run, lambda _, line: line.update(expected=line["tuned"]["text"])),
        "FTC537",
        r"predictions\.ndjson, line \d: expected",
    ),
    "G3: the device": (device, "FTC537", "record.json: observed.device"),
    "a process more": (process_of_many, "FTC537", "record.json: observed.processes"),
    "a process with other packages": (
        process_of_other_code,
        "FTC537",
        r"record.json: segments\.\d\.processes\.1\.packages_sha256",
    ),
    "that the code changed": (no_code_event, "FTC537", "record.json: code_changed"),
    "steps between two segments": (segment_of_more_steps, "FTC537", "record.json: segments.1"),
    "changed inputs that limit nothing": (
        lambda run: unproved(run, usable=None, proved=STEPS),
        "FTC537",
        "record.json: interruptions.0.usable_step",
    ),
    "steps behind changed inputs that no proof covers": (
        lambda run: unproved(run, usable=3, proved=3),
        "FTC537",
        "record.json: proved_step",
    ),
    "a time below zero": (lambda run: record(run, train_seconds=-4.0), "FTC537", "record.json: "),
    "counts of the data": (data_of_the_plan, "FTC537", "plan.json: data.test.truncated_rows"),
    "the model's license": (license_of_the_plan, "FTC537", "plan.json: model.license"),
    "G4, G5: evaluations cut out of the ledger, chained anew": (
        lambda run: rechain(run, without="test_look"),
        "FTC527",
        "ledger.ndjson: evaluations on the test set",
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_a_forgery_is_found(run: RunFolder, ftc: Ftc, what: str) -> None:
    forge, code, place = FOUND[what]
    forge(run)
    audited = ftc("audit", run.path.name, "--json")
    assert audited.code == 6, audited.text
    found = json.loads(audited.out)["findings"][0]
    assert found["code"] == code
    assert re.match(place, found["subject"]), found


def test_the_verdict_says_that_inputs_changed(run: RunFolder, ftc: Ftc) -> None:
    unproved(run, usable=3, proved=STEPS)
    audited = ftc("audit", run.path.name)
    assert audited.code == 0, audited.text
    assert "its inputs changed while it ran (FTC515)" in " ".join(
        audited.text[audited.text.index("CONSISTENT") :].split()
    )


def test_a_ledger_without_the_end_of_a_finished_run_allows_no_verdict(run: RunFolder, ftc: Ftc) -> None:
    cut_ledger()
    audited = ftc("audit", run.path.name)
    assert audited.code == 8, audited.text
    assert "FTC526 ledger.ndjson: run_ended" in audited.text


def test_without_a_ledger_and_a_signature_the_verdict_says_what_it_can_not_know(run: RunFolder, ftc: Ftc) -> None:
    """A4, and G2 with every trace of it: nothing contradicts them."""
    LEDGER.unlink()
    audited = ftc("audit", run.path.name)
    assert audited.code == 0, audited.text
    verdict = audited.text[audited.text.index("CONSISTENT") :]
    assert "the project's ledger has no entry of it; unsigned: a forger could have written this" in verdict


def test_what_an_honest_run_shows_too_is_said_and_accused_of_on_demand(
    run: RunFolder, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that changed while the run went on, an interruption, and another release of a package by now."""
    known = load_run(run.path).record
    environment = known.observed.environment
    peft = environment.packages["peft"]
    other = {**environment.packages, "peft": peft.model_copy(update={"version": "0.0.1"})}
    here = environment.model_copy(update={"packages": other})
    monkeypatch.setattr("ftc.compiler.audit.locate.resolve_environment", lambda *_: here)
    noticed = {"code": "FTC645", "kind": "noticed", "text": "ftc's own files changed while the run went on"}
    ended = {"detail": "out of memory", "kind": "run_ended", "status": "failed"}
    lines = run.events.read_bytes().splitlines(keepends=True)
    lines[-1:-1] = [json.dumps(one).encode() + b"\n" for one in (noticed, ended)]
    run.events.write_bytes(b"".join(lines))
    failed = known.segments[0].model_copy(update={"to_step": 3, "ended_by": "failed"})
    resumed = known.segments[0].model_copy(update={"from_step": 3})
    record(run, code_changed=True, segments=(failed, resumed))
    audited = ftc("audit", run.path.name)
    assert audited.code == 0, audited.text
    assert f"the packages of the run differ here by now: peft {peft.version} -> 0.0.1" in audited.text
    assert "changed while the run went on (FTC645)" in audited.text
    assert "an interruption at step 3, failed: out of memory" in audited.text
    strict = ftc("audit", run.path.name, "--strict", "--json")
    assert strict.code == 8, strict.text
    accused = [(one["code"], one["subject"]) for one in json.loads(strict.out)["findings"]]
    assert accused == [
        ("FTC528", "packages"),
        ("FTC528", "record.json: code_changed"),
        ("FTC528", "record.json: step 3"),
    ]


def test_a_signature_says_who_vouches_for_the_run(run: RunFolder, ftc: Ftc, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    ours, theirs = (make_keys(tmp_path, name) for name in ("ours", "theirs"))
    unsigned = ftc("audit", run.path.name, "--key", ours.public)
    assert unsigned.code == 6, unsigned.text
    assert "FTC529 model.sig" in unsigned.text
    assert ftc("sign", run.path.name, "--key", ours.private).code == 0
    assert "signed, but nobody verified it" in ftc("audit", run.path.name).text
    audited = ftc("audit", run.path.name, "--key", ours.public)
    assert audited.code == 0, audited.text
    assert "signed with the key ours.pub.pem" in audited.text
    for forged, key in ((False, theirs), (True, ours)):
        if forged:
            run.card.write_text("a model card\n")
        broken = ftc("audit", run.path.name, "--key", key.public)
        assert broken.code == 6, broken.text
        assert "its signature does not hold" in broken.text


@pytest.mark.slow
def test_the_verdict_needs_neither_charts_nor_data_frames(run: RunFolder) -> None:
    """Both take longer to import than all that is compared."""
    import subprocess
    import sys

    seen = (
        "import sys; from ftc.cli.main import main; code = main(sys.argv[1:]); "
        "heavy = {'matplotlib', 'pandas', 'scipy', 'torch', 'transformers'} & set(sys.modules); "
        "sys.stderr.write(' '.join(sorted(heavy))); "
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", seen, "audit", run.path.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
