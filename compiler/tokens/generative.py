"""Rows that are generated: rendered, encoded, and shortened until they fit."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ftc.compiler.tokens.encoder import AlignedText, MarkedText, TextTokenizer, TokenizedText
from ftc.compiler.tokens.rendering import RenderedRow
from ftc.compiler.tokens.sandbox import TemplateProblem
from ftc.compiler.tokens.sources import ChatSource, PromptSource, Row
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic

__all__ = ["Encoded", "Generative", "Preferences", "Translated", "rendered_rows"]


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


class Generative:
    """Rows that are generated: rendered, encoded, and shortened until they fit."""

    def __init__(
        self,
        source: ChatSource | PromptSource,
        tokenizer: TextTokenizer,
        limit: Limit,
        counts: RowCounts,
        place: Callable[[int], str],
    ) -> None:
        self._source = source
        self._place = place
        self._tokenizer = tokenizer
        self._limit = limit
        self._counts = counts

    def encode(self, chunk: dict[int, Row]) -> Iterator[RowTokens]:
        """The tokens of the rows that have an answer and fit, in no order."""
        pending, shortened = chunk, False
        while pending:
            too_long: dict[int, Row] = {}
            for i, found in self.encoded(pending).items():
                num_tokens = len(found.tokens.ids)
                if num_tokens <= self._limit.max_length:
                    yield from self._keep(found, shortened)
                elif not self._limit.cuts:
                    self._drop_long(i, num_tokens)
                elif found.row.prompt is not None:
                    yield from self._cut_prompt(found)
                elif (shorter := self._source.shorten(pending[i])) is not None:
                    too_long[i] = shorter
                else:
                    self._drop_long(i, num_tokens, " with one answer alone")
            pending, shortened = too_long, True

    def encoded(self, rows: dict[int, Row]) -> dict[int, Encoded]:
        """Rows that have an answer, whole."""
        rendered = rendered_rows(self._source, rows, self._counts, self._place)
        texts = [MarkedText(row.text, _marks(row)) for row in rendered.values()]
        found = zip(rendered.items(), self._tokenizer.encode(texts), strict=True)
        return {i: Encoded(row, self._tokens(i, row, text), text, len(self._source.before)) for (i, row), text in found}

    def _drop_long(self, i: int, num_tokens: int, what: str = "") -> None:
        self._counts.drop_long(i, num_tokens, self._limit.reason(num_tokens, what))

    def _tokens(self, i: int, row: RenderedRow, encoded: TokenizedText) -> RowTokens:
        before, after = self._source.before, self._source.after
        ids = encoded.ids if not before and not after else array("i", [*before, *encoded.ids, *after])
        edges = [len(before) + cut.ended for cut in encoded.cuts[2 if row.prompt else 0 :]]
        edges[-1] += len(after)
        return RowTokens(i, ids, list(zip(edges[::2], edges[1::2], strict=True)), edges[-2], texts=row.references)

    def _cut_prompt(self, found: Encoded) -> Iterator[RowTokens]:
        """Takes the tokens that are too many from the end of the prompt's own text."""
        lacking = found.cut_prompt(len(found.tokens.ids) - self._limit.max_length)
        if lacking:
            self._drop_long(found.tokens.row, self._limit.max_length + lacking, " without the prompt's own text")
        else:
            yield from self._keep(found, shortened=True)

    def _keep(self, found: Encoded, shortened: bool) -> Iterator[RowTokens]:
        if not any(end > begin for begin, end in found.tokens.supervised):
            self._counts.drop(found.tokens.row, "the answer is empty")
            return
        self._counts.merged += found.merges
        self._counts.truncated += shortened
        self._counts.stop_missing += found.row.stop_missing
        self._counts.unsupervised_turns += found.row.unsupervised_turns
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
                raise Refusal([_template_fault(row, place(i))])
            case RenderedRow(spans=()):
                counts.drop(i, "no turn of the assistant follows its own generation prompt")
                counts.unsupervised_turns += row.unsupervised_turns
            case _:
                rendered[i] = row
    return rendered


