"""Rows to token ids with their supervised tokens, cut to a length. Nothing is dropped or cut without being counted."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.text.encoder import MarkedText, TextTokenizer, TokenizedText
from ftc.compiler.text.forms import ChatForm, ClassifyForm, PromptForm, TextForm
from ftc.compiler.text.rendering import RenderedRow
from ftc.compiler.text.sandbox import TemplateProblem, TemplateRenderer
from ftc.compiler.text.sources import ChatSource, PromptSource, Row, text_source
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.facts import TokenizerFacts
from ftc.spec.streams import DroppedRow

__all__ = ["RowCounts", "TokenRows", "encode_rows"]

_CHUNK_ROWS = 1024
_SHOWN_DROPS = 5
_NO_LABEL = -1


@dataclass(slots=True)
class RowCounts:
    """What happened to the rows on their way."""

    read: int = 0
    truncated: int = 0
    dropped: int = 0
    first_dropped: list[DroppedRow] = field(default_factory=list)
    unsupervised_turns: int = 0
    """Turns of the assistant whose generation prompt is no prefix of the text."""
    stop_missing: int = 0
    """Rows in which the template writes no special token after an answer."""
    merged: int = 0
    """Rows in which one token holds the prompt's end and the answer's begin; it is supervised."""

    def drop(self, row: int, reason: str) -> None:
        """Counts a row that gives no tokens."""
        self.dropped += 1
        if len(self.first_dropped) < _SHOWN_DROPS:
            self.first_dropped.append(DroppedRow(row=row, reason=reason))


@dataclass(frozen=True, slots=True)
class TokenRows:
    """A split as tokens; row i is `ids[boundaries[i]:boundaries[i + 1]]`."""

    ids: NDArray[np.int32]  # (tokens,)
    mask: NDArray[np.bool_]  # (tokens,), True where the token is supervised
    boundaries: NDArray[np.int64]  # (rows + 1,)
    prompt_length: NDArray[np.int32]  # (rows,), tokens before the last supervised stretch, or of a pair's first text
    label: NDArray[np.int32]  # (rows,), class index, or -1
    row: NDArray[np.int64]  # (rows,), index of the source row
    counts: RowCounts


@dataclass(slots=True)
class _Tokens:
    """One row's tokens on the way to `TokenRows`."""

    row: int
    ids: array[int]
    supervised: list[tuple[int, int]]
    prompt_length: int
    label: int = _NO_LABEL


def encode_rows(
    rows: Sequence[Row],
    form: TextForm,
    tokenizer: TextTokenizer,
    facts: TokenizerFacts,
    renderer: TemplateRenderer,
    *,
    max_length: int,
    by_shape: bool = True,
) -> TokenRows:
    """Turns rows into tokens of the given form.

    Args:
        rows: Columns of each row, as JSON values.
        form: What a row's text is.
        tokenizer: The model's tokenizer.
        facts: Its special tokens and chat template.
        renderer: The child that renders templates.
        max_length: Longest row, in tokens, special tokens included.
        by_shape: Whether templates may be rendered once a shape; the result is the same without.

    Raises:
        Refusal: The template, a class or the row set as a whole can't be used (FTC330 to FTC339).
    """
    counts = RowCounts(read=len(rows))
    match form:
        case ClassifyForm():
            chunks = _classified(rows, form, tokenizer, max_length, counts)
        case ChatForm() | PromptForm():
            source = text_source(form, tokenizer, facts, renderer, by_shape)
            chunks = _Generative(source, tokenizer, max_length, counts).encode(rows)
        case _:
            assert_never(form)
    with _collector_off():
        result = _joined([_flatten(chunk, counts) for chunk in chunks] or [_flatten([], counts)])
    is_supervised = bool(result.mask.any()) or (isinstance(form, ClassifyForm) and len(result.row) > 0)
    if not is_supervised:
        raise Refusal([_nothing_supervised(counts)])
    return result


