"""Two answers to one prompt, one behind the other: prompt and chosen answer, then the same prompt and the rejected one.

Both keep the same prompt: what is cut off for the longer answer is cut off for the other too. Of a conversation only
the last answer counts, as the two have the turns before it in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.generative import Encoded, Generative
from ftc.compiler.tokens.sources import ChatSource, PromptSource, Row
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens

__all__ = ["Preferences"]


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
