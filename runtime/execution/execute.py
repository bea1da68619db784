"""What the caller looked up for a plan, and how far it is to go; it costs no heavy import to say it."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_never

from ftc.runtime.execution.copies import NO_COPIES, Copies
from ftc.runtime.execution.last_words import Witness, watched_from_outside
from ftc.runtime.execution.lost_processes import refusal_of
from ftc.runtime.execution.shortages import disk_refused, out_of_memory
from ftc.runtime.execution.state import find_run, hold, refuse_held
from ftc.spec.companions import Role
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.events import (
    Event,
    EventListener,
    RunEnded,
    RunStarted,
    StopRequested,
    read_events,
    without_repeats,
)
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.interruption import StopKind
from ftc.spec.documents.launch import WriterSettings
from ftc.spec.documents.plan import (
    CombineStep,
    EvaluateStep,
    ExportStep,
    FetchStep,
    Plan,
    ProveStep,
    Step,
    TrainStep,
    VerifyStep,
)
from ftc.spec.documents.record import Predecessor, RunRecord
from ftc.spec.documents.tracking import Settle
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ftc.runtime.evaluation.evaluate import Measurement
    from ftc.runtime.execution.session import Session
    from ftc.runtime.training.signals import StopRequest

__all__ = ["Inputs", "Steering", "execute", "expand_segments", "let_threads_sleep"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where a plan's files are, and what is installed.

    Attributes:
        model_folder: Local folder or hub snapshot that holds the base model.
        streams_folder: Folder of `train.arrow`, `validation.arrow` and `test.arrow`, those that the plan's data has.
        environment: Interpreter and packages as observed now.
        previous: The run of the same recipe that was the last one to end; None where there is none.
        companions: Folders of the models beside it, by role; those that the plan asks for.
        writer: Where the server is that writes answers; its usual place where the site says nothing.
        writer_key: Key of a server that the run has started; empty where the site names a variable, or nothing.
        recorded: Answers of a server that are trained on once more, in the place of asking it; None to ask it.
        asks_judge: Whether a judge whose grades are a reward is asked about answers that it wasn't asked about before.
    """

    model_folder: Path
    streams_folder: Path
    environment: EnvironmentFacts
    previous: Predecessor | None = None
    companions: Mapping[Role, Path] = field(default_factory=dict)
    writer: WriterSettings = field(default_factory=WriterSettings)
    writer_key: str = field(default="", repr=False)
    recorded: Path | None = None
    asks_judge: bool = True


@dataclass(frozen=True, slots=True)
class Steering:
    """How far a run is to go this time.

    Attributes:
        until: Step after which it pauses; `train` for after training and export, before the test split is measured;
            None for the end of the plan.
        prune: Hears of every event, and gives a reason for which the run is not worth going on, or None.
    """

    until: int | Literal["train"] | None = None
    prune: Callable[[Event], str | None] | None = None

    def is_there(self, record: RunRecord) -> bool:
        """Whether a paused run has come as far already."""
        if record.status != "paused" or self.until is None:
            return False
        return record.final_weights_sha256 is not None if self.until == "train" else record.steps_done >= self.until


_MOST_TIMES = 4
"""How often a run's steps are done where something touches its inputs meanwhile; then it gives up."""
_DISK_REFUSES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})


def execute(
    plan: Plan,
    inputs: Inputs,
    run: RunFolder,
    listen: EventListener,
    steering: Steering | None = None,
    *,
    settle: Settle = tuple,
    copies: Copies = NO_COPIES,
) -> RunRecord:
    """Executes a plan in a run's folder, from the beginning or from where it was left.

    A run that has done all of its plan returns its record unchanged, and nothing is written. SIGINT and SIGTERM end
    the run at the next safe place with a checkpoint; the record then says `interrupted`.

    Args:
        plan: What to do.
        inputs: Where the plan's files are, and what is installed.
        run: The run's folder; made where it is missing.
        listen: Hears of every event; in a run of several processes only the first one's does.
        steering: How far it goes; to the end of the plan where left out. A run that stops before that is `paused` or
            `pruned`, with a checkpoint, and goes on with the same bits when it is executed again.
        settle: Gives, once the last event is written and before the record is closed, what trackers took.
        copies: Which processes get copies of what they read of the run; nobody where left out.

    Raises:
        Refusal: Something differs from the plan, another process works on the run, or a number is not finite.
    """
    found, steering = find_run(run, plan), steering or Steering()
    if found.record is not None and not found.lost and (found.record.is_finished or steering.is_there(found.record)):
        return found.record
    if os.environ.get("RANK", "0") == "0":
        refuse_held(run)  # before anything heavy is loaded, so that the second of two is told at once
    return _Execution(found.plan, inputs, run, listen, steering, settle, copies).run()


