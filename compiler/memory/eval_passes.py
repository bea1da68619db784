"""What the model looks at without learning from it, and the largest batch of that: splits, general text, swapped rows.

A look never holds more rows at once than it has. Looks differ: a few long blocks of general text beside many short
rows are not planned for as if as many blocks were read at once as there are rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.batch_shapes import is_translated, known_lengths, longest_row, longest_target
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.streams import RowLengths
from ftc.spec.text_forms import form_card

__all__ = ["evaluation_batch", "usual_rows"]

_USUAL_ROWS = 32
"""Rows that are evaluated at once at most; beyond it little is gained."""

_WRITTEN = ("test", "swaps")
"""Looks in which answers are written, where a metric needs them."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Rows that are read one batch after the other.

    Attributes:
        name: A split, `retention` or `swaps`.
        rows: Rows at once, at most.
        length: Tokens of the longest.
        supervised: Supervised tokens of a row, or tokens of a target, at most.
        is_even: Whether the usual row is as long as the longest.
    """

    name: str
    rows: int
    length: int
    supervised: int
    is_even: bool


def usual_rows(draft: Draft, devices: int) -> tuple[int, str]:
    """Rows at once on each of so many devices where memory doesn't matter, and why: all there are, up to a bound.

    What is measured later may have more than none.
    """
    rows = max((-(-count // devices) for count in _counts(draft).values()), default=0)
    if not 0 < rows < _USUAL_ROWS:
        return _USUAL_ROWS, "beyond it little is gained"
    alone = f"no more than {rows} rows are measured"
    return rows, alone if devices == 1 else f"a device measures {rows} rows at the most"


def evaluation_batch(draft: ClosedDraft) -> tuple[int, BatchShape] | None:
    """Rows at once and their shape, such that no look's batch takes more; None where nothing is looked at.

    Fewer rows stand for more shorter ones, as long as answers of each need their place.
    """
    looks = [_look(draft, name, count) for name, count in _counts(draft).items()]
    if not looks:
        return None
    if is_translated(draft):
        return max(look.rows for look in looks), _translated(looks)
    length = max(look.length for look in looks)
    rows = max(-(-look.rows * look.length // length) for look in looks)
    if draft.eval.max_new_tokens is not None:
        rows = max([rows, *(look.rows for look in looks if look.name in _WRITTEN)])
    supervised = max(-(-look.rows * look.supervised // rows) for look in looks)
    return rows, BatchShape(length=length, supervised=supervised, padded=_is_padded(looks))


def _translated(looks: list[_Look]) -> BatchShape:
    """The longest source of all beside the longest target."""
    target = max(look.supervised for look in looks)
    source = max(look.length - look.supervised for look in looks)
    return BatchShape(length=source + target, supervised=target, padded=_is_padded(looks))


def _is_padded(looks: list[_Look]) -> bool:
    return any(look.rows > 1 and not look.is_even for look in looks)


def _counts(draft: Draft) -> dict[str, int]:
    """Rows of each look. Preferences are also compared on the rows that are learned from, before the first step."""
    compares = form_card(draft.text.form).is_pair
    splits = [name for name in ("train", "validation", "test") if name != "train" or compares]
    found = {name: draft.splits[name].rows for name in splits if name in draft.splits}
    return {name: rows for name, rows in (*found.items(), *_beside(draft)) if rows}


def _beside(draft: Draft) -> Iterator[tuple[str, int]]:
    """Rows that are measured beside the test split, where there is one."""
    for name in ("retention", "swaps"):
        lengths = known_lengths(draft, name)
        if lengths is not None and "test" in draft.splits:
            yield name, len(lengths.tokens)


def _look(draft: ClosedDraft, name: str, count: int) -> _Look:
    rows = min(draft.candidate.eval_batch, -(-count // draft.candidate.devices))
    if name not in draft.splits:
        return _look_beside(draft, name, rows, draft.lengths[name])
    report, length = draft.splits[name], longest_row(draft, name)
    supervised = longest_target(draft, name) if is_translated(draft) else report.supervised_max
    return _Look(name, rows, length, supervised, is_even=report.length_p50 >= length)


def _look_beside(draft: Draft, name: str, rows: int, lengths: RowLengths) -> _Look:
    target = int((lengths.tokens - lengths.prompt).max()) if is_translated(draft) else 0
    longest = int(lengths.prompt.max()) + target if target else int(lengths.tokens.max())
    scored = max(target, int(lengths.scored.max()))
    return _Look(name, rows, longest, scored, is_even=int(np.median(lengths.tokens)) >= longest)
