"""What a device can do as `ftc device calibrate` measured it.

Apart from `ftc.spec.documents.device`, whose classes are part of the recipe, so that `ftc validate` makes none of
these.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ftc.spec.base import Document, Real

__all__ = [
    "Calibration",
    "CalibrationJob",
    "MeasuredEvaluation",
    "MeasuredPass",
    "MeasuredStep",
    "Measurement",
]

_BUSY = 0.5
"""Processes on each core from which a machine counts as busy."""


class CalibrationJob(Document):
    """What to measure."""

    kind: Literal["cpu", "cuda"]
    threads: int
    precisions: tuple[str, ...]
    tries: int = 4
    """Steps of each model behind the first one."""
    most_steps: int = 8
    """Models at the most."""
    scale: Real = 1.0
    """Sizes by the usual ones; less is faster and says less."""


class MeasuredPass(Document):
    """What went through a small model, and how long that took."""

    config: dict[str, Any]
    """The model's configuration."""
    linear_modules: dict[str, tuple[int, int]]
    """(inputs, outputs) of its linear layers, by their names."""
    labels: int
    """Outputs of a new head; 0 where the model's own is used."""
    rows: int
    length: int
    scored: int
    """Places for which the head is computed."""
    precision: str
    seconds: Real
    """Median of several."""


class MeasuredStep(MeasuredPass):
    """One training step, as the run's own loop takes it."""

    adapted: tuple[str, ...]
    """Those of them that have an adapter; empty where all is trained."""
    rank: int
    """Rank of the adapter; 0 where all is trained."""
    trainable: int
    """Weights that are trained."""


class MeasuredEvaluation(MeasuredPass):
    """Rows that are scored, or answered, as the run's own evaluation does it: by its kernels, adapters folded in."""

    new_tokens: int
    """Tokens of each answer; 0 where rows are scored."""


class Measurement(Document):
    """What the process with torch measured."""

    torch: str
    """Its version."""
    flops: dict[str, int]
    """Operations a second of large matrix products, by precision."""
    bandwidth: int
    """Bytes a second that a large sum of two arrays reads and writes."""
    operation_seconds: Real
    """What a small operation costs whatever its size."""
    import_seconds: Real
    """From nothing to the training stack loaded, files in the system's cache."""
    context_bytes: int | None
    """What the driver holds of a card for a process; None on a CPU, or where others used the card."""
    steps: tuple[MeasuredStep, ...]
    looks: tuple[MeasuredEvaluation, ...] = ()
    """Empty in what an earlier release measured."""


class Calibration(Document):
    """What was measured of a device, as it is kept for later plans."""

    schema_: Literal["ftc.calibration/1"] = Field(default="ftc.calibration/1", alias="schema")
    device: str
    """Its name, as plans have it."""
    label: str
    """Name for people; another machine's device of the same name is another device."""
    threads: int
    """CPU threads that were used: another number is another speed."""
    measured_at: str
    """UTC, ISO 8601."""
    busy: Real = 0.0
    """Processes that ran beside it on each core when it began, by the system's mean of the last minute; what was
    measured is what they left of the machine."""
    measured: Measurement

    @property
    def is_busy(self) -> bool:
        """Whether so much ran beside it that an idle machine is another one."""
        return self.busy >= _BUSY
