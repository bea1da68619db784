"""The columns by which rows are divided: what keeps its proportions, what stays together, and times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ftc.compiler.resolve.rows.reading import SpanOf
from ftc.compiler.resolve.rows.row_digests import canonical_text
from ftc.compiler.resolve.rows.table import Table, shown, without_form
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.sections.data import Data

__all__ = ["Division", "read_division"]


@dataclass(frozen=True, slots=True)
class Division:
    """Values by row number; None where the recipe asks for none.

    Attributes:
        strata: What keeps its proportions in every part.
        groups: What may not stand in two parts.
        times: Seconds since 1970, or the column's own numbers.
    """

    strata: list[str] | None
    groups: list[str] | None
    times: list[float] | None


def read_division(data: Data, table: Table, labeled: str | None, span_of: SpanOf) -> Division:
    """Reads the columns that `data.split` names; a column may be named by its part, too.

    Without `stratify`, the label of a classification is the stratum, unless the division is by time or by hash.

    Raises:
        Refusal: There is no such column (FTC362), or it holds no times (FTC380).
    """
    split = data.split
    found: list[Diagnostic] = []
    by_size = split.time is None and split.by == "share"

    def column(key: str, name: str | None) -> list[Any] | None:
        if name is None:
            return None
        at = name if name in table.columns else data.fields.get(name, name)
        if at not in table.columns:
            path = f"data.split.{key}"
            verb = {"stratify": "stratify by", "group": "group by", "time": "split by"}[key]
            help = f"did you mean `{guess}`?" if (guess := nearest(name, table.columns)) else "name a column"
            notes = f"columns: {', '.join(f'`{one}`' for one in table.columns[:20])}"
            summary = f"there is no column `{name}` to {verb}"
            absent = diagnostic("FTC362", summary, span_of(path), help=help, notes=notes, path=path)
            found.append(without_form(table, at, span_of(path), path) or absent)
            return None
        return [row.get(at) for row in table.rows]

    strata = column("stratify", split.stratify or (labeled if by_size else None))
    groups = column("group", split.group)
    stamps = column("time", split.time)
    times = _times(split.time or "", stamps, table, found, span_of) if stamps is not None else None
    if found:
        raise Refusal(found)
    as_text = [None if values is None else [*map(canonical_text, values)] for values in (strata, groups)]
    return Division(as_text[0], as_text[1], times)


def _times(
    name: str, stamps: Sequence[Any], table: Table, found: list[Diagnostic], span_of: SpanOf
) -> list[float] | None:
    """Every value as a number that grows with time. All are numbers, or all are text; dates without a zone are UTC."""
    kind: type | tuple[type, ...] = str if isinstance(next(iter(stamps), None), str) else (int, float)
    times = [_time(value) if isinstance(value, kind) else None for value in stamps]
    bad = [row for row, time in enumerate(times) if time is None]
    if not bad and len(stamps) > 1 and len({*times}) == 1:
        help, path = "name a column with different times, or remove `time`", "data.split.time"
        summary = f"column `{name}` has the same time in all {len(stamps):,} rows, so it can't split them"
        found.append(diagnostic("FTC380", summary, span_of(path), help=help, path=path))
        return None
    if not bad:
        return [time for time in times if time is not None]
    found.append(
        diagnostic(
            "FTC380",
            f"column `{name}` has no valid time in {len(bad):,} of {len(stamps):,} rows",
            span_of("data.split.time"),
            help="write ISO 8601, such as `2024-05-31` or `2024-05-31T12:00:00Z`, or a number in every row",
            notes=[f"{table.where(row)} contains {shown(stamps[row])}" for row in bad[:3]],
            path="data.split.time",
        )
    )
    return None


def _time(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return number if math.isfinite(number := float(value)) else None
        stamp = datetime.fromisoformat(str(value).strip())
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):  # no date, or a number of hundreds of digits
        return None
