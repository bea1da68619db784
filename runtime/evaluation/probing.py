"""What is measured beside the test split: general text, before and after, and test rows with words exchanged."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ftc.runtime.evaluation.scoring import RowScore, gathered, score_rows
from ftc.runtime.tasks.language import LanguageScorer
from ftc.runtime.tasks.scorer import mixed_precision
from ftc.spec.documents.probes import Swapped
from ftc.spec.documents.streams import open_stream

if TYPE_CHECKING:
    from ftc.runtime.execution.session import Session, Workpiece

__all__ = ["read_swapped", "retained"]


def retained(session: Session, work: Workpiece) -> list[RowScore]:
    """The loss of each block of general text, in their order; empty where the plan has none.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    settings = session.plan.settings
    if settings.eval.retention_sha256 is None:
        return []
    from ftc.runtime.execution.session import Workpiece

    rows = open_stream(session.inputs.streams_folder / "retention.arrow")
    # A scorer of preferences would compare pairs, so plain text has one of its own.
    scorer = LanguageScorer(work.model, settings.model, partial(mixed_precision, settings.train.precision))
    plain = Workpiece(work.model, scorer)
    batches = score_rows(plain, rows, settings.eval.batch_size, session.accelerator, session.stop)
    return gathered([score for batch in batches for score in batch], session.accelerator)


def read_swapped(session: Session) -> Swapped:
    """Which rows of `swaps.arrow` are which."""
    return Swapped.model_validate_json((session.inputs.streams_folder / "swaps.json").read_bytes())
