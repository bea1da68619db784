"""Rows of span corruption: blocks of text of which spans are missing and have to be written."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import SpanForm
from ftc.compiler.tokens.token_rows import BareText, Limit, RowCounts, RowTokens
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.documents.loss_settings import SpanSettings
from ftc.spec.span_corruption import block_size, fixed_spans, span_counts

__all__ = ["given_spans", "span_blocks"]

Row = Mapping[str, Any]


def span_blocks(
    chunks: Iterable[Iterable[BareText]], form: SpanForm, facts: TokenizerFacts, limit: Limit
) -> Iterator[Iterable[RowTokens]]:
    """Blocks of texts, of which neither side has more than `limit.max_length` tokens, in chunks; the token that ends a
    text follows each. Missing spans are those of measuring; a row's targets are its ids as they were.

    Raises:
        Refusal: The tokenizer has too few sentinels, or no token that ends a text (FTC477).
    """
    spans, size = _spans(form, facts, limit)
    rest, row_of_rest = list[int](), 0
    for chunk in chunks:
        made: list[RowTokens] = []
        for i, ids in chunk:
            if not rest:
                row_of_rest = i
            rest += [*ids, spans.end_id]
            while len(rest) >= size:
                made.append(_block(row_of_rest, rest[:size], spans))
                rest, row_of_rest = rest[size:], i
        yield made
    if len(rest) > 1:  # of a single token nothing would be left to write it by
        yield [_block(row_of_rest, rest, spans)]


def _spans(form: SpanForm, facts: TokenizerFacts, limit: Limit) -> tuple[SpanSettings, int]:
    """How spans are taken out, and tokens of the longest block."""
    size = block_size(limit.max_length, form.share, form.mean_length)
    needed = span_counts(size, form.share, form.mean_length).spans if size else 0
    summary, help = "", "choose a model such as T5 or Flan-T5, or the task `pretraining` for a decoder"
    if facts.eos_id is None or not facts.sentinels:
        lacks = "token that ends a text" if facts.sentinels else "sentinel, such as `<extra_id_0>`, for a missing span"
        summary = f"the model's tokenizer has no {lacks}"
    elif not size:
        summary, help = f"no block of two tokens fits into {limit.max_length}", "raise `data.max_length`"
    elif needed > len(facts.sentinels):
        summary = f"a block has {needed} missing spans, and the tokenizer {len(facts.sentinels)} sentinels"
        help = "raise `task.mean_span_length`, or lower `task.noise_density` or `data.max_length`"
    if summary or facts.eos_id is None:
        raise Refusal([diagnostic("FTC477", summary, help=help, path="model.base")])
    found = SpanSettings(
        share=form.share, mean_length=form.mean_length, sentinels=facts.sentinels[:needed], end_id=facts.eos_id
    )
    return found, size


def _block(row: int, kept: list[int], spans: SpanSettings) -> RowTokens:
    ids, mask = fixed_spans(np.array(kept, np.int32), spans)
    begin = int(mask.argmax())
    return RowTokens(row, array("i", ids.tolist()), [(begin, len(ids))], begin, targets=kept)


def given_spans(
    chunks: Iterable[dict[int, Row]],
    form: SpanForm,
    tokenizer: TextTokenizer,
    facts: TokenizerFacts,
    limit: Limit,
    counts: RowCounts,
) -> Iterator[Iterable[RowTokens]]:
    """Each text by itself, of which spans are written where its sentinels stand; one without is left out.

    Raises:
        Refusal: The tokenizer has too few sentinels, or no token that ends a text (FTC477).
    """
    spans, _ = _spans(form, facts, limit)
    first = tokenizer.text_of(spans.sentinels[0])
    for chunk in chunks:
        texts = tokenizer.encode_complete([row[form.text] for row in chunk.values()], limit.max_length - 1)
        made: list[RowTokens] = []
        for i, text in zip(chunk, texts, strict=True):
            if spans.sentinels[0] not in text.ids:
                counts.drop(i, f"no `{first}` to write a span for among its first {limit.max_length:,} tokens")
                continue
            if text.was_cut:
                counts.cut.append(i)
            ids = [*text.ids, *([] if text.ids[-1] == spans.end_id else [spans.end_id])]
            made.append(RowTokens(i, array("i", [*ids, spans.end_id]), [(len(ids), len(ids) + 1)], len(ids)))
        yield made
