"""What is said of the splits as tokens: each kind of finding once, with the count of each split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.mixture import Mixture, sources_of
from ftc.compiler.resolve.rows.spool import forget
from ftc.compiler.resolve.rows.table import JoinedTable, PartRows
from ftc.compiler.tokens.token_rows import RowCounts, TokenRows
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.documents.plan import Check
from ftc.spec.sections.data import Data

__all__ = ["Limits", "Places", "mixture_checks", "stream_findings", "token_findings", "unknown_findings"]

Places = Mapping[str, Callable[[int], str]]
"""By split: where the row of a number in its source stands, in words."""

_SHOWN_ROWS = 5


class Limits(NamedTuple):
    """How long a row may be."""

    max_length: int
    """Tokens that rows were encoded with."""
    positions: int | None = None
    """Tokens that the model can read; None where it sets no limit."""
    refuses_long: bool = False
    """Whether longer rows are an error rather than left out."""

    def fix(self, counts: Iterable[RowCounts]) -> str:
        """What makes rows fit that were too long."""
        needed = max(count.longest_too_long for count in counts)
        if self.positions is not None and needed > self.positions:
            reads = f"the model reads at most {self.positions:,} tokens"
            if self.max_length >= self.positions:
                return f"shorten the rows: {reads}"
            return f"raise `data.max_length` to at most {self.positions}, and shorten longer rows: {reads}"
        return f"raise `data.max_length` to {needed}"


class _Counted(NamedTuple):
    """A warning about something that is counted."""

    code: str
    number: Callable[[RowCounts], int]
    unit: str
    summary: str
    help: str
    path: str


_COUNTED = (
    _Counted(
        "FTC337",
        lambda counts: counts.stop_missing,
        "row",
        "no stop token follows the answer in {}",
        "let the chat template add the model's end token after each assistant turn",
        "model.base",
    ),
    _Counted(
        "FTC340",
        lambda counts: counts.merged,
        "row",
        "prompt and answer share a token in {}",
        "end the prompt's template without a space or line break: `task.prompt`, or a file in `model.chat_template`",
        "task.prompt",
    ),
    _Counted(
        "FTC341",
        lambda counts: counts.unsupervised_turns,
        "turn",
        "{} of the assistant are not trained on",
        "split these conversations into one row per answer, or choose a template that keeps earlier turns",
        "data.source",
    ),
    _Counted(
        "FTC343",
        lambda counts: counts.words_without_token,
        "word",
        "{} have no token of their own, so their tags are not trained on",
        "fix these words, or choose a model whose tokenizer knows their characters",
        "data.source",
    ),
    _Counted(
        "FTC344",
        lambda counts: counts.answers_cut,
        "answer",
        "no window contains {} completely, so the model is trained to predict that there is none",
        "raise `data.max_length` or `task.stride`",
        "data.max_length",
    ),
)


def stream_findings(
    splits: Mapping[str, TokenRows], places: Places, limits: Limits, trained: tuple[Data, PartRows] | None = None
) -> list[Diagnostic]:
    """Errors, or else warnings, about encoded splits.

    Args:
        splits: The splits.
        places: Where a row stands.
        limits: How long a row may be.
        trained: What the recipe says of the data, and the training rows before any was left out.
    """
    counts = {split: tokens.counts for split, tokens in splits.items()}
    if limits.refuses_long and any(count.too_long for count in counts.values()):
        return [_too_long(counts, places, limits)]
    if empty := {split: tokens.counts for split, tokens in splits.items() if not tokens.teaches}:
        return [_nothing_to_learn(empty, places, limits)]
    counted = [
        diagnostic(
            one.code,
            one.summary.format(_words(total, one.unit)),
            help=one.help,
            notes=_by_split(counts, one.number, one.unit),
            path=one.path,
        )
        for one in _COUNTED
        if (total := _total(counts, one.number))
    ]
    left = _left_by_source(*trained, splits["train"]) if trained is not None else None
    return [*_left_out(counts, places, limits, left), *counted]


def _too_long(counts: Mapping[str, RowCounts], places: Places, limits: Limits) -> Diagnostic:
    read, too_long = _total(counts, lambda count: count.read), _total(counts, lambda count: count.too_long)
    rows = [(split, row) for split, count in counts.items() for row in count.first_too_long]
    return diagnostic(
        "FTC342",
        (
            f"{too_long:,} of {read:,} rows are longer than {limits.max_length:,} tokens, and `overflow: refuse` "
            "truncates none"
        ),
        help=f"{limits.fix(counts.values())}, or write `overflow: cut` or `overflow: drop`",
        notes=[
            _by_split(counts, lambda count: count.too_long),
            *(f"{places[split](row.row)}: {row.num_tokens:,} tokens" for split, row in rows[:_SHOWN_ROWS]),
        ],
        path="data.max_length",
    )


def _nothing_to_learn(empty: Mapping[str, RowCounts], places: Places, limits: Limits) -> Diagnostic:
    read, too_long = _total(empty, lambda count: count.read), _total(empty, lambda count: count.too_long)
    is_length = 0 < read == too_long
    *names, last = empty
    listed = f"{', '.join(names)} and {last}" if names else last
    return diagnostic(
        "FTC330",
        f"none of the {read:,} rows of {listed} has a target token",
        help=limits.fix(empty.values()) if is_length else "fix the rows or the template; the notes give the reasons",
        notes=_reasons(empty, places),
        path="data.max_length" if is_length else "data.source",
    )


def _by_source(part: PartRows, tokens: TokenRows) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Training rows of each source of a mixture, before and after some were left out; None where there is one."""
    table = part.table
    if not isinstance(table, JoinedTable):
        return None
    of_row = np.frombuffer(table.origins.table, np.intc)
    return (
        np.bincount(of_row[np.asarray(part.numbers, np.int64)], minlength=len(table.sources)),
        np.bincount(of_row[np.unique(tokens.row)], minlength=len(table.sources)),
    )


