"""Rows whose length in tokens lies far outside of what is usual in their part. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.documents.quality import QualityFinding, QualityReport, Sample
from ftc.spec.documents.streams import SPLITS, Split

__all__ = ["with_lengths"]

_FEWEST_ROWS = 20
_FENCE = 3.0
"""Interquartile ranges beyond a quartile, on the logarithm of the length: Tukey's outer fence."""
_SHOWN = 3


def with_lengths(
    report: QualityReport, splits: Mapping[str, TokenRows], places: Mapping[str, Callable[[int], str]]
) -> QualityReport:
    """The report with the rows that are far shorter or longer than the others."""
    found = [finding for name in SPLITS if name in splits for finding in _outliers(name, splits[name], places[name])]
    counts = {**report.rows_by_kind, **({"length": sum(one.rows for one in found)} if found else {})}
    return report.model_copy(update={"findings": (*report.findings, *found), "rows_by_kind": counts})


def _outliers(name: Split, tokens: TokenRows, place: Callable[[int], str]) -> Iterator[QualityFinding]:
    lengths = np.diff(tokens.boundaries)
    if len(lengths) < _FEWEST_ROWS:
        return
    logs = np.log(lengths)
    low, high = np.quantile(logs, [0.25, 0.75])
    fence = _FENCE * (high - low)
    kinds = (("far shorter than the others", logs < low - fence), ("far longer than the others", logs > high + fence))
    for rule, is_out in kinds:
        rows = np.flatnonzero(is_out)
        if len(rows) and fence > 0:
            samples = tuple(
                Sample(place=place(int(tokens.row[row])), shown=f"{lengths[row]:,} tokens") for row in rows[:_SHOWN]
            )
            yield QualityFinding(kind="length", rule=rule, split=name, rows=len(rows), of=len(lengths), samples=samples)
