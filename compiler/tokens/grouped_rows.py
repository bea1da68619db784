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

__all__ = ["grouped"]


def grouped(
    chunks: Iterable[dict[int, Row]],
    form: EmbedForm | RerankForm,
    tokenizer: TextTokenizer,
    limit: Limit,
    counts: RowCounts,
) -> Iterator[Iterable[RowTokens]]:
    """Rows with all their sequences, in chunks: texts, or a query with each of several texts, the right one first.

    The longest sequence of a row holds for each, and the first token of each is marked. Targets begin with the tokens
    of the longest one. Texts have the score's bits behind it. Pairs have the tokens of the first type in each, and then
    the bits of the margins; their texts are the query and then its own.
    """
    for chunk in chunks:
        texts = {i: _sequences(row, form) for i, row in chunk.items()}
        flat = [text for own in texts.values() for text in own]
        encoded = iter(tokenizer.encode_complete(flat, limit.max_length if limit.cuts else None))
        found = {i: [next(encoded) for _ in own] for i, own in texts.items()}
        rows = {i: made for i, own in found.items() if (made := _joined(i, own, limit, counts))}
        for i, made in rows.items():
            _add_targets(made, chunk[i], form, found[i])
        yield rows.values()


def _sequences(row: Row, form: EmbedForm | RerankForm) -> Sequence[str | tuple[str, ...]]:
    """What a row has: texts behind their prefixes, or its query with each of its texts."""
    if isinstance(form, RerankForm):
        return [(row[form.query], text) for text in _ranked(row, form)]
    negatives: list[str] = row.get(form.negatives) or [] if form.negatives is not None else []
    last = [*form.texts.values()][-1]
    return [*(prefix + row[column] for column, prefix in form.texts.items()), *(last + text for text in negatives)]


def _ranked(row: Row, form: RerankForm) -> list[str]:
    """A query's texts, the right one first where it is known."""
    return [*([row[form.positive]] if form.positive is not None else []), *row[form.negatives]]


def _add_targets(made: RowTokens, row: Row, form: EmbedForm | RerankForm, sequences: list[CompleteText]) -> None:
    column = form.margins if isinstance(form, RerankForm) else form.numbers
    numbers: list[float] = row[column] if column is not None else []
    firsts: list[int] = []
    if isinstance(form, RerankForm):
        firsts = [pair.first_length for pair in sequences]
        made.prompt_length, made.texts = firsts[0], [row[form.query], *_ranked(row, form)]
    else:
        made.texts = [repr(number) for number in numbers]
    made.targets = [*made.targets, *firsts, *map(float_bits, numbers)]


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
