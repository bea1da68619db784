"""What is said of the splits as tokens: each kind of finding once, with the count of each split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from ftc.compiler.text.tokens import RowCounts, TokenRows
from ftc.spec.diagnostics import Diagnostic, diagnostic

__all__ = ["Places", "stream_findings"]

Places = Mapping[str, Callable[[int], str]]
"""By split: where the row of a number in its source stands, in words."""

_SHOWN_ROWS = 5


def stream_findings(
    splits: Mapping[str, TokenRows], places: Places, *, max_length: int, refuses_long: bool = False
) -> list[Diagnostic]:
    """Errors, or else warnings, about splits that were encoded with the limit `max_length`.

    Args:
        splits: Tokens by split.
        places: Where rows stand.
        max_length: Longest row, in tokens.
        refuses_long: Whether longer rows are an error rather than left out.
    """
    counts = {split: tokens.counts for split, tokens in splits.items()}
    if refuses_long and any(count.too_long for count in counts.values()):
        return [_too_long(counts, places, max_length)]
    empty = {split: tokens.counts for split, tokens in splits.items() if not tokens.teaches}
    return [_nothing_to_learn(empty, places)] if empty else list(_warnings(counts, places))


def _too_long(counts: Mapping[str, RowCounts], places: Places, max_length: int) -> Diagnostic:
    total = sum(count.too_long for count in counts.values())
    read = sum(count.read for count in counts.values())
    longest = max(count.longest_too_long for count in counts.values())
    rows = [(split, row) for split, count in counts.items() for row in count.first_too_long]
    return diagnostic(
        "FTC342",
        f"{total:,} of {read:,} rows are longer than {max_length:,} tokens, and `overflow: refuse` cuts none",
        help=f"raise `data.max_length` to {longest}, or write `overflow: cut` or `overflow: drop`",
        notes=[
            _by_split(_of_rows(counts, lambda count: count.too_long)),
            *(f"{places[split](row.row)}: {row.num_tokens:,} tokens" for split, row in rows[:_SHOWN_ROWS]),
        ],
        path="data.max_length",
    )


def _nothing_to_learn(empty: Mapping[str, RowCounts], places: Places) -> Diagnostic:
    read = sum(count.read for count in empty.values())
    is_length = read > 0 and all(count.too_long == count.read for count in empty.values())
    return diagnostic(
        "FTC330",
        f"none of the {read:,} rows of {_listed(empty)} holds anything to learn from",
        help="raise `data.max_length`" if is_length else "mend the rows or the template that these reasons name",
        notes=_reasons(empty, places),
        path="data.max_length" if is_length else "data.source",
    )


def _warnings(counts: Mapping[str, RowCounts], places: Places) -> Iterator[Diagnostic]:
    if total := sum(count.stop_missing for count in counts.values()):
        yield diagnostic(
            "FTC337",
            f"no stop token follows the answer in {total:,} rows",
            help="let the chat template write the model's end token after each turn of the assistant",
            notes=_by_split(_of_rows(counts, lambda count: count.stop_missing)),
            path="model.base",
        )
    if any(count.dropped for count in counts.values()):
        yield _left_out(counts, places)
    if total := sum(count.merged for count in counts.values()):
        yield diagnostic(
            "FTC340",
            f"prompt and answer share a token in {total:,} rows",
            help="end the prompt template without a space or line break",
            notes=_by_split(_of_rows(counts, lambda count: count.merged)),
            path="task.prompt",
        )
    if total := sum(count.unsupervised_turns for count in counts.values()):
        yield diagnostic(
            "FTC341",
            f"{total:,} turns of the assistant are not learned from",
            help="split these conversations into one row an answer, or choose a template that keeps earlier turns",
            notes=_by_split({s: (count.unsupervised_turns, "turns") for s, count in counts.items()}),
            path="data.source",
        )


def _left_out(counts: Mapping[str, RowCounts], places: Places) -> Diagnostic:
    dropped = sum(count.dropped for count in counts.values())
    too_long = sum(count.too_long for count in counts.values())
    read = sum(count.read for count in counts.values())
    mend = "mend or delete the rows" if too_long < dropped else ""
    longer = f"raise `data.max_length` for the {_rows(too_long)} too long" if too_long else ""
    return diagnostic(
        "FTC338",
        f"{dropped:,} of {read:,} rows are left out",
        help=[line for line in (longer, mend) if line],
        notes=[_by_split(_of_rows(counts, lambda count: count.dropped)), *_reasons(counts, places)],
        path="data.max_length" if too_long else "data.source",
    )


def _reasons(counts: Mapping[str, RowCounts], places: Places) -> list[str]:
    """The first rows that were left out, with why."""
    dropped = [(split, drop) for split, count in counts.items() for drop in count.first_dropped]
    return [f"{places[split](drop.row)}: {drop.reason}" for split, drop in dropped[:_SHOWN_ROWS]]


def _of_rows(counts: Mapping[str, RowCounts], count_of: Callable[[RowCounts], int]) -> dict[str, tuple[int, str]]:
    """Rows by split, each with what they are counted of."""
    return {split: (count_of(count), f"of {count.read:,} rows") for split, count in counts.items()}


def _by_split(numbers: Mapping[str, tuple[int, str]]) -> str:
    """The count of each split that has any, such as `train: 14 of 160 rows, test: 2 of 20 rows`."""
    return ", ".join(f"{split}: {number:,} {words}" for split, (number, words) in numbers.items() if number)


def _listed(splits: Iterable[str]) -> str:
    *names, last = splits
    return f"{', '.join(names)} and {last}" if names else last


def _rows(count: int) -> str:
    return "1 row that is" if count == 1 else f"{count:,} rows that are"
