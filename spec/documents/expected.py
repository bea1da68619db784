"""What a plan expects of each phase of its run, in the terms in which the run measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ftc.spec.documents.estimates import Phase, PhasePeak, SecondsRange
from ftc.spec.documents.phases import RunPhase
from ftc.spec.documents.plan import Plan

__all__ = ["phase_groups", "planned_by_phase", "planned_seconds"]

_RUN_PHASES: Mapping[str, tuple[RunPhase, ...]] = {
    "load": ("load",),
    "evaluation": ("validate", "evaluate"),
    "generation": ("evaluate",),
    "grade": ("evaluate",),
    "save": ("save",),
    "resume": ("resume",),
    "export": ("export",),
}
"""Phases of a run in which a group of planned ones happens; all others happen in training."""
_BELONGS_TO = {"loss": "forward", "clip": "optimizer step", "optimiser step": "optimizer step"}
"""Short phases that are shown with their neighbor, and the name that plans have in British spelling."""


def phase_groups(phases: Sequence[PhasePeak]) -> dict[str, PhasePeak]:
    """The largest peak of each group of phases, in the order in which groups begin."""
    found: dict[str, PhasePeak] = {}
    for phase in phases:
        name = phase.phase.partition(":")[0]
        group = _BELONGS_TO.get(name, name)
        if group not in found or phase.peak_bytes > found[group].peak_bytes:
            found[group] = phase
    return found


def planned_by_phase(plan: Plan) -> dict[RunPhase, int]:
    """What the plan expects of each phase of a run, in the sense in which the run measures it.

    On a card a run measures tensors, on a CPU its process, which has more in it than tensors.
    """
    beside = 0 if plan.settings.device.kind == "cuda" else plan.memory.peak_bytes - plan.memory.allocated_bytes
    found: dict[RunPhase, int] = {}
    for group, peak in phase_groups(plan.memory.phases).items():
        for phase in _RUN_PHASES.get(group, ("train",)):
            found[phase] = max(found.get(phase, 0), peak.peak_bytes + beside)
    return found


def planned_seconds(plan: Plan, phase: Phase) -> SecondsRange | None:
    """How long the plan expects a phase to take; None where it doesn't know, or has no such phase."""
    phases = plan.time.phases if plan.time else ()
    return next((one.seconds for one in phases if one.phase == phase), None)
