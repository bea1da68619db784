"""A plan in the making: facts, and the sections of the settings that passes have settled, each value with its origin.

How a value gets from the recipe into the settings:

- A *section* is a frozen document of `ftc.spec.documents.settings` (`TrainSettings`, ...). One pass makes it whole,
  through its constructor, so that a type checker sees every missing field and every read, such as `draft.text.form`.
- Values are chosen by functions that take the draft and give the value. `Reasons` notes the origin of each beside its
  path and hands the value through: `why.take("overflow", data.overflow, "data.overflow")` for one that the recipe has,
  written or default, `why.derive("form", "chat", "the task is a chat")` for one that follows from facts. `Draft.settle`
  accepts a section only where each of its values has an origin, and each origin a value.
- What the solver chooses (the micro-batch, the attention kernel ...) is in no section before it is chosen. A section
  with such fields has a base class without them (`OpenModel` under `ModelSettings`, ...), which earlier passes settle.
- A value that is known only later has a type that says so: `OpenText.prompt` may be `Open.OPEN`. A pass returns a new
  draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import attrgetter, getitem
from typing import Any, Generic, Self, TypeVar, overload

from ftc.compiler.candidate import Candidate
from ftc.compiler.row_images import RowImages
from ftc.spec.base import Document, Money
from ftc.spec.companions import Role
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.divergences import divergence_card
from ftc.spec.documents.calibration import Calibration
from ftc.spec.documents.companion_settings import ClassifierSettings, WordnetSettings
from ftc.spec.documents.estimates import Phase, TimeEstimate, Work, WorkEstimate
from ftc.spec.documents.facts import DeviceFacts, ModelFacts, TeacherFacts
from ftc.spec.documents.judging import JudgedTokens, JudgeEstimate, JudgeUse
from ftc.spec.documents.lineage import Beginning
from ftc.spec.documents.loss_settings import DistillationSettings, TargetScale
from ftc.spec.documents.memory_trace import TraceAnswer, TraceJob
from ftc.spec.documents.plan import Check, MemoryEstimate, Origin, Step
from ftc.spec.documents.prompted import PromptBaseline
from ftc.spec.documents.reward_models import FrameFacts, RewardModelFacts
from ftc.spec.documents.seeds import Seeds
from ftc.spec.documents.settings import (
    DeterminismSettings,
    Open,
    OpenEval,
    OpenModel,
    OpenText,
    OpenTrain,
    Settings,
    TextSettings,
)
from ftc.spec.documents.streams import RowLengths, SplitReport
from ftc.spec.knobs import KNOBS
from ftc.spec.language.section_tree import default_reason, section_at
from ftc.spec.language.source import Source
from ftc.spec.optimizers import optimizer_card
from ftc.spec.sections.recipe import Recipe
from ftc.spec.shardings import sharding_card
from ftc.spec.strategies import StrategySettings, Trained
from ftc.spec.tasks.card import Mode

__all__ = ["ClosedDraft", "Draft", "Measured", "PastRun", "Reasons", "Section"]

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Measured:
    """Digests of what a run is measured on beside rows of the test split; None for what there isn't.

    Attributes:
        retention, swaps: The text of `eval.retention`, and the test rows with phrases exchanged, both as tokens.
        groups, baselines: Columns of `eval.slices` in the test rows, and the prompts of `eval.baselines` as tokens.
    """

    retention: str | None = None
    swaps: str | None = None
    groups: str | None = None
    baselines: tuple[PromptBaseline, ...] = ()


@dataclass(frozen=True, slots=True)
class PastRun:
    """What an earlier run tells about speed.

    Attributes:
        device, threads: Name of its device, as plans have it, and its CPU threads.
        model: The base model's name.
        strategy, precision: Kind of its strategy, and that of its arithmetic.
        work: What its plan expected of the device, by phase.
        seconds: What each phase took.
        judge_model: What the service of its judge calls the model; empty without one.
        judge: What its judge took; None where nobody was asked, or that wasn't measured.
        writer: What wrote the answers that it trained on; empty where rows alone were trained on.
    """

    device: str
    threads: int
    model: str
    strategy: str
    precision: str
    work: Mapping[Phase, Work]
    seconds: Mapping[Phase, float]
    judge_model: str = ""
    judge: JudgeUse | None = None
    writer: str = ""


class Section(Generic[S]):
    """Reads a settled section of a draft; raises a `LookupError` where no pass has settled it yet."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, draft: None, owner: type) -> Self: ...
    @overload
    def __get__(self, draft: Draft, owner: type) -> S: ...

    def __get__(self, draft: Draft | None, owner: type) -> Self | S:
        if draft is None:
            return self
        settled: Mapping[str, Any] = draft.settled
        try:
            section: S = settled[self._name]
        except KeyError:
            raise LookupError(f"`{self._name}` is not settled yet: the pass that settles it runs later") from None
        return section


