"""A tracker that hangs, raises, is slow or writes nonsense, beside a run that must not notice."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftc.runtime.tracking.child import without_secrets
from ftc.runtime.tracking.reporters import Reporters
from ftc.spec.storage.paths import RunFolder
from ftc.spec.trackers import TRACKERS, TrackerCard, tracker_card
from tests.support.tracked_runs import VALUES, make_run

MLFLOW = tracker_card("mlflow")
_ANSWER = 'print(\'{"kind": "%s", "sent": %d, "text": "%s"}\', flush=True)'
HANGS = "import time; time.sleep(600)"
RAISES = "raise SystemExit(3)"
REFUSES = _ANSWER % ("problem", 0, "ConnectionError: no route to host")
SLOW = f"import time; {_ANSWER % ('sent', 3, '')}; time.sleep(600)"
CHATTERS = f"import sys; print('no json'); [{_ANSWER % ('settled', VALUES, '')} for line in sys.stdin]"
READS_NOTHING = "import sys, os; os.close(0); import time; time.sleep(600)"


def reporters(folder: Path, program: str | Sequence[str], wait: float = 0.3) -> Reporters:
    assert MLFLOW is not None
    run = make_run(folder)
    words = [sys.executable, "-c", program] if isinstance(program, str) else program
    asked = ((MLFLOW, MLFLOW.keys()),)
    return Reporters(asked, folder, RunFolder(run.folder), words, settle_seconds=wait, finish_seconds=wait)


@pytest.mark.parametrize(
    ("program", "sent"),
    [(HANGS, 0), (SLOW, 3), (READS_NOTHING, 0)],
    ids=["hangs", "slow", "reads nothing"],
)
def test_a_tracker_that_takes_its_time_costs_no_more_than_the_wait(tmp_path: Path, program: str, sent: int) -> None:
    beside = reporters(tmp_path, program, wait=0.5)
    started = time.monotonic()
    beside.begin(live=True)
    (tracked,) = beside.settle()
    findings = beside.finish()
    assert time.monotonic() - started < 10, "waits are bounded; the margin is for slow machines"
    assert tracked.points == VALUES
    assert tracked.sent in (0, sent)  # a slow machine may not have heard the first answer yet
    assert tracked.problem == f"it took {tracked.sent} of {VALUES} values in time"
    (finding,) = findings
    assert finding.code == "FTC730"
    assert "ftc run track" in str(finding.help)


@pytest.mark.parametrize("program", [RAISES, REFUSES], ids=["raises", "refuses"])
def test_a_tracker_that_gives_up_is_not_waited_for(tmp_path: Path, program: str) -> None:
    beside = reporters(tmp_path, program, wait=60.0)
    started = time.monotonic()
    beside.begin(live=True)
    (tracked,) = beside.settle()
    (finding,) = beside.finish()
    assert time.monotonic() - started < 30
    assert tracked.sent == 0
    assert tracked.problem in ("its process ended without a word", "ConnectionError: no route to host")
    assert tracked.problem in finding.summary


def test_a_program_that_cannot_be_started_is_a_finding_too(tmp_path: Path) -> None:
    beside = reporters(tmp_path, [str(tmp_path / "nothing-here")])
    beside.begin(live=True)
    (tracked,) = beside.settle()
    assert tracked.problem
    assert [found.code for found in beside.finish()] == ["FTC730"]


def test_what_is_no_answer_is_passed_over(tmp_path: Path) -> None:
    beside = reporters(tmp_path, CHATTERS, wait=20.0)
    beside.begin(live=True)
    (tracked,) = beside.settle()
    assert (tracked.sent, tracked.problem) == (VALUES, "")
    beside.finish(0.0)


def test_without_trackers_nothing_is_started_and_nothing_is_noted(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    beside = Reporters((), tmp_path, RunFolder(run.folder), ["/nothing"])
    beside.begin(live=True)
    assert beside.settle() == ()
    assert beside.finish() == ()


@pytest.mark.parametrize("card", TRACKERS, ids=lambda card: card.name)
def test_no_credential_gets_into_a_problem(card: TrackerCard) -> None:
    environ = {name: f"hidden-{name.lower()}" for name in card.secrets}
    text = "401 for https://ann:pa55@host/x with " + " ".join(environ.values())
    shown = without_secrets(text, card, environ)
    assert "hidden" not in shown
    assert "pa55" not in shown
    assert "host/x" in shown
