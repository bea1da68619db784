"""Where the time of a run's training steps goes, as PyTorch's profiler measures it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real

__all__ = ["Operation", "ProfiledRun", "Share"]


class Share(Document):
    """One part of a step."""

    part: str
    """Name of a card of `ftc.spec.step_parts`."""
    seconds: Real
    """A step, mean of all."""


class Operation(Document):
    """One operation or kernel."""

    name: str
    """As PyTorch or CUDA names it."""
    part: str
    seconds: Real
    """A step, without those that it calls."""
    calls: Real
    """A step."""


class ProfiledRun(Document):
    """A run's first steps once more, under the profiler."""

    schema_: Literal["ftc.profile/1"] = Field(default="ftc.profile/1", alias="schema")
    ftc_version: str
    torch_version: str
    run_id: str
    name: str
    """Name of the recipe's job."""
    device: str
    is_gpu: bool
    """Whether parts are times of the GPU's kernels rather than of the CPU's operations."""
    warm_up: int
    """Steps that were done before, and not measured."""
    steps: int
    """Steps that were measured."""
    tokens: Real
    """A step, padding not counted."""
    seconds: Real
    """A step with its input, while the profiler watched."""
    usual_seconds: Real
    """The step before these, which nobody watched: the difference is the profiler's cost, and that of other rows."""
    planned_seconds: Real | None
    """A step by the plan; None where it has no estimate."""
    shares: tuple[Share, ...]
    """They add up to `seconds`; the largest first."""
    operations: tuple[Operation, ...]
    """The most expensive ones."""
    kernels: Real | None
    """Kernels that a GPU was given, a step; None on a CPU."""
    notes: tuple[str, ...] = ()
    """What makes steps slow, and what can be done."""
