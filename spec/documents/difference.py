"""What differs between recipes, locks, plans or runs, and runs side by side on the test rows that they share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect, Real
from ftc.spec.documents.record import Gain, Interval

__all__ = [
    "Action",
    "Change",
    "ChangedRows",
    "ComparedMetric",
    "ComparedRun",
    "Difference",
    "Drift",
    "Outcome",
    "Reason",
    "RunComparison",
    "Side",
    "Standing",
    "action_for",
]

Reason = Literal[
    "asked",
    "base model",
    "weights",
    "model file",
    "tokenizer",
    "template",
    "rows",
    "data file",
    "tokens",
    "setting",
    "package",
    "service",
    "device",
    "license",
    "estimate",
    "ftc",
]
"""What kind of thing changed."""

Action = Literal["retrain", "resume", "evaluate", "nothing"]
"""What would have to be done: train again, go on with a run that was left, measure once more, or nothing."""

_ACTIONS: dict[Effect, Action] = {
    Effect.NUMERICS: "retrain",
    Effect.DATA: "retrain",
    Effect.EVAL: "evaluate",
    Effect.RESOURCE: "nothing",
    Effect.COSMETIC: "nothing",
}


def action_for(effect: Effect) -> Action:
    """What a change of an effect calls for."""
    return _ACTIONS[effect]


class Side(Document):
    """One of the two things that are compared."""

    kind: Literal["recipe", "lock", "plan", "run"]
    name: str
    """As it was named on the command line."""
    sha256: str
    """sha256 of its canonical form."""


class ChangedRows(Document):
    """How rows of a data file changed."""

    added: int
    removed: int
    reordered: bool
    """Whether the rows that both have stand in another order."""
    examples: tuple[str, ...] = ()
    """The first few added rows with their numbers from 1, where the file is at hand; else numbers alone."""


class Change(Document):
    """One thing that differs."""

    path: str
    """Where, such as `train.learning_rate` or `data.rows`."""
    old: Any
    """The value before; None where there was none."""
    new: Any
    reason: Reason
    effect: Effect
    rows: ChangedRows | None = None

    @property
    def action(self) -> Action:
        """What this change alone calls for."""
        return action_for(self.effect)


class Outcome(Document):
    """A result of two runs beside each other."""

    metric: str
    old: Real | None
    new: Real | None


class Difference(Document):
    """The comparison of two things, `ftc diff --json`."""

    schema_: Literal["ftc.diff/2"] = Field(default="ftc.diff/2", alias="schema")
    old: Side
    new: Side
    level: Literal["recipe", "asked", "lock", "plan"]
    """What both have, and was compared."""
    changes: tuple[Change, ...]
    unchanged: int
    """Values that both have and that are equal."""
    outcomes: tuple[Outcome, ...]
    action: Action
    """What all changes together call for."""
    not_checked: tuple[str, ...]
    """What could not be compared, each with the reason."""


class Drift(Document):
    """What moved under a lock, `ftc plan --refresh-only --json`."""

    schema_: Literal["ftc.drift/1"] = Field(default="ftc.drift/1", alias="schema")
    lock: str
    """Name of the lock's file."""
    here: tuple[str, ...]
    """What this machine has otherwise than the lock says."""
    upstream: tuple[str, ...]
    """What the hub, or an address of rows, has otherwise by now. It makes no lock stale; `ftc lock --upgrade` takes
    it."""
    not_checked: tuple[str, ...]

    @property
    def summary(self) -> str:
        """How much moved, in words."""
        if not self.here and not self.upstream:
            return "nothing changed"
        return f"{len(self.here)} moved here, {len(self.upstream)} upstream"


class ComparedRun(Document):
    """One of the runs."""

    id: str
    name: str
    model: str
    """The base model's name."""
    strategy: str
    rows: int
    """Test rows of the run; those beyond the common ones don't count here."""
    settings: dict[str, str] = Field(default_factory=dict)
    """Settings by which the runs differ, as the plan has them: those that somebody set, else those that ftc chose."""
    prompted: dict[str, dict[str, Real]] = Field(default_factory=dict)
    """Metrics of the run's untouched base with each of its prompts, on the common rows."""


class Standing(Document):
    """One run in one metric, on the common rows."""

    value: Real
    interval: Interval | None
    """None where the rows can't tell."""
    gain: Gain | None
    """Against the first run; None for the first itself."""


class ComparedMetric(Document):
    """One metric of all runs."""

    metric: str
    standings: tuple[Standing, ...]
    """In the order of the runs."""


class RunComparison(Document):
    """What `ftc run compare` finds; the first run is what the others are held against."""

    schema_: Literal["ftc.comparison/1"] = Field(default="ftc.comparison/1", alias="schema")
    runs: tuple[ComparedRun, ...]
    rows: int
    """Test rows that all runs were given."""
    metrics: tuple[ComparedMetric, ...]
    not_compared: tuple[str, ...]
    """Metrics that can't be compared, each with the reason."""
