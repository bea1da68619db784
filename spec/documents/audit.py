"""The verdict on a past run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.machine import MachineClass
from ftc.spec.version import VERSION

__all__ = ["AuditReport", "ClassComparison", "Finding", "Level", "Repetition", "Replay", "Verdict"]

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
    exit_code: int
