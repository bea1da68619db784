"""What the parts of a run share: the plan, the folder, the journal, the model at hand."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import nn

from ftc.runtime.artifacts.checkpoint import Checkpoint
from ftc.runtime.artifacts.checkpoint_files import step_folder
from ftc.runtime.execution.accelerator import agreed, divide, everywhere, observe
from ftc.runtime.execution.agreement import agreed_or_refused, launcher
from ftc.runtime.execution.copies import NO_COPIES, Copies
from ftc.runtime.execution.execute import Inputs
from ftc.runtime.execution.file_stamps import FileStamps, InputsTouched
from ftc.runtime.execution.journal import AnswersFile, Journal, StepLogFile
from ftc.runtime.execution.machine import begin_stretch, peak_memory
from ftc.runtime.execution.state import RunState, find_run
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model, build_once, continue_adapter
from ftc.runtime.models.pixels import FolderPixels, with_pixels
from ftc.runtime.rewards.asked import Graders
from ftc.runtime.rewards.grades import GradeBook
from ftc.runtime.rewards.reward_model import RewardModel
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.runtime.training.distillation import Teacher, build_teacher, make_teacher
from ftc.runtime.training.signals import StopRequest
from ftc.spec.companions import Role
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.estimates import Phase
from ftc.spec.documents.events import EventListener, Noticed, Part
from ftc.spec.documents.expected import planned_by_phase, planned_seconds
from ftc.spec.documents.machine import snapshot_code
from ftc.spec.documents.phases import PhaseMemory, PhaseSeconds, RunPhase
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.probes import scoring_models
from ftc.spec.documents.sampled import answer_kind
from ftc.spec.documents.slices import Groups
from ftc.spec.documents.streams import TAUGHT, TokenStream, open_stream
from ftc.spec.documents.tracking import Settle
from ftc.spec.rewards import judge_of
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Session", "open_session"]

_PHASE_OF: dict[Part, Phase] = {
    "verify": "load",
    "load": "load",
    "prove": "prove",
    "reference": "reference",
    "export": "save",
    "evaluate": "evaluate",
    "judge": "judge",
    "grade": "grade",
}
"""Phases of a plan's time by the parts of a run whose time counts to them."""