def mixture_checks(mixture: Mixture | None, part: PartRows, tokens: TokenRows) -> Iterator[Check]:
    """The plan's line on what of each source is trained on; none where there is one source.

    What is left out of rows that were made several, such as pairs and paraphrases, isn't counted by source.
    """
    if mixture is None:
        return
    left = [0] * len(mixture.drawn)
    if tokens.counts.dropped and (found := _by_source(part, tokens)):
        read, kept = found
        if read.tolist() == [*mixture.drawn] and int((read - kept).sum()) == tokens.counts.dropped:
            left = (read - kept).tolist()
    yield mixture.check(left)


def _left_by_source(data: Data, part: PartRows, tokens: TokenRows) -> tuple[str, str] | None:
    """What a mixture's sources have left of their training rows, those that lost most first, and what that means for
    weights; None where there is one source, or none lost a row.
    """
    table, sources = part.table, sources_of(data)
    if not sources or (found := _by_source(part, tokens)) is None:
        return None
    read, kept = found
    order = [one for one in np.argsort(kept / np.maximum(read, 1), kind="stable").tolist() if kept[one] < read[one]]
    if not order:
        return None
    listed = [
        f"{table.sources[one].file} keeps {kept[one]:,} of {read[one]:,} rows and is {kept[one] / kept.sum():.1%} of "
        f"an epoch, not {read[one] / read.sum():.1%}"
        for one in order[:_SHOWN_ROWS]
    ]
    is_weighted = all(source.weight is not None for source in sources)
    means = "a `weight` counts a source's rows before any is left out: raise it, or make the rows fit"
    return "; ".join(listed), means if is_weighted else ""


def _left_out(
    counts: Mapping[str, RowCounts], places: Places, limits: Limits, sources: tuple[str, str] | None
) -> Iterator[Diagnostic]:
    dropped, too_long = _total(counts, lambda count: count.dropped), _total(counts, lambda count: count.too_long)
    if not dropped:
        return
    over = f"{_words(too_long, 'row')} {'is' if too_long == 1 else 'are'} longer than {limits.max_length:,} tokens"
    longer = [f"{over}; {limits.fix(counts.values())}"]
    by_source, weights = sources or ("", "")
    yield diagnostic(
        "FTC338",
        f"{dropped:,} of {_total(counts, lambda count: count.read):,} rows are left out",
        help=[
            *(longer if too_long else []),
            *(["fix or remove the rows"] if too_long < dropped else []),
            *filter(None, [weights]),
        ],
        notes=[_by_split(counts, lambda count: count.dropped), *filter(None, [by_source]), *_reasons(counts, places)],
        path="data.max_length" if too_long else "data.source",
    )


