"""Matplotlib's SVG as a page wants it: the page's colors and fonts, titles where they belong, nothing superfluous."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from ftc.views.report.elements import printable

__all__ = ["HOVER", "Titles", "Words", "cleaned"]

HOVER = "-hover"
"""Ends the names of groups whose marks show under the pointer alone."""
_KEPT = frozenset(("fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "text-anchor"))

Titles = dict[str, Sequence[str]]
"""What the marks of a group say under the pointer, in the order in which they are drawn, by the group's name."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a picture says to those who don't see it, and to those who point at it.

    Attributes:
        key: Unique in the page, for ids.
        title: What it shows.
        description: The same facts as the picture.
        marks: What its marks say.
    """

    key: str
    title: str
    description: str
    marks: Titles


def cleaned(source: str, words: Words, kind: str, variables: Mapping[str, str]) -> str:
    """The SVG element: no name space, no metadata, no size of its own.

    Args:
        source: What matplotlib wrote.
        words: Its words.
        kind: Class for the style sheet.
        variables: Variables of the style sheet by the colors that stand in for them.
    """
    root = ElementTree.fromstring(source)  # noqa: S314  # our own drawing, written a moment ago
    for element in list(root.iter()):
        element.tag = element.tag.rpartition("}")[2]
        for child in list(element):  # what is about the file, or only covers the paper
            tag = child.tag.rpartition("}")[2]
            if tag in ("metadata", "style", "clipPath") or (tag == "path" and child.get("style") == "fill: none"):
                element.remove(child)
        name = element.attrib.pop("id", "") if element.tag == "g" else ""
        if name in words.marks:
            marks = [one for one in element.iter() if one.tag.endswith("}use")]
            marks = marks or [one for one in element.iter() if one.tag.endswith("}path")]
            if name.endswith(HOVER):
                element.set("class", "hover")
            for mark, said in zip(marks, words.marks[name], strict=True):
                ElementTree.SubElement(mark, "title").text = printable(said)
        _restyle(element, variables)
    # Makes an image with a title and a description out of the SVG element.
    _, _, width, height = root.get("viewBox", "").split()
    title, description = (ElementTree.Element(tag, id=f"{words.key}-{tag}") for tag in ("title", "desc"))
    title.text, description.text = printable(words.title), printable(words.description)
    root[:0] = [title, description]
    root.attrib = {"viewBox": f"0 0 {_rounded(width)} {_rounded(height)}", "role": "img"}
    root.attrib |= {"aria-labelledby": f"{words.key}-title", "aria-describedby": f"{words.key}-desc"}
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


def _restyle(element: ElementTree.Element, variables: Mapping[str, str]) -> None:
    """Colors become variables, text takes the page's font, links lose their name space, places are rounded."""
    for name in [name for name in element.attrib if name.endswith("}href")]:
        element.set("href", element.attrib.pop(name))
    element.attrib.pop("clip-path", None)  # nothing that is drawn leaves the axes
    if style := element.attrib.pop("style", ""):
        rules = [rule.partition(":") for rule in style.split(";")]
        kept = {name.strip(): value.strip() for name, _, value in rules if name.strip() in _KEPT}
        element.set("style", ";".join(f"{name}:{variables.get(value, value)}" for name, value in kept.items()))
    for name in {"d", "x", "y", "transform"}.intersection(element.keys()):
        element.set(name, _rounded(element.attrib[name]))
    if element.get("transform", "").startswith(("rotate(0", "rotate(-0")):
        del element.attrib["transform"]


def _rounded(numbers: str) -> str:
    """Numbers in a text to a tenth, and line ends as blanks."""
    tenths = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), numbers)
    return " ".join(tenths.split())
