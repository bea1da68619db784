"""Charts drawn by matplotlib, as SVG that takes its colors from the page's style sheet.

Colors are drawn as stand-ins, one for each variable of the style sheet, and exchanged for the variables, so that
light, dark and print each have their own. Fonts and sizes of text are the page's as well. Equal charts give equal
bytes: identifiers come from the chart's key, nothing from a clock, and places are rounded to a tenth of a pixel.

The only module that imports matplotlib; nothing but the making of a report loads it.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Sequence
from typing import Any, assert_never
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ftc.views.report.charts import COLORS, Axis, Bars, Chart, Lines, Ranges, Series
from ftc.views.report.elements import printable

__all__ = ["LIBRARY", "pictures"]

LIBRARY = f"matplotlib {matplotlib.__version__}"
"""Who draws."""

_FULL, _BROAD, _NARROW = 860, 680, 340
"""Widths in pixels: of the page, of its wider column where two charts stand side by side, and of a phone."""
_RIGHT = 26
"""Margin on the right, which half of the last label needs."""
_TEXT = 12.0
_CHARACTER = 7.3
"""Pixels that a character of that size takes, about; labels end at a fixed place, so little depends on it."""
_BAR_ROW, _BAR = 46, 20
_RANGE_ROW = 26
_LONGEST_LABEL, _LONGEST_NARROW_LABEL = 26, 20
_NAMES = ("page", "ink", "quiet", "rule", "faint", *(f"c{number}" for number in range(COLORS + 1)))
_STAND_INS = {name: f"#fa{number:02x}a5" for number, name in enumerate(_NAMES)}
_VARIABLES = {stand_in: f"var(--{name})" for name, stand_in in _STAND_INS.items()}
_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "figure.edgecolor": "none",
    "axes.facecolor": "none",
    "text.parse_math": False,
    "font.size": _TEXT,
    "text.color": _STAND_INS["quiet"],
    "axes.edgecolor": _STAND_INS["rule"],
    "axes.labelcolor": _STAND_INS["quiet"],
    "axes.linewidth": 1.0,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "grid.color": _STAND_INS["faint"],
    "grid.linewidth": 1.0,
    "xtick.color": _STAND_INS["rule"],
    "xtick.labelcolor": _STAND_INS["quiet"],
    "xtick.major.width": 1.0,
    "ytick.major.size": 0.0,
    "ytick.labelcolor": _STAND_INS["quiet"],
    "ytick.major.pad": 8.0,
}
_STROKES: dict[str, dict[str, Any]] = {
    "raw": {"linestyle": "-", "linewidth": 1.0, "alpha": 0.4},
    "line": {"linestyle": "-", "linewidth": 2.25},
    "dots": {"linestyle": "--", "linewidth": 1.5},
    "squares": {"linestyle": ":", "linewidth": 1.75},
    "ideal": {"linestyle": "--", "linewidth": 1.25},
}
"""How each style joins its points."""
_HOVER = "-hover"
"""Ends the names of groups whose marks show under the pointer alone."""
_KEPT = frozenset(("fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "text-anchor"))
Titles = dict[str, Sequence[str]]
"""What the marks of a group say under the pointer, in the order in which they are drawn, by the group's name."""


def pictures(chart: Chart) -> str:
    """The chart for wide and for narrow pages, where the two differ; the style sheet shows one of them."""
    if isinstance(chart, Lines) and not chart.is_wide:
        return _picture(chart, _NARROW, "")
    is_beside = isinstance(chart, Lines) and not chart.is_full
    return _picture(chart, _BROAD if is_beside else _FULL, "broad") + _picture(chart, _NARROW, "narrow")


def _picture(chart: Chart, width: int, kind: str) -> str:
    """One SVG element, with title and description for those who don't see it."""
    key = f"{chart.key}-{kind}" if kind else chart.key
    titles: Titles = {}
    log, sheet = logging.getLogger("matplotlib"), io.StringIO()
    level = log.level
    log.setLevel(logging.ERROR)
    try:  # as matplotlib comes, less what a user's own style file says, and without its remarks about fonts
        with matplotlib.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matplotlib.rcdefaults()
            settings: Any = matplotlib.rcParams
            settings.update({**_RC, "svg.hashsalt": key})
            match chart:
                case Lines():
                    drawn = _lines(chart, width, titles)
                case Bars():
                    drawn = _bars(chart, width, titles)
                case Ranges():
                    drawn = _ranges(chart, width, titles)
                case _:
                    assert_never(chart)
            canvas: Any = FigureCanvasSVG(drawn)
            canvas.print_svg(sheet, metadata={"Date": None})
    finally:
        log.setLevel(level)
    return _cleaned(sheet.getvalue(), chart, key, kind, titles)


