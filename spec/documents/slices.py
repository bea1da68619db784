"""Groups of test rows that results are told apart by, and gates that are about such groups."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import NamedTuple

from ftc.spec.base import Document
from ftc.spec.metrics import Metric, metric_named

__all__ = [
    "EARLIER",
    "EARLIER_GROUPS",
    "FIGURES",
    "LABEL",
    "LENGTH",
    "LENGTHS",
    "MOST_GROUPS",
    "NO_VALUE",
    "Groups",
    "Measured",
    "measured",
    "measured_kind",
]

LENGTH = "length"
"""Slice by the tokens of a row, unless a column is called so."""
LENGTHS = ("short", "medium", "long")
"""Its groups: a third of the test rows each."""
LABEL = "label"
"""Slice by the class that is expected, unless a column is called so."""
EARLIER = "earlier_test"
"""Slice by whether a run that training begins from was tested on a row, unless a column is called so."""
EARLIER_GROUPS = ("earlier test rows", "new rows")
"""Its groups."""
MOST_GROUPS = 50
"""Values that a column may have in the test rows: a table of more is read by nobody, and each has few rows."""
NO_VALUE = "(none)"
"""Group of the rows that have no value."""

# fmt: off
FIGURES = {figure.name: figure for figure in (
    Metric("flagged", "answers with the classifier's label", tasks=(), lacks=(), higher_is_better=False,
           generates=False, of_loss=False, least=0, most=1, kind="share", headline=None, needs=None, hub="flagged",
           foreign=()),
    Metric("forgetting", "forgetting", tasks=(), lacks=(), higher_is_better=False, generates=False, of_loss=False,
           least=-math.inf, most=math.inf, kind="corpus", headline=None, needs=None, hub="forgetting", foreign=()),
    Metric("judge", "judge's grade", tasks=(), lacks=(), higher_is_better=True, generates=True, of_loss=False,
           least=1, most=10, kind="mean", headline=None, needs=None, hub="judge", foreign=()),
    Metric("reward_model", "reward model's score", tasks=(), lacks=(), higher_is_better=True, generates=True,
           of_loss=False, least=-math.inf, most=math.inf, kind="mean", headline=None, needs=None, hub="reward_model",
           foreign=()),
    Metric("swapped", "predictions changed by swaps", tasks=(), lacks=(), higher_is_better=False, generates=False,
           of_loss=False, least=0, most=1, kind="share", headline=None, needs=None, hub="swapped", foreign=()),
)}
# fmt: on
"""What gates may be about beside metrics: what a token of general text costs more after tuning, in nats, the share
of predictions that change when phrases are exchanged, the judge's mean grade, the reward model's mean score, and the
share of answers that have the classifier's label."""

_ON = re.compile(r"(?P<metric>.+?)(?P<gap>\s+gap)?\s+on\s+(?P<slice>[^=]+?)(?:\s*=\s*(?P<group>.+))?")


class Groups(Document):
    """Each test row's group, in the order of the test split's token stream; `groups.json` beside it."""

    columns: dict[str, tuple[str, ...]]
    """Values by column."""


class Measured(NamedTuple):
    """What a gate is about."""

    metric: str
    slice: str | None = None
    group: str | None = None
    """None beside a slice means the gap: how far apart its best and its worst group are."""

    @property
    def is_gap(self) -> bool:
        """Whether it is the distance between groups."""
        return self.slice is not None and self.group is None


def measured(name: str) -> Measured:
    """What a gate's name means: `accuracy`, `accuracy on region = north`, `accuracy gap on region`."""
    match = _ON.fullmatch(name)
    if match is None or bool(match["gap"]) == bool(match["group"]):
        return Measured(name)
    return Measured(match["metric"], match["slice"], match["group"])


def measured_kind(name: str) -> Metric | None:
    """What is known of a figure that a gate may be about; None where there is none of that name."""
    if name in FIGURES:
        return FIGURES[name]
    about = measured(name)
    kind = metric_named(about.metric)
    if kind is None or not about.is_gap:
        return kind
    return replace(kind, higher_is_better=False, least=0.0, most=kind.most - kind.least)
