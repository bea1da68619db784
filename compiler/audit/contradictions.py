"""What the documents of a finished run say of each other: a forger who seals one of them again has to forge them all.

A record sums up what events, ladder, checkpoints and exported weights tell one by one, and the project's ledger keeps
its digest. Each sum is made again here. Nothing is executed, and no file is opened whose bytes are known to be others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ftc.compiler.audit.parts import is_as_trained, tensors_of
from ftc.compiler.lock.lockfile import changed_leaves, leaves
from ftc.spec.base import Document
from ftc.spec.canonical import canonical
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.events import Evaluated, Event, RunEnded, StepDone
from ftc.spec.documents.ledger import Begun, Ended, Entry
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.machine import code_digest
from ftc.spec.documents.outcomes import Outcome, Said, figures, plain_name
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.provenance import provenance_of, read_provenance
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.documents.step_log import Ladder, first_difference, is_rung, read_ladder
from ftc.spec.heads import head_card
from ftc.spec.storage.model_files import content_digest
from ftc.spec.storage.paths import RunFolder
from ftc.spec.version import VERSION

__all__ = ["Witnesses", "contradictions", "is_ours", "ledger_findings"]

_NEARLY = 1e-9
"""Sums of seconds may differ by the order in which they were added up."""
_BY_RELEASE = ("job_sha256", "recipe_sha256")
"""Digests over whole documents: code that knows a further field counts them otherwise."""
_ROUNDED = 1e-6
"""A loss may have been added up in another order or precision."""
_HINT = "restore the run's folder from a copy"


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What speaks about a run beside its record.

    Attributes:
        events: What the run said, in order.
        evaluation: Its measurement.
        outcomes: What its models made of each test row.
        ledger: The project's ledger.
        torn: What in the ledger is not as it was written.
    """

    events: Sequence[Event]
    evaluation: Evaluation | None
    outcomes: Sequence[Outcome]
    ledger: Sequence[Entry]
    torn: Sequence[str]


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
    def ladder(self) -> Ladder:
        """Empty where its file is not the one that the run left."""
        return read_ladder(self.run.ladder) if self.file(self.run.ladder) else Ladder()

    @cached_property
    def steps(self) -> dict[int, StepDone]:
        """Each step as it was done last."""
        found = (event for event in self.witnesses.events if isinstance(event, StepDone))
        return {event.step: event for event in found}

    def file(self, path: Path) -> Path | None:
        return path if path in self.known else None


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
    for look in (_plan, _segments, _events, _ladder, _proof, _checkpoints, _result, _gates, _scores):
        yield from look(case)


def _plan(case: _Case) -> Iterator[Finding]:
    plan, record = case.plan, case.record
    yield from _plan_and_its_lock(plan, with_recipe=case.ours)
    if case.ours:
        yield from _differ("record.json: id", record.id[: len(plan.run_id)], plan.run_id, "the plan's job")
    yield from _differ("record.json: name", record.name, plan.name, "plan.json")
    for split, report in plan.data.items():
        locked = plan.lock.data.splits.get(split)
        if locked is not None:
            subject = f"plan.json: data.{split}.stream_digest"
            yield from _differ(subject, report.stream_digest, locked.stream_sha256, "the plan's own lock")
    if file := case.file(case.run.recipe_lock):
        said = Lock.model_validate_json(file.read_bytes())
        yield from _differ("plan.json: lock", plan.lock.digest(), said.digest(), file.name)


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
            yield from _differ(f"plan.json: {path}", value, other, "the plan's own lock")


def _segments(case: _Case) -> Iterator[Finding]:
    record, last = case.record, case.record.segments[-1]
    told = "the last entry of `segments`"
    yield from _differ("record.json: steps_done", record.steps_done, last.to_step, told)
    yield from _differ("record.json: observed.machine", record.observed.machine.digest(), last.machine_sha256, told)
    yield from _differ("record.json: observed.code", record.observed.code.ftc_sha256, last.ftc_sha256, told)
    peaks = [one.peak_bytes for one in record.memory_by_phase]
    if peaks and record.peak_memory_bytes is not None and max(peaks) > record.peak_memory_bytes:
        subject = "record.json: peak_memory_bytes"
        yield from _differ(subject, record.peak_memory_bytes, max(peaks), "`memory_by_phase`")


