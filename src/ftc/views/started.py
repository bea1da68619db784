"""What `ftc init` guessed and what else could be meant, for people."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.spec.documents.started import GuessedColumn, Started
from ftc.views import numbers
from ftc.views.page import INDENT, PLAIN, Page, blocks, escaped

__all__ = ["next_step", "started_text"]

_INDENT = 12
"""Columns before what is said of a part, more where a part has a long name."""
_MOST_UNUSED = 8
"""Columns that are listed by name."""


def started_text(found: Started, *, page: Page = PLAIN) -> str:
    """The recipe that was written, the columns and the first rows."""
    source = f" from {escaped(found.data)} ({numbers.plural(found.rows, 'row')})" if found.data else ""
    longest = max((len(one.part) for one in found.columns), default=0)
    indent, inner = max(_INDENT, longest + 4), max(INDENT, longest + 6)
    parts: list[list[str]] = [page.flow("", [f"Wrote {page.strong(escaped(found.file))}{source}"], indent=0)]
    if found.data:
        lines = page.flow("  task", [found.task], indent=indent)
        for one in found.columns:
            lines += page.flow(f"  {one.part}", [page.strong(_words(one))], indent=indent)
        for part in found.open_parts:
            words = page.alert("no column found; finish the line in the recipe")
            lines += page.flow(f"  {part}", [words], indent=indent)
        if found.also:
            lines += page.flow(
                "", [f"also possible as the label: {', '.join(map(_words, found.also))}"], indent=_INDENT
            )
        if found.unused:
            lines += page.flow("  not used", [_listed(found.unused)], indent=indent)
        if found.base:
            facts = f" ({escaped(found.base_facts)})" if found.base_facts else ""
            lines += page.flow("  model", [f"{page.strong(escaped(found.base))}{facts}"], indent=indent)
        lines += [line for one in found.settled for line in page.flow("  set", [escaped(one)], indent=indent)]
        for warning in found.warnings:
            why = "; ".join((warning.code, *warning.reasons))
            words = f"{warning.summary} ({why}): {', '.join(warning.help)}"
            lines += page.flow("  check", [page.alert(escaped(words))], indent=indent)
        parts.append(lines)
    shown = []
    for row in found.shown:
        shown.append(f"  {page.faint(escaped(row.place))}")
        shown += [
            line for at, value in row.values.items() for line in page.flow(f"    {at}", [escaped(value)], indent=inner)
        ]
    return blocks([*parts, shown])


def next_step(found: Started, *, is_calibrated: bool, page: Page = PLAIN) -> str:
    """What is still missing, and the verb that comes next."""
    words = []
    if found.base is None:
        words.append("The recipe names no model yet: write a folder, or an id on the hub, in `model.base`.")
    if not is_calibrated:
        words.append("Time not estimated: this machine has no benchmark yet. Run `ftc device calibrate` (1 minute).")
    words.append(f"Next: `ftc plan {escaped(found.file)}`")
    return "\n" + blocks([[line for one in words for line in page.flow("", [one], indent=0)]])


def _words(one: GuessedColumn) -> str:
    return f"{escaped(one.column)} ({one.facts})" if one.facts else escaped(one.column)


def _listed(columns: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = len(columns) - _MOST_UNUSED
    return ", ".join(map(escaped, columns[:_MOST_UNUSED])) + (f" and {more:,} more" if more > 0 else "")
