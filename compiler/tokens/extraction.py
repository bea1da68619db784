"""Answers that stand in a context: where they begin and end among the tokens of each window.

Position 0 stands for "no answer here": a row without an answer, or a window that doesn't hold it whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ftc.compiler.tokens.encoder import TextTokenizer, Window
from ftc.compiler.tokens.forms import ExtractForm
from ftc.compiler.tokens.sources import Row
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens

__all__ = ["extracted"]

_NO_ANSWER = (0, 0)


def extracted(
    chunks: Iterable[dict[int, Row]], form: ExtractForm, tokenizer: TextTokenizer, limit: Limit, counts: RowCounts
) -> Iterator[Iterable[RowTokens]]:
    """Windows with the place of the answer, in chunks; `overflow: drop` leaves out what takes more than one."""
    for chunk in chunks:
        rows = _with_room(chunk, form, tokenizer, limit, counts)
        pairs = [(row[form.question], row[form.context]) for row in rows.values()]
        windows = tokenizer.encode_windows(pairs, limit.max_length, form.stride)
        yield [
            made
            for (i, row), parts in zip(rows.items(), windows, strict=True)
            for made in _windows(i, row, parts, form, limit, counts)
        ]


def _with_room(
    chunk: dict[int, Row], form: ExtractForm, tokenizer: TextTokenizer, limit: Limit, counts: RowCounts
) -> dict[int, Row]:
    """Rows whose question leaves room for a context that moves on from window to window."""
    taken = tokenizer.num_special(is_pair=True) + form.stride
    kept: dict[int, Row] = {}
    for (i, row), length in zip(
        chunk.items(), tokenizer.num_tokens([r[form.question] for r in chunk.values()]), strict=True
    ):
        if length + taken < limit.max_length:
            kept[i] = row
        else:
            needed = length + taken + 1
            counts.drop_long(i, needed, limit.reason(needed, " with the question and one step of the context"))
    return kept


def _windows(
    i: int, row: Row, windows: Sequence[Window], form: ExtractForm, limit: Limit, counts: RowCounts
) -> Iterator[RowTokens]:
    if len(windows) > 1 and not limit.cuts:
        num_tokens = sum(len(window.ids) for window in windows)
        counts.drop_long(i, num_tokens, f"{len(windows)} windows of {limit.max_length:,} tokens")
        return
    answers: Mapping[str, Any] = row[form.answers]
    texts = (row[form.context], *answers["text"])
    place = _place(answers)
    found = [_NO_ANSWER if place is None else _tokens_at(place, window) for window in windows]
    if place is not None and all(tokens == _NO_ANSWER for tokens in found):
        counts.answers_cut += 1
    for window, tokens in zip(windows, found, strict=True):
        flat = [edge for place in window.offsets for edge in place]
        yield RowTokens(i, window.ids, [], window.first_length, targets=tokens, offsets=flat, texts=texts)


def _place(answers: Mapping[str, Any]) -> tuple[int, int] | None:
    """First and last-plus-one character of the first answer."""
    if not answers["text"]:
        return None
    start = int(answers["answer_start"][0])
    return start, start + len(answers["text"][0])


def _tokens_at(place: tuple[int, int], window: Window) -> tuple[int, int]:
    """First and last token of the answer, or position 0 twice where the window doesn't hold all of it."""
    inside = [n for n, (start, end) in enumerate(window.offsets) if start < place[1] and end > place[0] and start >= 0]
    context = [offset for offset in window.offsets if offset[0] >= 0]
    if not inside or not context or context[0][0] > place[0] or context[-1][1] < place[1]:
        return _NO_ANSWER
    return inside[0], inside[-1]
