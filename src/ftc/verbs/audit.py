"""From a past run to a verdict: files are compared, and steps done again in a fresh process where that is asked for.

Nothing is written into the audited run. What was executed is noted in a log beside its folder.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.compiler.audit.contradictions import Witnesses
from ftc.compiler.audit.locate import audit_inputs
from ftc.compiler.audit.pages import Pages
from ftc.compiler.audit.replay import (
    Steps,
    asked_steps,
    blocked,
    class_findings,
    difference_finding,
    foothold_finding,
    judged,
    judged_by_seeds,
    machine_findings,
    problem_finding,
    reseeded,
    result_findings,
    row_findings,
)
from ftc.compiler.audit.static_audit import AuditInputs, audit_static, signed
from ftc.compiler.audit.tally import finding
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.audit import AuditReport, ClassComparison, Finding, Level, Repetition, Replay, SignatureSeen
from ftc.spec.documents.ledger import broken_links, read_ledger
from ftc.spec.documents.machine import snapshot_code
from ftc.spec.documents.sampled import answer_kind, read_answers
from ftc.spec.documents.step_log import Comparison, Difference, StepLine, WeightChecksum, read_step_log
from ftc.spec.storage.paths import RunFolder, step_of
from ftc.verbs.launch import writer_site
from ftc.verbs.pages import pages
from ftc.verbs.provenance import no_longer_whole
from ftc.verbs.recomputed import recomputed, sampled_again
from ftc.verbs.runs import Run, load_events, load_outcomes, load_run, record_of
from ftc.verbs.standing import left_words

if TYPE_CHECKING:
    from ftc.runtime.evaluation.split_rows import SplitRows
    from ftc.runtime.replay.replay import Replayed
    from ftc.spec.documents.audit import Answer, ReplayRequest
    from ftc.spec.documents.continued import Continued
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.streams import TokenStream

__all__ = ["DEFAULT_STEPS", "Asked", "StepListener", "audit_run", "log_file"]

DEFAULT_STEPS = 20
"""Steps of a replay: enough for a difference in arithmetic to show, and less than a minute of most jobs."""

StepListener = Callable[[int, int], None]
"""Hears how far a replay has come: the step, and the last one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an audit is to do.

    Attributes:
        level: How much.
        first: Steps that are done when the replay begins: 0, or those of a checkpoint.
        last: Step at which it ends; None for `steps` further.
        steps: Steps of a replay whose end isn't given.
        threads: Threads inside an operation; None for the run's.
        force: Go on, where machine or code are of another class.
        seeds: Times to do the whole plan with other seeds instead; 0 to ask for the same bits.
        strict: Whether what an honest run may show counts as a finding too.
        key: Public key of whoever should have signed the run; None to verify no signature.
    """

    level: Level = "static"
    first: int = 0
    last: int | None = None
    steps: int = DEFAULT_STEPS
    threads: int | None = None
    force: bool = False
    seeds: int = 0
    strict: bool = False
    key: Path | None = None


def audit_run(run: Run, asked: Asked, on_step: StepListener) -> AuditReport:
    """Compares, executes what is asked for, and gives the verdict.

    Raises:
        Refusal: The run has not done the steps that are asked for (FTC535), or was pulled (FTC779).
    """
    if run.is_pulled:
        raise Refusal([no_longer_whole(run)])
    link = run.record.previous
    before = record_of(run.folder.parent, link.run_id) if link else None
    witnesses = Witnesses(
        events=load_events(run.folder),
        evaluation=run.evaluation,
        outcomes=load_outcomes(run.folder),
        ledger=read_ledger(run.root),
        torn=broken_links(run.root),
        recompute=lambda *folders: recomputed(run, witnesses, *folders),
        words=partial(_words, run.plan),
        sampled=partial(sampled_again, run, continued=bool(run.record.continued)),
    )
    drawings = Pages(plain=lambda: pages(run, draws=False), drawn=lambda: pages(run))
    inputs = audit_inputs(run.plan, run.root, drawings, before, witnesses)
    gone, _ = left_words(run) or ("", None)
    static = audit_static(RunFolder(run.folder), run.plan, run.record, inputs, strict=asked.strict, gone=gone)
    static = signed(static, *_signature(run, asked.key))
    if asked.level == "static":
        return static
    if run.plan.settings.model.fetched is not None and not blocked(static, asked.level):
        return judged(static, asked.level, (), machine=None, replay=None)
    steps = _steps(run, asked)
    recorded = run.record.observed.machine
    if blocked(static, asked.level):
        return judged(static, asked.level, (), machine=None, replay=None)
    if inputs.streams is None:
        help = f"`ftc plan {run.plan.recipe_file}` creates them again"
        missing = finding("FTC522", "the token streams", "as they were made", "none in the cache", help)
        return judged(static, asked.level, (missing,), machine=None, replay=None)
    if asked.seeds:
        return _logged(run, _repeated(run, inputs, asked, on_step, static))
    if (begun := run.record.continued) and steps.first < begun[-1].step:
        return judged(static, asked.level, (_shared_otherwise(begun[-1]),), machine=None, replay=None)
    other = tuple(class_findings(run.record, inputs.environment, snapshot_code(project=run.folder)))
    if other and not asked.force:
        unseen = ClassComparison(recorded=recorded, here=None, equal=False)
        return judged(static, asked.level, other, machine=unseen, replay=None)
    # Whether a checkpoint is whole is seen by the process that opens it.
    if steps.first != 0 and steps.first not in _checkpoint_steps(run):
        missing = foothold_finding(steps, _checkpoint_steps(run))
        return judged(static, asked.level, (*other, missing), machine=None, replay=None)
    report = _Reexecution(run, inputs, asked, steps, on_step).report(static, other)
    return _logged(run, report)


def _shared_otherwise(one: Continued) -> Finding:
    """The first steps can't be done again with the processes of the run's own plan."""
    subject = f"steps 1 to {one.step}, which run {one.run_id} did"
    hint = f"`--level replay --from-step {one.step}` repeats steps behind them, where their checkpoint is there"
    return finding("FTC715", subject, f"{one.world_size} processes", "those of this run's plan", hint)


def _words(plan: Plan, rows: TokenStream, model: Path) -> SplitRows:
    """A split in words."""
    from ftc.runtime.evaluation.split_rows import SplitRows

    return SplitRows(plan.settings, rows, model)


def _signature(run: Run, key: Path | None) -> tuple[SignatureSeen, Finding | None]:
    """What a signature in the run's folder proves, and what is wrong with it."""
    from ftc.verbs.sign import SIGNATURE_FILE, verify_folder

    is_there = (run.folder / SIGNATURE_FILE).is_file()
    if key is None:
        return SignatureSeen(state="unverified" if is_there else "unsigned"), None
    if not is_there:
        return SignatureSeen(state="unsigned"), finding(
            "FTC529", SIGNATURE_FILE, f"a signature of {key}", "none", _SIGN
        )
    try:
        found = verify_folder(run.folder, key)
    except Refusal as refusal:
        first = refusal.diagnostics[0]
        if first.code != "FTC542":
            raise
        reasons = "; ".join((first.summary, *first.notes))
        return SignatureSeen(state="broken"), finding("FTC529", SIGNATURE_FILE, f"a signature of {key}", reasons, _SIGN)
    return SignatureSeen(state="valid", key=key.name, key_sha256=found.key_sha256), None


