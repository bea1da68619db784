"""The formats in which a finished run can be told of: one card each, which command line, API and docs ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import Evaluation, RunRecord

__all__ = ["FORMATS", "Format"]

Writer: TypeAlias = "Callable[[Plan, RunRecord, Evaluation | None], dict[str, Any]]"
"""Makes the document, out of a finished run's plan, record and evaluation; it imports what it needs by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of other people's tools.

    Attributes:
        name: What `--format` takes.
        about: What of a run it tells.
        standard: The standard with its version.
        write: What makes the document.
    """

    name: str
    about: str
    standard: str
    write: Writer


def _slsa(plan: Plan, record: RunRecord, _evaluation: Evaluation | None) -> dict[str, Any]:
    from ftc.views.exports.slsa import slsa_statement

    return slsa_statement(plan, record)


def _cyclonedx(plan: Plan, record: RunRecord, evaluation: Evaluation | None) -> dict[str, Any]:
    from ftc.views.exports.cyclonedx import cyclonedx_bom

    return cyclonedx_bom(plan, record, evaluation)


def _croissant(plan: Plan, _record: RunRecord, _evaluation: Evaluation | None) -> dict[str, Any]:
    from ftc.views.exports.croissant import croissant_dataset

    return croissant_dataset(plan)


FORMATS: tuple[Format, ...] = (
    Format(
        name="slsa",
        about="provenance of the result",
        standard="in-toto statement, SLSA v1",
        write=_slsa,
    ),
    Format(
        name="cyclonedx",
        about="bill of materials with model card",
        standard="CycloneDX 1.6",
        write=_cyclonedx,
    ),
    Format(
        name="croissant",
        about="the data",
        standard="Croissant 1.0",
        write=_croissant,
    ),
)
"""Every format."""