class Reasons:
    """Origins of the values of one section, noted as a pass chooses them.

    `section` is its path in the settings, such as `train`; `found` has value and origin by dotted path below it.
    """

    def __init__(self, draft: Draft, section: str) -> None:
        self._draft = draft
        self.section = section
        self.found: dict[str, tuple[object, Origin]] = {}

    def derive(self, path: str, value: T, reason: str) -> T:
        """A value that follows from facts, with the reason in words."""
        self.found[path] = value, Origin(kind="derived", reason=reason)
        return value

    def words(self, path: str) -> str:
        """The reason of a value that is chosen."""
        return self.found[path][1].reason

    def take(self, path: str, value: T, recipe_path: str | None = None) -> T:
        """A value as the recipe has it, written or default; `recipe_path` where its path differs there."""
        self.found[path] = value, self._draft.origin_of(recipe_path or f"{self.section}.{path}")
        return value


@dataclass(frozen=True, slots=True)
class Draft:
    """Facts first, then what the passes add. Immutable: every pass returns a new one.

    Attributes:
        recipe: What is wanted.
        source: The recipe's text, for places.
        model: The base model's facts.
        device: The device that the plan is for.
        splits: The compiled data; empty while the passes that shape text run.
        labels: Classes, or names of numbers, in order; empty for tasks without.
        scales: What each number is measured by; empty for tasks without numbers.
        class_rows: Training rows by class.
        lengths: Lengths of the rows by split, and of further texts that are measured; by mean where there are none.
        row_images: The rows' images, by split; without those whose rows have none.
        classifier: Who says which answers have a label; None for nobody.
        grader: The model of the classifier.
        judged: Tokens of what a judge is sent about the test rows; None where nobody is asked.
        reward_judged: Tokens of what a judge is sent about the rows of each split, an answer each that is still empty;
            empty where no reward asks anybody.
        teacher: The model that is learned from; None where rows alone teach.
        reward_models: Those that score written answers, by role.
        frames: The text around each answer for them, by role.
        taught_sha256: Digest of the training rows in the teacher's own tokens; None where these are the model's.
        wordnet: What METEOR takes synonyms from; None where nothing is measured by it.
        begins: The run that this one begins from; None for a plain base model.
        measured: Digests of what is measured beside the test rows.
        groups: Test rows by group, by the columns that results are told apart by.
        past_runs: Earlier runs of the project.
        calibration: What was measured of the device; None where nothing was.
        prices: What an hour of a device costs by the project's policy, by the device's name.
        free_disk: Bytes that are free where the run's folder will lie; None where the run is for another machine.
        packages: Digests of the files, where taken, of the packages here that a run may import, by normalized name.
        platform: Tag of this machine's platform, such as `linux-x86_64-cp311`.
        traces: What the memory trace answered so far, by the jobs' keys; None where there is nobody to ask.
        untraced: Why there is nobody to ask.
        settled: Sections by name; read as attributes, such as `text`.
        settled_trained: What the strategy trains of the model; None until its pass.
        origins: Where each value came from, by the same path.
        memory: The estimate, once made.
        questions: Jobs whose traces a pass would decide by; with their answers the passes run again.
        work: What the device has to do.
        time: The estimate, where one could be made.
        judge: What a judge will take; None where nobody is asked.
        reward_judge: The same of one whose grades are a reward.
        disk: Largest sizes of what lies in the run's folder.
        steps: What the run will do.
        checks: What the passes looked at, with results.
        not_checked: What could not be computed, with reasons.
        diagnostics: What the passes found.
    """

    recipe: Recipe
    source: Source
    model: ModelFacts
    device: DeviceFacts
    splits: Mapping[str, SplitReport] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    scales: tuple[TargetScale, ...] = ()
    class_rows: Mapping[str, int] = field(default_factory=dict)
    lengths: Mapping[str, RowLengths] = field(default_factory=dict)
    row_images: Mapping[str, RowImages] = field(default_factory=dict)
    classifier: ClassifierSettings | None = None
    grader: ModelFacts | None = None
    judged: JudgedTokens | None = None
    reward_judged: Mapping[str, JudgedTokens] = field(default_factory=dict)
    teacher: TeacherFacts | None = None
    reward_models: Mapping[Role, RewardModelFacts] = field(default_factory=dict)
    frames: Mapping[str, FrameFacts] = field(default_factory=dict)
    taught_sha256: str | None = None
    wordnet: WordnetSettings | None = None
    begins: Beginning | None = None
    measured: Measured = Measured()
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    past_runs: tuple[PastRun, ...] = ()
    calibration: Calibration | None = None
    prices: Mapping[str, Money] = field(default_factory=dict)
    free_disk: int | None = None
    packages: Mapping[str, str | None] = field(default_factory=dict)
    platform: str = ""
    traces: Mapping[str, TraceAnswer] | None = None
    untraced: str = ""
    settled: Mapping[str, Document | None] = field(default_factory=dict)
    settled_trained: Trained | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    memory: MemoryEstimate | None = None
    questions: tuple[TraceJob, ...] = ()
    work: WorkEstimate | None = None
    time: TimeEstimate | None = None
    judge: JudgeEstimate | None = None
    reward_judge: JudgeEstimate | None = None
    disk: Mapping[str, int] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    checks: tuple[Check, ...] = ()
    not_checked: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    shape = Section[OpenText]()
    """How rows become tokens, as far as no row tells it."""
    text = Section[TextSettings]()
    """The same with what the rows tell."""
    loaded = Section[OpenModel]()
    """How the model is loaded, but for what the solver chooses."""
    strategy = Section[StrategySettings]()
    """How its weights are changed."""
    train = Section[OpenTrain]()
    """Training, but for what the solver chooses, the teacher, and how alike two runs have to be."""
    seeds = Section[Seeds]()
    eval = Section[OpenEval]()
    """The measurement at the end, but for what the solver chooses."""
    distillation = Section[DistillationSettings | None]()
    """What is learned from a teacher; None without one."""
    determinism = Section[DeterminismSettings]()

    @property
    def teacher_reads_apart(self) -> bool:
        """Whether the teacher gets rows in its own tokens: it has another tokenizer, and is compared by rank."""
        asked, teacher = self.recipe.train.distillation, self.teacher
        is_other = teacher is not None and teacher.other_tokens is not None
        return is_other and asked is not None and divergence_card(asked.loss).by_rank

    @property
    def mode(self) -> Mode:
        """The way in which the model does the task."""
        return self.recipe.task.mode_for(self.model.family)

    @property
    def trained(self) -> Trained:
        """What the strategy trains of the model, once its pass has run."""
        assert self.settled_trained is not None, "`choose_strategy` has run"
        return self.settled_trained

    def reasons(self, section: str) -> Reasons:
        """Where a pass notes the origins of a section's values."""
        return Reasons(self, section)

    def settle(self, name: str, section: Document | None, why: Reasons) -> Self:
        """The draft with a section, and with the origin of each of its values, or one of the section as a whole.

        Raises:
            ValueError: A value has no origin, or an origin has no value.
        """
        origins = {**self.origins, **{f"{why.section}.{path}": origin for path, (_, origin) in why.found.items()}}
        if section is not None and not any(value is section for value, _ in why.found.values()):
            closed = {name for name in section.model_fields_set if getattr(section, name) is not Open.OPEN}
            inside = {path.removeprefix(f"{why.section}.") for path in origins if path.startswith(f"{why.section}.")}
            explained = {path.partition(".")[0] for path in inside}
            if wrong := (closed - explained) | ({path.partition(".")[0] for path in why.found} - closed):
                raise ValueError(f"values without origin, or origins without value, in `{name}`: {sorted(wrong)}")
        settled = {**self.settled, name: section}
        return replace(self, settled=settled, origins=origins)

    def origin_of(self, recipe_path: str) -> Origin:
        """Where a value of the recipe came from: its place in a file, the flag that set it, or its default's reason."""
        if self.source.node(recipe_path) is not None:
            return Origin(kind="written", reason=self.source.where(recipe_path))
        *outer, name = recipe_path.split(".")
        section = section_at(tuple(outer), self.source.plain())
        return Origin(kind="default", reason=default_reason(section, name) if section else "default of the language")

    def find(
        self, code: str, summary: str, at: str, *, help: str | tuple[str, ...] = (), notes: str | tuple[str, ...] = ()
    ) -> Self:
        """Adds a finding at a value of the recipe."""
        found = diagnostic(code, summary, self.source.span(at), help=help, notes=notes, path=at)
        return replace(self, diagnostics=(*self.diagnostics, found))

    def miss(self, what: str) -> Self:
        """Adds something that could not be computed, with the reason."""
        return replace(self, not_checked=(*self.not_checked, what))

    def at(self, candidate: Candidate) -> ClosedDraft:
        """The draft with all that the solver chooses."""
        return ClosedDraft(*_OPEN_FIELDS(self), candidate=candidate)


