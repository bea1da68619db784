"""Rows to token ids with their supervised tokens, cut to a length. Nothing is dropped or cut without being counted."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.text.encoder import CompleteText, MarkedText, TextTokenizer, TokenizedText
from ftc.compiler.text.forms import ChatForm, ClassifyForm, PromptForm, TextForm
from ftc.compiler.text.rendering import RenderedRow
from ftc.compiler.text.sandbox import TemplateProblem, TemplateRenderer
from ftc.compiler.text.sources import ChatSource, PromptSource, Row, text_source
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.facts import TokenizerFacts
from ftc.spec.streams import DroppedRow

__all__ = ["LongRow", "RowCounts", "TokenRows", "encode_rows"]

_CHUNK_ROWS = 1024
_SHOWN_DROPS = 5
_NO_LABEL = -1


class LongRow(NamedTuple):
    """A row that was left out for its length."""

    row: int
    num_tokens: int


@dataclass(slots=True)
class RowCounts:
    """What happened to the rows on their way."""

    read: int = 0
    truncated: int = 0
    dropped: int = 0
    first_dropped: list[DroppedRow] = field(default_factory=list)
    too_long: int = 0
    """Those of the dropped rows that don't fit into the length."""
    first_too_long: list[LongRow] = field(default_factory=list)
    longest_too_long: int = 0
    """Tokens of the longest of these."""
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

    def drop_long(self, row: int, num_tokens: int, reason: str) -> None:
        """Counts a row that gives no tokens, since it doesn't fit."""
        self.drop(row, reason)
        self.too_long += 1
        self.longest_too_long = max(self.longest_too_long, num_tokens)
        if len(self.first_too_long) < _SHOWN_DROPS:
            self.first_too_long.append(LongRow(row, num_tokens))


