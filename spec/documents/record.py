"""The record: what one run did, as observed. The only document with clocks and machines in it."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ftc.spec.base import Document, Real, SealedDocument, SparseDocument
from ftc.spec.documents.attributions import Attribution
from ftc.spec.documents.continued import Continued
from ftc.spec.documents.facts import EnvironmentFacts, FileFacts
from ftc.spec.documents.findings import BaselineResult, RunFinding
from ftc.spec.documents.interruption import Interruption, StopKind
from ftc.spec.documents.intervals import Gain, Interval
from ftc.spec.documents.judging import JudgeUse
from ftc.spec.documents.machine import CodeSnapshot, MachineClass
from ftc.spec.documents.phases import PhaseMemory, PhaseSeconds
from ftc.spec.documents.prompted import PromptedResult
from ftc.spec.documents.resampling import Resampling
from ftc.spec.documents.segments import ProcessSeen, Segment
from ftc.spec.documents.tracking import Tracked
from ftc.spec.names import FileName, InsidePath

__all__ = [
    "ClassifierResult",
    "DeterminismSeen",
    "Evaluation",
    "Gain",
    "Gap",
    "GateResult",
    "GroupResult",
    "Interval",
    "JudgeResult",
    "Observation",
    "Predecessor",
    "Prediction",
    "RetentionResult",
    "RewardModelResult",
    "RunRecord",
    "SliceResult",
    "SubjectResult",
    "SwapExample",
    "SwapPair",
    "SwapsResult",
]


class Observation(SparseDocument):
    """What the run's first process found when it looked at its machine."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("processes",)

    platform: str
    device: str
    """Name of the device, from the driver or the CPU."""
    world_size: int
    wrapper: str | None
    """Class that wraps the model for training, such as `PeftModelForCausalLM`; None until it is built."""
    threads: int
    machine: MachineClass
    """What bits depend on beside inputs, settings and code."""
    code: CodeSnapshot
    """The code as it was before the first step of this stretch."""
    environment: EnvironmentFacts
    processes: tuple[ProcessSeen, ...] = ()
    """Every process of the last segment, in records of an earlier release; newer ones have them in each segment."""


class Prediction(Document):
    """One row of the test split with both answers."""

    row: int
    """Number of the row among those that were read, from 0."""
    place: str = ""
    """Its name, such as `data/tickets.csv:38`; empty in runs of earlier releases."""
    text: str
    """What the model was given, shortened for showing."""
    expected: str
    base: str | None
    tuned: str


class SubjectResult(Document):
    """One model's measurement."""

    metrics: dict[str, Real]
    intervals: dict[str, Interval] = Field(default_factory=dict)
    """By metric; absent where the rows are too few or too alike to tell."""
    rows: int
    seconds: Real


class GateResult(Document):
    """One bound, kept or broken."""

    metric: str
    bound: str
    value: Real | None
    """None where it can't be measured, which breaks the gate."""
    interval: Interval | None = None
    """None where the rows can't tell."""
    passed: bool


class GroupResult(Document):
    """The test rows of one group."""

    group: str
    detail: str = ""
    """What the group is, where its name doesn't say it, such as `up to 21 tokens`."""
    rows: int
    tuned: dict[str, Real]
    """By metric."""
    base: dict[str, Real] = Field(default_factory=dict)
    """Empty without a base."""
    intervals: dict[str, Interval] = Field(default_factory=dict)
    """Of the tuned model's values; absent where the group's rows are too few or too alike to tell."""


class Gap(Document):
    """How far a metric's best and worst group are apart."""

    value: Real
    interval: Interval | None
    """Of the true gap, with what chance adds to a measured one allowed for. None where the rows can't tell."""
    base: Real | None = None
    """The same of the base model."""
    by_chance: Real | None = None
    """The tuned model's mean gap between groups of these sizes that are dealt by lot: a gap is never below nothing, so
    chance alone widens it, the more the smaller the groups are and the more of them there are. None where the metric
    isn't known of each group so dealt."""
    lowest: str
    """Group with the lowest value, of the tuned model."""
    highest: str


