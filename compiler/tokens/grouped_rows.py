"""Rows of several texts that a model reads one by one and that are compared: queries, passages, and two alike."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate

from ftc.compiler.tokens.encoder import CompleteText, TextTokenizer
from ftc.compiler.tokens.forms import EmbedForm
from ftc.compiler.tokens.plain_rows import float_bits
from ftc.compiler.tokens.sources import Row
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens

__all__ = ["grouped"]


def grouped(
    chunks: Iterable[dict[int, Row]], form: EmbedForm, tokenizer: TextTokenizer, limit: Limit, counts: RowCounts
) -> Iterator[Iterable[RowTokens]]:
    """Rows with all their texts, in chunks; the longest text holds for each of a row.

    The first token of each text is marked. Targets are the tokens of the longest one and then the score's bits.
    """
    for chunk in chunks:
        texts = {i: _texts(row, form) for i, row in chunk.items()}
        flat = [text for own in texts.values() for text in own]
        encoded = iter(tokenizer.encode_complete(flat, limit.max_length if limit.cuts else None))
        found = {i: [next(encoded) for _ in own] for i, own in texts.items()}
        yield [made for i, own in found.items() if (made := _tokens(i, chunk[i], own, form, limit, counts))]


def _texts(row: Row, form: EmbedForm) -> list[str]:
    """A row's texts behind their prefixes: a query and its passages, the right one first, or two texts."""
    negatives: list[str] = row.get(form.negatives) or [] if form.negatives is not None else []
    last = [*form.texts.values()][-1]
    return [*(prefix + row[column] for column, prefix in form.texts.items()), *(last + text for text in negatives)]


def _tokens(
    i: int, row: Row, texts: list[CompleteText], form: EmbedForm, limit: Limit, counts: RowCounts
) -> RowTokens | None:
    lengths = [len(text.ids) for text in texts]
    longest = max(lengths)
    if min(lengths) == 0:
        counts.drop(i, "a text has no tokens")
        return None
    if longest > limit.max_length:
        counts.drop_long(i, longest, limit.reason(longest))
        return None
    if any(text.was_cut for text in texts):
        counts.cut.append(i)
    ids = array("i", [number for text in texts for number in text.ids])
    marks = [(begin, begin + 1) for begin in (0, *accumulate(lengths[:-1]))]
    numbers: list[float] = row[form.numbers] if form.numbers is not None else []
    return RowTokens(
        i,
        ids,
        marks,
        lengths[0],
        targets=[longest, *map(float_bits, numbers)],
        texts=[repr(number) for number in numbers],
    )
