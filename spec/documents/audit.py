"""The verdict on a past run, and what is asked of a fresh process that trains some of its steps once more."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.companions import Role
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.findings import BaselineResult, RunFinding
from ftc.spec.documents.launch import WriterSettings
from ftc.spec.documents.machine import MachineClass
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.prompted import PromptedResult
from ftc.spec.documents.record import Gain, Interval, RewardModelResult, SliceResult
from ftc.spec.documents.resampling import Resampling
from ftc.spec.documents.step_log import StepLine, WeightChecksum
from ftc.spec.version import VERSION

__all__ = [
    "Answer",
    "AuditReport",
    "ClassComparison",
    "Finding",
    "Level",
    "MachineSeen",
    "Recomputed",
    "Repetition",
    "Replay",
    "ReplayOver",
    "ReplayRefused",
    "ReplayRequest",
    "SignatureSeen",
    "Verdict",
]

Level = Literal["static", "replay", "full"]
"""`static` looks at files, `replay` does some steps of training again, `full` the whole plan."""

Verdict = Literal[
    "CONSISTENT",
    "TAMPERED",
    "INCONCLUSIVE",
    "REPRODUCED_PREFIX",
    "REPRODUCED_BITWISE",
    "REPRODUCED_STATISTICAL",
    "NOT_REPRODUCED",
]


class Finding(Document):
    """One thing that is not as the record says."""

    code: str
    subject: str
    """The file, package, row, field or step concerned."""
    expected: str
    found: str
    hint: str


class ClassComparison(Document):
    """The class of the machine that the run was on, beside that of the one at hand."""

    recorded: MachineClass
    here: MachineClass | None
    """None where nobody looked, because something else kept the replay from beginning."""
    equal: bool | None


class Replay(Document):
    """Steps of training that were done again."""

    first_step: int
    """Steps that were done when it began."""
    last_step: int
    """Where it was to end."""
    reached_step: int
    """Where it did end: at the last step, or at the first that differs."""
    steps_compared: int
    """Steps whose batch, learning rate, chance, loss and gradient norm were compared."""
    equal_rungs: tuple[int, ...]
    """Steps at which weights and the optimizer's memory were compared and equal."""
    first_difference: str | None
    """Step and component in which the two part, such as `step 12: loss`."""
    seconds: Real


class Repetition(Document):
    """The whole plan, done once more with other seeds."""

    number: int
    """From 1; its seeds follow from this number and the plan's own."""
    metrics: dict[str, Real]
    """Of the tuned model, on the same test rows."""
    seconds: Real


class SignatureSeen(Document):
    """The signature in a run's folder. Checksums show slips; only a signature shows that nobody rewrote all of it."""

    state: Literal["unsigned", "unverified", "valid", "broken"]
    """`unverified` where there is one and no key was given."""
    key: str = ""
    """File of the public key that it was verified with."""
    key_sha256: str = ""


class Recomputed(Document):
    """Scores of a run, computed again from its rows."""

    tuned: dict[str, Real]
    base: dict[str, Real]
    """Empty where no base was measured."""
    tuned_intervals: dict[str, Interval]
    base_intervals: dict[str, Interval]
    gains: dict[str, Gain]
    slices: tuple[SliceResult, ...]
    baselines: tuple[BaselineResult, ...]
    """Those that need no fitting, without the time that they took."""
    prompted: tuple[PromptedResult, ...] = ()
    """The base with other prompts, without the time that it took."""
    reward_model: RewardModelResult | None = None
    """Means of the reward model's scores; None where the rows hold none."""
    findings: tuple[RunFinding, ...]
    """What the run should have said of its training and its result."""
    resampling: Resampling
    numpy: str
    """Version of the library that draws the resamples."""
    not_computed: dict[str, str]
    """Metrics and slices that the rows don't give, and why."""


class AuditReport(Document):
    """What an audit looked at and what it found."""

    schema_: Literal["ftc.audit/1"] = Field(default="ftc.audit/1", alias="schema")
    ftc_version: str = VERSION
    run_id: str
    level: Level
    verdict: Verdict
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    """What was compared, in words, such as `12 model files`."""
    checked_files: int
    checked_bytes: int
    machine: ClassComparison | None = None
    """None at the static level, which asks no machine."""
    replay: Replay | None = None
    """None where nothing was executed."""
    repetitions: tuple[Repetition, ...] = ()
    """Empty where the run was not asked for a result that chance explains (`--seeds`)."""
    num_steps: int
    """Steps that the run did."""
    seconds: Real
    """Time of all that was compared, without the replay's."""
    not_checked: tuple[str, ...]
    """What this level or this machine can't say anything about; never empty by silence."""
    in_ledger: bool = True
    """Whether the project's ledger has entries of the run."""
    inputs_changed: bool = False
    """Whether files that the run read changed meanwhile (FTC515), so that it went on from an earlier step."""
    signature: SignatureSeen | None = None
    """None in reports of releases that didn't look for one."""
    exit_code: int


class ReplayRequest(Document):
    """Steps of a plan to do again."""

    plan: Plan
    model_folder: str
    streams_folder: str
    companion_folders: dict[Role, str] = Field(default={})
    """Folders of the models beside the base, by role."""
    environment: EnvironmentFacts
    scratch: str
    """An empty folder that the process may fill."""
    whole: bool = False
    """Do all of the plan, with validation, export and evaluation, in the scratch folder; else training alone."""
    checkpoints: str | None = None
    """Folder of the run's checkpoints; None to begin before the first step."""
    first_step: int = 0
    """Steps that are done at the beginning; those of a checkpoint, or 0."""
    last_step: int
    checksums: tuple[int, ...] = ()
    """Steps behind which a checksum is wanted, beside the last one."""
    expected: MachineClass | None = None
    """Class of machine on which alone to begin; None for any."""
    threads: int | None = None
    """Threads inside an operation; None for the plan's."""
    recorded: str | None = None
    """File of the answers of a server that are trained on once more; None to have answers written."""
    writer: WriterSettings = WriterSettings()
    """Where the server is that writes them; its usual place where the site says nothing."""
    asks_judge: bool = False
    """Whether a judge whose grades are a reward is asked about answers that it gave no grade in the run."""


class MachineSeen(Document):
    """Said first, before a model is loaded."""

    kind: Literal["machine"] = "machine"
    machine: MachineClass


class ReplayRefused(Document):
    """It couldn't be done; the last answer."""

    kind: Literal["refused"] = "refused"
    code: str
    summary: str
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()


class ReplayOver(Document):
    """All that was asked is done; the last answer."""

    kind: Literal["over"] = "over"


Answer = Annotated[MachineSeen | StepLine | WeightChecksum | ReplayRefused | ReplayOver, Field(discriminator="kind")]