def _sheet(width: int, height: float) -> Figure:
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def _axes(sheet: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Axes with margins in pixels."""
    width, height = (72 * size for size in sheet.get_size_inches())
    return sheet.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )


def _lines(chart: Lines, width: int, titles: Titles) -> Figure:
    is_broad = width > _NARROW
    steps = [step for series in chart.series for step, _ in series.points]
    values = [value for series in chart.series for _, value in series.points]
    ticks = _round_ticks(chart.y, values, 5 if is_broad else 4)
    labels = [chart.y.form(tick) for tick in ticks]
    left = min(max(map(len, labels)) * _CHARACTER + 12, width / 2)
    sheet = _sheet(width, chart.height if is_broad else 220)
    axes = _axes(sheet, left, 30, _RIGHT, 44)
    axes.set_ylim(ticks[0], ticks[-1])
    axes.set_yticks(ticks, labels)
    axes.grid(visible=True, axis="y")
    low, high = chart.x.limits or (min(steps), max(steps))
    low, high = (low, high) if low < high else (low - 1, high + 1)
    axes.set_xlim(low, high)
    _across(axes, chart.x, (low, high), 7 if is_broad else 4)
    axes.annotate(chart.y.title, (0, 1), (-left, 12), xycoords="axes fraction", textcoords="offset pixels", ha="left")
    for number, series in enumerate(chart.series):
        if series.points:
            _series(axes, chart, series, number, titles)
    if chart.mark and low <= chart.mark[0] <= high:
        _mark(axes, chart.mark, "quiet", (6, -4), "top")
    return sheet


def _across(axes: Axes, axis: Axis, ends: tuple[float, float], most: int) -> None:
    """Ticks of the horizontal axis, none of them beyond its ends."""
    locator = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=axis.whole)
    found = [axis.unit * float(tick) for tick in locator.tick_values(ends[0] / axis.unit, ends[1] / axis.unit)]
    margin = (ends[1] - ends[0]) * 1e-6
    ticks = [tick for tick in found if ends[0] - margin <= tick <= ends[1] + margin]
    axes.set_xticks(ticks, [axis.form(tick) for tick in ticks])
    axes.set_xlabel(axis.title, labelpad=4)


def _round_ticks(axis: Axis, values: Sequence[float], most: int) -> list[float]:
    """Round values of which the first is not above the lowest and the last not below the highest."""
    low, high = (end / axis.unit for end in axis.limits or (min(values), max(values)))
    if axis.from_zero and low >= 0:
        low = 0.0
    if high <= low:
        margin = abs(low) / 2 or 0.5
        low, high = (low, high + margin) if axis.from_zero and low == 0 else (low - margin, high + margin)
    found = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [axis.unit * float(tick) for tick in found]


def _series(axes: Axes, chart: Lines, series: Series, number: int, titles: Titles) -> None:
    """One series: what joins its points, and the points themselves where they say their values."""
    steps, values = zip(*series.points, strict=True)
    color = _STAND_INS[f"c{series.color}"]
    drawn: dict[str, Any] = {"color": color, "clip_on": False, "zorder": 3 + number / 10}
    if series.tag:
        place = (steps[-1], values[-1])
        axes.annotate(
            series.tag, place, (7, 0), textcoords="offset pixels", va="center", color=color, fontweight="bold"
        )
    has_marks = series.style in ("dots", "squares") or len(series.points) == 1
    if series.style != "cloud":
        axes.plot(steps, values, **_STROKES[series.style], **drawn)
    else:
        axes.plot(steps, values, "o", markersize=3.5, markeredgewidth=0, alpha=0.35, **drawn)
    if series.style in ("cloud", "ideal") or (series.style == "raw" and not has_marks):
        return
    name = f"titled-{number}{'' if has_marks else _HOVER}"
    titles[name] = [
        f"{chart.x.title} {chart.x.form(step)}: {chart.y.form(value)} ({series.label})" for step, value in series.points
    ]
    drawn |= {"marker": "s" if series.style == "squares" else "o", "markersize": 8.5, "markeredgewidth": 2.25}
    drawn |= {"markerfacecolor": _STAND_INS["page"] if has_marks else color, "zorder": 4 + number / 10}
    axes.plot(steps, values, linestyle="none", gid=name, **drawn)


def _bars(chart: Bars, width: int, titles: Titles) -> Figure:
    count, room = len(chart.bars), width - 5 - _RIGHT
    ends = [sum(part.value for part in bar.parts) for bar in chart.bars] + [chart.mark[0] if chart.mark else 0.0]
    highest = max(ends) or 1.0
    sheet = _sheet(width, _BAR_ROW * count + 46 + (16 if chart.mark else 0))
    axes = _axes(sheet, 5, 18 if chart.mark else 2, _RIGHT, 44)
    axes.set_ylim(count * _BAR_ROW, 0)
    axes.set_yticks([])
    axes.set_xlim(0, highest)
    axes.grid(visible=True, axis="x")
    _across(axes, chart.axis, (0, highest), 6 if width > _NARROW else 4)
    axes.get_xticklabels()[0].set_horizontalalignment("left")  # else the edge of the picture cuts it off
    for row, bar in enumerate(chart.bars):
        label = _shortened(bar.label, int(room / _CHARACTER))
        axes.text(0, row * _BAR_ROW + 16, label, va="bottom", ha="left", color=_STAND_INS["ink"])
        # The parts of a bar, each with its number where it is at least `readable` wide.
        readable = 16 * highest / room
        middle, start = row * _BAR_ROW + 30, 0.0
        for number, part in enumerate(bar.parts):
            name = f"titled-{row}-{number}"
            titles[name] = [part.label]
            color = _STAND_INS[f"c{part.name % COLORS if part.name >= 0 else COLORS}"]
            edge = _STAND_INS["page"]
            axes.barh(middle, part.value, _BAR, start, color=color, edgecolor=edge, gid=name, clip_on=False)
            if part.name >= 0 and part.value > readable:
                axes.text(start + part.value / 2, middle, str(part.name + 1), ha="center", va="center", color=edge)
            start += part.value

    if chart.mark:
        _mark(axes, chart.mark, "ink", (0, 4), "bottom")
    return sheet


def _ranges(chart: Ranges, width: int, titles: Titles) -> Figure:
    count, longest = len(chart.rows), _LONGEST_LABEL if width > _NARROW else _LONGEST_NARROW_LABEL
    labels = [_shortened(label, longest) for label, _ in chart.rows]
    top = 20 if chart.mark else 6
    sheet = _sheet(width, _RANGE_ROW * count + 44 + top)
    axes = _axes(sheet, max(map(len, labels)) * _CHARACTER + 20, top, _RIGHT, 44)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks(range(count), labels)
    axes.tick_params(axis="y", labelcolor=_STAND_INS["ink"], pad=12)
    shown = [place for _, values in chart.rows for one in values for place in (one.value, *(one.interval or ()))]
    ticks = _round_ticks(chart.axis, [*shown, *([chart.mark[0]] if chart.mark else [])], 6)
    axes.set_xlim(ticks[0], ticks[-1])
    axes.grid(visible=True, axis="both")
    _across(axes, chart.axis, (ticks[0], ticks[-1]), 6 if width > _NARROW else 4)
    for row, (_, values) in enumerate(chart.rows):
        for number, one in enumerate(values):
            place = row + ((number - (len(values) - 1) / 2) * 0.3 if len(values) > 1 else 0.0)
            style, shade = chart.marks[one.series % len(chart.marks)]
            name, color = f"titled-{row}-{number}", _STAND_INS[f"c{shade}"]
            drawn: dict[str, Any] = {"color": color, "clip_on": False}
            if one.interval:
                axes.plot(one.interval, (place, place), "-", linewidth=1.75, zorder=3, **drawn)
            titles[name] = [one.label]
            is_square = style == "squares"
            drawn |= {"markersize": 7 if is_square else 8, "markeredgewidth": 2.25, "zorder": 4, "gid": name}
            drawn["markerfacecolor"] = _STAND_INS["page"]
            axes.plot((one.value,), (place,), "s" if is_square else "o", **drawn)
    if chart.mark:
        _mark(axes, chart.mark, "ink", (0, 4), "bottom")
    return sheet


def _mark(axes: Axes, mark: tuple[float, str], color: str, shift: tuple[int, int], above: str) -> None:
    """A vertical line with its label on the side that has room: within the axes, or above them."""
    place, label = mark
    is_right = place > sum(axes.get_xlim()) / 2
    axes.axvline(place, color=_STAND_INS[color], linestyle=(0, (4, 4)), linewidth=1, clip_on=False, zorder=2)
    axes.annotate(
        printable(label),
        (place, 1),
        (-shift[0] if is_right else shift[0], shift[1]),
        xycoords=("data", "axes fraction"),
        textcoords="offset pixels",
        ha="right" if is_right else "left",
        va=above,
        color=_STAND_INS["ink"],
    )


def _shortened(label: str, longest: int) -> str:
    line = " ".join(printable(label).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _cleaned(source: str, chart: Chart, key: str, kind: str, titles: Titles) -> str:
    """The SVG element as the page wants it: no name space, no metadata, no size of its own; with titles and words."""
    root = ElementTree.fromstring(source)  # noqa: S314  # our own drawing, written a moment ago
    for element in list(root.iter()):
        element.tag = element.tag.rpartition("}")[2]
        for child in list(element):  # what is about the file, or only covers the paper
            tag = child.tag.rpartition("}")[2]
            if tag in ("metadata", "style", "clipPath") or (tag == "path" and child.get("style") == "fill: none"):
                element.remove(child)
        name = element.attrib.pop("id", "") if element.tag == "g" else ""
        if name in titles:
            marks = [one for one in element.iter() if one.tag.endswith("}use")]
            marks = marks or [one for one in element.iter() if one.tag.endswith("}path")]
            if name.endswith(_HOVER):
                element.set("class", "hover")
            for mark, said in zip(marks, titles[name], strict=True):
                ElementTree.SubElement(mark, "title").text = printable(said)
        _restyle(element)
    # Makes an image with a title and a description out of the SVG element.
    _, _, width, height = root.get("viewBox", "").split()
    title, description = (ElementTree.Element(tag, id=f"{key}-{tag}") for tag in ("title", "desc"))
    title.text, description.text = printable(chart.title), printable(chart.description)
    root[:0] = [title, description]
    root.attrib = {"viewBox": f"0 0 {_rounded(width)} {_rounded(height)}", "role": "img"}
    root.attrib |= {"aria-labelledby": f"{key}-title", "aria-describedby": f"{key}-desc"}
    if kind:
        root.set("class", kind)
    _flatten(root)
    return ElementTree.tostring(root, encoding="unicode")


def _flatten(root: ElementTree.Element) -> None:
    """Takes away line ends between elements and groups that hold nothing."""
    for element in list(root.iter()):
        for child in element:
            child.tail = None
        if element.tag in ("g", "svg", "defs"):
            element.text = None
    for element in reversed(list(root.iter())):
        for child in [one for one in element if one.tag in ("g", "defs") and not len(one)]:
            element.remove(child)


def _restyle(element: ElementTree.Element) -> None:
    """Colors become variables, text takes the page's font, links lose their name space, places are rounded."""
    for name in [name for name in element.attrib if name.endswith("}href")]:
        element.set("href", element.attrib.pop(name))
    element.attrib.pop("clip-path", None)  # nothing that is drawn leaves the axes
    if style := element.attrib.pop("style", ""):
        rules = [rule.partition(":") for rule in style.split(";")]
        kept = {name.strip(): value.strip() for name, _, value in rules if name.strip() in _KEPT}
        element.set("style", ";".join(f"{name}:{_VARIABLES.get(value, value)}" for name, value in kept.items()))
    for name in {"d", "x", "y", "transform"}.intersection(element.keys()):
        element.set(name, _rounded(element.attrib[name]))
    if element.get("transform", "").startswith(("rotate(0", "rotate(-0")):
        del element.attrib["transform"]


def _rounded(numbers: str) -> str:
    """Numbers in a text to a tenth, and line ends as blanks."""
    tenths = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), numbers)
    return " ".join(tenths.split())
