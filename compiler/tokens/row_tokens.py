"""Rows to token ids with what is learned of them, cut to a length. Nothing is dropped or cut without being counted."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, pairwise
from typing import Any, assert_never

from ftc.compiler.resolve.rows.in_processes import ranges, spread
from ftc.compiler.stages import advance
from ftc.compiler.tokens.encoder import MarkedText, TextTokenizer
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
from ftc.compiler.tokens.kept_pieces import FEWEST_ROWS, KeptPieces, pieces_of
from ftc.compiler.tokens.masked_rows import given_masks, masked_blocks
from ftc.compiler.tokens.packed_rows import packed, unpacked
from ftc.compiler.tokens.plain_rows import blocks, classified, extracted, rated, tagged
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.scored_rows import ScoredAnswers, stepped
from ftc.compiler.tokens.sources import ChatSource, PromptSource, Row, text_source
from ftc.compiler.tokens.span_rows import given_spans, span_blocks
from ftc.compiler.tokens.token_rows import BareText, Limit, RowCounts, RowTokens, TokenRows, flatten, joined
from ftc.spec.documents.facts import TokenizerFacts

__all__ = ["encode_rows", "kept_tokens"]

_READ_BARE = (AnswerForm, ChatForm, PreferenceForm, PromptForm, RawForm)
"""Forms whose rows are texts without the tokenizer's own special tokens."""
_CHARS_AT_ONCE = 1 << 22
"""Of texts that are encoded together: each process holds all that is known of their tokens meanwhile."""


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
    kept: KeptPieces | None = None,
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
        kept: Tokens of rows from earlier plans; None where none are kept.

    Raises:
        Refusal: A template, the tokenizer or a row's characters can't be used (FTC331 to FTC339).
    """
    numbers = range(len(rows)) if numbers is None else numbers
    source = partial(text_source, tokenizer=tokenizer, facts=facts, renderer=renderer)
    source_of = cache(partial(source, by_shape=by_shape, images=images))
    limit, pieces, counts = Limit(max_length, cuts), ranges(len(rows)), RowCounts(read=len(rows), place=place)
    tools = tokenizer, facts, limit
    begin = tokenizer.load if isinstance(form, _READ_BARE) else None
    work = _Work(rows, numbers, partial(_chunks, form, tools, source_of, images))  # pyright: ignore[reportArgumentType] - hashable
    with _collector_off():
        if kept is not None and len(rows) >= FEWEST_ROWS:
            flat = work.through(kept, counts, begin)
        else:
            if begin is not None:
                begin()
            done = zip(_told(pieces), spread(len(pieces), partial(work.apart, pieces, place)), strict=True)
            flat = (unpacked(some, counts) for _, some in done)
        if (blocks_of := _blocks(form, tools)) is not None:  # where a row ends, the next one begins
            flat = (flatten(chunk, counts) for chunk in blocks_of(map(_texts_of, flat)))
        return joined(chain([next(flat, None) or flatten([], counts)], flat))


def kept_tokens(
    form: TextForm, facts: TokenizerFacts, made_from: Mapping[str, Any], *, max_length: int, cuts: bool
) -> KeptPieces:
    """Tokens of rows that were written in this form, by these files and releases.

    Args:
        form: What a row's text is.
        facts: The tokenizer's special tokens and chat template.
        made_from: What token streams are made from: releases, and digests of the tokenizer.
        max_length: As for `encode_rows`.
        cuts: As for `encode_rows`.
    """
    files = ("format", "ftc", "tokenizers", "family", "tokenizer", "own tokenizer", "vision")
    made = {name: made_from.get(name) for name in files}
    if isinstance(form, RawForm | MaskedForm | SpanForm):  # what is kept are texts, of which blocks are made later
        return KeptPieces("tokens", {**made, "text": form.text})
    written = form.model_dump_json()  # as text, since a digest drops the order of what is compared
    made |= {"facts": facts.to_json(), "form": written, "max_length": max_length, "cuts": cuts}
    return KeptPieces("tokens", made)


@dataclass(frozen=True, slots=True)
class _Work:
    """Rows, and all that makes tokens of them."""

    rows: Sequence[Row]
    numbers: Sequence[int]
    encode: Callable[[Iterable[dict[int, Row]], RowCounts], Iterable[Iterable[RowTokens]]]

    def encoded(self, some: Iterable[range], numbers: Sequence[int], counts: RowCounts) -> Iterator[TokenRows]:
        """Some pieces of the rows, which have these numbers."""
        parts = ((numbers[one.start : one.stop], self.rows[one.start : one.stop]) for one in some)
        numbered = (dict(zip(*part, strict=True)) for part in parts)
        return (flatten(chunk, counts) for chunk in self.encode(numbered, counts))

    def apart(self, pieces: Sequence[range], place: Callable[[int], str], which: Iterable[int]) -> Iterator[bytes]:
        """Each piece with its own counts, for another process."""
        for piece in (pieces[number] for number in which):
            (found,) = self.encoded([piece], self.numbers, RowCounts(place=place))
            yield packed(found)

    def through(self, kept: KeptPieces, counts: RowCounts, begin: Callable[[], None] | None) -> Iterator[TokenRows]:
        """The rows through the pieces that are kept of them, whose rows are counted from 0."""

        def alone(piece: range) -> bytes:
            own = RowCounts(place=lambda row: counts.place(self.numbers[piece.start + row]))
            (found,) = self.encoded([piece], range(-piece.start, len(self.rows) - piece.start), own)
            return packed(found)

        pieces = [*pieces_of(self.rows)]
        done = zip(_told(one.rows for one in pieces), kept.through(pieces, alone, begin=begin), strict=True)
        return (unpacked(some, counts, self.numbers[one.start : one.stop]) for one, some in done)


def _told(pieces: Iterable[range]) -> Iterator[range]:
    """The pieces, each of which counts as done when the next one is asked for."""
    for piece in pieces:
        yield piece
        advance("tokenizing", len(piece))


def _bare_texts(
    column: str, tokenizer: TextTokenizer, numbered: Iterable[dict[int, Row]]
) -> Iterator[Iterable[RowTokens]]:
    """The tokens of each row's text alone, piece by piece; of long texts few are encoded at once."""
    for some in numbered:
        made: list[RowTokens] = []
        for rows in _of_few_characters(some, column):
            texts = tokenizer.encode([MarkedText(some[i][column], ()) for i in rows])
            made += [RowTokens(i, text.ids, [], 0) for i, text in zip(rows, texts, strict=True)]
        yield made