@dataclass(frozen=True, slots=True)
class TokenRows:
    """A split as tokens; row i is `ids[boundaries[i]:boundaries[i + 1]]`."""

    ids: NDArray[np.int32]  # (tokens,)
    mask: NDArray[np.bool_]  # (tokens,), True where the token is supervised
    boundaries: NDArray[np.int64]  # (rows + 1,)
    prompt_length: NDArray[np.int32]  # (rows,), tokens before the last supervised stretch, or of a pair's first text
    label: NDArray[np.int32]  # (rows,), class index, or -1
    row: NDArray[np.int64]  # (rows,), number of the source row, from 0
    counts: RowCounts

    @property
    def teaches(self) -> bool:
        """Whether there is anything to learn from: a supervised token, or a label."""
        return bool(self.mask.any() or (self.label != _NO_LABEL).any())


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
    cuts: bool = True,
    numbers: Sequence[int] | None = None,
    place: Callable[[int], str] = "row {}".format,
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
        cuts: Whether longer rows are cut where that spares the answer; else they are left out and counted.
        numbers: Each row's number in its source, from 0, ascending; None where the rows are the whole source.
        place: Where the row of a number stands, in words.
        by_shape: Whether templates may be rendered once a shape; the result is the same without.

    Raises:
        Refusal: A template, the tokenizer or a row's characters can't be used (FTC331 to FTC339).
    """
    counts = RowCounts(read=len(rows))
    limit = _Limit(max_length, cuts)
    numbered = _numbered(rows, range(len(rows)) if numbers is None else numbers)
    match form:
        case ClassifyForm():
            chunks = _classified(numbered, form, tokenizer, limit, counts)
        case ChatForm() | PromptForm():
            source = text_source(form, tokenizer, facts, renderer, by_shape)
            chunks = map(_Generative(source, tokenizer, limit, counts, place).encode, numbered)
        case _:
            assert_never(form)
    with _collector_off():
        return _joined([_flatten(chunk, counts) for chunk in chunks] or [_flatten([], counts)])


class _Limit(NamedTuple):
    """The longest row in tokens, and whether longer ones are cut to it or left out."""

    max_length: int
    cuts: bool

    def reason(self, num_tokens: int, what: str = "") -> str:
        """Why a row of so many tokens is left out."""
        return f"{num_tokens:,} tokens{what}, over {self.max_length:,}"


def _numbered(rows: Sequence[Row], numbers: Sequence[int]) -> Iterator[dict[int, Row]]:
    """Rows by their number in the source, in chunks."""
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        yield dict(zip(numbers[chunk], rows[chunk], strict=True))


class _Generative:
    """Rows that are generated: rendered, encoded, and shortened until they fit."""

    def __init__(
        self,
        source: ChatSource | PromptSource,
        tokenizer: TextTokenizer,
        limit: _Limit,
        counts: RowCounts,
        place: Callable[[int], str],
    ) -> None:
        self._source = source
        self._place = place
        self._tokenizer = tokenizer
        self._limit = limit
        self._counts = counts

    def encode(self, chunk: dict[int, Row]) -> Iterator[_Tokens]:
        """The tokens of the rows that have an answer and fit, in no order."""
        pending, shortened = chunk, False
        while pending:
            rendered = self._render(pending)
            texts = [MarkedText(row.text, _marks(row)) for row in rendered.values()]
            too_long: dict[int, Row] = {}
            for (i, row), encoded in zip(rendered.items(), self._tokenizer.encode(texts), strict=True):
                tokens = self._tokens(i, row, encoded)
                if len(tokens.ids) <= self._limit.max_length:
                    yield from self._keep(row, tokens, encoded, shortened)
                elif not self._limit.cuts:
                    self._drop_long(i, len(tokens.ids))
                elif row.prompt is not None:
                    yield from self._cut_prompt(row, tokens, encoded)
                elif (shorter := self._source.shorten(pending[i])) is not None:
                    too_long[i] = shorter
                else:
                    self._drop_long(i, len(tokens.ids), " with one answer alone")
            pending, shortened = too_long, True

    def _drop_long(self, i: int, num_tokens: int, what: str = "") -> None:
        self._counts.drop_long(i, num_tokens, self._limit.reason(num_tokens, what))

    def _render(self, rows: dict[int, Row]) -> dict[int, RenderedRow]:
        rendered: dict[int, RenderedRow] = {}
        for i, row in zip(rows, self._source.render(list(rows.values())), strict=True):
            match row:
                case TemplateProblem("raised", message):
                    self._counts.drop(i, message)
                case TemplateProblem():
                    raise Refusal([_template_fault(row, self._place(i))])
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
        surplus = len(tokens.ids) - self._limit.max_length
        start = len(self._source.before) + encoded.cuts[0].begun
        end = len(self._source.before) + encoded.cuts[1].ended
        if end - start < surplus:
            kept = len(tokens.ids) - max(0, end - start)
            self._drop_long(tokens.row, kept, " without the prompt's own text")
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
    chunks: Iterable[dict[int, Row]], form: ClassifyForm, tokenizer: TextTokenizer, limit: _Limit, counts: RowCounts
) -> Iterator[Iterable[_Tokens]]:
    index = {name: i for i, name in enumerate(form.labels)}
    columns = [form.text] if form.text_pair is None else [form.text, form.text_pair]
    for chunk in chunks:
        texts = {i: text for i, row in chunk.items() if (text := _whole_text(row, columns)) is not None}
        for i in chunk:
            if i not in texts:
                counts.drop(i, f"no text in {' or '.join(columns)}")
        encoded = tokenizer.encode_complete(list(texts.values()), limit.max_length if limit.cuts else None)
        counts.truncated += sum(text.was_cut for text in encoded)
        yield [
            _Tokens(i, text.ids, [], text.first_length, index[str(chunk[i][form.label])])
            for i, text in zip(texts, encoded, strict=True)
            if _fits(i, text, limit, counts)
        ]


def _whole_text(row: Row, columns: Sequence[str]) -> str | tuple[str, ...] | None:
    """What is classified: a text or a pair; None where a column holds no text."""
    texts = tuple(text for column in columns if isinstance(text := row.get(column), str))
    if len(texts) < len(columns):
        return None
    return texts[0] if len(texts) == 1 else texts


def _fits(i: int, text: CompleteText, limit: _Limit, counts: RowCounts) -> bool:
    """Whether a row isn't too long; one that is counts as left out."""
    if (num_tokens := len(text.ids)) <= limit.max_length:
        return True
    counts.drop_long(i, num_tokens, limit.reason(num_tokens))
    return False


_FAULTS = {
    "syntax": ("FTC331", "can't be read", "mend its syntax"),
    "undefined": ("FTC333", "uses a name that a row doesn't have", "name what every row has, or test `is defined`"),
    "security": (
        "FTC332",
        "was stopped",
        "use its variables and their values alone, no attribute that begins with `_`",
    ),
    "limit": ("FTC332", "was stopped", "loop over the row's values alone, so that it ends soon"),
}
_HOMES = {"chat": ("the chat template", "model.base"), "prompt": ("the prompt template", "task.prompt")}


def _template_fault(problem: TemplateProblem, row: str) -> Diagnostic:
    code, words, help_ = _FAULTS[problem.kind]
    name, path = _HOMES[problem.template]
    place = "" if problem.line is None else f"line {problem.line} of the template: "
    depends_on_row = problem.kind in ("undefined", "limit")
    notes = [place + problem.message, *([f"first at {row}"] if depends_on_row else [])]
    return diagnostic(code, f"{name} {words}", notes=notes, help=help_, path=path)