_OPEN_FIELDS = attrgetter(*(one.name for one in fields(Draft)))
"""Values of all fields of a draft, in their order; the solver asks for them once a candidate."""


@dataclass(frozen=True, slots=True)
class ClosedDraft(Draft):
    """A draft in which nothing is open: what the estimates of memory and time take, and what a plan is made of.

    Attributes:
        candidate: What the solver tries, and in the end what it has chosen.
    """

    candidate: Candidate = field(kw_only=True)

    @property
    def threads(self) -> int:
        """CPU threads of each process: those of one machine share its cores."""
        shared = max(1, self.device.threads // self.devices_of_a_machine)
        return shared if self.recipe.budget.threads == "auto" else self.recipe.budget.threads

    @property
    def devices_of_a_machine(self) -> int:
        """How many of the candidate's devices each machine has."""
        return self.candidate.devices // self.recipe.budget.nodes

    @property
    def parts(self) -> int:
        """Into how many parts each tensor of the model is divided; 1 where it is whole."""
        return sharding_card(self.candidate.sharding).parts(self.candidate.devices, self.recipe.budget.nodes)

    @property
    def share_of_batch(self) -> int:
        """Rows of an optimizer step that one device gets at most, or those that share its rows."""
        return -(-self.recipe.train.batch_size // self.candidate.row_shares)

    @property
    def micro_batch_tokens(self) -> int:
        """Most tokens that go through the model at once, of a candidate that limits them."""
        assert self.candidate.micro_batch_tokens is not None, "packed sequences have a length"
        return self.candidate.micro_batch_tokens

    def settings(self) -> Settings:
        """The settled sections with the candidate's values, as one document.

        Raises:
            pydantic.ValidationError: A value is of another type than its field.
        """
        train = {**dict(self.train), "optimizer": dict(self.train.optimizer), "distillation": self.distillation}
        fused = optimizer_card(self.candidate.optimizer).fused
        train |= {"determinism": self.determinism, "nodes": self.recipe.budget.nodes, "fused": fused}
        nested: dict[str, Any] = {
            "text": self.text,
            "model": dict(self.loaded),
            "strategy": self.strategy,
            "train": train,
            "seeds": self.seeds,
            "eval": dict(self.eval),
            "device": {"name": self.device.name, "kind": self.device.kind, "threads": self.threads},
        }
        for knob in KNOBS:
            for path in knob.settings:
                *outer, name = path.split(".")
                reduce(getitem, outer, nested)[name] = getattr(self.candidate, knob.name)
        nested["device"]["count"] = self.devices_of_a_machine
        return Settings.model_validate(nested)
