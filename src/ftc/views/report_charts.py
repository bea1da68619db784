"""Charts as inline SVG: axes with round ticks, lines, markers, stacked bars. No script; a title under each marker.

Colours come from the page's style sheet by class (`s0`, `s1` …), so that light, dark and print each have their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ftc.views.report_elements import text
from ftc.views.report_history import Point

__all__ = ["Bar", "Chart", "Series", "bars", "line_chart", "round_ticks"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 14, 46
_BAR_HEIGHT, _ROW_HEIGHT, _BAR_WIDTH = 26, 62, 640


@dataclass(frozen=True, slots=True)
class Series:
    """One set of points with its name in the legend.

    Attributes:
        label: Name in the legend.
        points: Steps and values in the order of steps.
        style: `raw` is a thin, faint line; `line` the main one; `dots` a line with a marker at each point.
        color: Number of the colour in the style sheet.
    """

    label: str
    points: Sequence[Point]
    style: Literal["raw", "line", "dots"]
    color: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """A line chart over training steps, or over something else that is counted.

    Attributes:
        key: Unique in the page, for ids.
        title: Heading of the figure.
        description: The same facts as the picture, in a sentence.
        series: What is drawn, from back to front.
        form: How a value on the axis is written.
        mark: A step with its label, drawn as a vertical line.
        size: Width and height in units of the picture.
        from_zero: Whether the axis begins at zero.
        axis: What the horizontal axis counts.
    """

    key: str
    title: str
    description: str
    series: Sequence[Series]
    form: Callable[[float], str]
    mark: tuple[int, str] | None = None
    size: tuple[int, int] = (340, 178)
    from_zero: bool = False
    axis: str = "step"


@dataclass(frozen=True, slots=True)
class Bar:
    """One horizontal bar: a label above, parts (name, value, colour) beside each other, and what the parts say."""

    label: str
    parts: Sequence[tuple[str, float, int]]
    whole: float
    """Value at the right edge."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps steps and values to places in the picture."""

    width: int
    height: int
    steps: tuple[float, float]
    values: tuple[float, float]

    def x(self, step: float) -> float:
        low, high = self.steps
        return _LEFT + (step - low) / (high - low) * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.values
        return self.height - _BOTTOM - (value - low) / (high - low) * (self.height - _TOP - _BOTTOM)


def round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Two or more round values, about `most`; the first is not above `low`, the last not below `high`."""
    if high <= low:
        margin = abs(low) / 2 or 0.5
        low, high = low - margin, low + margin
    raw = (high - low) / most
    power: float = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def line_chart(chart: Chart) -> str:
    """The chart as a `<figure>` with its legend; empty where there is nothing to draw."""
    if not any(series.points for series in chart.series):
        return ""
    frame, step_ticks, value_ticks = _frame(chart)
    body = [
        *(_value_line(frame, tick, chart.form) for tick in value_ticks),
        *(_step_tick(frame, tick) for tick in step_ticks),
        _axis_name(frame, chart.axis),
        *(_series(frame, series, chart) for series in chart.series if series.points),
        _mark(frame, chart.mark) if chart.mark else "",
    ]
    return (
        f'<figure class="chart {text(chart.key)}"><figcaption>{text(chart.title)}</figcaption>'
        f"{_legend(chart)}{_svg(chart.key, chart.title, chart.description, frame.width, frame.height, body)}</figure>"
    )


def bars(key: str, title: str, description: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars below each other, each with its own whole, as one picture."""
    height = _ROW_HEIGHT * len(rows)
    body = [part for index, bar in enumerate(rows) for part in _bar(bar, index * _ROW_HEIGHT)]
    return _svg(key, title, description, _BAR_WIDTH, height, body)


