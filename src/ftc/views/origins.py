"""Where each value of a plan came from: two lines of what was chosen, or the whole table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from ftc.spec.documents.plan import Plan
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import PLAIN, Page, pad, shorten, visible_width

__all__ = ["chosen_lines", "origins_text"]

_TELLING = (
    "train.micro_batch",
    "train.precision",
    "train.learning_rate",
    "train.activation_checkpointing",
    "text.max_length",
    "strategy.adapter.alpha",
    "model.attention",
    "eval.max_new_tokens",
)
"""Values that users ask about first."""
_DEVICES = "device.count"
"""How many devices share the run, which is asked about before all else where ftc chose it."""
_LABEL = "Chosen for you:"
_MORE = "--origins tells all"
_LONGEST_REASON = 46
_SHOWN = 3
_KIND_CELLS = 7
_NARROWEST_REASON = 36
_SHORTEST_VALUE = 16


def chosen_lines(plan: Plan, page: Page = PLAIN) -> list[str]:
    """The most telling values that the user did not write, with reasons, and how many more there are."""
    chosen = {path: origin for path, origin in plan.origins.items() if origin.kind != "written"}
    derived = [path for path in chosen if chosen[path].kind == "derived"]
    telling = (*(_DEVICES,) * (_DEVICES in derived), *_TELLING)
    order = [*(path for path in telling if path in chosen), *(path for path in derived if path not in telling)]
    values = plan.settings.model_dump(mode="python")
    parts = []
    for path in order[:_SHOWN]:
        reason = shorten(chosen[path].reason, _LONGEST_REASON)
        name = "devices" if path == _DEVICES else path.rpartition(".")[2]
        parts.append(f"{name} {_value_words(_value(values, path))} ({reason})")
    if len(chosen) > len(parts):
        parts.append(f"{len(chosen) - len(parts)} more")
    return page.flow(_LABEL, parts, indent=len(_LABEL) + 1, end=_MORE) if parts else []


def origins_text(plan: Plan, *, page: Page = PLAIN) -> str:
    """Every value of the settings with its origin, in the order of their paths; nothing is left out.

    Reasons stand beside their values where the page is wide enough to read them there, else below.
    """
    values = plan.settings.model_dump(mode="python")
    rows = [(path, _value_words(_value(values, path)), plan.origins[path]) for path in sorted(plan.origins)]
    first = min(page.columns * 2 // 5, max((len(path) for path, _, _ in rows), default=0))
    sizes = sorted(visible_width(value) for _, value, _ in rows)
    second = min(page.columns // 4, max(_SHORTEST_VALUE, sizes[len(sizes) * 9 // 10] if sizes else 0))
    room = page.columns - first - second - _KIND_CELLS - 6
    lines: list[str] = []
    for path, value, origin in rows:
        reason = " ".join(escaped(origin.reason).split())
        if room >= _NARROWEST_REASON:
            lines += _cells((path, value, origin.kind, reason), (first, second, _KIND_CELLS, room))
        else:
            lines += _cells((path, value, origin.kind), (first, page.columns - first - _KIND_CELLS - 4, _KIND_CELLS))
            lines += page.wrap(f"    {reason}")
    return "\n".join(lines) + "\n"


def _cells(texts: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The lines of one row, in which each text is wrapped within its column."""
    columns = [textwrap.wrap(text, width) or [""] for text, width in zip(texts, widths, strict=True)]
    for parts in zip_longest(*columns, fillvalue=""):
        yield "  ".join(pad(part, width) for part, width in zip(parts, widths, strict=True)).rstrip()


def _value(values: Any, path: str) -> Any:
    """The value under a dotted path; a missing one reads as None, as a path into an absent block does."""
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _value_words(value: Any) -> str:
    """A value as a recipe would write it."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return numbers.rate(value) if 0 < abs(value) < 0.01 else f"{value:g}"
        case {"comparison": comparison, "bound": bound}:
            return f"{comparison} {bound:g}"
        case dict():
            return " ".join(_pairs(value)) or "none"
        case list() | tuple():
            return " ".join(_value_words(item) for item in value) or "none"
        case _:
            return escaped(str(value))


def _pairs(value: dict[str, Any]) -> Iterator[str]:
    for key, item in value.items():
        yield f"{escaped(str(key))}={_value_words(item)}"