class SliceResult(Document):
    """Metrics of groups of the test rows."""

    slice: str
    groups: tuple[GroupResult, ...]
    gaps: dict[str, Gap]
    """By metric; empty where all rows are in one group."""


class RetentionResult(Document):
    """General text before and after, in nats a token."""

    blocks: int
    tokens: int
    """Tokens that are predicted."""
    base: Real
    tuned: Real
    forgetting: Gain
    """Tuned minus base: what a token costs more after tuning."""


class SwapPair(Document):
    """One phrase and what takes its place."""

    phrase: str
    other: str
    rows: int
    """Test rows in which the phrase stands."""
    changed: int
    """Those whose prediction changes."""
    base: int | None = None
    """Those whose prediction by the base model changes; None where it wasn't measured."""


class SwapExample(Document):
    """One prediction that changes."""

    row: int
    """Number of the row among those that were read, from 0."""
    place: str = ""
    """Its name, such as `data/tickets.csv:38`; empty in runs of earlier releases."""
    phrase: str
    other: str
    before: str
    after: str


class SwapsResult(Document):
    """Predictions on test rows with phrases exchanged."""

    rows: int
    """Exchanged rows; a test row counts once for each pair whose phrase it has."""
    share: Real
    """Share of the tuned model's predictions that change."""
    interval: Interval | None
    """None where the rows can't tell."""
    base: Real | None = None
    """The same of the base model; None where it wasn't measured."""
    change: Gain | None = None
    """What tuning added to the share, on the same exchanged rows."""
    pairs: tuple[SwapPair, ...]
    examples: tuple[SwapExample, ...]
    """The tuned model's first few."""


class JudgeResult(Document):
    """Mean grades from 1 to 10 that a language model gave written answers."""

    model: str
    """What its service calls it."""
    rows: int
    graded: int
    """Rows of which every answer got a grade; the means are over these."""
    tuned: Real | None
    """None where no row was graded."""
    interval: Interval | None
    base: Real | None
    gain: Gain | None
    failure: str
    """Why the first answer without a grade has none; empty where all have one."""
    use: JudgeUse | None = None
    """What asking took; older records don't say."""


class ClassifierResult(Document):
    """Shares of the written answers that a classifier gave a label."""

    name: str
    """The classifier's folder in the project, or its id on the hub."""
    label: str
    rows: int
    tuned: Real
    """Share of the tuned model's answers."""
    interval: Interval
    base: Real | None
    """None where the base is not measured."""
    gain: Gain | None
    """Tuned less base: below 0 the label has become rarer."""
    examples: tuple[int, ...]
    """Rows in the source, from 0, of the tuned model's first answers with the label."""
    cut: int
    """Answers, of both models, of which the classifier could read the beginning alone."""


class RewardModelResult(Document):
    """Mean scores that a reward model gave written answers."""

    name: str
    """The reward model's folder in the project, or its id on the hub."""
    rows: int
    tuned: Real
    interval: Interval | None
    base: Real | None
    """None where the base is not measured."""
    gain: Gain | None
    cut: int
    """Answers, of both models, that it could not read together with their whole prompt."""


class Evaluation(SparseDocument):
    """The measurement on the test split, `eval.json`."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("prompted", "reward_model")

    schema_: Literal["ftc.eval/1"] = Field(default="ftc.eval/1", alias="schema")
    split: Literal["test"]
    tuned: SubjectResult
    base: SubjectResult | None
    gains: dict[str, Gain] = Field(default_factory=dict)
    """By metric; empty without a base."""
    baselines: tuple[BaselineResult, ...] = ()
    """Simple baselines on the same rows; empty where none fits the task, or none was asked for."""
    prompted: tuple[PromptedResult, ...] = ()
    """The base model with other prompts, in the recipe's order; absent where there is none."""
    resampling: Resampling | None = None
    """None in evaluations of releases that didn't record it."""
    slices: tuple[SliceResult, ...] = ()
    retention: RetentionResult | None = None
    """None where no general text is measured."""
    swaps: SwapsResult | None = None
    """None where no phrases are exchanged."""
    judge: JudgeResult | None = None
    """None where nobody grades."""
    classifier: ClassifierResult | None = None
    """None where no classifier looks at answers."""
    reward_model: RewardModelResult | None = None
    """Absent where no reward model scores answers."""
    attributions: tuple[Attribution, ...] = ()
    """Of the rows that the report shows; empty where no row has a single class, and in runs of earlier releases."""
    gates: tuple[GateResult, ...]
    predictions: tuple[Prediction, ...]


