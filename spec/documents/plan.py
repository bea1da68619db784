"""The plan: the recipe compiled, with a reason on every value that the user did not write.

A plan is data. `ftc plan` shows it, `ftc apply` executes its steps, and both read the same ones.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ftc.spec import canonical
from ftc.spec.base import Document, SealedDocument, SparseDocument
from ftc.spec.documents.estimates import MemoryEstimate, TimeEstimate, WorkEstimate
from ftc.spec.documents.facts import DeviceFacts
from ftc.spec.documents.judging import JudgeEstimate
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.policy import PolicyResult
from ftc.spec.documents.quality import QualityReport
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import SPLITS, SplitReport
from ftc.spec.names import FileName
from ftc.spec.sections.recipe import Recipe

__all__ = [
    "Check",
    "CombineStep",
    "EvaluateStep",
    "ExportStep",
    "FetchStep",
    "MemoryEstimate",
    "ModelSummary",
    "Origin",
    "Plan",
    "ProveStep",
    "StateMark",
    "Step",
    "TimeEstimate",
    "TrainStep",
    "VerifyStep",
]


class Origin(Document):
    """Where a value came from."""

    kind: Literal["written", "default", "derived"]
    reason: str
    """For `written` the place, such as `recipe.yaml:12`; else why it is this value."""


class VerifyStep(Document):
    """Compare every file, the token streams, the packages and the device with the plan."""

    kind: Literal["verify"]
    files: int
    """Files whose digests are compared."""


class ProveStep(Document):
    """Run the first steps twice in fresh processes and compare their bits."""

    kind: Literal["prove"]
    steps: int


class TrainStep(Document):
    """Train from the first step to the last."""

    kind: Literal["train"]
    steps: int


class CombineStep(Document):
    """Make one adapter of several runs' adapters, and write it."""

    kind: Literal["combine"]
    artifact: Literal["adapter"]
    adapters: int
    """How many are combined."""


class FetchStep(Document):
    """Take what a hosted service trained, and write it."""

    kind: Literal["fetch"]
    artifact: Literal["adapter"]
    provider: str


class ExportStep(Document):
    """Write the chosen weights."""

    kind: Literal["export"]
    artifact: Literal["adapter", "model"]


class EvaluateStep(Document):
    """Measure one model on the test split, once."""

    kind: Literal["evaluate"]
    subject: str
    """`base`, `tuned`, or the name of a prompt baseline."""
    rows: int


Step = Annotated[
    VerifyStep | ProveStep | TrainStep | CombineStep | FetchStep | ExportStep | EvaluateStep,
    Field(discriminator="kind"),
]


class ModelSummary(SparseDocument):
    """The base model in a few figures, for views."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("num_active",)

    name: str
    architecture: str
    license: str | None
    num_parameters: int
    num_trainable: int
    num_active: int | None = None
    """Parameters that a token goes through, of a mixture of experts; None where it goes through all."""


class Check(Document):
    """Something that was looked at, with its result in words."""

    name: str
    code: str | None
    """Code of the finding, when there is one."""
    result: str


class StateMark(Document):
    """Where a recipe's runs stood, by the project's ledger, when a plan was saved."""

    lineage: str
    """Of the ledger; empty where there was none."""
    serial: int
    """Serial of the last entry about the beginning of such a run; -1 where there was none."""


class Plan(SealedDocument):
    """Everything that a run needs to know, and nothing that changes by itself."""

    schema_: Literal["ftc.plan/1"] = Field(default="ftc.plan/1", alias="schema")
    ftc_version: str
    name: FileName
    recipe_file: str
    """Path of the recipe relative to the project root."""
    overrides: tuple[str, ...] = ()
    """What `--set` and `--set-file` laid on top of the file, as texts for `--set`, in their order."""
    recipe: Recipe
    """Snapshot of the recipe."""
    lock: Lock
    """Snapshot of the lock."""
    settings: Settings
    origins: dict[str, Origin]
    """By dotted path of a value in `settings`."""
    steps: tuple[Step, ...]
    model: ModelSummary
    data: dict[str, SplitReport]
    """By split: `train`, `validation`, `test`."""
    quality: QualityReport
    """What was found in the rows."""
    stream_key: FileName
    """Name of the folder in ftc's cache that holds the token streams."""
    device: DeviceFacts
    platform: str
    """Which of the lock's platforms this plan is for."""
    memory: MemoryEstimate
    work: WorkEstimate | None = None
    """What the device has to do in each phase."""
    time: TimeEstimate | None
    """None where nothing is known of the device's speed."""
    judge: JudgeEstimate | None = None
    """What a judge of answers will take; None where nobody is asked."""
    disk_bytes: int
    """Largest size of the run's folder."""
    disk: dict[str, int] = Field(default_factory=dict)
    """The same by what takes it."""
    checks: tuple[Check, ...]
    policy: tuple[PolicyResult, ...] = ()
    """What the plan says to each rule of the project's policy."""
    not_checked: tuple[str, ...]
    """What could not be computed or looked at, each with the reason."""
    state: StateMark | None = None
    """Of a saved plan: a run of another job of the recipe since then makes it stale."""

    @model_validator(mode="after")
    def _is_for_a_locked_platform(self) -> Self:
        if self.platform not in self.lock.platforms:
            raise ValueError("a plan is for one of its lock's platforms")
        return self

    @property
    def splits(self) -> tuple[tuple[str, SplitReport], ...]:
        """The reports in the order in which splits are named: training, validation, test."""
        return tuple((name, self.data[name]) for name in SPLITS if name in self.data)

    def job_sha256(self) -> str:
        """Digest of what is executed.

        Plans that differ only in estimates, reasons, places, or in how something was asked for, are one job.
        """
        return canonical.digest(self.job())

    def job(self) -> dict[str, Any]:
        """What is executed, as JSON values."""
        plain = self.to_json()
        lock = plain["lock"]
        # Digests that nobody took are left out, so that older plans stay the jobs that they were.
        environment = lock["platforms"][self.platform]
        packages = environment["packages"].items()
        known = {name: {key: value for key, value in one.items() if value != ""} for name, one in packages}
        return {
            "ftc": self.ftc_version,
            "name": self.name,
            "model": self.lock.model.identity(),
            "tokenizer": lock["text"]["tokenizer_files"],
            "template": lock["text"]["chat_template_sha256"],
            "streams": lock["data"]["splits"],
            "environment": {**environment, "packages": known},
            "settings": plain["settings"],
            "steps": plain["steps"],
        }

    @property
    def run_id(self) -> str:
        """Name of the run that executes this plan: one job, one run."""
        return self.job_sha256()[:12]

    def without_code_digests(self) -> Plan:
        """The plan as a release saw it that took no digest of the packages' files."""
        platforms = {
            tag: platform.model_copy(
                update={
                    "packages": {
                        name: package.model_copy(update={"code_sha256": None})
                        for name, package in platform.packages.items()
                    }
                }
            ).sealed()
            for tag, platform in self.lock.platforms.items()
        }
        return self.model_copy(update={"lock": self.lock.model_copy(update={"platforms": platforms})})
