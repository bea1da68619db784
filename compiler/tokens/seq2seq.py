"""Prompts that an encoder reads, and completions that a decoder writes: two token sequences a row, each with an end."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator

from ftc.compiler.tokens.encoder import AlignedText, TextTokenizer
from ftc.compiler.tokens.generative import rendered_rows
from ftc.compiler.tokens.rendering import RenderedRow
from ftc.compiler.tokens.sources import ChatSource, PromptSource, Row
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens

__all__ = ["Translated"]


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