_SIGN = "get the run and its signature from whoever signed it, and the key from a place that you trust"


def log_file(folder: Path) -> Path:
    """Where the audits of a run that executed something are noted, beside the run's folder."""
    return folder.with_name(f"{folder.name}.audits.ndjson")


def _steps(run: Run, asked: Asked) -> Steps:
    if asked.level == "full":
        return asked_steps(run.record, first=0, last=run.record.steps_done, count=0)
    return asked_steps(run.record, first=asked.first, last=asked.last, count=asked.steps)


def _checkpoint_steps(run: Run) -> tuple[int, ...]:
    steps = map(step_of, RunFolder(run.folder).checkpoints.glob("step-*"))
    return tuple(sorted(step for step in steps if step is not None))


def _repeated(run: Run, inputs: AuditInputs, asked: Asked, on_step: StepListener, static: AuditReport) -> AuditReport:
    """Does the whole plan some times with other seeds, on whatever machine this is, and compares the scores."""
    found: list[Repetition] = []
    problems: list[Finding] = []
    for number in range(1, asked.seeds + 1):
        again = _repetition(run, inputs, asked, number, on_step)
        if isinstance(again, Finding):
            problems.append(again)
            break
        found.append(again)
    return judged_by_seeds(static, run.evaluation, found, problems)


def _repetition(
    run: Run, inputs: AuditInputs, asked: Asked, number: int, on_step: StepListener
) -> Repetition | Finding:
    from ftc.runtime.replay.replay import replay_in_fresh_process, scratch_folder

    steps = run.plan.settings.train.num_steps

    def go_on(answer: Answer) -> bool:
        if isinstance(answer, StepLine):
            on_step((number - 1) * steps + answer.step, asked.seeds * steps)
        return True

    started, whole = time.monotonic(), Steps(0, steps)
    with scratch_folder() as scratch:
        request = _request(run, inputs, asked, whole, scratch)
        others = {
            "plan": reseeded(run.plan, number),
            "recorded": None,
            "writer": writer_site(run.root, run.plan),
            "asks_judge": True,  # other seeds write other answers
        }
        replayed = replay_in_fresh_process(request.model_copy(update=others), go_on)
        again = load_run(scratch).evaluation if RunFolder(scratch).evaluation.exists() else None
    if replayed.problem or again is None:
        return problem_finding(replayed.problem or diagnostic("FTC536", "the repeated run evaluated nothing"))
    return Repetition(number=number, metrics=again.tuned.metrics, seconds=time.monotonic() - started)


