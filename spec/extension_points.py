"""Where a package that somebody else wrote joins in: one card a point, and how a recipe names what a package offers.

A package declares what it offers as entry points, which its installer writes into a text file; so a plan knows the
names without importing anything. What a value means stands in the card here and not in the package, so that whoever
reads a plan knows it without the package. A run imports the package, and where a card says so, a plan's child process.
"""

from __future__ import annotations

import math
import re
from typing import Literal, NamedTuple

__all__ = [
    "ENTRY",
    "EXTENSION_POINTS",
    "ExtensionPoint",
    "PackageEntry",
    "PointKind",
    "extension_point",
    "package_entry",
]

PointKind = Literal["metric", "reward", "token_loss", "label_loss", "label_set_loss", "row_reader"]

ENTRY = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?:[A-Za-z][\w.-]{0,98}"
"""A package and the name of what it offers, such as `courtesy-metrics:courtesy`."""
_A_RUN = "a run imports it"
_A_TRACE = "a run imports it, and so does a memory trace for a GPU, in a process of its own"
_A_PLAN = "this plan has it read rows, in a process of its own"


class ExtensionPoint(NamedTuple):
    """One point.

    Attributes:
        kind: What a package offers here.
        title: What that is called.
        group: Group of entry points that it declares it in.
        signature: How the function is called.
        least: No number that it gives is lower; all are finite.
        most: No such number is higher.
        called: Who calls it, as a plan says it.
    """

    kind: PointKind
    title: str
    group: str
    signature: str
    least: float
    most: float
    called: str


EXTENSION_POINTS: tuple[ExtensionPoint, ...] = (
    ExtensionPoint(
        kind="metric",
        title="metric",
        group="ftc.metrics",
        signature="(answer: str, references: Sequence[str]) -> float",
        least=0.0,
        most=1.0,
        called=_A_RUN,
    ),
    ExtensionPoint(
        kind="reward",
        title="reward",
        group="ftc.rewards",
        signature="(answer: str, reference: str) -> float",
        least=-math.inf,
        most=math.inf,
        called=_A_RUN,
    ),
    ExtensionPoint(
        kind="token_loss",
        title="loss over tokens",
        group="ftc.losses.tokens",
        signature="(scores: Tensor of (N, vocabulary), targets: Tensor of N token ids) -> Tensor of N losses",
        least=-math.inf,
        most=math.inf,
        called=_A_TRACE,
    ),
    ExtensionPoint(
        kind="label_loss",
        title="loss over labels",
        group="ftc.losses.labels",
        signature="(scores: Tensor of (N, labels), targets: Tensor of N labels' numbers) -> Tensor of N losses",
        least=-math.inf,
        most=math.inf,
        called=_A_TRACE,
    ),
    ExtensionPoint(
        kind="label_set_loss",
        title="loss over sets of labels",
        group="ftc.losses.label_sets",
        signature="(scores: Tensor of (N, labels), targets: Tensor of (N, labels) ones or zeros) -> N losses",
        least=-math.inf,
        most=math.inf,
        called=_A_TRACE,
    ),
    ExtensionPoint(
        kind="row_reader",
        title="row reader",
        group="ftc.row_readers",
        signature="(path: Path) -> Iterable[Mapping[str, object]], or of such rows with the line that each begins at",
        least=-math.inf,
        most=math.inf,
        called=_A_PLAN,
    ),
)
"""Every point."""

_BY_KIND = {point.kind: point for point in EXTENSION_POINTS}


def extension_point(kind: PointKind) -> ExtensionPoint:
    """The card of a kind."""
    return _BY_KIND[kind]


class PackageEntry(NamedTuple):
    """What a recipe names of a package."""

    distribution: str
    """The package as pip calls it, in its normal form."""
    name: str


def package_entry(text: str) -> PackageEntry | None:
    """What a name such as `courtesy-metrics:courtesy` stands for; None for a name of ftc's own."""
    if re.fullmatch(ENTRY, text) is None:
        return None
    distribution, _, name = text.partition(":")
    return PackageEntry(re.sub(r"[-_.]+", "-", distribution).lower(), name)
