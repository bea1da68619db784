"""Building blocks of the report's HTML, and the frame of a page, which fetches nothing and may run nothing.

Everything that is shown goes through `text`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from ftc.spec.storage.outputs import marked, signature
from ftc.views import numbers

if TYPE_CHECKING:
    from ftc.views.row_texts import RowPictures

__all__ = [
    "beginning_html",
    "details",
    "facts",
    "framed",
    "long_text",
    "marked_up",
    "matrix",
    "pictures",
    "printable",
    "section",
    "table",
    "text",
]

_UNFOLDED, _LONGEST = 240, 1200
"""Characters of a long text that are shown, and that can be unfolded."""
_PICTURE = 160
"""Pixels of the longer side of an image of a row."""
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What HTML forbids or UTF-8 can't hold."""


_TYPED = re.compile(r"`([^`]+)`")


def printable(value: object) -> str:
    """Text less the characters that HTML forbids, not escaped."""
    return _UNPRINTABLE.sub("\ufffd", str(value))


def text(value: object) -> str:
    """Text that stands for itself in HTML, between tags and in attributes."""
    return escape(printable(value))


def marked_up(value: str) -> str:
    """Text of ftc's own in which backticks stand around what is typed, as HTML."""
    return _TYPED.sub(r"<code>\1</code>", text(value))


def section(key: str, title: str, *parts: str) -> str:
    """A part of the page under a heading; empty where all its parts are."""
    body = "".join(parts)
    if not body:
        return ""
    return (
        f'<section id="{key}" aria-labelledby="{key}-heading"><h2 id="{key}-heading">{text(title)}</h2>{body}</section>'
    )


def details(summary: str, body: str) -> str:
    """Something folded that a click or a key opens; empty where there is nothing in it."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>" if body else ""


def long_text(value: str) -> str:
    """Text of which the end is folded where it is long, and left out where it is very long."""
    if len(value) <= _UNFOLDED:
        return text(value)
    end = value[_UNFOLDED:_LONGEST] + ("…" if len(value) > _LONGEST else "")
    cut = '<span class="cut">…<span class="more"> more</span></span>'
    return f'<details class="long"><summary>{text(value[:_UNFOLDED])}{cut}</summary>{text(end)}</details>'


def pictures(name: str, found: RowPictures | None) -> str:
    """The images of a row beside each other, which the page holds itself, or their number; empty if none is shown.

    Args:
        name: What the row is called.
        found: Its images.
    """
    if found is None:
        return ""
    images = []
    for number, one in enumerate(found.shown, 1):
        scale = min(1.0, _PICTURE / max(one.width, one.height))
        width, height = (max(1, round(scale * side)) for side in (one.width, one.height))
        words = text(f"image {number} of row {name}, {one.width:,} × {one.height:,} pixels")
        source = f"data:image/jpeg;base64,{text(one.jpeg)}"
        images.append(f'<img src="{source}" width="{width}" height="{height}" alt="{words}" title="{words}">')
    if found.left_out:
        more = numbers.plural(found.left_out, "more image" if found.shown else "image")
        images.append(f"<span>{more}{'' if found.shown else ', not kept with the run'}</span>")
    return f'<div class="pictures">{"".join(images)}</div>'


def beginning_html(shared: str) -> str:
    """What all texts of the table below begin with; empty where they share nothing."""
    return (
        f'<div class="beginning"><p>All texts begin with:</p><blockquote>{long_text(shared)}</blockquote></div>'
        if shared
        else ""
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Terms and what they stand for. The second of each pair is HTML."""
    items = "".join(f"<div><dt>{text(term)}</dt><dd>{value}</dd></div>" for term, value in rows)
    return f'<dl class="facts">{items}</dl>' if items else ""


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Iterable[int] = (),
    kind: str = "",
) -> str:
    """A table that scrolls where the screen is narrow. Cells are HTML; columns in `right` hold numbers.

    Args:
        caption: What it shows.
        header: Titles of the columns, as text.
        rows: Cells; the first of each row is its heading.
        right: Columns that are aligned to the right.
        kind: Class for the style sheet.
    """
    if not rows:
        return ""
    numeric = frozenset(right)
    names = [' class="number"' if index in numeric else "" for index in range(len(header))]
    labels = [f'data-label="{text(title)}" dir="auto"' for title in header]
    titles = "".join(f'<th scope="col"{name}>{text(title)}</th>' for name, title in zip(names, header, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row"{name} {label}>{cell}</th>' if index == 0 else f"<td{name} {label}>{cell}</td>"
            for index, (name, label, cell) in enumerate(zip(names, labels, row, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll {kind}" tabindex="0" role="region" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def matrix(caption: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A square table of counts, each shaded by its share of its line and followed by that share in words."""
    titles = "".join(f'<th scope="col" class="number" dir="auto">{text(label)}</th>' for label in labels)
    body = "".join(
        f'<tr><th scope="row" dir="auto">{text(label)}</th>{_matrix_cells(line, place)}</tr>'
        for place, (label, line) in enumerate(zip(labels, counts, strict=True))
    )
    return (
        f'<div class="scroll matrix" tabindex="0" role="region" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr><td></td>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _matrix_cells(line: Sequence[int], diagonal: int) -> str:
    whole = sum(line)
    shares = [count / whole if whole else 0.0 for count in line]
    return "".join(
        f'<td class="number {"right" if place == diagonal else "off"} q{math.ceil(10 * share)}">'
        f"{count:,}{f' <small>{100 * share:.0f} %</small>' if count else ''}</td>"
        for place, (count, share) in enumerate(zip(line, shares, strict=True))
    )


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the browser may load for this page: nothing but its own styles, and the images that it holds itself."""
_NO_CHARTS = "No charts: <code>pip install 'ftc[report]'</code> installs the drawing library."


def framed(
    title: str,
    header: str,
    parts: Sequence[tuple[str, str, str]],
    footer: str,
    library: str | None,
    *,
    head: str = "",
    says_charts: bool = True,
) -> str:
    """The whole page.

    Args:
        title: What the browser shows as its name, as text.
        header: What stands first, as HTML.
        parts: Key, name in the contents, and HTML of each part; one whose HTML is empty is left out.
        footer: What stands last, as HTML.
        library: What drew the charts, with its version; None where nothing did.
        head: What the page's head has beside, as HTML.
        says_charts: Whether the footer says what drew the charts.
    """
    style = resources.files("ftc.views.report").joinpath("report.css").read_text(encoding="utf-8")
    present = [(key, name, part) for key, name, part in parts if part]
    links = "".join(f'<li><a href="#{key}">{text(name)}</a></li>' for key, name, _ in present)
    nav = f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n' if len(present) > 1 else ""
    body = "\n".join(part for _, _, part in present)
    charts = (f"Charts drawn by {text(library)}." if library else _NO_CHARTS) if says_charts else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"{signature(library)}<title>{text(title)}</title>\n<style>\n{style}</style>\n{head}</head>\n<body>\n"
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f"{header}\n{nav}"
        f'<main id="content">\n{body}\n</main>\n'
        f"<footer><p>{footer} {marked(charts)}</p></footer>\n</body>\n</html>\n"
    )
