"""What leaves a finished run for other people's tools: statements about it in their formats."""

from __future__ import annotations

from pathlib import Path

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.verbs.runs import Run, find_run

__all__ = ["export", "refuse_faults"]


def export(run: Run | Path | str, format: str, *, folder: Path | str = ".") -> str:
    """A statement about a finished run for other people's tools, as the text of its file.

    Args:
        run: The run, its folder, or the beginning of its name.
        format: The name of one of `ftc.views.exports.FORMATS`, such as `slsa`.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: There is no such run, it isn't finished, or its files aren't those of its record (FTC521 to FTC525,
            FTC539).
        ValueError: There is no such format.
    """
    from ftc.views.exports import FORMATS
    from ftc.views.exports.common import as_text

    writers = {one.name: one.write for one in FORMATS}
    if format not in writers:
        raise ValueError(f"no format {format!r}; there are {', '.join(writers)}")
    found = run if isinstance(run, Run) else find_run(str(run), folder)
    refuse_faults(found)
    return as_text(writers[format](found.plan, found.record, found.evaluation))


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
