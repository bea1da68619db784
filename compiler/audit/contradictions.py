"""What the documents of a finished run say of each other: a forger who seals one of them again has to forge them all.

A record sums up what events, step log, checkpoints and exported weights tell one by one, and the project's ledger keeps
its digest. Each sum is made again here. Nothing is executed, and no file is opened whose bytes are known to be others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ftc.compiler.audit.answers import Words
from ftc.compiler.audit.observed import observations
from ftc.compiler.audit.parts import first_changed, is_as_trained, parts_of, tensors_of
from ftc.compiler.audit.sampled import Recompute
from ftc.compiler.audit.tally import difference
from ftc.compiler.audit.validations import check_validations
from ftc.compiler.lock.lockfile import changed_leaves, leaves
from ftc.spec.base import Document
from ftc.spec.canonical import canonical
from ftc.spec.documents.audit import Finding, Recomputed
from ftc.spec.documents.continued import world_size_at
from ftc.spec.documents.events import Evaluated, Event, Noticed, RunEnded, RunStarted, StepDone, strange_lines
from ftc.spec.documents.ledger import Entry
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.machine import code_digest
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.provenance import provenance_of, read_provenance
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.documents.step_log import StepLog, checksum_steps, first_difference, norm_text, read_step_log
from ftc.spec.precisions import precision_card
from ftc.spec.storage.checkpoint_tensors import OPTIMIZER, WEIGHTS, files_in
from ftc.spec.storage.model_files import content_digest
from ftc.spec.storage.paths import RunFolder, step_of
from ftc.spec.version import VERSION

__all__ = ["Witnesses", "contradictions", "is_ours"]

_NEARLY = 1e-9
"""Sums of seconds may differ by the order in which they were added up."""
_BY_RELEASE = ("job_sha256", "recipe_sha256")
"""Digests over whole documents: code that knows a further field counts them otherwise."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What speaks about a run beside its record.

    Attributes:
        events: What the run said, in order.
        evaluation: Its measurement.
        outcomes: What its models made of each test row.
        ledger: The project's ledger.
        torn: What in the ledger is not as it was written.
        recompute: Gives the scores that `outcomes` give, or why they can't be computed, in words; takes the folders of
            the base model and of the token streams, None where one is not here.
        words: Puts a split in words.
        sampled: Gives what sampled answers earn and were fed as, or why that can't be computed.
    """

    events: Sequence[Event]
    evaluation: Evaluation | None
    outcomes: Sequence[Outcome]
    ledger: Sequence[Entry]
    torn: Sequence[str]
    recompute: Callable[[Path | None, Path | None], Recomputed | str]
    words: Words
    sampled: Recompute


@dataclass(frozen=True)
class _Case:
    run: RunFolder
    plan: Plan
    record: RunRecord
    witnesses: Witnesses
    known: Collection[Path]
    """Files of the run whose bytes are those of the record."""
    ours: bool
    """Whether the code that wrote the run is the code that looks."""

    @cached_property
    def step_log(self) -> StepLog:
        """Empty where its file is not the one that the run left."""
        return read_step_log(self.run.step_log) if self.file(self.run.step_log) else StepLog()

    @cached_property
    def steps(self) -> dict[int, StepDone]:
        """Each step as it was done last."""
        found = (event for event in self.witnesses.events if isinstance(event, StepDone))
        return {event.step: event for event in found}

    def file(self, path: Path) -> Path | None:
        return path if path in self.known else None

    def tensors(self, folder: Path, name: str) -> list[Path]:
        """The files of a checkpoint that hold its weights or optimizer state; none where one of them is another."""
        return files_in(folder, name, [path.name for path in self.known if path.parent == folder])


def is_ours(record: RunRecord) -> bool:
    """Whether the code that wrote a run is the code that looks at it: what it derived can then be derived again."""
    return record.ftc_version == VERSION and record.observed.code.ftc_sha256 == code_digest()


def contradictions(
    run: RunFolder, plan: Plan, record: RunRecord, witnesses: Witnesses, known: Collection[Path], *, ours: bool
) -> Iterator[Finding]:
    """Everything in which a finished run's documents don't agree; the first one names the field, step or tensor.

    Args:
        run: The run's folder.
        plan: The plan in it.
        record: The record in it.
        witnesses: What else speaks about the run.
        known: Files in the folder whose bytes are those that the record names; no other is looked into.
        ours: Whether the code that wrote the run is the code that looks at it.
    """
    case = _Case(run, plan, record, witnesses, known, ours)
    for compare in (_plan, _segments, _processes, _inputs, _events):
        yield from compare(case)
    events = witnesses.events if case.file(run.events) else ()
    yield from observations(plan, record, events, ours=ours)
    for compare in (_step_log, _proof, _checkpoints, _result):
        yield from compare(case)


def _plan(case: _Case) -> Iterator[Finding]:
    plan, record = case.plan, case.record
    yield from _plan_and_its_lock(plan, with_recipe=case.ours)
    if case.ours:
        number = record.id.removeprefix(plan.run_id)
        if not record.id.startswith(plan.run_id) or (number and not number.removeprefix("-").isdecimal()):
            yield from difference("record.json: id", record.id, plan.run_id, "the plan's job")
    yield from difference("record.json: name", record.name, plan.name, "plan.json")
    for split, report in plan.data.items():
        locked = plan.lock.data.splits.get(split)
        if locked is not None:
            subject = f"plan.json: data.{split}.stream_digest"
            yield from difference(subject, report.stream_digest, locked.stream_sha256, "the plan's own lock")
            for count in ("rows", "tokens", "truncated_rows", "dropped_rows"):
                said, told = getattr(report, count), getattr(locked, count)
                yield from difference(f"plan.json: data.{split}.{count}", said, told, "the plan's own lock")
    for count in ("license", "num_parameters"):
        said, told = getattr(plan.model, count), getattr(plan.lock.model, count)
        yield from difference(f"plan.json: model.{count}", said, told, "the plan's own lock")
    yield from difference(
        "plan.json: model.architecture", plan.model.architecture, plan.settings.model.architecture, "`settings`"
    )
    if file := case.file(case.run.recipe_lock):
        try:
            said = Lock.model_validate_json(file.read_bytes())
        except ValueError:
            yield from difference(file.name, "no lock", "a lock", "the lock in plan.json")
            return
        key = first_changed(plan.lock, said.to_json())
        yield from difference(f"{file.name}, {key}", said.digest(), plan.lock.digest(), "the lock in plan.json")


def _plan_and_its_lock(plan: Plan, *, with_recipe: bool) -> Iterator[Finding]:
    """Recipe and settings stand in the plan, and what they were locked as in its lock.

    What a recipe leaves to defaults is nothing that it says; which they are, another code of ftc may see otherwise.
    """
    lock, recipe, settings = plan.lock, plan.recipe, canonical(plan.settings.model_dump(mode="json"))
    train = lock.train
    locked = {"settings": {"model": lock.model.settings, "text": lock.text.settings, **train.settings}}
    asked = {"data": lock.data.asked, "task": lock.text.asked, **train.asked}
    said = {name: getattr(recipe, name).said() for name in asked}
    changed, _ = changed_leaves({"settings": settings, "recipe": said}, {**locked, "recipe": asked})
    known = dict(leaves(locked))
    for path, value, other in changed:
        if path in known or (with_recipe and path.startswith("recipe.")):
            yield from difference(f"plan.json: {path}", value, other, "the plan's own lock")


def _segments(case: _Case) -> Iterator[Finding]:
    record, last = case.record, case.record.segments[-1]
    told = "the last entry of `segments`"
    yield from difference("record.json: steps_done", record.steps_done, last.to_step, told)
    yield from difference("record.json: observed.machine", record.observed.machine.digest(), last.machine_sha256, told)
    yield from difference("record.json: observed.code", record.observed.code.ftc_sha256, last.ftc_sha256, told)
    planned = case.plan.settings.train.num_steps
    if record.steps_done > planned or (record.steps_done < planned and last.ended_by != "early_stop"):
        yield from difference("record.json: steps_done", record.steps_done, planned, "plan.json")
    before = 0
    for number, one in enumerate(record.segments):
        if not 0 <= one.from_step <= before or one.to_step < one.from_step:
            found = f"{one.from_step} to {one.to_step}"
            yield from difference(f"record.json: segments.{number}", found, f"from {before} or less", "the one before")
        before = one.to_step
    peaks = [one.peak_bytes for one in record.memory_by_phase]
    if peaks and record.peak_memory_bytes is not None and max(peaks) > record.peak_memory_bytes:
        subject = "record.json: peak_memory_bytes"
        yield from difference(subject, record.peak_memory_bytes, max(peaks), "`memory_by_phase`")


def _inputs(case: _Case) -> Iterator[Finding]:
    """After changed inputs a result counts only if a proof covers all its steps."""
    record, limited = case.record, False
    for number, one in enumerate(record.interruptions):
        subject = f"record.json: interruptions.{number}.usable_step"
        if one.code == "FTC515" and one.usable_step is None:
            yield from difference(subject, None, f"{one.step} or less", "its own code, FTC515")
        elif one.usable_step is not None and not 0 <= one.usable_step <= one.step:
            yield from difference(subject, one.usable_step, f"{one.step} or less", "its own step")
        limited = limited or one.usable_step is not None
    if limited or record.proved_step is not None:  # older records have neither
        yield from difference("record.json: proved_step", record.proved_step, record.steps_done, "`steps_done`")


def _processes(case: _Case) -> Iterator[Finding]:
    """All processes of a segment have the same job, code, packages and kind of machine, or none would have trained."""
    for number, segment in enumerate(case.record.segments):
        if not segment.processes:
            continue
        where, told = f"record.json: segments.{number}.processes", "the segment's other processes"
        ranks = [one.rank for one in segment.processes]
        yield from difference(where, ranks, [*range(len(ranks))], "their number")
        first = segment.processes[0]
        for one in segment.processes:
            place = f"{where}.{one.rank}"
            yield from difference(f"{place}.ftc_sha256", one.ftc_sha256, segment.ftc_sha256, "its segment")
            yield from difference(f"{place}.machine_sha256", one.machine_sha256, segment.machine_sha256, "its segment")
            yield from difference(f"{place}.job_sha256", one.job_sha256, first.job_sha256, told)
            yield from difference(f"{place}.packages_sha256", one.packages_sha256, first.packages_sha256, told)
        if case.ours and first.job_sha256 is not None:
            before = next((one for one in case.record.continued if number < one.segments), None)
            job, source = (before.job_sha256, "`continued`") if before else (case.plan.job_sha256(), "plan.json")
            yield from difference(f"{where}.0.job_sha256", first.job_sha256, job, source)
        if number == len(case.record.segments) - 1:
            yield from difference(where, len(ranks), case.record.observed.world_size, "`observed.world_size`")


def _events(case: _Case) -> Iterator[Finding]:
    record, told = case.record, case.run.events.name
    if case.file(case.run.events):
        changed = any(isinstance(one, Noticed) and one.code == "FTC645" for one in case.witnesses.events)
        yield from difference("record.json: code_changed", record.code_changed, changed, told)
        for one in case.witnesses.events:
            if isinstance(one, RunStarted):
                planned = case.plan.settings.train.num_steps
                yield from difference(f"{told}: run_started", one.num_steps, planned, "plan.json")
                if one.run_id not in {before.run_id for before in record.continued}:
                    yield from difference(f"{told}: run_started.run_id", one.run_id, record.id, "record.json")
        if case.ours:
            for number in strange_lines(case.run.events):
                yield from difference(f"{told}, line {number}", "no event", "an event", "what ftc writes")
    if not case.file(case.run.events) or any(step not in case.steps for step in range(1, record.steps_done + 1)):
        return  # a power cut may take the last lines of a file that is not flushed at each step
    steps = [case.steps[step] for step in range(1, record.steps_done + 1)]
    yield from difference("record.json: steps_done", record.steps_done, max(case.steps, default=0), told)
    elsewhere = case.plan.settings.model.fetched is not None  # there no event tells, and nothing is known
    sums = {"tokens": sum(step.tokens for step in steps), "supervised_tokens": sum(step.supervised for step in steps)}
    for name, value in sums.items():
        yield from difference(f"record.json: {name}", getattr(record, name), None if elsewhere else value, told)
    if precision_card(case.plan.settings.train.precision).scales_loss:
        skipped = sum(step.is_skipped for step in steps)
        yield from difference("record.json: skipped_steps", record.skipped_steps, skipped, told)
    seconds, said = sum(step.seconds for step in steps), record.train_seconds
    if elsewhere != (said is None) or not math.isclose(seconds if said is None else said, seconds, rel_tol=_NEARLY):
        yield from difference("record.json: train_seconds", said, None if elsewhere else seconds, told)
    yield from check_validations(case.plan.settings.train, case.run, case.witnesses.events, case.known)
    validations = (event for event in case.witnesses.events if isinstance(event, Evaluated))
    best = [step for step, is_best in {one.step: one.best for one in validations}.items() if is_best]
    selected = max(best) if best and case.plan.settings.train.select == "best" else record.steps_done
    chosen = None if elsewhere else selected
    yield from difference("record.json: selected_step", record.selected_step, chosen, told)
    ended = [event.status for event in case.witnesses.events if isinstance(event, RunEnded)]
    yield from difference("record.json: status", record.status, ended[-1] if ended else None, told)


def _step_log(case: _Case) -> Iterator[Finding]:
    """Each step's line of the step log beside the step's event, bit by bit."""
    if not case.file(case.run.step_log) or not case.file(case.run.events):
        return
    record = case.record
    is_trained = case.plan.settings.train.num_steps > 0  # combined adapters are written as they are
    for step in checksum_steps(case.record.steps_done) if is_trained else ():
        if step not in case.step_log.checksums:
            yield from difference(
                f"ladder.ndjson, checksum {step}", "no checksum", "a checksum", "the step log's own rule"
            )
    for step, line in sorted(case.step_log.steps.items()):
        if step > case.record.steps_done:
            yield from difference(f"ladder.ndjson: step {step}", "a line", "no such step", "record.json")
        elif event := case.steps.get(step):
            subject = f"ladder.ndjson, step {line.step}"
            said = {"loss": event.loss.hex(), "grad_norm": norm_text(event.grad_norm)}
            for name, value in {**said, "learning_rate": event.learning_rate.hex()}.items():
                yield from difference(f"{subject}: {name}", getattr(line, name), value, "events.ndjson")
            if world_size_at(record.continued, step, record.observed.world_size) == 1:
                yield from difference(
                    f"{subject}: batch_sha256", line.batch_sha256, event.batch_sha256, "events.ndjson"
                )


def _proof(case: _Case) -> Iterator[Finding]:
    """A level above D0 has a step log of fresh processes behind it, with which the run's own agrees."""
    seen, planned = case.record.determinism, case.plan.settings.train.determinism.proof_steps
    if seen.proof_steps not in (0, planned):
        yield from difference("record.json: determinism.proof_steps", seen.proof_steps, planned, "plan.json")
    if seen.level == "D0":
        return
    file = case.file(case.run.proof)
    proven = read_step_log(file) if file else StepLog()
    if proven.height < seen.proof_steps:
        subject = "record.json: determinism"
        yield from difference(subject, f"{seen.level} over {seen.proof_steps} steps", proven.height, "proof.ndjson")
    elif case.file(case.run.step_log) and (parted := first_difference(proven, case.step_log, 0, seen.proof_steps)):
        subject = f"proof.ndjson, step {parted.step}: {parted.component}"
        yield from difference(subject, parted.expected, parted.found, "ladder.ndjson")