def _marks(row: RenderedRow) -> list[int]:
    """The prompt's stretch, where there is one, and the supervised ones."""
    marks = list(row.prompt or ())
    for span in row.spans:
        marks += span
    return marks


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


class Translated:
    """Rows whose prompt and completion are encoded apart from each other.

    The longest sequence holds for each of the two. A prompt is cut within its own text, a completion never.
    """

    def __init__(
        self,
        source: ChatSource | PromptSource,
        tokenizer: TextTokenizer,
        limit: Limit,
        counts: RowCounts,
        place: Callable[[int], str],
    ) -> None:
        self._source = source
        self._tokenizer = tokenizer
        self._limit = limit
        self._counts = counts
        self._place = place

    def encode(self, chunk: dict[int, Row]) -> Iterator[RowTokens]:
        """The tokens of the rows that have an answer and fit."""
        rows = rendered_rows(self._source, chunk, self._counts, self._place)
        prompts = self._tokenizer.encode_aligned([row.text[: row.spans[0][0]] for row in rows.values()])
        answers = self._tokenizer.encode_complete([row.text[row.spans[0][0] :] for row in rows.values()], None)
        for (i, row), prompt, answer in zip(rows.items(), prompts, answers, strict=True):
            yield from self._row(i, row, prompt, self._ended(answer.ids))

    def _ended(self, ids: array[int]) -> array[int]:
        """A completion with the token that ends it, which most tokenizers add by themselves."""
        after = self._source.after
        return ids if tuple(ids[-len(after) :]) == after else array("i", [*ids, *after])

    def _row(self, i: int, row: RenderedRow, prompt: AlignedText, answer: array[int]) -> Iterable[RowTokens]:
        longest = self._limit.max_length
        if row.text[row.spans[0][0] :].isspace() or row.spans[0][0] == len(row.text):
            self._counts.drop(i, "the answer is empty")
            return
        if len(answer) > longest:
            self._counts.drop_long(i, len(answer), self._limit.reason(len(answer), " in the answer alone"))
            return
        if (surplus := len(prompt.ids) - longest) > 0 and not self._limit.cuts:
            self._counts.drop_long(i, len(prompt.ids), self._limit.reason(len(prompt.ids)))
            return
        ids = _without(prompt, row, surplus)
        if ids is None:
            self._counts.drop_long(
                i, len(prompt.ids), self._limit.reason(len(prompt.ids), " in the prompt's own words")
            )
            return
        self._counts.truncated += surplus > 0
        yield RowTokens(i, ids + answer, [(len(ids), len(ids) + len(answer))], len(ids), texts=row.references)


def _without(prompt: AlignedText, row: RenderedRow, surplus: int) -> array[int] | None:
    """The prompt without so many tokens of the stretch that may be cut; None where it has fewer."""
    if surplus <= 0:
        return prompt.ids
    assert row.prompt is not None, "a prompt that stands by itself is known"
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
    ) -> None:
        self._chosen = Generative(chosen, tokenizer, limit, counts, place)
        self._rejected = Generative(rejected, tokenizer, limit, counts, place)
        self._limit = limit
        self._counts = counts

    def encode(self, chunk: dict[int, Row]) -> Iterator[RowTokens]:
        """The tokens of the rows whose two answers fit."""
        chosen = self._chosen.encoded(chunk)
        rejected = self._rejected.encoded({i: row for i, row in chunk.items() if i in chosen})
        for i, other in rejected.items():
            yield from self._pair(i, chosen[i], other)

    def _pair(self, i: int, chosen: Encoded, rejected: Encoded) -> Iterator[RowTokens]:
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
        for one in (chosen, rejected):
            self._counts.merged += one.merges
            self._counts.stop_missing += one.row.stop_missing
        self._counts.truncated += surplus > 0
        yield _joined(i, chosen.tokens, rejected.tokens)


def _joined(i: int, chosen: RowTokens, rejected: RowTokens) -> RowTokens:
    length = len(chosen.ids)
    begin, end = rejected.supervised[-1]
    supervised = [chosen.supervised[-1], (begin + length, end + length)]
    return RowTokens(i, chosen.ids + rejected.ids, supervised, chosen.prompt_length, targets=[length])