def _request(run: Run, inputs: AuditInputs, asked: Asked, steps: Steps, scratch: Path) -> ReplayRequest:
    """What a fresh process is asked to do, but for the checksums and the machine that are wanted."""
    from ftc.spec.documents.audit import ReplayRequest

    assert inputs.model is not None, "the static level has found the model"
    assert inputs.streams is not None, "and the token streams"
    writing = run.plan.settings.train.writing
    return ReplayRequest(
        plan=run.plan,
        model_folder=str(inputs.model.absolute()),
        streams_folder=str(inputs.streams.absolute()),
        companion_folders={role: str(folder.absolute()) for role, folder in inputs.companions.items()},
        environment=run.plan.lock.platforms[run.plan.platform],
        scratch=str(scratch),
        whole=asked.level == "full",
        checkpoints=str(RunFolder(run.folder).checkpoints.absolute()) if steps.first else None,
        first_step=steps.first,
        last_step=steps.last,
        threads=asked.threads,
        recorded=None if writing is None or writing.here else str(RunFolder(run.folder).answers.absolute()),
    )


class _Reexecution:
    """One replay and what it is compared with."""

    def __init__(self, run: Run, inputs: AuditInputs, asked: Asked, steps: Steps, on_step: StepListener) -> None:
        self._run, self._inputs, self._asked, self._steps = run, inputs, asked, steps
        self._on_step = on_step
        self._step_log = read_step_log(RunFolder(run.folder).step_log)
        self._comparison = Comparison(self._step_log)
        self._parted: Difference | None = None
        self._reached = steps.first

    def report(self, static: AuditReport, other: tuple[Finding, ...]) -> AuditReport:
        """Does the steps again and judges."""
        from ftc.runtime.replay.replay import replay_in_fresh_process, scratch_folder

        started = time.monotonic()
        wanted = {
            "checksums": tuple(self._step_log.checksums),
            "expected": None if self._asked.force else self._run.record.observed.machine,
        }
        with scratch_folder() as scratch:
            if (judged := RunFolder(self._run.folder).judged).is_file():
                shutil.copyfile(judged, RunFolder(scratch).judged)
            request = _request(self._run, self._inputs, self._asked, self._steps, scratch)
            found = replay_in_fresh_process(request.model_copy(update=wanted), self._go_on)
            if self._asked.level != "full" or self._parted or found.problem or not RunFolder(scratch).record.exists():
                results = []
            else:
                again = load_run(scratch)
                results = list(result_findings(self._run.record, again.record, self._run.evaluation, again.evaluation))
                both = self._run.folder, again.folder
                results += row_findings("predictions.ndjson", *map(load_outcomes, both))
                train = self._run.plan.settings.train
                if train.writing is not None and all(RunFolder(folder).answers.is_file() for folder in both):
                    kind = answer_kind(earns=train.sampling is not None)
                    answers = (list(read_answers(RunFolder(folder).answers, kind)) for folder in both)
                    results += row_findings("answers.ndjson", *answers)
        return self._judged(static, (*other, *self._findings(found), *results), found, time.monotonic() - started)

    def _go_on(self, answer: Answer) -> bool:
        """Compares each line as it comes: the first difference ends the replay."""
        if isinstance(answer, StepLine | WeightChecksum):
            if isinstance(answer, StepLine):
                self._reached = answer.step
                self._on_step(answer.step, self._steps.last)
            self._parted = self._comparison.add(answer)
        return self._parted is None

    def _findings(self, found: Replayed) -> list[Finding]:
        here, then = found.machine, self._run.record.observed.machine
        findings = list(machine_findings(then, here)) if here else []
        if self._parted:
            findings.append(difference_finding(self._parted))
        if found.problem:
            findings.append(problem_finding(found.problem))
        return findings

    def _judged(
        self, static: AuditReport, findings: tuple[Finding, ...], found: Replayed, seconds: float
    ) -> AuditReport:
        machine, recorded = found.machine, self._run.record.observed.machine
        is_same = None if machine is None else machine == recorded
        began = bool(found.checksums or found.steps)
        replay = Replay(
            first_step=self._steps.first,
            last_step=self._steps.last,
            reached_step=self._reached,
            steps_compared=self._comparison.steps,
            equal_rungs=tuple(self._comparison.checksums),
            first_difference=f"step {self._parted.step}: {self._parted.component}" if self._parted else None,
            seconds=seconds,
        )
        compared = ClassComparison(recorded=recorded, here=machine, equal=is_same)
        return judged(static, self._asked.level, findings, machine=compared, replay=replay if began else None)


def _logged(run: Run, report: AuditReport) -> AuditReport:
    """Notes the report beside the run; where that can't be written, the report says so."""
    import json

    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **report.to_json()}
    try:
        with log_file(run.folder).open("ab") as file:
            file.write(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        note = f"the log of audits: it can't be written ({error.strerror})"
        return report.model_copy(update={"not_checked": (*report.not_checked, note)})
    return report