def _checkpoints(case: _Case) -> Iterator[Finding]:
    """The tensors of each checkpoint beside the checksum of its step."""
    if not case.file(case.run.step_log):
        return
    for folder in sorted(case.run.checkpoints.glob("step-*")):
        if (step := step_of(folder)) is None:
            continue  # named with the files that nobody wrote
        checksum = case.step_log.checksums.get(step)
        if checksum is None:
            yield from difference(
                f"ladder.ndjson, {folder.name}", "no checksum", "a checkpoint", "the folder of checkpoints"
            )
            continue
        if files := case.tensors(folder, WEIGHTS):
            held = {name: one.sha256 for name, one in parts_of(files).items()}
            for name in sorted(held.keys() | checksum.tensors.keys()):
                subject = f"{folder.name}, tensor {name}"
                yield from difference(subject, held.get(name), checksum.tensors.get(name), "ladder.ndjson")
        if files := case.tensors(folder, OPTIMIZER):
            subject = f"{folder.name}, optimizer"
            yield from difference(subject, content_digest(parts_of(files)), checksum.optimizer_sha256, "ladder.ndjson")


def _result(case: _Case) -> Iterator[Finding]:
    """The exported weights beside the record, the checksum that they were taken from, and their own header."""
    from ftc.compiler.resolve.models.weights import read_metadata

    results = case.run.adapter / "adapter_model.safetensors", case.run.model / "model.safetensors"
    file = next(filter(None, map(case.file, results)), None)
    if file is None:
        return
    where = file.relative_to(case.run.path).as_posix()
    held = tensors_of(file)
    yield from difference(
        "record.json: final_weights_sha256", case.record.final_weights_sha256, content_digest(held), where
    )
    checksum = case.step_log.checksums.get(case.record.selected_step or 0)
    if checksum is not None and file.parent == case.run.adapter and is_as_trained(case.plan):
        for name, one in held.items():
            if one.sha256 not in checksum.tensors.values():
                subject = f"{where}, tensor {name}"
                yield from difference(
                    subject, one.sha256, "in no tensor", f"the step log's weight checksum of step {checksum.step}"
                )
    says, ought = read_provenance(read_metadata(file)), provenance_of(case.plan)
    passed = () if case.ours else _BY_RELEASE
    yield from _fields_differ(f"plan.json and the header of {where}", ought, says, passed)


def _fields_differ(subject: str, ought: Document, says: Document | None, passed: Collection[str]) -> Iterator[Finding]:
    told = says.to_json() if says else {}
    for name, value in ought.to_json().items():
        if name not in passed:
            yield from difference(f"{subject}: {name}", value, told.get(name), "the header")