def _events(case: _Case) -> Iterator[Finding]:
    record, told = case.record, case.run.events.name
    if not case.file(case.run.events) or any(step not in case.steps for step in range(1, record.steps_done + 1)):
        return  # a power cut may take the last lines of a file that is not flushed at each step
    steps = [case.steps[step] for step in range(1, record.steps_done + 1)]
    yield from _differ("record.json: steps_done", record.steps_done, max(case.steps), told)
    yield from _differ("record.json: tokens", record.tokens, sum(step.tokens for step in steps), told)
    supervised = sum(step.supervised for step in steps)
    yield from _differ("record.json: supervised_tokens", record.supervised_tokens, supervised, told)
    seconds = sum(step.seconds for step in steps)
    if not math.isclose(record.train_seconds, seconds, rel_tol=_NEARLY):
        yield from _differ("record.json: train_seconds", record.train_seconds, seconds, told)
    looks = (event for event in case.witnesses.events if isinstance(event, Evaluated))
    best = [step for step, is_best in {look.step: look.best for look in looks}.items() if is_best]
    selected = max(best) if best and case.plan.settings.train.select == "best" else record.steps_done
    yield from _differ("record.json: selected_step", record.selected_step, selected, told)
    ended = [event.status for event in case.witnesses.events if isinstance(event, RunEnded)]
    yield from _differ("record.json: status", record.status, ended[-1] if ended else None, told)


def _ladder(case: _Case) -> Iterator[Finding]:
    """Each step's line of the ladder beside the step's event, bit by bit."""
    if not case.file(case.run.ladder) or not case.file(case.run.events):
        return
    is_alone = case.record.observed.world_size == 1
    for step in filter(is_rung, range(case.record.steps_done + 1)):
        if step not in case.ladder.rungs:
            yield from _differ(
                f"ladder.ndjson, weight checksum {step}",
                "no weight checksum",
                "a weight checksum",
                "the step log's own rule",
            )
    for step, line in sorted(case.ladder.steps.items()):
        if step > case.record.steps_done:
            yield from _differ(f"ladder.ndjson: step {step}", "a line", "no such step", "record.json")
        elif event := case.steps.get(step):
            subject = f"ladder.ndjson, step {line.step}"
            for name in ("loss", "grad_norm", "learning_rate"):
                yield from _differ(
                    f"{subject}: {name}", getattr(line, name), getattr(event, name).hex(), "events.ndjson"
                )
            if is_alone:
                yield from _differ(f"{subject}: batch_sha256", line.batch_sha256, event.batch_sha256, "events.ndjson")


def _proof(case: _Case) -> Iterator[Finding]:
    """A level above D0 has a ladder of fresh processes behind it, with which the run's own agrees."""
    seen = case.record.determinism
    if seen.level == "D0":
        return
    file = case.file(case.run.proof)
    proven = read_ladder(file) if file else Ladder()
    if proven.height < seen.proof_steps:
        subject = "record.json: determinism"
        yield from _differ(subject, f"{seen.level} over {seen.proof_steps} steps", proven.height, "proof.ndjson")
    elif case.file(case.run.ladder) and (parted := first_difference(proven, case.ladder, 0, seen.proof_steps)):
        subject = f"proof.ndjson, step {parted.step}: {parted.component}"
        yield from _differ(subject, parted.expected, parted.found, "ladder.ndjson")


def _checkpoints(case: _Case) -> Iterator[Finding]:
    """The tensors of each checkpoint beside the rung of its step."""
    if not case.file(case.run.ladder):
        return
    for folder in sorted(case.run.checkpoints.glob("step-[0-9]*")):
        rung = case.ladder.rungs.get(int(folder.name.removeprefix("step-")))
        if rung is None:
            yield from _differ(
                f"ladder.ndjson, {folder.name}", "no checksum", "a checkpoint", "the folder of checkpoints"
            )
            continue
        if file := case.file(folder / "trainable.safetensors"):
            held = {name: one.sha256 for name, one in tensors_of(file).items()}
            for name in sorted(held.keys() | rung.tensors.keys()):
                subject = f"{folder.name}, tensor {name}"
                yield from _differ(subject, held.get(name), rung.tensors.get(name), "ladder.ndjson")
        if file := case.file(folder / "optimizer.safetensors"):
            subject = f"{folder.name}, optimizer"
            yield from _differ(subject, content_digest(tensors_of(file)), rung.optimizer_sha256, "ladder.ndjson")


