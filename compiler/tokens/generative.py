"""Rows that are generated: rendered, encoded, and shortened until they fit."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, assert_never

from ftc.compiler.tokens.encoder import AlignedText, Cut, MarkedText, TextTokenizer, TokenizedText
from ftc.compiler.tokens.image_tokens import ImageTokens
from ftc.compiler.tokens.plain_rows import float_bits
from ftc.compiler.tokens.rendering import RenderedRow
from ftc.compiler.tokens.sandbox import TemplateProblem
from ftc.compiler.tokens.sources import ChatSource, PromptSource, Row
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens
from ftc.spec.diagnostics import Refusal, diagnostic

__all__ = ["Encoded", "Generative", "Preferences", "Questions", "Translated", "rendered_rows"]


class Encoded(NamedTuple):
    """A row's text, its tokens, and where the text's marks fall among them."""

    row: RenderedRow
    tokens: RowTokens
    text: TokenizedText
    num_before: int
    """Tokens before the text's own."""

    @property
    def merges(self) -> bool:
        """Whether a token holds the end of a prompt and the begin of its answer."""
        return any(cut.ended != cut.begun for cut in self.text.cuts[2 if self.row.prompt else 0 :: 2])

    def cut_prompt(self, surplus: int) -> int:
        """Takes tokens from the end of the prompt's own text; returns how many of the surplus it has not to give."""
        if self.row.prompt is None or surplus <= 0:
            return max(0, surplus)
        start = self.num_before + self.text.cuts[0].begun
        end = self.num_before + self.text.cuts[1].ended
        if end - start < surplus:
            return surplus - max(0, end - start)
        tokens = self.tokens
        tokens.ids = tokens.ids[: end - surplus] + tokens.ids[end:]
        tokens.supervised = [(a - surplus, b - surplus) for a, b in tokens.supervised]
        tokens.prompt_length -= surplus
        return 0