@dataclass(slots=True)
class Session:
    """One process's work on a run."""

    plan: Plan
    job_sha256: str
    """The plan's job, which checkpoints and exported weights belong to."""
    inputs: Inputs
    folder: RunFolder
    state: RunState
    journal: Journal
    step_log: StepLogFile
    answers: AnswersFile
    accelerator: Accelerator
    stop: StopRequest
    trained: ModelWithScorer | None = None
    """The model that training or export has changed."""
    base: ModelWithScorer | None = None
    """The model as it is before the first step, or with the exported weights in it."""
    stopped_early: bool = False
    stamps: FileStamps = field(default_factory=FileStamps)
    """Watches the inputs from their verification on."""
    until: int | None = None
    """Step after which the run pauses; None for none."""
    settle: Settle = tuple
    """Gives what trackers took, once the last event is written."""
    copies: Copies = NO_COPIES
    """Which processes get copies of what they read of the run."""
    weights: RunFolder | None = None
    """Folder of the run whose weights are measured, where it isn't this one."""
    _book: GradeBook | None = None
    _reward_model: RewardModel | None = None
    _pixels: FolderPixels | None = None
    _streams: dict[str, TokenStream] = field(default_factory=dict)
    _writing_seconds: float = 0.0
    """Of the evaluation that goes on, what writing has taken."""

    @property
    def book(self) -> GradeBook | None:
        """What a judge says of answers that earn rewards; None where none is asked."""
        sampling = self.plan.settings.train.sampling
        judge = judge_of(sampling.rewards) if sampling is not None else None
        if self._book is None and judge is not None:
            self._book = GradeBook(self.folder.judged, judge, self.stop, asks=self.inputs.asks_judge)
        return self._book

    @property
    def reward_model(self) -> RewardModel | None:
        """Who scores answers that earn rewards; None where no reward model does."""
        sampling = self.plan.settings.train.sampling
        if self._reward_model is None and sampling is not None and sampling.reward_model is not None:
            self._reward_model = self.load_reward_model("reward_model")
        return self._reward_model

    @property
    def graders(self) -> Graders:
        """Who gives answers those rewards that are asked for once; nobody in a plan without."""
        sampling = self.plan.settings.train.sampling
        return Graders(sampling.rewards if sampling is not None else (), self.book, self.reward_model)

    def drop_models(self) -> None:
        """Frees all models, so that another one has the device; each is made again where it is asked for."""
        self.trained = self.base = self._reward_model = None
        self.accelerator.free_memory()

    def load_reward_model(self, role: Role) -> RewardModel:
        """A reward model of the plan, once its files are known to be those that were verified."""
        found = scoring_models(self.plan.settings)[role]
        with self.journal.phase("load", found.base):
            model = RewardModel(
                self.plan.settings,
                role,
                self.inputs.companions[role],
                self.inputs.streams_folder,
                self.accelerator.device,
            )
        self.prove_inputs()
        self.note_memory("load")
        return model

    def build(self) -> ModelWithScorer:
        """A new model, as it is before the first step."""
        settings = self.plan.settings
        if self.trained or self.base:
            self.trained = self.base = None
            self.accelerator.free_memory()  # two models at once could be more than the plan's memory
        with self.journal.phase("load", settings.model.base):
            model = self._read()
            scorer = make_scorer(model, settings)
            model = divide(self.accelerator, model, settings)
        self.prove_inputs()
        self.note_memory("load")
        return ModelWithScorer(model, scorer)

    def _read(self) -> nn.Module:
        settings, folder = self.plan.settings, self.inputs.model_folder
        if settings.train.is_divided:
            model = build_once(self.accelerator, settings, folder)
        else:
            model = build_model(settings, FolderBase(folder), self.accelerator.device)
        parent, adapter = settings.model.parent, self.inputs.companions.get("parent")
        if parent is not None and adapter is not None:
            continue_adapter(model, settings, adapter, parent)
        return model

    def pause_at(self, step: int) -> None:
        """Asks for a stop where the caller wanted the run to go as far as this step."""
        if self.until is not None and step >= self.until:
            self.stop.ask("paused", f"until step {self.until}")

    def brought(self, found: Checkpoint | None, *, only: str | None = None) -> Checkpoint | None:
        """A checkpoint that the first process chose, as this one has it; all processes have to ask.

        Args:
            found: As the first process has it; None where it chose none.
            only: What is read of it, `WEIGHTS` or `OPTIMIZER`; all of it where left out.
        """
        if found is None:
            return None
        here = step_folder(self.folder.checkpoints, found.progress.step)
        files = [here] if only is None else found.files(only) if self.is_first else []
        self.copies.share(self.accelerator, self.folder, files)
        return Checkpoint(here, found.progress)

    def build_teacher(self) -> Teacher | None:
        """The model that is learned from; None where the plan has none."""
        settings = self.plan.settings
        if settings.train.distillation is None:
            return None
        folder = self.inputs.companions["teacher"]
        with self.journal.phase("load", settings.train.distillation.teacher.base):
            model = build_teacher(settings, FolderBase(folder), self.accelerator.device)
        self.prove_inputs()
        self.note_memory("load")
        apart = settings.train.distillation.stream_sha256 is not None
        rows = open_stream(self.inputs.streams_folder / f"{TAUGHT}.arrow") if apart else None
        return make_teacher(settings, model, rows=rows)

    def prove_inputs(self, training_seconds: float | None = None) -> bool:
        """Proves that the files that were verified are unchanged, in all processes; see `FileStamps.confirm`.

        Raises:
            InputsTouched: Some were touched, as any of the processes sees it.
            Refusal: One has other bytes, or is gone (FTC515).
        """
        proved, touched = False, ""
        try:
            proved = self.stamps.confirm(training_seconds)
        except InputsTouched as error:
            touched = "\n".join(error.names)
        names = {name for seen in everywhere(self.accelerator, touched) for name in seen.splitlines()}
        if names:
            raise InputsTouched(sorted(names))
        return proved

    def redo(self, touched: InputsTouched) -> None:
        """Notes that steps are done again, since they may have read other bytes, and lets go of the models."""
        reason = "; ".join(found.summary for found in touched.diagnostics)
        self.state.interrupt("redone", reason, code="FTC515")
        usable = self.state.record.interruptions[-1].usable_step
        self.notice(diagnostic("FTC654", f"{reason}; done again from step {usable}"))
        self.trained = self.base = None
        self.accelerator.free_memory()

    @property
    def pixels(self) -> FolderPixels:
        """What reads the images of all the run's rows, by one processor."""
        if self._pixels is None:
            vision, folders = self.plan.settings.model.vision, self.inputs
            options = {} if vision is None else vision.processor_options
            self._pixels = FolderPixels(folders.streams_folder, folders.model_folder, options)
        return self._pixels

    def stream(self, split: str) -> TokenStream | None:
        """A split's token stream, mapped into memory; None where the plan has no such rows."""
        report = self.plan.data.get(split)
        if report is None or report.rows == 0:
            return None
        if split not in self._streams:
            stream = open_stream(self.inputs.streams_folder / f"{split}.arrow")
            self._streams[split] = with_pixels(stream, self.pixels)
        return self._streams[split]

    def groups(self) -> Mapping[str, Sequence[str]]:
        """Each test row's groups, by column."""
        if self.plan.settings.eval.groups_sha256 is None:
            return {}
        return Groups.model_validate_json((self.inputs.streams_folder / "groups.json").read_bytes()).columns

    def notice(self, finding: Diagnostic) -> None:
        """Tells of something that doesn't stop the run."""
        self.journal.emit(Noticed(code=finding.code, text=finding.summary))

    def note_memory(self, phase: RunPhase) -> None:
        """Writes into the record how much memory was used at most since the last call, which belongs to a phase."""
        kind, record = self.plan.settings.device.kind, self.state.record
        peak = peak_memory(kind)
        changes: dict[str, object] = {
            "peak_memory_bytes": max(peak.size, record.peak_memory_bytes or 0),
            "memory_method": peak.method,
        }
        if begin_stretch(kind):
            planned = planned_by_phase(self.plan).get(phase)
            known = {one.phase: one for one in record.memory_by_phase}
            old = known.get(phase)
            reserved = peak.reserved
            if old is not None and old.reserved_bytes is not None:
                reserved = max(old.reserved_bytes, reserved or 0)
            size = max(peak.size, old.peak_bytes if old else 0)
            known[phase] = PhaseMemory(phase=phase, peak_bytes=size, reserved_bytes=reserved, planned_bytes=planned)
            changes["memory_by_phase"] = tuple(known.values())
        self.state.update(**changes)

    def note_trackers(self) -> None:
        """Writes into the record what trackers took; without trackers, nothing."""
        if self.is_first and (trackers := self.settle()):
            self.state.update(trackers=trackers)

    def note_time(self, phase: Phase, seconds: float) -> None:
        """Adds to the time that a phase has taken, in the record."""
        taken = next((one.seconds for one in self.state.record.time_by_phase if one.phase == phase), 0.0)
        self.set_time(phase, taken + seconds)

    def set_time(self, phase: Phase, seconds: float) -> None:
        """Writes into the record how long a phase has taken over all stretches."""
        known = {one.phase: one for one in self.state.record.time_by_phase}
        known[phase] = PhaseSeconds(phase=phase, seconds=seconds, planned=planned_seconds(self.plan, phase))
        self.state.update(time_by_phase=tuple(known.values()))

    def hear_of_time(self, part: Part, seconds: float) -> None:
        """Notes what a part of the run took, under the phase of a plan that it counts to; training counts its steps."""
        if phase := _PHASE_OF.get(part):
            self.note_time(phase, seconds - (self._writing_seconds if phase == "evaluate" else 0.0))
        if phase == "evaluate" and self._writing_seconds:
            self.note_time("generate", self._writing_seconds)
            self._writing_seconds = 0.0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A part of the evaluation in which answers are written, whose time counts to a phase of its own."""
        started = time.perf_counter()
        yield
        self._writing_seconds += time.perf_counter() - started

    def note_code(self) -> None:
        """Looks whether the code is still the one that the run began with, and tells where it isn't."""
        before, now = self.state.record.observed.code, snapshot_code(project=self.folder.path)
        if before != now:
            what = "ftc's own files" if before.ftc_sha256 != now.ftc_sha256 else "the project's commit"
            self.notice(
                diagnostic(
                    "FTC645",
                    f"{what} changed during the run",
                    notes="the record contains the state at the start, and that it changed",
                    help="run again with `ftc apply --again` if the record must name the code for certain",
                )
            )
            self.state.update(code_changed=True)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return bool(self.accelerator.is_main_process)