def _of_few_characters(rows: dict[int, Row], column: str) -> Iterator[list[int]]:
    """Numbers of rows in groups, each of which ends with the row by which its texts have so many characters."""
    group: list[int] = []
    chars = 0
    for number, row in rows.items():
        group.append(number)
        chars += len(row[column])
        if chars > _CHARS_AT_ONCE:
            yield group
            group, chars = [], 0
    if group:
        yield group


def _texts_of(rows: TokenRows) -> Iterator[BareText]:
    bounds = rows.boundaries.tolist()
    for number, (begin, end) in zip(rows.row.tolist(), pairwise(bounds), strict=True):
        yield number, rows.ids[begin:end].tolist()


def _blocks(
    form: TextForm, tools: tuple[TextTokenizer, TokenizerFacts, Limit]
) -> Callable[[Iterable[Iterable[BareText]]], Iterable[Iterable[RowTokens]]] | None:
    """What puts texts into blocks that go across their ends; None where each row is by itself."""
    tokenizer, facts, limit = tools
    if isinstance(form, RawForm):
        return partial(blocks, tokenizer=tokenizer, facts=facts, limit=limit)
    if isinstance(form, MaskedForm) and not form.is_given:
        return partial(masked_blocks, form=form, tokenizer=tokenizer, facts=facts, limit=limit)
    if isinstance(form, SpanForm) and not form.is_given:
        return partial(span_blocks, form=form, facts=facts, limit=limit)
    return None


def _chunks(
    form: TextForm,
    tools: tuple[TextTokenizer, TokenizerFacts, Limit],
    source_of: Callable[[ChatForm | PromptForm], ChatSource | PromptSource],
    images: ImageTokens | None,
    numbered: Iterable[dict[int, Row]],
    counts: RowCounts,
) -> Iterable[Iterable[RowTokens]]:
    """Rows by their number as tokens, piece by piece."""
    tokenizer, facts, limit = tools
    match form:
        case ClassifyForm():
            return classified(numbered, form, tokenizer, limit, counts)
        case ScoreForm():
            return rated(numbered, form, tokenizer, limit, counts)
        case TagForm():
            return tagged(numbered, form, tokenizer, limit, counts)
        case ExtractForm():
            return extracted(numbered, form, tokenizer, limit, counts)
        case EmbedForm() | RerankForm():
            return grouped(numbered, form, tokenizer, limit, counts)
        case RawForm() | MaskedForm(is_given=False) | SpanForm(is_given=False):
            return _bare_texts(form.text, tokenizer, numbered)
        case MaskedForm():
            return given_masks(numbered, form, tokenizer, facts, limit, counts)
        case SpanForm():
            return given_spans(numbered, form, tokenizer, facts, limit, counts)
        case StepForm():
            return stepped(numbered, form, tokenizer, facts, limit, counts)
        case PreferenceForm() | AnswerForm() | ChatForm() | PromptForm():
            return map(_written(form, source_of, (tokenizer, limit, counts, counts.place), images), numbered)
        case _:
            assert_never(form)


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