@dataclass(frozen=True, slots=True)
class Generative:
    """Rows that are generated: rendered, encoded, and shortened until they fit."""

    source: ChatSource | PromptSource
    tokenizer: TextTokenizer
    limit: Limit
    counts: RowCounts
    place: Callable[[int], str]
    """Where the row of a number stands, in words."""
    images: ImageTokens | None = None
    """How images stand in a row; None for a model that reads none."""

    def encode(self, chunk: dict[int, Row]) -> Iterator[RowTokens]:
        """The tokens of the rows that have an answer and fit, in no order."""
        pending, shortened = chunk, False
        while pending:
            too_long: dict[int, Row] = {}
            for i, found in self.encoded(pending).items():
                num_tokens = len(found.tokens.ids)
                if num_tokens <= self.limit.max_length:
                    yield from self._keep(found, shortened)
                elif not self.limit.cuts:
                    self._drop_long(i, num_tokens)
                elif found.row.prompt is not None:
                    if lacking := found.cut_prompt(num_tokens - self.limit.max_length):
                        needed = self.limit.max_length + lacking
                        self._drop_long(i, needed, " without the prompt's own text")
                    else:
                        yield from self._keep(found, shortened=True)
                elif (shorter := self.source.shorten(pending[i])) is not None:
                    too_long[i] = shorter
                else:
                    self._drop_long(i, num_tokens, " with one answer alone")
            pending, shortened = too_long, True

    def encoded(self, rows: dict[int, Row]) -> dict[int, Encoded]:
        """Rows that have an answer, whole."""
        rendered = rendered_rows(self.source, rows, self.counts, self.place)
        shown = {i: self.source.images(rows[i]) if self.images else [] for i in rendered}
        # Marks are the prompt's segment, where there is one, and the supervised ones.
        texts = {
            i: MarkedText(row.text, [*(row.prompt or ()), *chain.from_iterable(row.spans)])
            for i, row in rendered.items()
        }
        if self.images:
            texts = dict(self._framed(self.images, texts, shown))
        before, after = self.source.before, self.source.after
        found: dict[int, Encoded] = {}
        for i, written in zip(texts, self._tokenized([*texts.values()]), strict=True):
            row = rendered[i]
            text = self.images.expanded(written, shown[i]) if self.images else written
            if isinstance(text, TemplateProblem):
                self.counts.drop(i, text.message)
                continue
            ids = text.ids if not before and not after else array("i", [*before, *text.ids, *after])
            edges = [len(before) + cut.ended for cut in text.cuts[2 if row.prompt else 0 :]]
            edges[-1] += len(after)
            supervised = list(zip(edges[::2], edges[1::2], strict=True))
            found[i] = Encoded(
                row, RowTokens(i, ids, supervised, edges[-2], texts=row.references, images=shown[i]), text, len(before)
            )
        return found

    def _tokenized(self, texts: list[MarkedText]) -> list[TokenizedText]:
        """Tokens of whole texts, or of prompts and answers each by itself, one behind the other."""
        if not self.source.is_apart:
            return self.tokenizer.encode(texts)
        cut = [(text, text.marks[-2]) for text in texts]  # where the answer begins
        prompts = self.tokenizer.encode([MarkedText(one.text[:at], one.marks[:-2]) for one, at in cut])
        answers = self.tokenizer.encode([MarkedText(one.text[at:], ()) for one, at in cut])
        return [_behind(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]

    def _framed(
        self, images: ImageTokens, texts: Mapping[int, MarkedText], shown: Mapping[int, list[str]]
    ) -> Iterator[tuple[int, MarkedText]]:
        """The rows' texts with the words around their images; a row with another number of them is counted."""
        for i, text in texts.items():
            framed = images.framed(text, shown[i])
            if isinstance(framed, TemplateProblem):
                self.counts.drop(i, framed.message)
            else:
                yield i, framed

    def _drop_long(self, i: int, num_tokens: int, what: str = "") -> None:
        self.counts.drop_long(i, num_tokens, self.limit.reason(num_tokens, what))

    def _keep(self, found: Encoded, shortened: bool) -> Iterator[RowTokens]:
        if not any(end > begin for begin, end in found.tokens.supervised):
            self.counts.drop(found.tokens.row, "the answer is empty")
            return
        self.counts.merged += found.merges
        if shortened:
            self.counts.cut.append(found.tokens.row)
        self.counts.stop_missing += found.row.stop_missing
        self.counts.unsupervised_turns += found.row.unsupervised_turns
        yield found.tokens


def _behind(prompt: TokenizedText, answer: TokenizedText) -> TokenizedText:
    """A prompt's tokens and its answer's, with a cut where the answer begins and one where it ends."""
    begin, end = len(prompt.ids), len(prompt.ids) + len(answer.ids)
    return TokenizedText(prompt.ids + answer.ids, [*prompt.cuts, Cut(begin, begin), Cut(end, end)])


@dataclass(frozen=True, slots=True)
class Questions:
    """Rows whose prompt alone is kept, with what answers are compared with."""

    source: ChatSource | PromptSource
    tokenizer: TextTokenizer
    limit: Limit
    counts: RowCounts
    place: Callable[[int], str]
    """Where the row of a number stands, in words."""

    def encode(self, chunk: dict[int, Row]) -> Iterator[RowTokens]:
        """The tokens of the prompts that fit, each as it stands before an answer."""
        rows = rendered_rows(self.source, chunk, self.counts, self.place)
        asked = [MarkedText(row.text[: row.spans[-1][0]], row.prompt or ()) for row in rows.values()]
        before, longest = self.source.before, self.limit.max_length
        for (i, row), text in zip(rows.items(), self.tokenizer.encode(asked), strict=True):
            ids = array("i", [*before, *text.ids])
            found = Encoded(row, RowTokens(i, ids, [], len(ids), texts=row.references), text, len(before))
            surplus = len(ids) - longest
            if surplus > 0 and not self.limit.cuts:
                self.counts.drop_long(i, len(ids), self.limit.reason(len(ids)))
            elif lacking := found.cut_prompt(surplus):
                needed = longest + lacking
                self.counts.drop_long(i, needed, self.limit.reason(needed, " without the prompt's own text"))
            else:
                if surplus > 0:
                    self.counts.cut.append(i)
                yield found.tokens


def rendered_rows(
    source: ChatSource | PromptSource, rows: dict[int, Row], counts: RowCounts, place: Callable[[int], str]
) -> dict[int, RenderedRow]:
    """The text of the rows that have one; the others are counted.

    Raises:
        Refusal: The template can't be used (FTC331 to FTC333).
    """
    rendered: dict[int, RenderedRow] = {}
    for i, row in zip(rows, source.render(list(rows.values())), strict=True):
        match row:
            case TemplateProblem("raised", message):
                counts.drop(i, message)
            case TemplateProblem():
                code, words, help = _FAULTS[row.kind]
                name, path = _HOMES[row.template]
                line = "" if row.line is None else f"line {row.line} of the template: "
                where = [f"first at {place(i)}"] if row.kind in ("undefined", "limit") else []  # depends on the row
                notes = [line + row.message, *where]
                raise Refusal([diagnostic(code, f"{name} {words}", notes=notes, help=help, path=path)])
            case RenderedRow(spans=()):
                hidden = "no assistant turn follows its own generation prompt"
                counts.drop(i, hidden if row.unsupervised_turns else "it has no turn to train on")
                counts.unsupervised_turns += row.unsupervised_turns
            case RenderedRow():
                rendered[i] = row
            case _:
                assert_never(row)
    return rendered


_FAULTS = {
    "syntax": ("FTC331", "can't be read", "fix its syntax"),
    "undefined": (
        "FTC333",
        "uses a name that a row doesn't have",
        "use names that every row has, or test `is defined`",
    ),
    "security": (
        "FTC332",
        "was stopped",
        "use only its variables and their values, and no attribute that begins with `_`",
    ),
    "limit": ("FTC332", "was stopped", "loop only over the row's values, so that it ends soon"),
}
_HOMES = {"chat": ("the chat template", "model.base"), "prompt": ("the prompt template", "task.prompt")}


@dataclass(frozen=True, slots=True)
class Translated:
    """Rows whose prompt and completion are encoded apart from each other.

    The longest sequence holds for each of the two. A prompt is cut within its own text, a completion never.
    """

    source: ChatSource | PromptSource
    tokenizer: TextTokenizer
    limit: Limit
    counts: RowCounts
    place: Callable[[int], str]
    """Where the row of a number stands, in words."""

    def encode(self, chunk: dict[int, Row]) -> Iterator[RowTokens]:
        """The tokens of the rows that have an answer and fit."""
        rows = rendered_rows(self.source, chunk, self.counts, self.place)
        prompts = self.tokenizer.encode_aligned([row.text[: row.spans[0][0]] for row in rows.values()])
        answers = self.tokenizer.encode_complete([row.text[row.spans[0][0] :] for row in rows.values()], None)
        for (i, row), prompt, answer in zip(rows.items(), prompts, answers, strict=True):
            ids, after = answer.ids, self.source.after
            if tuple(ids[-len(after) :]) != after:  # most tokenizers end a completion by themselves
                ids = array("i", [*ids, *after])
            yield from self._row(i, row, prompt, ids)

    def _row(self, i: int, row: RenderedRow, prompt: AlignedText, answer: array[int]) -> Iterable[RowTokens]:
        longest = self.limit.max_length
        if row.text[row.spans[0][0] :].isspace() or row.spans[0][0] == len(row.text):
            self.counts.drop(i, "the answer is empty")
            return
        if len(answer) > longest:
            self.counts.drop_long(i, len(answer), self.limit.reason(len(answer), " in the answer alone"))
            return
        if (surplus := len(prompt.ids) - longest) > 0 and not self.limit.cuts:
            self.counts.drop_long(i, len(prompt.ids), self.limit.reason(len(prompt.ids)))
            return
        ids = _without(prompt, row, surplus)
        if ids is None:
            self.counts.drop_long(i, len(prompt.ids), self.limit.reason(len(prompt.ids), " in the prompt's own words"))
            return
        if surplus > 0:
            self.counts.cut.append(i)
        yield RowTokens(i, ids + answer, [(len(ids), len(ids) + len(answer))], len(ids), texts=row.references)


def _without(prompt: AlignedText, row: RenderedRow, surplus: int) -> array[int] | None:
    """The prompt without so many tokens of the stretch that may be cut; None where it has fewer."""
    if surplus <= 0:
        return prompt.ids
    assert row.prompt is not None, "a separate prompt is known"
    start, end = row.prompt
    inside = [
        n for n, (a, b) in enumerate(zip(prompt.starts, prompt.ends, strict=True)) if a >= start and b <= end and b > a
    ]
    if len(inside) < surplus:
        return None
    last = inside[-1] + 1
    return prompt.ids[: last - surplus] + prompt.ids[last:]


class Preferences:
    """Rows with a chosen and a rejected answer; the longest sequence holds for each of the two."""

    def __init__(
        self,
        chosen: ChatSource | PromptSource,
        rejected: ChatSource | PromptSource,
        tokenizer: TextTokenizer,
        limit: Limit,
        counts: RowCounts,
        place: Callable[[int], str],
        rating: str | None = None,
        weight: str | None = None,
    ) -> None:
        self._rating, self._weight = rating, weight
        self._chosen = Generative(chosen, tokenizer, limit, counts, place)
        self._rejected = Generative(rejected, tokenizer, limit, counts, place)
        self._limit = limit
        self._counts = counts

    def encode(self, chunk: dict[int, Row]) -> Iterator[RowTokens]:
        """The tokens of the rows whose two answers fit."""
        chosen = self._chosen.encoded(chunk)
        rejected = self._rejected.encoded({i: row for i, row in chunk.items() if i in chosen})
        for i, other in rejected.items():
            rating = () if self._rating is None else (int(chunk[i][self._rating]),)
            weight = () if self._weight is None else (float_bits(chunk[i][self._weight]),)
            yield from self._pair(i, chosen[i], other, (*rating, *weight))

    def _pair(self, i: int, chosen: Encoded, rejected: Encoded, further: tuple[int, ...]) -> Iterator[RowTokens]:
        longest = max(len(chosen.tokens.ids), len(rejected.tokens.ids))
        surplus = longest - self._limit.max_length
        if surplus > 0 and not self._limit.cuts:
            self._counts.drop_long(i, longest, self._limit.reason(longest))
            return
        if lacking := max(chosen.cut_prompt(surplus), rejected.cut_prompt(surplus)):
            needed = self._limit.max_length + lacking
            self._counts.drop_long(i, needed, self._limit.reason(needed, " without the prompt's own text"))
            return
        spans = [one.tokens.supervised[-1] for one in (chosen, rejected)]
        if any(end <= begin for begin, end in spans):
            self._counts.drop(i, "an answer is empty")
            return
        self._counts.merged += chosen.merges or rejected.merges  # a row counts once, whichever answer it is
        self._counts.stop_missing += chosen.row.stop_missing or rejected.row.stop_missing
        if surplus > 0:
            self._counts.cut.append(i)
        length, (begin, end) = len(chosen.tokens.ids), spans[1]
        supervised = [spans[0], (begin + length, end + length)]
        ids = chosen.tokens.ids + rejected.tokens.ids
        yield RowTokens(i, ids, supervised, chosen.tokens.prompt_length, targets=[length, *further])