class _Generative:
    """Rows that are generated: rendered, encoded, and shortened until they fit."""

    def __init__(
        self, source: ChatSource | PromptSource, tokenizer: TextTokenizer, max_length: int, counts: RowCounts
    ) -> None:
        self._source = source
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._counts = counts

    def encode(self, rows: Sequence[Row]) -> Iterator[Iterable[_Tokens]]:
        """The tokens of the rows that have an answer and fit, by chunks, in no order inside of one."""
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = dict(enumerate(rows[start : start + _CHUNK_ROWS], start))
            yield self._encode_chunk(chunk)

    def _encode_chunk(self, chunk: dict[int, Row]) -> Iterator[_Tokens]:
        pending, shortened = chunk, False
        while pending:
            rendered = self._render(pending)
            texts = [MarkedText(row.text, _marks(row)) for row in rendered.values()]
            too_long: dict[int, Row] = {}
            for (i, row), encoded in zip(rendered.items(), self._tokenizer.encode(texts), strict=True):
                tokens = self._tokens(i, row, encoded)
                if len(tokens.ids) <= self._max_length:
                    yield from self._keep(row, tokens, encoded, shortened)
                elif row.prompt is not None:
                    yield from self._cut_prompt(row, tokens, encoded)
                elif (shorter := self._source.shorten(pending[i])) is not None:
                    too_long[i] = shorter
                else:
                    self._counts.drop(
                        i, f"{len(tokens.ids):,} tokens, over {self._max_length:,}, in one answer's turns"
                    )
            pending, shortened = too_long, True

    def _render(self, rows: dict[int, Row]) -> dict[int, RenderedRow]:
        rendered: dict[int, RenderedRow] = {}
        for i, row in zip(rows, self._source.render(list(rows.values())), strict=True):
            match row:
                case TemplateProblem("raised", message):
                    self._counts.drop(i, message)
                case TemplateProblem():
                    raise Refusal([_template_fault(row)])
                case RenderedRow(spans=()):
                    self._counts.drop(i, "no turn of the assistant follows its own generation prompt")
                    self._counts.unsupervised_turns += row.unsupervised_turns
                case _:
                    rendered[i] = row
        return rendered

    def _tokens(self, i: int, row: RenderedRow, encoded: TokenizedText) -> _Tokens:
        before, after = self._source.before, self._source.after
        ids = encoded.ids if not before and not after else array("i", [*before, *encoded.ids, *after])
        edges = [len(before) + cut.ended for cut in encoded.cuts[2 if row.prompt else 0 :]]
        edges[-1] += len(after)
        return _Tokens(i, ids, list(zip(edges[::2], edges[1::2], strict=True)), edges[-2])

    def _cut_prompt(self, row: RenderedRow, tokens: _Tokens, encoded: TokenizedText) -> Iterator[_Tokens]:
        """Takes the tokens that are too many from the end of the prompt's own text."""
        surplus = len(tokens.ids) - self._max_length
        start = len(self._source.before) + encoded.cuts[0].begun
        end = len(self._source.before) + encoded.cuts[1].ended
        if end - start < surplus:
            kept = len(tokens.ids) - max(0, end - start)
            self._counts.drop(tokens.row, f"{kept:,} tokens without the prompt's own text, over {self._max_length:,}")
            return
        tokens.ids = tokens.ids[: end - surplus] + tokens.ids[end:]
        tokens.supervised = [(a - surplus, b - surplus) for a, b in tokens.supervised]
        tokens.prompt_length -= surplus
        yield from self._keep(row, tokens, encoded, shortened=True)

    def _keep(self, row: RenderedRow, tokens: _Tokens, encoded: TokenizedText, shortened: bool) -> Iterator[_Tokens]:
        if not any(end > begin for begin, end in tokens.supervised):
            self._counts.drop(tokens.row, "the answer is empty")
            return
        starts = encoded.cuts[2 if row.prompt else 0 :: 2]
        self._counts.merged += any(cut.ended != cut.begun for cut in starts)
        self._counts.truncated += shortened
        self._counts.stop_missing += row.stop_missing
        self._counts.unsupervised_turns += row.unsupervised_turns
        yield tokens


def _marks(row: RenderedRow) -> list[int]:
    """The prompt's stretch, where there is one, and the supervised ones."""
    marks = list(row.prompt or ())
    for span in row.spans:
        marks += span
    return marks


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