@dataclass(slots=True)
class _Execution:
    plan: Plan
    inputs: Inputs
    folder: RunFolder
    listen: EventListener
    steering: Steering
    settle: Settle
    copies: Copies
    base: Measurement | None = None
    tuned: Measurement | None = None
    prompted: dict[str, Measurement] = field(default_factory=dict)

    def run(self) -> RunRecord:
        """Everything between the first and the last event."""
        started = time.perf_counter()
        let_threads_sleep()
        expand_segments(self.plan)
        from ftc.runtime.execution.accelerator import make_accelerator, watched
        from ftc.runtime.execution.session import open_session
        from ftc.runtime.training.seeding import deterministic
        from ftc.runtime.training.signals import stop_on_signals

        with stop_on_signals(self._tell_of_stop) as stop, deterministic(self.plan.settings):
            accelerator = make_accelerator(self.plan.settings)
            with self._held(accelerator):
                hear = partial(_hear, self.listen, self.steering.prune, stop)
                until = self.steering.until if self.steering.until != "train" else None
                asked = self.plan, self.inputs, self.folder, hear, accelerator, stop
                begun = open_session(*asked, until=until, settle=self.settle, copies=self.copies)
                with watched(accelerator), begun as session, _witnessed(session) as witness:
                    session.note_time("load", time.perf_counter() - started)
                    with _ending(session):
                        self._walk(session, witness)
                    accelerator.wait_for_everyone()
                    self.copies.share(accelerator, self.folder, self.folder.documents)
                    return session.state.record

    @contextmanager
    def _held(self, accelerator: Accelerator) -> Iterator[None]:
        """The run's folder, held by the first process and seen by all; where it can't be held, all of them refuse."""
        from ftc.runtime.execution.agreement import agreed_or_refused, see_folder

        with ExitStack() as stack:
            agreed_or_refused(accelerator, lambda: stack.enter_context(hold(self.folder)))
            see_folder(accelerator, self.folder.holder, is_elsewhere=self.copies.is_elsewhere)
            self.copies.share(accelerator, self.folder, [self.folder.proof])
            yield

    def _tell_of_stop(self, number: int) -> None:
        self.listen(StopRequested(signal=number))

    def _walk(self, session: Session, witness: Witness) -> None:
        from ftc.runtime.execution.file_stamps import InputsTouched

        num_steps = self.plan.settings.train.num_steps
        folder = f"runs/{self.plan.name}/{self.folder.path.name}"
        session.journal.emit(RunStarted(run_id=self.folder.path.name, folder=folder, num_steps=num_steps))
        for times in itertools.count(1):
            try:
                for step in self.plan.steps:
                    session.stop.check()
                    self._do(session, step)
                    witness.watch(session.stamps)
                session.prove_inputs()
                break
            except InputsTouched as touched:
                if times == _MOST_TIMES:
                    raise
                session.redo(touched)
        self._finish(session)

    def _do(self, session: Session, step: Step) -> None:
        from ftc.runtime.artifacts.export import export, is_exported
        from ftc.runtime.evaluation.evaluate import measure, measure_prompted
        from ftc.runtime.execution.accelerator import agreed, everywhere
        from ftc.runtime.execution.agreement import compare_refusals
        from ftc.runtime.execution.verify import verify
        from ftc.runtime.replay.proof import prove
        from ftc.runtime.training.own_server import own_server
        from ftc.runtime.training.train import is_trained, train

        match step:
            case VerifyStep():
                with session.journal.phase("verify", f"{step.files} files"):
                    place = self.folder.path if session.is_first else None
                    check = partial(verify, self.plan, self.inputs, place, session.stamps)
                    compare_refusals(session.accelerator, check)
                    if session.accelerator.num_processes > 1:
                        session.state.note_inputs(everywhere(session.accelerator, session.stamps.inputs_digest()))
            case ProveStep():
                prove(session)
            case TrainStep():
                if not agreed(session.accelerator, lambda: is_trained(session)):
                    with own_server(session):
                        train(session)
            case ExportStep() | CombineStep() | FetchStep():
                if not agreed(session.accelerator, lambda: is_exported(session)):
                    with session.journal.phase("export", step.artifact):
                        export(session)
                if self.steering.until == "train":
                    session.stop.ask("paused", "until training is done")
                    session.stop.check()
            case EvaluateStep(subject="base"):
                self.base = measure(session, "base")
            case EvaluateStep(subject="tuned"):
                self.tuned = measure(session, "tuned")
            case EvaluateStep():
                asked = next(one for one in self.plan.settings.eval.baselines if one.name == step.subject)
                self.prompted[asked.name] = measure_prompted(session, asked)
            case _:
                assert_never(step)

    def _finish(self, session: Session) -> None:
        from ftc.runtime.evaluation.baselines import baseline_results
        from ftc.runtime.evaluation.evaluate import prompted_as_base
        from ftc.runtime.evaluation.findings import result_findings
        from ftc.runtime.evaluation.results import evaluation, measures_of, outcomes, write_outcomes
        from ftc.runtime.training.findings import training_findings
        from ftc.spec.storage.atomic_write import write_file

        passed = True
        is_short = session.state.record.steps_done < self.plan.settings.train.num_steps
        steps, evaluations = without_repeats(read_events(self.folder.events))
        findings = [*training_findings(self.plan.settings.train, steps, evaluations, stopped_early=is_short)]
        if self.tuned is not None:
            if self.base is not None:
                own = [one for one in self.plan.settings.eval.baselines if one.is_own]
                self.prompted |= {one.name: prompted_as_base(session, one, self.base) for one in own}
            simple = baseline_results(session, self.tuned)
            result = evaluation(session, self.base, self.tuned, simple, self.prompted)
            by_class = measures_of(session).by_class(self.tuned.scores, self.tuned.texts)
            findings[:0] = result_findings(self.plan.settings.eval.metrics, by_class, result)
            passed = all(gate.passed for gate in result.gates)
            if session.is_first:
                write_outcomes(session, outcomes(session, self.base, self.tuned, self.prompted))
                write_file(self.folder.evaluation, result.to_text().encode())
        session.note_memory("train" if self.tuned is None else "evaluate")
        session.note_code()
        if (book := session.book) is not None and book.ungraded:
            session.notice(diagnostic("FTC458", f"the judge gave {book.ungraded:,} of {len(book):,} answers no grade"))
        session.state.update(findings=tuple(findings))
        status: Literal["finished", "gate_failed"] = "finished" if passed else "gate_failed"
        session.journal.emit(RunEnded(status=status, detail="" if passed else "a gate failed"))
        session.journal.sync()  # the record names the digests of both: they must not be younger on disk than it is
        session.step_log.sync()
        session.answers.sync()
        session.note_trackers()
        session.state.end(status, "early_stop" if session.stopped_early else "finished")


