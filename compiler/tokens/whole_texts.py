"""Texts, or pairs of texts, that are sorted into classes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ftc.compiler.tokens.encoder import CompleteText, TextTokenizer
from ftc.compiler.tokens.forms import ClassifyForm
from ftc.compiler.tokens.sources import Row
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens

__all__ = ["classified"]


def classified(
    chunks: Iterable[dict[int, Row]], form: ClassifyForm, tokenizer: TextTokenizer, limit: Limit, counts: RowCounts
) -> Iterator[Iterable[RowTokens]]:
    """Rows with their class, or with all of their classes, in chunks."""
    index = {name: i for i, name in enumerate(form.labels)}
    columns = [form.text] if form.text_pair is None else [form.text, form.text_pair]
    for chunk in chunks:
        texts = {i: text for i, row in chunk.items() if (text := _whole_text(row, columns)) is not None}
        for i in chunk:
            if i not in texts:
                counts.drop(i, f"no text in {' or '.join(columns)}")
        encoded = _encoded(list(texts.values()), form, tokenizer, limit)
        counts.truncated += sum(text.was_cut for text in encoded)
        yield [
            _with_classes(RowTokens(i, text.ids, [], text.first_length), chunk[i][form.label], form, index)
            for i, text in zip(texts, encoded, strict=True)
            if _fits(i, text, limit, counts)
        ]


def _encoded(
    texts: Sequence[str | tuple[str, ...]], form: ClassifyForm, tokenizer: TextTokenizer, limit: Limit
) -> list[CompleteText]:
    longest = limit.max_length if limit.cuts else None
    encoded = tokenizer.encode_complete(texts, longest)
    end = form.end_id
    if end is None or all(text.ids and text.ids[-1] == end for text in encoded):
        return encoded
    shorter = tokenizer.encode_complete(texts, None if longest is None else longest - 1)
    return [text._replace(ids=array("i", [*text.ids, end])) for text in shorter]


def _with_classes(tokens: RowTokens, value: Any, form: ClassifyForm, index: Mapping[str, int]) -> RowTokens:
    if not form.multi_label:
        return replace(tokens, label=index[str(value)])
    return replace(tokens, targets=sorted({index[name] for name in value}))


def _whole_text(row: Row, columns: Sequence[str]) -> str | tuple[str, ...] | None:
    """What is classified: a text or a pair; None where a column holds no text."""
    texts = tuple(text for column in columns if isinstance(text := row.get(column), str))
    if len(texts) < len(columns):
        return None
    return texts[0] if len(texts) == 1 else texts


def _fits(i: int, text: CompleteText, limit: Limit, counts: RowCounts) -> bool:
    """Whether a row isn't too long; one that is counts as left out."""
    if (num_tokens := len(text.ids)) <= limit.max_length:
        return True
    counts.drop_long(i, num_tokens, limit.reason(num_tokens))
    return False
