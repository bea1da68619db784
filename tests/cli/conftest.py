"""A fake of what `ftc.api` would find, so that the command line is tested without models, data and training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal, Severity, diagnostic
from ftc.spec.documents.events import EventListener, PhaseEnded, RunStarted, StepDone
from ftc.spec.documents.plan import Plan
from tests.support import documents


class World:
    """One recipe and its run, as far as it went; tests change it before they call the command line."""

    def __init__(self, folder: Path) -> None:
        self.plan = documents.plan()
        self.run_status: str | None = None
        self.outcome = "finished"
        self.warnings = (diagnostic("FTC002", "a tab indents a line", severity=Severity.WARNING),)
        self.folder = folder
        self.applied: list[object] = []
        self.saved: list[Path] = []

    def run(self, status: str) -> api.Run:
        """The run with a status, measured where it came to that."""
        measured = documents.evaluation() if status in ("finished", "gate_failed") else None
        record = documents.record(self.plan, status=status)
        return api.Run(self.folder / "runs/bbc-news" / record.id, self.plan, record, measured)

    def make_plan(self, _recipe: str, *, locked: bool = False, **_offline: bool) -> api.Planned:
        """Stands for `ftc.api.plan`."""
        if locked:
            raise Refusal([diagnostic("FTC001", "the lock is stale")])
        return api.Planned(
            plan=self.plan,
            diagnostics=self.warnings,
            sources={},
            lock_file=self.folder / "bbc-news.lock.json",
            lock_state="new",
            lock_changes=(),
            run=self.run(self.run_status) if self.run_status else None,
            root=self.folder,
            compiled=cast("Any", SimpleNamespace(track=None)),
            recipe_text=b"",
        )

    def execute(self, target: object, *, on_event: EventListener = lambda _: None, **_again: bool) -> api.Run:
        """Stands for `ftc.api.apply`: two steps, then the outcome."""
        self.applied.append(target)
        on_event(RunStarted(run_id=documents.RUN_ID, folder="runs/x", num_steps=2))
        for number in (1, 2):
            on_event(_step(number))
        on_event(PhaseEnded(phase="train", detail="2 steps", seconds=0.2))
        return self.run(self.outcome)

    def runs(self, _folder: object = ".") -> tuple[api.Run, ...]:
        """Stands for `ftc.api.runs`."""
        return (self.run(self.run_status),) if self.run_status else ()

    def load_plan(self, _file: object) -> Plan:
        """Stands for `ftc.api.load_plan`."""
        return self.plan


def _step(number: int) -> StepDone:
    return StepDone(
        step=number, epoch=1.0, loss=0.5, learning_rate=1e-4, grad_norm=1.0, tokens=9, supervised=9, seconds=0.1
    )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The fake, in place, in an empty folder, without colors and without a terminal."""
    fake = World(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS", "FTC_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(api, "plan", fake.make_plan)
    monkeypatch.setattr(api, "apply", fake.execute)
    monkeypatch.setattr(api, "runs", fake.runs)
    monkeypatch.setattr(api, "load_plan", fake.load_plan)
    monkeypatch.setattr(api, "find_run", lambda text: fake.run("finished"))
    monkeypatch.setattr(api, "save_plan", lambda planned, file, force=False: fake.saved.append(Path(file)) or planned)
    return fake
