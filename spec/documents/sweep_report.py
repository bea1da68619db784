"""What a sweep found, as one document."""

from __future__ import annotations

from typing import Literal

from ftc.spec.base import Document, Real
from ftc.spec.documents.estimates import SecondsRange
from ftc.spec.documents.record import Interval
from ftc.spec.documents.sweep import Value

__all__ = ["AxisWords", "CostRange", "Forecast", "Importance", "Mean", "SweepReport", "TrialReport", "Verdict"]


class AxisWords(Document):
    """The values that one setting may take, in words."""

    path: str
    words: str


class CostRange(Document):
    """What all trainings cost."""

    low: Real
    high: Real
    currency: str


class Forecast(Document):
    """What a sweep would do, and whether it fits."""

    name: str
    recipe: str
    goal: str
    """The objectives, in words."""
    axes: tuple[AxisWords, ...]
    search: str
    notes: tuple[str, ...]
    """How trials are pruned and repeated, in words."""
    trials: int
    trainings: int
    """How often a model is trained: trials and the recipe's own values, times seeds and folds."""
    corners: int
    """Combinations of the ends of the space that were planned."""
    startup: int
    """First trials that were planned."""
    memory_bytes: int
    """Largest peak that is expected of any of them."""
    largest: str
    """The values that have it."""
    seconds: SecondsRange | None
    """One training, from the fastest to the slowest plan, without the test split. None where a plan has no time."""
    total: SecondsRange | None
    """All trainings, one after the other."""
    cost: CostRange | None
    fitting: int | None
    """Trials that fit into the sweep's budget even if each takes longest; None without a limit."""


class TrialReport(Document):
    """One trial."""

    number: int
    """From 0."""
    settings: dict[str, Value]
    """The searched settings, by path."""
    overrides: tuple[str, ...]
    """The same as texts for `--set`."""
    status: Literal["running", "complete", "pruned", "failed"]
    values: tuple[Real, ...]
    """The objectives in their order; of a pruned trial the last one seen."""
    runs: tuple[str, ...]
    """Ids of its runs, one for each seed and fold."""
    reason: str
    """Why it was pruned or failed."""
    seconds: Real


class Importance(Document):
    """How much a setting matters."""

    setting: str
    share: Real
    """Of the spread of the first objective, from 0 to 1, by PED-ANOVA."""


class Verdict(Document):
    """Whether the best trial is better than the recipe's own values."""

    is_better: bool
    """Whether the whole interval lies on the good side."""
    change: Real
    """Of the first objective: the trial's less the recipe's own."""
    interval: Interval | None
    """95 %; None where the rows can't tell."""
    method: str
    """How the interval was computed, in words."""


class Mean(Document):
    """The first objective over the trainings of a trial, or of the recipe's own values."""

    trial: int | None
    """None for the recipe's own values."""
    rows: int
    """Training rows, of the first training."""
    values: tuple[Real, ...]
    """Of each training, in the order of its runs."""
    mean: Real
    interval: Interval | None
    """95 %, of the mean; None for a single training."""
    method: str
    """How the interval was computed, in words; empty without one."""


class SweepReport(Document):
    """A sweep."""

    name: str
    recipe: str
    metrics: tuple[str, ...]
    """The objectives."""
    higher_is_better: tuple[bool, ...]
    search: str
    wanted: int
    """Trials that the sweep asks for."""
    own: tuple[Real, ...]
    """The objectives of the recipe's own values; empty before they are trained."""
    trials: tuple[TrialReport, ...]
    best: tuple[int, ...]
    """Numbers of the trials that none beats, the best by the first objective first."""
    importances: tuple[Importance, ...]
    """The most important first; empty for fewer than 8 complete trials."""
    verdict: Verdict | None = None
    kind: Literal["search", "curve", "repeats"] = "search"
    """Whether values are chosen, more training rows compared with fewer, or the recipe's own values repeated."""
    repeats: tuple[str, ...] = ()
    """Seed and fold of each training of a trial, in words; empty where a trial is one training."""
    means: tuple[Mean, ...] = ()
    """Of each complete trial and, last, of the recipe's own values, where trials are repeated or make a curve."""
