"""Rows to token ids with what is learned of them, cut to a length. Nothing is dropped or cut without being counted."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import assert_never

from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import (
    AnswerForm,
    ChatForm,
    ClassifyForm,
    EmbedForm,
    ExtractForm,
    MaskedForm,
    PreferenceForm,
    PromptForm,
    RawForm,
    RerankForm,
    ScoreForm,
    SpanForm,
    StepForm,
    TagForm,
    TextForm,
)
from ftc.compiler.tokens.generative import Generative, Preferences, Questions, Translated
from ftc.compiler.tokens.grouped_rows import grouped
from ftc.compiler.tokens.image_tokens import ImageTokens
from ftc.compiler.tokens.masked_rows import masked_blocks
from ftc.compiler.tokens.plain_rows import blocks, classified, extracted, rated, tagged
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.scored_rows import ScoredAnswers, stepped
from ftc.compiler.tokens.sources import ChatSource, PromptSource, Row, text_source
from ftc.compiler.tokens.span_rows import span_blocks
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens, TokenRows, flatten, joined
from ftc.spec.documents.facts import TokenizerFacts

__all__ = ["encode_rows"]

_CHUNK_ROWS = 1024
_BY_FACTS: dict[type[MaskedForm | SpanForm | StepForm], Callable[..., Iterator[Iterable[RowTokens]]]] = {
    MaskedForm: masked_blocks,
    SpanForm: span_blocks,
    StepForm: stepped,
}
"""What encodes texts with tokens of the tokenizer's own between them."""


def encode_rows(
    rows: Sequence[Row],
    form: TextForm,
    tokenizer: TextTokenizer,
    facts: TokenizerFacts,
    renderer: TemplateRenderer,
    *,
    max_length: int,
    cuts: bool = True,
    numbers: Sequence[int] | None = None,
    place: Callable[[int], str] = "row {}".format,
    by_shape: bool = True,
    images: ImageTokens | None = None,
) -> TokenRows:
    """Turns rows into tokens of the given form.

    Args:
        rows: Columns of each row, as JSON values.
        form: What a row's text is.
        tokenizer: The model's tokenizer.
        facts: Its special tokens and chat template.
        renderer: The child that renders templates.
        max_length: Longest row, in tokens, special tokens included.
        cuts: Whether longer rows are cut where that spares the answer; else they are left out and counted.
        numbers: Each row's number in its source, from 0, ascending; None where the rows are the whole source.
        place: Name of the row of a number.
        by_shape: Whether templates may be rendered once a shape; the result is the same without.
        images: How images stand in rows; None for a model that reads none.

    Raises:
        Refusal: A template, the tokenizer or a row's characters can't be used (FTC331 to FTC339).
    """
    counts, limit = RowCounts(read=len(rows), place=place), Limit(max_length, cuts)
    numbered = _in_chunks(rows, range(len(rows)) if numbers is None else numbers)
    match form:
        case ClassifyForm():
            chunks = classified(numbered, form, tokenizer, limit, counts)
        case ScoreForm():
            chunks = rated(numbered, form, tokenizer, limit, counts)
        case TagForm():
            chunks = tagged(numbered, form, tokenizer, limit, counts)
        case ExtractForm():
            chunks = extracted(numbered, form, tokenizer, limit, counts)
        case EmbedForm() | RerankForm():
            chunks = grouped(numbered, form, tokenizer, limit, counts)
        case RawForm():
            chunks = blocks(numbered, form, tokenizer, facts, limit)
        case MaskedForm() | SpanForm() | StepForm():
            chunks = _BY_FACTS[type(form)](numbered, form, tokenizer, facts, limit, counts)
        case PreferenceForm() | AnswerForm() | ChatForm() | PromptForm():
            source = partial(text_source, tokenizer=tokenizer, facts=facts, renderer=renderer)
            source = partial(source, by_shape=by_shape, images=images)
            chunks = map(_written(form, source, (tokenizer, limit, counts, place), images), numbered)
        case _:
            assert_never(form)
    with _collector_off():
        flat = (flatten(chunk, counts) for chunk in chunks)
        return joined(chain([next(flat, None) or flatten([], counts)], flat))


def _in_chunks(rows: Sequence[Row], numbers: Sequence[int]) -> Iterator[dict[int, Row]]:
    """Rows by their numbers, so many at a time."""
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        yield dict(zip(numbers[part], rows[part], strict=True))


def _written(
    form: PreferenceForm | AnswerForm | ChatForm | PromptForm,
    source: Callable[[ChatForm | PromptForm], ChatSource | PromptSource],
    parts: tuple[TextTokenizer, Limit, RowCounts, Callable[[int], str]],
    images: ImageTokens | None,
) -> Callable[[dict[int, Row]], Iterator[RowTokens]]:
    """What encodes prompts and answers: two answers, one that is rated, the prompt alone, each apart, or one after the
    other.
    """
    if isinstance(form, PreferenceForm):
        return Preferences(source(form.chosen), source(form.rejected), *parts, form.rating, form.weight).encode
    if isinstance(form, AnswerForm):
        return ScoredAnswers(Generative(source(form.written), *parts), form.numbers).encode
    if isinstance(form, PromptForm) and form.is_question:
        return Questions(source(form), *parts).encode
    if isinstance(form, PromptForm) and form.is_split:
        return Translated(source(form), *parts).encode
    return Generative(source(form), *parts, images).encode


@contextmanager
def _collector_off() -> Iterator[None]:
    """Stops the search for cycles, of which none are made here; it would walk all rows again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
