"""Rows of several texts that a model reads one by one and that are compared: queries, passages, and two alike."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from ftc.compiler.tokens.encoder import CompleteText, TextTokenizer
from ftc.compiler.tokens.forms import EmbedForm, RerankForm
from ftc.compiler.tokens.plain_rows import float_bits
from ftc.compiler.tokens.sources import Row
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens

__all__ = ["grouped", "ranked"]


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


def ranked(
    chunks: Iterable[dict[int, Row]], form: RerankForm, tokenizer: TextTokenizer, limit: Limit, counts: RowCounts
) -> Iterator[Iterable[RowTokens]]:
    """Queries with each of their texts, in chunks: pairs, the right text first.

    The longest pair of a row holds for each. The first token of each pair is marked. Targets are the tokens of the
    longest pair, those of the first type in each pair, and then the bits of the margins; texts are the query and then
    its own.
    """
    for chunk in chunks:
        pairs: dict[int, list[tuple[str, ...]]] = {}
        for i, row in chunk.items():
            texts = [row[form.positive]] if form.positive is not None else []
            pairs[i] = [(row[form.query], text) for text in (*texts, *row[form.negatives])]
        flat = [pair for own in pairs.values() for pair in own]
        encoded = iter(tokenizer.encode_complete(flat, limit.max_length if limit.cuts else None))
        found = {i: [next(encoded) for _ in own] for i, own in pairs.items()}
        margins = {i: chunk[i][form.margins] if form.margins is not None else [] for i in pairs}
        yield [made for i, own in found.items() if (made := _pairs(i, pairs[i], own, margins[i], limit, counts))]


def _pairs(
    i: int,
    texts: Sequence[tuple[str, ...]],
    pairs: list[CompleteText],
    margins: list[float],
    limit: Limit,
    counts: RowCounts,
) -> RowTokens | None:
    if (made := _joined(i, pairs, limit, counts)) is None:
        return None
    bits = map(float_bits, margins)
    made.targets = [*made.targets, *(pair.first_length for pair in pairs), *bits]
    made.prompt_length = pairs[0].first_length
    made.texts = [texts[0][0], *(text for _, text in texts)]
    return made


def _texts(row: Row, form: EmbedForm) -> list[str]:
    """A row's texts behind their prefixes: a query and its passages, the right one first, or two texts."""
    negatives: list[str] = row.get(form.negatives) or [] if form.negatives is not None else []
    last = [*form.texts.values()][-1]
    return [*(prefix + row[column] for column, prefix in form.texts.items()), *(last + text for text in negatives)]


def _tokens(
    i: int, row: Row, texts: list[CompleteText], form: EmbedForm, limit: Limit, counts: RowCounts
) -> RowTokens | None:
    if (made := _joined(i, texts, limit, counts)) is None:
        return None
    numbers: list[float] = row[form.numbers] if form.numbers is not None else []
    made.targets = [*made.targets, *map(float_bits, numbers)]
    made.texts = [repr(number) for number in numbers]
    return made


def _joined(i: int, texts: list[CompleteText], limit: Limit, counts: RowCounts) -> RowTokens | None:
    """Sequences one after the other, of which the first tokens are marked; the target is the longest one's length."""
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
    return RowTokens(i, ids, marks, lengths[0], targets=[longest])
