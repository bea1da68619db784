"""Why a run stopped before it was over, once for each time; the record keeps all of it, whatever came afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ftc.spec.base import Document

__all__ = ["Interruption", "Standing", "StopKind", "usable_step"]

StopKind = Literal["interrupted", "paused", "pruned"]
"""How a run is left on request: `interrupted` by a signal, `paused` at the step that the caller named, `pruned` by the
caller while it went on. All leave a checkpoint from which the next `apply` continues with the same bits."""


class Interruption(Document):
    """One time that a run stopped, or had to throw steps away."""

    at: str
    """When it was noted: UTC, ISO 8601. The next process notes what the one before could not."""
    segment: int
    """Number of the segment that it ended, from 1."""
    kind: StopKind | Literal["failed", "lost", "redone", "recovered"]
    """`interrupted`, `paused`, `pruned`: somebody asked for it, see `StopKind`. `failed`: a finding or an error ended
    it. `lost`: the process ended without writing why, as after a kill, a power cut or a full disk. `redone`: inputs
    were touched and are the same by now, so the steps since the last proof were done again. `recovered`: a document of
    the run could not be read."""
    code: str | None = None
    """Code of the finding, such as `FTC515`; None where none names it."""
    reason: str
    """In words."""
    step: int
    """Steps that were done."""
    usable_step: int | None = None
    """The last step whose checkpoint may be continued: later ones may have read other inputs. None where that limits
    nothing."""


def usable_step(interruptions: Sequence[Interruption], proved_step: int | None) -> int | None:
    """The last step whose checkpoint may be continued; None where nothing limits it.

    A proof beyond an interruption's limit means that training went on from there and wrote later ones again.
    """
    limits = [one.usable_step for one in interruptions if one.usable_step is not None]
    return limits[-1] if limits and (proved_step or 0) <= limits[-1] else None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an unfinished run of a plan stands.

    Attributes:
        words: Which run it is and how it was left.
        step: The step from which it continues, by the checkpoints that are there; 0 where it starts over.
    """

    words: str
    step: int
