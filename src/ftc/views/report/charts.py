"""What the report's charts show, as data, and each as a figure of the page: caption, legend, picture.

The pictures are drawn by matplotlib (`report_drawing`). Where it isn't installed a figure says in words what the
picture would show, and the tables beside it hold the figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, assert_never

from ftc.spec.storage.outputs import marked
from ftc.views.report.elements import text

__all__ = [
    "COLORS",
    "Axis",
    "Bar",
    "Bars",
    "Chart",
    "Lines",
    "Part",
    "Point",
    "Range",
    "Ranges",
    "Series",
    "Style",
    "are_shares",
    "drawer",
    "figure",
]

Style = Literal["raw", "line", "dots", "squares", "cloud", "ideal"]
"""How a series is drawn."""
Point = tuple[float, float]
"""A place along an axis, such as a step, and the value there."""

COLORS = 8
"""Colors of the style sheet that follow each other; the next one is for what was measured as a whole."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis counts.

    Attributes:
        title: Name, with the unit.
        form: How a value is written.
        from_zero: Whether it begins at zero where no value is below.
        whole: Whether only whole numbers mean something.
        limits: Both ends, where the values don't decide.
        unit: What is one of the unit in the title; ticks are round numbers of it.
    """

    title: str
    form: Callable[[float], str] = "{:,.4g}".format
    from_zero: bool = False
    whole: bool = False
    limits: tuple[float, float] | None = None
    unit: float = 1.0


@dataclass(frozen=True, slots=True)
class Series:
    """One set of points with its name in the legend. Each style has a stroke of its own, so color is never alone.

    Attributes:
        label: Name in the legend.
        points: In the order in which they are joined.
        style: `raw` is a thin, faint line, `line` the main one, `dots` a broken line with a disc at each point,
            `squares` a dotted one with squares, `cloud` faint points that nothing joins, `ideal` a broken line that
            nobody measured.
        color: Number of the color in the style sheet.
        tag: What stands at its last point.
    """

    label: str
    points: Sequence[Point]
    style: Style
    color: int = 0
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """Values over something that is counted.

    Attributes:
        key: Unique in the page, for ids.
        title: Heading of the figure.
        description: The same facts as the picture, in a sentence.
        series: What is drawn, from back to front.
        x: The horizontal axis.
        y: The vertical axis.
        mark: A place on the horizontal axis with its label, drawn as a vertical line.
        is_wide: Whether the picture is wider than that of a phone, where the page is.
        is_full: Whether a wide picture has the page's whole width, and none stands beside it.
        height: Pixels of a wide picture.
    """

    key: str
    title: str
    description: str
    series: Sequence[Series]
    x: Axis
    y: Axis
    mark: tuple[float, str] | None = None
    is_wide: bool = False
    is_full: bool = False
    height: int = 300


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: number of its name in the legend, or -1; what it says under the pointer, and its size."""

    name: int
    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One horizontal bar: a label above, and parts beside each other."""

    label: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars below each other on one axis; the legend numbers the parts, and the picture repeats the numbers.

    Attributes:
        key: Unique in the page, for ids.
        title: Heading of the figure.
        description: The same facts as the picture, in a sentence.
        bars: From top to bottom.
        names: What parts are called in the legend, by their number, which decides about the color too; none where the
            bars' labels say all.
        axis: The horizontal axis.
        mark: A value with its label, drawn as a vertical line.
    """

    key: str
    title: str
    description: str
    bars: Sequence[Bar]
    names: Mapping[int, str]
    axis: Axis
    mark: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """A value with the interval around it, None where none is known.

    Attributes:
        series: Number of its series in the legend.
        value: The value.
        interval: Its lowest and highest.
        label: What it says under the pointer.
    """

    series: int
    value: float
    interval: tuple[float, float] | None
    label: str


@dataclass(frozen=True, slots=True)
class Ranges:
    """Values with their intervals, a line for each group.

    Attributes:
        key: Unique in the page, for ids.
        title: Heading of the figure.
        description: The same facts as the picture, in a sentence.
        rows: Label and values of each line, from top to bottom.
        names: The series in the legend.
        axis: The horizontal axis.
        mark: A value with its label, drawn as a vertical line.
        marks: Shape and color of each series, again from the first where there are more.
    """

    key: str
    title: str
    description: str
    rows: Sequence[tuple[str, Sequence[Range]]]
    names: Sequence[str]
    axis: Axis
    mark: tuple[float, str] | None = None
    marks: Sequence[tuple[Style, int]] = (("squares", 7), ("dots", 0))


Chart = Lines | Bars | Ranges


def are_shares(values: Iterable[Range]) -> bool:
    """Whether all values lie between 0 and 1, and their intervals with them; a rate of edits, say, may pass 1."""
    return all(0 <= place <= 1 for one in values for place in (one.value, *(one.interval or ())))


@dataclass(frozen=True, slots=True)
class Drawer:
    """Who draws: the library with its version, and the function that gives a chart's pictures as SVG.

    Attributes:
        name: Such as `matplotlib 3.10.1`; None where no library is there.
        draw: The pictures of a chart, one for each width of the page.
    """

    name: str | None = None
    draw: Callable[[Chart], str] = field(default=lambda chart: f"<p>{text(chart.description)}</p>")


def drawer() -> Drawer:
    """Matplotlib, where the `report` extra is installed. Loads it."""
    try:
        from ftc.views.report.drawing import LIBRARY, pictures
    except ImportError:
        return Drawer()
    return Drawer(LIBRARY, pictures)


def figure(chart: Chart, drawn: Drawer) -> str:
    """The chart as a `<figure>` with its legend; empty where there is nothing to draw."""
    match chart:  # signs of the legend, as HTML, and what they stand for
        case Lines():
            has_points = any(series.points for series in chart.series)
            keys = [
                (f'<span class="key {one.style} s{one.color}"></span>', one.label) for one in chart.series if one.points
            ]
        case Bars():
            has_points = any(bar.parts for bar in chart.bars)
            keys = [
                (f'<span class="swatch s{number % COLORS}">{number + 1}</span>', name)
                for number, name in chart.names.items()
            ]
        case Ranges():
            has_points = any(values for _, values in chart.rows)
            marks = zip(itertools.cycle(chart.marks), chart.names, strict=False)
            keys = [(f'<span class="key {style} s{color}"></span>', name) for (style, color), name in marks]
        case _:
            assert_never(chart)
    if not has_points:
        return ""
    names = "".join(f'<li><span aria-hidden="true">{key}</span>{text(name)}</li>' for key, name in keys)
    legend = f'<ul class="legend">{names}</ul>' if names else ""
    size = " small" if isinstance(chart, Lines) and not chart.is_wide else ""
    return (
        f'<figure class="chart {text(chart.key)}{size}"><figcaption>{text(chart.title)}</figcaption>'
        f"{legend}{marked(drawn.draw(chart))}</figure>"
    )