def _joined(chunks: Sequence[TokenRows]) -> TokenRows:
    """Chunks one after the other."""
    ends = [chunk.boundaries[1:] for chunk in chunks]
    starts = np.cumsum([0, *(len(chunk.ids) for chunk in chunks)])
    first = np.zeros(1, np.int64)
    return TokenRows(
        ids=np.concatenate([chunk.ids for chunk in chunks]),
        mask=np.concatenate([chunk.mask for chunk in chunks]),
        boundaries=np.concatenate([first, *(end + start for end, start in zip(ends, starts[:-1], strict=True))]),
        prompt_length=np.concatenate([chunk.prompt_length for chunk in chunks]),
        label=np.concatenate([chunk.label for chunk in chunks]),
        row=np.concatenate([chunk.row for chunk in chunks]),
        counts=chunks[0].counts,
    )


def _flatten(chunk: Iterable[_Tokens], counts: RowCounts) -> TokenRows:
    tokens = sorted(chunk, key=lambda t: t.row)
    lengths = np.array([len(t.ids) for t in tokens], dtype=np.int64)
    boundaries = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    mask = np.zeros(int(boundaries[-1]), dtype=np.bool_)
    for start, t in zip(boundaries.tolist(), tokens, strict=False):
        for begin, end in t.supervised:
            mask[start + begin : start + end] = True
    return TokenRows(
        ids=np.frombuffer(b"".join([t.ids for t in tokens]), dtype=np.int32),
        mask=mask,
        boundaries=boundaries,
        prompt_length=np.array([t.prompt_length for t in tokens], dtype=np.int32),
        label=np.array([t.label for t in tokens], dtype=np.int32),
        row=np.array([t.row for t in tokens], dtype=np.int64),
        counts=counts,
    )


def _classified(
    rows: Sequence[Row], form: ClassifyForm, tokenizer: TextTokenizer, max_length: int, counts: RowCounts
) -> Iterator[Iterable[_Tokens]]:
    index = {name: i for i, name in enumerate(form.labels)}
    if unknown := {str(row.get(form.label)) for row in rows} - index.keys():
        raise Refusal([_unknown_class(sorted(unknown), form)])
    columns = [form.text] if form.text_pair is None else [form.text, form.text_pair]
    for start in range(0, len(rows), _CHUNK_ROWS):
        kept: list[tuple[int, Any]] = []
        for i, row in enumerate(rows[start : start + _CHUNK_ROWS], start):
            texts = [row.get(column) for column in columns]
            if all(isinstance(text, str) for text in texts):
                kept.append((i, texts[0] if len(texts) == 1 else tuple(texts)))
            else:
                counts.drop(i, f"no text in {' or '.join(columns)}")
        encoded = tokenizer.encode_complete([text for _, text in kept], max_length)
        counts.truncated += sum(text.was_cut for text in encoded)
        yield [
            _Tokens(i, text.ids, [], text.first_length, index[str(rows[i][form.label])])
            for (i, _), text in zip(kept, encoded, strict=True)
        ]


def _template_fault(problem: TemplateProblem) -> Diagnostic:
    code, summary = {
        "syntax": ("FTC331", "a template can't be read"),
        "undefined": ("FTC333", "a template uses a name that the row doesn't have"),
    }.get(problem.kind, ("FTC332", "a template was stopped"))
    place = "" if problem.line is None else f"line {problem.line} of the template: "
    return diagnostic(code, summary, notes=place + problem.message)


def _unknown_class(unknown: Iterable[str], form: ClassifyForm) -> Diagnostic:
    names = list(unknown)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return diagnostic(
        "FTC336",
        f"column `{form.label}` holds classes that the task doesn't list",
        notes=(f"found: {', '.join(names[:5])}{more}", f"listed: {', '.join(form.labels[:20])}"),
        help="add them to the task's labels, or mend the rows",
    )


def _nothing_supervised(counts: RowCounts) -> Diagnostic:
    reasons = [f"row {drop.row}: {drop.reason}" for drop in counts.first_dropped]
    return diagnostic(
        "FTC330",
        f"none of the {counts.read:,} rows holds anything to learn from",
        notes=reasons,
        help="mend the rows or the template that these reasons name",
    )
