"""Where a package that somebody else wrote joins in: one card a point, and how a recipe names what a package offers.

A package declares what it offers as entry points, which its installer writes into a text file; so a plan knows the
names without importing anything. What a value means stands in the card here and not in the package, so that whoever
reads a plan knows it without the package. A run imports the package, and nothing else does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["ENTRY", "EXTENSION_POINTS", "ExtensionPoint", "PackageEntry", "extension_point", "package_entry"]

PointKind = Literal["metric", "reward"]

ENTRY = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?:[A-Za-z][\w.-]{0,98}"
"""A package and the name of what it offers, such as `courtesy-metrics:courtesy`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionPoint:
    """One point.

    Attributes:
        kind: What a package offers here.
        group: Group of entry points that it declares it in.
        signature: How the function is called.
        least: No value is lower; all are finite.
        most: No value is higher.
    """

    kind: PointKind
    group: str
    signature: str
    least: float
    most: float


EXTENSION_POINTS: tuple[ExtensionPoint, ...] = (
    ExtensionPoint(
        kind="metric",
        group="ftc.metrics",
        signature="(answer: str, references: Sequence[str]) -> float",
        least=0.0,
        most=1.0,
    ),
    ExtensionPoint(
        kind="reward",
        group="ftc.rewards",
        signature="(answer: str, reference: str) -> float",
        least=-math.inf,
        most=math.inf,
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
