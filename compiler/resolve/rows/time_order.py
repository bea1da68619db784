"""Whether a division by time kept the order of time: rows that stay together may break it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ftc.compiler.resolve.rows.splits import Part
from ftc.compiler.resolve.rows.table import Table
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.row_names import row_list
from ftc.spec.sections.data import Split

__all__ = ["order_findings", "out_of_order"]


def out_of_order(parts: Mapping[Part, Sequence[int]], times: Sequence[float]) -> dict[Part, list[int]]:
    """Rows of a part that are newer than a row of the part that should come behind it; parts without any are absent."""
    found: dict[Part, list[int]] = {}
    newer: list[Part] = [part for part in ("test", "validation") if parts.get(part)]
    earlier: list[Part] = [*newer[1:], "train"] if newer else []
    for number, part in enumerate(earlier):
        first = min(times[row] for before in newer[: number + 1] for row in parts[before])
        if late := [row for row in parts.get(part, ()) if times[row] > first]:
            found[part] = late
    return found


def order_findings(
    split: Split, parts: Mapping[Part, Sequence[int]], times: Sequence[float], table: Table
) -> Iterator[Diagnostic]:
    """A warning where rows that stay together break the order of time."""
    if late := out_of_order(parts, times):
        by_part = ", ".join(f"{part} {len(rows):,}" for part, rows in late.items())
        names = [table.where(row) for rows in late.values() for row in rows]
        verb = "row is" if len(names) == 1 else "rows are"
        allow = (
            "write `split: {together: copies}` with `quality: {allow_overlap: …}`, so that each goes by its own time"
        )
        is_alike = split.together == "alike"
        kept = "near duplicates" if is_alike else "copies"
        yield diagnostic(
            "FTC399",
            f"{len(names):,} {verb} newer than the first row of a later part: {by_part}",
            notes=[f"{kept} of a row stay in its part, that of the oldest of them", row_list(names[:5], len(names))],
            help=["take these rows out of the file", *([f"or {allow}"] if is_alike else [])],
            path="data.split.time",
            rows=names,
        )
