"""The columns by which rows are divided: what keeps its proportions, what stays together, and times."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from ftc.compiler.resolve.rows.reading import SpanOf
from ftc.compiler.resolve.rows.row_digests import canonical_text
from ftc.compiler.resolve.rows.table import Table, shown, without_form
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.sections.data import Data

__all__ = ["Division", "interned", "read_division"]


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
    times: Sequence[float] | None


def read_division(data: Data, table: Table, labeled: str | None, span_of: SpanOf) -> Division:
    """Reads the columns that `data.split` names; a column may be named by its part, too.

    Without `stratify`, the label of a classification is the stratum, unless the division is by time or by hash.

    Raises:
        Refusal: There is no such column (FTC362), or it holds no times (FTC380).
    """
    split = data.split
    found: list[Diagnostic] = []
    by_size = split.time is None and split.by == "share"

    def column(key: str, name: str | None) -> str | None:
        """The column that a name means."""
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
        return at

    strata = column("stratify", split.stratify or (labeled if by_size else None))
    groups = column("group", split.group)
    stamps = column("time", split.time)
    times = _times(split.time or "", stamps, table, found, span_of) if stamps is not None else None
    if found:
        raise Refusal(found)
    as_text = [
        None if at is None else interned(canonical_text(row.get(at)) for row in table.rows) for at in (strata, groups)
    ]
    return Division(as_text[0], as_text[1], times)


def interned(texts: Iterable[str]) -> list[str]:
    """Texts, each of which is in memory once however often it stands there."""
    known: dict[str, str] = {}
    return [known.setdefault(text, text) for text in texts]


def _times(name: str, at: str, table: Table, found: list[Diagnostic], span_of: SpanOf) -> array[float] | None:
    """Every value as a number that grows with time. All are numbers, or all are text; dates without a zone are UTC."""
    stamps = (row.get(at) for row in table.rows)
    is_text = isinstance(first := next(stamps, None), str)
    times, bad = array("d"), array("q")
    for row, stamp in enumerate(chain([first], stamps)):
        time = _time(stamp) if isinstance(stamp, str if is_text else int | float) else None
        times.append(math.nan if time is None else time)
        if time is None:
            bad.append(row)
    if not bad and len(times) > 1 and min(times) == max(times):
        help, path = "name a column with different times, or remove `time`", "data.split.time"
        summary = f"column `{name}` has the same time in all {len(times):,} rows, so it can't split them"
        found.append(diagnostic("FTC380", summary, span_of(path), help=help, path=path))
        return None
    if not bad:
        return times
    found.append(
        diagnostic(
            "FTC380",
            f"column `{name}` has no valid time in {len(bad):,} of {len(times):,} rows",
            span_of("data.split.time"),
            help="write ISO 8601, such as `2024-05-31` or `2024-05-31T12:00:00Z`, or a number in every row",
            notes=[f"{table.where(row)} contains {shown(table.rows[row].get(at))}" for row in bad[:3]],
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