def _frame(chart: Chart) -> tuple[_Frame, list[float], list[float]]:
    steps = [step for series in chart.series for step, _ in series.points]
    values = [value for series in chart.series for _, value in series.points]
    lowest = 0.0 if chart.from_zero and min(values) >= 0 else min(values)
    value_ticks = round_ticks(lowest, max(values), chart.size[1] // 80 + 1)
    low, high = min(steps), max(steps)
    if high <= low:
        low, high = low - 1, high + 1
    step_ticks = [
        tick
        for tick in round_ticks(low, high, 7 if chart.size[0] > 400 else 4)
        if low <= tick <= high and tick == round(tick)
    ]
    width, height = chart.size
    return _Frame(width, height, (low, high), (value_ticks[0], value_ticks[-1])), step_ticks, value_ticks


def _svg(key: str, title: str, description: str, width: int, height: int, body: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="{text(key)}-title {text(key)}-desc">'
        f'<title id="{text(key)}-title">{text(title)}</title>'
        f'<desc id="{text(key)}-desc">{text(description)}</desc>{"".join(body)}</svg>'
    )


def _value_line(frame: _Frame, value: float, form: Callable[[float], str]) -> str:
    y = frame.y(value)
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{frame.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick end" x="{_LEFT - 8}" y="{y + 4:.1f}">{text(form(value))}</text>'
    )


def _axis_name(frame: _Frame, name: str) -> str:
    middle = (_LEFT + frame.width - _RIGHT) / 2
    return f'<text class="axis" x="{middle:.0f}" y="{frame.height - 6}">{text(name)}</text>'


def _step_tick(frame: _Frame, step: float) -> str:
    x, y = frame.x(step), frame.height - _BOTTOM
    return (
        f'<line class="base" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 5}"/>'
        f'<text class="tick middle" x="{x:.1f}" y="{y + 20}">{round(step):,}</text>'
    )


def _series(frame: _Frame, series: Series, chart: Chart) -> str:
    places = [(frame.x(step), frame.y(value)) for step, value in series.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    line = f'<path class="{series.style} s{series.color}" d="{path}"/>' if len(places) > 1 else ""
    radius = 4.5 if series.style == "dots" or len(places) == 1 else 5
    shown = "dot" if series.style == "dots" or len(places) == 1 else "hover"
    if series.style == "raw" and len(places) > 1:
        return line
    dots = (
        f'<circle class="{shown} s{series.color}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">'
        f"<title>{text(chart.axis)} {round(step):,}: {text(chart.form(value))} ({text(series.label)})</title></circle>"
        for (x, y), (step, value) in zip(places, series.points, strict=True)
    )
    return line + "".join(dots)


def _mark(frame: _Frame, mark: tuple[int, str]) -> str:
    step, label = mark
    if not frame.steps[0] <= step <= frame.steps[1]:
        return ""
    x = frame.x(step)
    is_right = x > frame.width / 2
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{frame.height - _BOTTOM}"/>'
        f'<text class="marked {"end" if is_right else "start"}" x="{x + (-6 if is_right else 6):.1f}" y="{_TOP + 6}">'
        f"{text(label)}</text>"
    )


def _legend(chart: Chart) -> str:
    names = "".join(
        f'<li><span class="key {series.style} s{series.color}" aria-hidden="true"></span>{text(series.label)}</li>'
        for series in chart.series
        if series.points
    )
    return f'<ul class="legend">{names}</ul>'


def _bar(bar: Bar, top: int) -> list[str]:
    y = top + 28
    drawn = [
        f'<text class="bar-label" x="0" y="{top + 19}">{text(bar.label)}</text>',
        f'<rect class="trough" x="0" y="{y}" width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" rx="3"/>',
    ]
    x = 0.0
    for name, value, color in bar.parts:
        width = _BAR_WIDTH * value / bar.whole if bar.whole else 0.0
        drawn.append(
            f'<rect class="part s{color}" x="{x:.2f}" y="{y}" width="{width:.2f}" height="{_BAR_HEIGHT}">'
            f"<title>{text(name)}</title></rect>"
        )
        x += width
    return drawn
