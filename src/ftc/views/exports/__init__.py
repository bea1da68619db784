"""The formats in which a finished run can be told of: one card each, which command line, API and docs ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.views.exports.croissant import croissant_dataset
from ftc.views.exports.cyclonedx import cyclonedx_bom
from ftc.views.exports.slsa import slsa_statement

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of other people's tools.

    Attributes:
        name: What `--format` takes.
        about: What of a run it tells.
        standard: The standard with its version.
        write: The document, out of a finished run's plan, record and evaluation.
    """

    name: str
    about: str
    standard: str
    write: Callable[[Plan, RunRecord, Evaluation | None], dict[str, Any]]


FORMATS: tuple[Format, ...] = (
    Format(
        name="slsa",
        about="provenance of the result",
        standard="in-toto statement, SLSA v1",
        write=lambda plan, record, evaluation: slsa_statement(plan, record),
    ),
    Format(
        name="cyclonedx",
        about="bill of materials with model card",
        standard="CycloneDX 1.6",
        write=cyclonedx_bom,
    ),
    Format(
        name="croissant",
        about="the data",
        standard="Croissant 1.0",
        write=lambda plan, record, evaluation: croissant_dataset(plan),
    ),
)
"""Every format."""
