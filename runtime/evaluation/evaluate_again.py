"""A finished run measured once more: the weights that it left, on a test split. Nothing is written into its folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.runtime.execution.execute import Inputs, expand_segments, let_threads_sleep
from ftc.spec.documents.events import EventListener
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from ftc.runtime.execution.session import Session

__all__ = ["look_again", "reopened"]


def look_again(plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, listen: EventListener) -> Evaluation:
    """Measures what a run exported, by the code that measured it at its end.

    Args:
        plan: The run's plan; its test split is what is measured.
        inputs: Where model and stream are.
        run: The run's folder, which holds the weights.
        record: Its record.
        listen: Hears of every event.

    Raises:
        Refusal: The weights are not those of the record, model or stream not the plan's, or the judge's key is not
            there (FTC649).
        KeyboardInterrupt: Somebody asked to stop.
    """
    from ftc.runtime.evaluation.evaluate import measure
    from ftc.runtime.evaluation.results import evaluation
    from ftc.runtime.execution.verify import verify_inputs, verify_key

    verify_key(plan)
    with reopened(plan, inputs, run, record, listen) as session:
        with session.journal.phase("verify", f"{len(plan.lock.model.files) + 1} files"):
            verify_inputs(plan, inputs)
        base = measure(session, "base") if plan.settings.eval.baseline else None
        tuned = measure(session, "tuned")
        assert tuned is not None, "the plan has test rows"
        return evaluation(session, base, tuned)


@contextmanager
def reopened(plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, listen: EventListener) -> Iterator[Session]:
    """A session on a finished run's weights, whose own files go to a scratch folder; arguments as for `look_again`.

    Raises:
        KeyboardInterrupt: Somebody asked to stop.
    """
    let_threads_sleep()
    expand_segments(plan)
    alone = _in_one_process(plan)
    from ftc.runtime.execution.accelerator import make_accelerator
    from ftc.runtime.execution.journal import Journal, LadderFile
    from ftc.runtime.execution.session import Session
    from ftc.runtime.execution.state import RunState
    from ftc.runtime.training.seeding import deterministic
    from ftc.runtime.training.signals import Interrupted, stop_on_signals

    with (
        stop_on_signals(lambda number: None) as stop,
        deterministic(plan.settings),
        tempfile.TemporaryDirectory(prefix="ftc-eval-") as scratch,
    ):
        accelerator = make_accelerator(alone.settings)
        folder = RunFolder(Path(scratch))
        state = RunState(folder, record, writes=False)
        with (
            Journal(folder.events, listen, silent=not accelerator.is_main_process) as journal,
            LadderFile(folder.ladder, silent=True) as ladder,
        ):
            session = Session(
                alone, plan.job_sha256(), inputs, folder, state, journal, ladder, accelerator, stop, weights=run
            )
            try:
                yield session
            except Interrupted:  # nothing waits to be gone on with, as a run would
                raise KeyboardInterrupt from None


def _in_one_process(plan: Plan) -> Plan:
    """The plan for one process that holds the model whole, however many have trained it: measuring needs no more."""
    settings = plan.settings
    train = settings.train.model_copy(update={"world_size": 1, "sharding": "none", "offload": "none"})
    device = settings.device.model_copy(update={"count": 1})
    return plan.model_copy(update={"settings": settings.model_copy(update={"train": train, "device": device})})