def _hear(listen: EventListener, prune: Callable[[Event], str | None] | None, stop: StopRequest, event: Event) -> None:
    """Tells of an event, then asks whether the run is worth going on."""
    listen(event)
    if prune is not None and (reason := prune(event)):
        stop.ask("pruned", reason)


def let_threads_sleep() -> None:
    """Threads that wait for each other soon give their core away, which must be said before torch is loaded.

    A short spin is as fast as a long one on idle cores; a long one holds up a run beside which anything else runs.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def expand_segments(plan: Plan) -> None:
    """Has torch's allocator grow its segments instead of adding new ones, as the plan's estimate assumes on Linux.

    It must be said before torch is loaded. What is reserved then follows what is allocated; a user's own choice stands.
    """
    if plan.settings.device.kind == "cuda" and plan.platform.startswith("linux"):
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


@contextmanager
def _witnessed(session: Session) -> Iterator[Witness]:
    """Has the end of a run's first process seen from outside."""
    if session.is_first:
        with watched_from_outside(session.folder, len(session.state.record.segments)) as witness:
            yield witness
    else:
        yield Witness()


@contextmanager
def _ending(session: Session) -> Iterator[None]:
    """Writes into the record how work ended, when it didn't end well."""
    import torch

    from ftc.runtime.training.signals import Interrupted

    try:
        yield
    except Interrupted as stopped:
        _leave(session, stopped.kind, stopped.reason)
    except KeyboardInterrupt:
        _leave(session, "interrupted", "stopped by a second signal")
        raise
    except torch.OutOfMemoryError as error:
        _leave(session, "failed", "out of memory", "FTC633")
        raise Refusal([out_of_memory(session)]) from error
    except OSError as error:
        _leave(session, "failed", error.strerror or str(error), "FTC647" if error.errno in _DISK_REFUSES else None)
        if error.errno in _DISK_REFUSES:
            raise Refusal([disk_refused(session, error)]) from error
        raise
    except Refusal as error:
        cause = _changed_inputs(session) or error
        _leave(session, "failed", cause.diagnostics[0].summary, cause.diagnostics[0].code)
        raise cause from error
    except Exception as error:
        if refusal := _changed_inputs(session):
            _leave(session, "failed", refusal.diagnostics[0].summary, "FTC515")
            raise refusal from error
        if session.accelerator.num_processes > 1 and _is_of_others(error):
            refusal = refusal_of("another process", "the connection to it broke")
            _leave(session, "failed", refusal.diagnostics[0].summary, refusal.diagnostics[0].code)
            raise refusal from error
        _leave(session, "failed", str(error) or type(error).__name__)
        raise


def _leave(session: Session, status: StopKind | Literal["failed"], detail: str, code: str | None = None) -> None:
    """Says how the work ended, as far as the disk still takes it; the record on disk is whole in any case."""
    with suppress(OSError):
        session.journal.emit(RunEnded(status=status, detail=f"{code}: {detail}" if code else detail))
        session.state.interrupt(status, detail, code=code)
        session.note_trackers()
        session.state.end(status, status)


def _changed_inputs(session: Session) -> Refusal | None:
    """What became of the inputs, where that is why work failed: numbers that are not finite may come from other bytes.

    A refusal of FTC515 itself stays as it is.
    """
    try:
        session.stamps.confirm()
    except Refusal as changed:
        return changed
    return None


def _is_of_others(error: Exception) -> bool:
    """Whether an exchange with another process failed; gloo has no type of its own for that."""
    import torch

    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