def _result(case: _Case) -> Iterator[Finding]:
    """The exported weights beside the record, the rung that they were taken from, and their own header."""
    from ftc.compiler.resolve.models.weights import read_metadata

    results = case.run.adapter / "adapter_model.safetensors", case.run.model / "model.safetensors"
    file = next(filter(None, map(case.file, results)), None)
    if file is None:
        return
    where = file.relative_to(case.run.path).as_posix()
    held = tensors_of(file)
    yield from _differ(
        "record.json: final_weights_sha256", case.record.final_weights_sha256, content_digest(held), where
    )
    rung = case.ladder.rungs.get(case.record.selected_step or 0)
    if rung is not None and file.parent == case.run.adapter and is_as_trained(case.plan):
        for name, one in held.items():
            if one.sha256 not in rung.tensors.values():
                subject = f"{where}, tensor {name}"
                yield from _differ(
                    subject, one.sha256, "in no tensor", (f"the step log's weight checksum of step {rung.step}")
                )
    says, ought = read_provenance(read_metadata(file)), provenance_of(case.plan)
    passed = () if case.ours else _BY_RELEASE
    yield from _fields_differ(f"plan.json and the header of {where}", ought, says, passed)


def _gates(case: _Case) -> Iterator[Finding]:
    measured = case.witnesses.evaluation
    if measured is None:
        return
    passed = all(gate.passed for gate in measured.gates)
    status = "finished" if passed else "gate_failed"
    yield from _differ("record.json: status", case.record.status, status, "eval.json")
    known = figures(measured)
    for gate in measured.gates:
        value, _ = known.get(plain_name(gate.metric), (None, None))
        yield from _differ(f"eval.json: gate {gate.metric}", gate.value, value, "what is measured")


def _scores(case: _Case) -> Iterator[Finding]:
    """Measurements that follow from single rows by plain arithmetic, made again from these."""
    measured, rows = case.witnesses.evaluation, case.witnesses.outcomes
    if measured is None or not rows or not case.file(case.run.outcomes):
        return
    for subject, result in {"base": measured.base, "tuned": measured.tuned}.items():
        said = [(row, getattr(row, subject)) for row in rows]
        if result is None or len(rows) != result.rows or any(one is None for _, one in said):
            continue
        for name, value in _again(case, said).items():
            told = result.metrics.get(name)
            if told is not None and not math.isclose(told, value, rel_tol=_ROUNDED, abs_tol=_ROUNDED):
                yield from _differ(f"eval.json: {name} of {subject}", told, value, case.run.outcomes.name)


def _again(case: _Case, said: list[tuple[Outcome, Said]]) -> dict[str, float]:
    targets = sum(one.targets for _, one in said)
    found = {"loss": sum(one.loss_sum for _, one in said) / targets} if targets else {}
    if head_card(case.plan.settings.model.head).has_confidence:
        found["accuracy"] = sum(one.text == row.expected for row, one in said) / len(said)
    return found


def ledger_findings(plan: Plan, record: RunRecord, witnesses: Witnesses) -> list[Finding] | None:
    """What the project's ledger says against a run: another plan or record, or that itself is not whole.

    It has no say where it has no entry of the run, as after the folder was copied to another project: None then. Nor
    has it on the record of a run that began and was killed, which changed after the last entry.
    """
    own = [one for one in witnesses.ledger if isinstance(one, Begun | Ended) and one.run_id == record.id]
    pairs = (
        ("plan.json", plan.sha256, [one.plan_sha256 for one in own if isinstance(one, Begun)]),
        ("record.json", record.sha256, [one.record_sha256 for one in own[-1:] if isinstance(one, Ended)]),
    )
    distrust = "restore the ledger from a copy; its entries about runs can't be trusted"
    found = [
        Finding(code="FTC538", subject="ledger.ndjson", expected="a chain of entries", found=fault, hint=distrust)
        for fault in witnesses.torn
    ]
    for subject, here, noted in pairs:
        if noted and noted[-1] != here:
            hint = "restore it from a copy or from git; the project's ledger has the digest of the original"
            found.append(Finding(code="FTC538", subject=subject, expected=noted[-1], found=here, hint=hint))
    return found if own or found else None


def _fields_differ(subject: str, ought: Document, says: Document | None, passed: Collection[str]) -> Iterator[Finding]:
    told = says.to_json() if says else {}
    for name, value in ought.to_json().items():
        if name not in passed:
            yield from _differ(f"{subject}: {name}", value, told.get(name), "the header")


def _differ(subject: str, said: object, told: object, source: str) -> Iterator[Finding]:
    if said != told:
        hint = f"{source} says something else; {_HINT}"
        yield Finding(code="FTC537", subject=subject, expected=str(said), found=str(told), hint=hint)
