"""What an import made of another tool's configuration, key by key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ftc.spec.documents.imported import Fate, Imported
from ftc.views.diagnostics import render_json
from ftc.views.page import PLAIN, Page, escaped, pad, visible_width

__all__ = ["imported_json", "imported_text"]

_WIDEST_KEY = 40


def imported_text(result: Imported, *, page: Page = PLAIN) -> str:
    """The report: what needs a look first, what is fine last."""
    counts = [(result.count(fate), "in conflict" if fate is Fate.CONFLICT else fate.value) for fate in Fate]
    parts = [f"{len(result.keys)} keys", *(f"{count} {words}" for count, words in counts if count)]
    blocks = [
        "\n".join(page.flow(page.strong(f"{result.tool}  "), parts, indent=visible_width(result.tool) + 2)),
        *_listed(page.alert("not carried"), result, Fate.NOT_CARRIED, page),
        *_listed(page.alert("in conflict"), result, Fate.CONFLICT, page),
        *_listed(page.alert(f"without effect in {result.tool} itself"), result, Fate.IGNORED, page),
        *_listed(page.accent("carried"), result, Fate.CARRIED, page),
    ]
    if added := [one for one in result.added if one.reason]:
        width = max(len(one.path) for one in added)
        lines = [line for one in added for line in _row(f"  {one.path:<{width}}  ", one.reason, page)]
        blocks.append("\n".join([page.accent("added"), *lines]))
    blocks += _needless(result, page)
    return "\n\n".join(blocks) + "\n"


def imported_json(result: Imported) -> dict[str, Any]:
    """The result as JSON values."""
    return {
        "tool": result.tool,
        "file": result.file,
        "recipe": result.recipe,
        "keys": [{**asdict(key), "paths": list(key.paths)} for key in result.keys],
        "added": [asdict(added) for added in result.added],
        "reasons": json.loads(render_json(result.reasons))["diagnostics"],
    }


def _listed(title: str, result: Imported, fate: Fate, page: Page) -> Iterator[str]:
    keys = [key for key in result.keys if key.fate is fate]
    if keys:
        digits = len(str(max(key.line for key in keys)))
        width = min(_WIDEST_KEY, max(visible_width(key.key) for key in keys))
        lines = []
        for key in keys:
            said = f"{key.reason}; {key.help}" if key.reason and key.help else key.reason or key.help
            if key.paths:
                said = f"{', '.join(key.paths)}{f' ({said})' if said else ''}"
            lines += _row(f"  {key.line:>{digits}}  {pad(escaped(key.key), width)}  ", said, page)
        yield "\n".join([title, *lines])


def _row(head: str, words: str, page: Page) -> list[str]:
    first, *others = page.wrap(" " * visible_width(head) + escaped(words)) or [head]
    return [(head + first[visible_width(head) :]).rstrip(), *others]


def _needless(result: Imported, page: Page) -> Iterator[str]:
    """Keys that the recipe means the same without, by reason."""
    by_reason: dict[str, list[str]] = {}
    for key in result.keys:
        if key.fate is Fate.NOT_NEEDED:
            by_reason.setdefault(key.reason, []).append(f"{escaped(key.key)} ({key.line})")
    if by_reason:
        lines = [line for reason, keys in by_reason.items() for line in page.wrap(f"  {reason}: {', '.join(keys)}")]
        yield "\n".join([page.faint("not needed, with lines"), *lines])