class DeterminismSeen(Document):
    """What the run showed about giving the same bits again."""

    level: Literal["D0", "D1"]
    """`D0`: inputs, settings and code are known, and no more was shown. `D1`: the first steps gave the same bits in two
    fresh processes on this machine, and in the run itself."""
    proof_steps: int
    """Steps that were compared; 0 where nothing was."""
    detail: str
    """Why it isn't more, in words."""


class Predecessor(Document):
    """The run of the same recipe that was the last one to end when this run began."""

    run_id: FileName
    record_sha256: str


class RunRecord(SealedDocument, SparseDocument):
    """The run's record, `record.json`."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("trackers", "continued", "skipped_steps")

    schema_: Literal["ftc.run/1"] = Field(default="ftc.run/1", alias="schema")
    id: FileName
    """Name of the run's folder: the beginning of the job's digest, with a number behind it for a repetition."""
    name: str
    ftc_version: str
    plan_sha256: str
    status: StopKind | Literal["running", "failed", "finished", "gate_failed"]
    segments: tuple[Segment, ...]
    observed: Observation
    previous: Predecessor | None
    """Links the records of a recipe into a chain: one can't be replaced without those after it."""
    code_changed: bool = False
    """Whether ftc's own files or the project's commit changed while the run went on."""
    interruptions: tuple[Interruption, ...] = ()
    """Why the run stopped before it was over, each time, in order; older records don't say."""
    proved_step: int | None = None
    """The last step up to which every file that the run reads was seen unchanged. None in older records."""
    proved_by: str = ""
    """How that was seen, in words."""
    determinism: DeterminismSeen
    steps_done: int
    selected_step: int | None
    """Step whose weights became the result."""
    initial_weights_sha256: str | None
    """Content digest of the trainable weights before the first step."""
    final_weights_sha256: str | None
    """Content digest of the exported weights."""
    outputs: dict[InsidePath, FileFacts]
    """Every file that the run leaves, by its path in the run's folder."""
    train_seconds: Real | None
    """Time in training steps, over all segments. None, as the next two, where a hosted service trained: nobody here
    knows."""
    supervised_tokens: int | None
    """Supervised tokens that were trained on, repeats counted."""
    tokens: int | None
    """Tokens that were trained on, padding not counted."""
    peak_memory_bytes: int | None
    memory_method: str
    """What `peak_memory_bytes` measures, such as `resident set of the process`."""
    time_by_phase: tuple[PhaseSeconds, ...] = ()
    """In the order in which phases ended first."""
    memory_by_phase: tuple[PhaseMemory, ...] = ()
    """In the order in which phases began; empty where the system can't tell them apart."""
    findings: tuple[RunFinding, ...] = ()
    """What the run found about its training and its result; older records have none."""
    skipped_steps: int | None = None
    """Steps in which a gradient overflowed, so that no weight changed; absent where losses are not scaled."""
    trackers: tuple[Tracked, ...] = ()
    """How much of the run each tracker took; absent from the document where nobody asked for one."""
    continued: tuple[Continued, ...] = ()
    """Runs whose steps come first, in order; absent from the document where the run did all steps itself."""

    @model_validator(mode="after")
    def _was_at_work(self) -> Self:
        if self.is_finished and not self.segments:
            raise ValueError("a finished run has segments")
        return self

    @property
    def is_open(self) -> bool:
        """Whether a process works on the run, or ended without a word."""
        return self.status == "running" and bool(self.segments)

    @property
    def is_finished(self) -> bool:
        """Whether the run has done all of its plan; a gate that failed changes nothing about that."""
        return self.status in ("finished", "gate_failed")
