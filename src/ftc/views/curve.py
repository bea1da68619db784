"""A curve on a terminal, in braille dots: two across and four down in each cell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ftc.views import numbers
from ftc.views.page import Page, pad

__all__ = ["curve"]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character, by row and column of its dots."""
_BLANK = 0x2800
_LABEL = 8
"""Cells of the numbers at the left."""


def curve(title: str, points: Sequence[tuple[float, float]], columns: int, rows: int, page: Page) -> list[str]:
    """A title, a curve with its highest and lowest value, and the steps that it spans.

    Args:
        title: What is drawn.
        points: Steps and values, by step.
        columns: Cells of a line, labels included.
        rows: Lines of the curve.
        page: Colors.
    """
    head = page.strong(title)
    if not points:
        return [head, *[""] * (rows + 1)]
    cells = columns - _LABEL
    low, high = min(value for _, value in points), max(value for _, value in points)
    first, last = points[0][0], points[-1][0]
    grid = [[0] * cells for _ in range(rows)]
    for across, down in _dots(points, (first, last), (low, high), (2 * cells - 1, 4 * rows - 1)):
        grid[down // 4][across // 2] |= _DOTS[down % 4][across % 2]
    said = numbers.metric(high), numbers.metric(low)
    if said[0] == said[1] and high > low:  # a small change needs more digits
        said = f"{high:.6g}"[: _LABEL - 2], f"{low:.6g}"[: _LABEL - 2]
    labels = {0: said[0], rows - 1: said[1]} if high > low else {rows // 2: said[0]}
    lines = [
        pad(labels.get(index, ""), _LABEL - 2, right=True)
        + "  "
        + page.accent("".join(chr(_BLANK + bits) for bits in row))
        for index, row in enumerate(grid)
    ]
    ends = (numbers.count(round(first)), numbers.count(round(last)))
    between = max(1, cells - sum(map(len, ends)))
    return [head, *lines, " " * _LABEL + page.faint(f"{ends[0]}{' ' * between}{ends[1]}")]


def _dots(
    points: Sequence[tuple[float, float]],
    steps: tuple[float, float],
    values: tuple[float, float],
    last: tuple[int, int],
) -> set[tuple[int, int]]:
    """Dots of the line through all points; where several steps share a column, all of their range is drawn."""
    span, rise = steps[1] - steps[0], values[1] - values[0]
    places = [
        (
            round((step - steps[0]) / span * last[0]) if span else 0,
            round((values[1] - value) / rise * last[1]) if rise else last[1] // 2,
        )
        for step, value in points
    ]
    found = set(places)
    for (x, y), (other_x, other_y) in pairwise(places):
        length = max(other_x - x, abs(other_y - y), 1)
        found.update((x + (other_x - x) * part // length, y + (other_y - y) * part // length) for part in range(length))
    return found
