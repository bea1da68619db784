"""What a record says of its machine, its code and its times, beside its own other fields, the plan and the events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

from ftc.compiler.audit.tally import difference
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.events import Evaluated, Event, PhaseEnded, StepDone
from ftc.spec.documents.expected import planned_by_phase, planned_seconds
from ftc.spec.documents.machine import code_digest
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.version import VERSION

__all__ = ["observations"]

_NEARLY = 1e-9
"""Sums of seconds may differ by the order in which they were added up."""


def observations(plan: Plan, record: RunRecord, events: Sequence[Event], *, ours: bool) -> Iterator[Finding]:
    """Every observation that contradicts another one.

    Args:
        plan: The plan.
        record: The record.
        events: What the run said; empty where its file is not the one that the run left.
        ours: Whether the code that wrote the run is the code that looks at it.
    """
    yield from _machine(plan, record)
    yield from _times(record, events)
    if record.ftc_version != VERSION and record.observed.code.ftc_sha256 == code_digest():
        yield from difference("record.json: ftc_version", record.ftc_version, VERSION, "`observed.code`")
    if ours and len(record.segments) == 1:  # a run that was continued may have been planned again in between
        peaks = planned_by_phase(plan)
        for peak in record.memory_by_phase:
            subject = f"record.json: memory_by_phase, {peak.phase}: planned_bytes"
            yield from difference(subject, peak.planned_bytes, peaks.get(peak.phase), "plan.json")
        for one in record.time_by_phase:
            subject = f"record.json: time_by_phase, {one.phase}: planned"
            yield from difference(subject, one.planned, planned_seconds(plan, one.phase), "plan.json")


def _machine(plan: Plan, record: RunRecord) -> Iterator[Finding]:
    """What the record says about the machine, in two places each."""
    seen, told = record.observed, "`observed.machine`"
    yield from difference("record.json: observed.device", seen.device, seen.machine.device, told)
    yield from difference("record.json: observed.threads", seen.threads, seen.machine.threads, told)
    yield from difference("record.json: observed.world_size", seen.world_size, seen.machine.processes, told)
    if seen.processes:
        ranks = [one.rank for one in seen.processes]
        yield from difference("record.json: observed.processes", len(ranks), seen.world_size, "`world_size`")
        yield from difference("record.json: observed.processes", ranks, [*range(len(ranks))], "`world_size`")
    told = "`observed.environment`"
    yield from difference("record.json: observed.platform", seen.platform, seen.environment.platform, told)
    torch = seen.environment.packages.get("torch")
    if torch is not None and not seen.machine.torch.startswith(torch.version):
        yield from difference("record.json: observed.machine.torch", seen.machine.torch, torch.version, told)
    settings = plan.settings
    yield from difference("record.json: observed.world_size", seen.world_size, settings.train.world_size, "plan.json")
    on_card = seen.machine.compute_capability is not None
    yield from difference("record.json: observed.device", on_card, settings.device.kind == "cuda", "plan.json")
    for name, one in sorted(plan.lock.platforms[plan.platform].packages.items()):
        found = seen.environment.packages.get(name)
        said = found.version if found else "absent"
        yield from difference(
            f"record.json: observed.environment.packages.{name}", said, one.version, "the plan's lock"
        )


def _times(record: RunRecord, events: Sequence[Event]) -> Iterator[Finding]:
    """Times of day that are none, and seconds of each phase whose parts the events tell one by one."""
    for number, one in enumerate(record.segments):
        for name, text in (("started_at", one.started_at), ("ended_at", one.ended_at)):
            try:
                datetime.fromisoformat(text or record.segments[0].started_at)
            except ValueError:
                yield from difference(f"record.json: segments.{number}.{name}", text, "a time", "what ftc writes")
    taken = {one.phase: one.seconds for one in record.time_by_phase}
    trained = record.train_seconds
    if min([trained or 0.0, *taken.values()]) < 0:
        yield from difference("record.json: time_by_phase", "a time below zero", "none", "no clock")
    if "train" in taken:
        told = math.nan if trained is None else trained
        yield from _lasted("train", taken["train"], told, "`train_seconds`")
    if len(record.segments) > 1 or not events:
        return  # an event that a killed process had no time to write is lost
    sums = {
        "validate": sum(one.seconds for one in events if isinstance(one, Evaluated)),
        "sample": sum(own.seconds for one in events if isinstance(one, StepDone) and (own := one.own_answers)),
        "evaluate": sum(one.seconds for one in events if isinstance(one, PhaseEnded) and one.phase == "evaluate"),
    }
    of_evaluation = taken.get("evaluate", 0.0) + taken.get("generate", 0.0)
    for name, said in (
        ("validate", taken.get("validate")),
        ("sample", taken.get("sample")),
        ("evaluate", of_evaluation if "evaluate" in taken else None),
    ):
        if said is not None:
            yield from _lasted(name, said, sums[name], "events.ndjson")


def _lasted(name: str, said: float, told: float, source: str) -> list[Finding]:
    if math.isclose(said, told, rel_tol=_NEARLY):
        return []
    return difference(f"record.json: time_by_phase, {name}", said, told, source)