def _words(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def _total(counts: Mapping[str, RowCounts], count: Callable[[RowCounts], int]) -> int:
    return sum(map(count, counts.values()))


def _reasons(counts: Mapping[str, RowCounts], places: Places) -> list[str]:
    """The first rows that were left out, with why."""
    dropped = [(split, drop) for split, count in counts.items() for drop in count.first_dropped]
    return [f"{places[split](drop.row)}: {drop.reason}" for split, drop in dropped[:_SHOWN_ROWS]]


def _by_split(counts: Mapping[str, RowCounts], count: Callable[[RowCounts], int], unit: str = "row") -> str:
    """The count of each split that has any, such as `train: 14 of 160 rows, test: 2 of 20 rows`."""
    found = [(split, number, one.read) for split, one in counts.items() if (number := count(one))]
    return ", ".join(
        f"{split}: {f'{number:,} of {read:,} rows' if unit == 'row' else _words(number, unit)}"
        for split, number, read in found
    )


_SHOWN_DOUBLED = 3
_AT_ONCE = 1 << 14  # rows
_TOKENS_AT_ONCE = 1 << 22


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
    for name, number, at in (("begin", facts.bos_id, facts.bos_token), ("end", facts.eos_id, facts.eos_token)):
        if number is None:
            continue
        found = [(split, row) for split, tokens in splits.items() for row in _rows_with_pair(tokens, number, name)]
        if found:
            reads = "the model sees an extra start token" if name == "begin" else "the model learns to end twice"
            yield diagnostic(
                "FTC336",
                f"`{at}` occurs twice at the {name} of {len(found):,} {'row' if len(found) == 1 else 'rows'}",
                help="remove it from the rows or the prompt template; the tokenizer or the chat template adds it",
                notes=[reads, *(places[split](row) for split, row in found[:_SHOWN_DOUBLED])],
                path="task.prompt",
            )

    counts = {split: tokens.counts for split, tokens in splits.items()}
    lost = {split: count for split, count in counts.items() if count.truncated > most_lost * count.read}
    if is_chat and lost:
        total = _total(lost, lambda count: count.truncated)
        yield diagnostic(
            "FTC335",
            f"{total:,} conversations lose their last answers by truncation, more than `max_lost_answers` allows",
            help="raise `data.max_length`, split long conversations, or raise `data.max_lost_answers`",
            notes=[_by_split(lost, lambda count: count.truncated), f"at most {most_lost:.0%} of a part's rows may"],
            path="data.max_length",
        )


def _rows_with_pair(tokens: TokenRows, number: int, end: str) -> list[int]:
    """Numbers of rows that begin, or end, with a token twice; a template may write one more token behind the end.

    Rows of three tokens or fewer are no text.
    """
    found: list[int] = []
    for begin in range(0, len(tokens.row), _AT_ONCE):
        bounds = tokens.boundaries[begin : begin + _AT_ONCE + 1]
        starts, ends = bounds[:-1], bounds[1:]
        long = np.flatnonzero(ends - starts > 3)
        places = [starts[long]] if end == "begin" else [ends[long] - 2, ends[long] - 3]
        is_pair = np.zeros(len(long), dtype=np.bool_)
        for first in places:
            is_pair |= (tokens.ids[first] == number) & (tokens.ids[first + 1] == number)
        found += tokens.row[begin + long[is_pair]].tolist()
        forget(tokens.ids)
    return found


def unknown_findings(
    splits: Mapping[str, TokenRows], places: Places, unknown: tuple[int, str] | None, facts: TokenizerFacts
) -> Iterator[Diagnostic]:
    """A warning where supervised text has characters that the tokenizer doesn't know (FTC349).

    Args:
        splits: The splits.
        places: Where a row stands.
        unknown: Id and text of the token for unknown characters; None where the tokenizer has none.
        facts: The tokenizer's special tokens: one that also ends or fills a text says nothing of its characters.
    """
    if unknown is None or unknown[0] in (facts.bos_id, facts.eos_id, facts.pad_id, facts.mask_id):
        return
    rows = {split: found for split, tokens in splits.items() if (found := _rows_that_write(tokens, unknown[0]))}
    if rows:
        total, reads = sum(map(len, rows.values())), {split: splits[split].counts.read for split in rows}
        counts = ", ".join(f"{split}: {len(found):,} of {reads[split]:,} rows" for split, found in rows.items())
        shown = [places[split](row) for split, found in rows.items() for row in found[:_SHOWN_DOUBLED]]
        yield diagnostic(
            "FTC349",
            f"the tokenizer doesn't know characters that {_words(total, 'row')} teach to write (`{unknown[1]}`)",
            help="add them by `model.add_tokens`, or choose a model whose tokenizer knows every character",
            notes=[counts, f"first: {', '.join(shown[:_SHOWN_DOUBLED])}"],
            path="model.base",
        )


def _rows_that_write(tokens: TokenRows, number: int) -> list[int]:
    """Numbers of rows among whose supervised tokens one is."""
    found: list[int] = []
    for begin in range(0, len(tokens.ids), _TOKENS_AT_ONCE):
        part = slice(begin, begin + _TOKENS_AT_ONCE)
        at = begin + np.flatnonzero((tokens.ids[part] == number) & tokens.mask[part])
        found += tokens.row[np.unique(np.searchsorted(tokens.boundaries, at, side="right") - 1)].tolist()
        forget(tokens.ids)
    return list(dict.fromkeys(found))