@contextmanager
def open_session(
    plan: Plan,
    inputs: Inputs,
    folder: RunFolder,
    listen: EventListener,
    accelerator: Accelerator,
    stop: StopRequest,
    *,
    until: int | None = None,
    settle: Settle = tuple,
    copies: Copies = NO_COPIES,
) -> Iterator[Session]:
    """Begins a segment of a run whose folder is held; it pauses after step `until`."""
    before = agreed_or_refused(accelerator, lambda: find_run(folder, plan))
    plan, is_first = before.plan, bool(accelerator.is_main_process)
    found, processes = observe(accelerator, plan, inputs.environment, snapshot_code(project=folder.path))
    seen = found, processes, launcher(os.environ)
    # What is lost of a record is recovered from the first process's folder, which not all of them see.
    begun = agreed(accelerator, lambda: RunState.begin(folder, plan, seen, before, inputs.previous).record)
    state = RunState(folder, begun, writes=is_first)
    with (
        Journal(folder.events, listen, silent=not is_first) as journal,
        StepLogFile(folder.step_log, silent=not is_first) as step_log,
        AnswersFile(
            folder.answers, answer_kind(earns=plan.settings.train.sampling is not None), silent=not is_first
        ) as answers,
    ):
        session = Session(
            plan,
            plan.job_sha256(),
            inputs,
            folder,
            state,
            journal,
            step_log,
            answers,
            accelerator,
            stop,
            until=until,
            settle=settle,
            copies=copies,
        )
        journal.timed = session.hear_of_time
        for name in before.lost:
            session.notice(diagnostic("FTC656", f"{name} of the run could not be read; it was recovered"))
        yield session
