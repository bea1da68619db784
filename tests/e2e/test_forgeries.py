"""Forgeries after which every checksum is right again: what contradicts the evidence is found, and the rest is said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ftc.spec.storage.paths import RunFolder
from ftc.verbs.runs import load_run
from tests.e2e.conftest import Ftc, finished_project, in_a_copy
from tests.support.forgeries import FOUND, STEPS, record, unproved
from tests.support.forging import LEDGER, cut_ledger
from tests.support.keys import make_keys

MEASURED = (
    'samples: 2, gates: {loss: "< 9"}, slices: [label, length], '
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


@pytest.mark.sample(16)
@pytest.mark.parametrize("what", FOUND)
def test_a_forgery_is_found(run: RunFolder, ftc: Ftc, what: str) -> None:
    """Most are found as FTC537; evaluations that the ledger should have and hasn't, as FTC527."""
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
    monkeypatch.setattr("ftc.compiler.audit.locate.environment_of", lambda *_, **__: here)
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
