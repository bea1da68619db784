"""What the tokens themselves show: special tokens that stand twice, and answers that were cut away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ftc.compiler.tokens.findings import Places
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.facts import TokenizerFacts

__all__ = ["token_findings"]

_SHOWN_ROWS = 3


def token_findings(
    splits: Mapping[str, TokenRows], places: Places, facts: TokenizerFacts, *, is_chat: bool, most_lost: float
) -> Iterator[Diagnostic]:
    """Errors about encoded splits.

    Args:
        splits: The splits.
        places: Where a row stands.
        facts: The tokenizer's special tokens.
        is_chat: Whether rows are conversations, which are shortened by whole answers.
        most_lost: Share of a split's rows that may lose answers.
    """
    yield from _doubled(splits, places, facts)
    if is_chat:
        yield from _lost(splits, most_lost)


def _doubled(splits: Mapping[str, TokenRows], places: Places, facts: TokenizerFacts) -> Iterator[Diagnostic]:
    """The same special token twice in a row, at the begin or at the end of a row's text."""
    for name, number, at in (("begin", facts.bos_id, facts.bos_token), ("end", facts.eos_id, facts.eos_token)):
        if number is None:
            continue
        found = [(split, row) for split, tokens in splits.items() for row in _rows_with_pair(tokens, number, name)]
        if found:
            reads = "the model sees a begin that it never saw" if name == "begin" else "the model learns to end twice"
            yield diagnostic(
                "FTC336",
                f"`{at}` stands twice at the {name} of {len(found):,} {'row' if len(found) == 1 else 'rows'}",
                help="take it out of the rows or of the prompt template; the tokenizer or the chat template writes it",
                notes=[reads, *(places[split](row) for split, row in found[:_SHOWN_ROWS])],
                path="task.prompt",
            )


def _rows_with_pair(tokens: TokenRows, number: int, end: str) -> list[int]:
    """Numbers of rows that begin, or end, with a token twice; a template may write one more token behind the end.

    Rows of three tokens or fewer are no text.
    """
    starts, ends = tokens.boundaries[:-1], tokens.boundaries[1:]
    long = np.flatnonzero(ends - starts > 3)
    places = [starts[long]] if end == "begin" else [ends[long] - 2, ends[long] - 3]
    is_pair = np.zeros(len(long), dtype=np.bool_)
    for first in places:
        is_pair |= (tokens.ids[first] == number) & (tokens.ids[first + 1] == number)
    return [int(row) for row in tokens.row[long[is_pair]]]


def _lost(splits: Mapping[str, TokenRows], most_lost: float) -> Iterator[Diagnostic]:
    lost = {
        split: tokens.counts
        for split, tokens in splits.items()
        if tokens.counts.truncated > most_lost * tokens.counts.read
    }
    if lost:
        listed = [f"{split}: {counts.truncated:,} of {counts.read:,} rows" for split, counts in lost.items()]
        total = sum(counts.truncated for counts in lost.values())
        yield diagnostic(
            "FTC335",
            f"{total:,} conversations lose their last answers to the length, more than `max_lost_answers` bears",
            help="raise `data.max_length`, split long conversations, or raise `data.max_lost_answers`",
            notes=[", ".join(listed), f"{most_lost:.0%} of a part's rows may"],
            path="data.max_length",
        )
