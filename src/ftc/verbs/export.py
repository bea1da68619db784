"""What leaves a finished run for other people's tools: statements about it in their formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.verbs.runs import Run, find_run

__all__ = ["FORMATS", "Format", "export", "refuse_faults"]

Format = Literal["slsa", "cyclonedx", "croissant"]

FORMATS: dict[Format, str] = {
    "slsa": "provenance of the result: in-toto statement, SLSA v1",
    "cyclonedx": "bill of materials with model card: CycloneDX 1.6",
    "croissant": "the data: Croissant 1.0",
}
"""What there is, with a word on each."""


def export(run: Run | Path | str, format: Format, *, folder: Path | str = ".") -> str:
    """A statement about a finished run for other people's tools, as the text of its file.

    Args:
        run: The run, its folder, or the beginning of its name.
        format: `slsa`, `cyclonedx` or `croissant`.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: There is no such run, it isn't finished, or its files aren't those of its record (FTC521 to FTC525,
            FTC539).
    """
    from ftc.views.exports.common import as_text

    found = run if isinstance(run, Run) else find_run(str(run), folder)
    refuse_faults(found)
    return as_text(_document(found, format))


def refuse_faults(run: Run) -> None:
    """Lets pass what a statement can be true of.

    Raises:
        Refusal: The run isn't finished, or its files aren't those of its record (FTC521 to FTC525, FTC539).
    """
    from ftc.compiler.audit.static_audit import result_faults
    from ftc.spec.storage.paths import RunFolder

    found = result_faults(RunFolder(run.folder), run.plan, run.record)
    if found:
        raise Refusal(
            diagnostic(
                one.code, f"{one.subject}: {_short(one.expected)} is expected, found {_short(one.found)}", help=one.hint
            )
            for one in found
        )


def _short(value: str) -> str:
    """A digest by its beginning, anything else as it is."""
    return value[:12] if len(value) == 64 else value


def _document(run: Run, format: Format) -> dict[str, Any]:
    match format:
        case "slsa":
            from ftc.views.exports.slsa import slsa_statement

            return slsa_statement(run.plan, run.record)
        case "cyclonedx":
            from ftc.views.exports.cyclonedx import cyclonedx_bom

            return cyclonedx_bom(run.plan, run.record, run.evaluation)
        case "croissant":
            from ftc.views.exports.croissant import croissant_dataset

            return croissant_dataset(run.plan)
