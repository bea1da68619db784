"""The rows of `predictions.ndjson` beside the test split's token stream: which rows they are, and what is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from ftc.compiler.audit.tally import Tally, difference
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.plan import Plan
from ftc.spec.heads import head_card

if TYPE_CHECKING:
    from ftc.spec.documents.streams import TokenStream

__all__ = ["check_answers"]


def check_answers(tally: Tally, plan: Plan, streams: Path | None, rows: Sequence[Outcome]) -> None:
    """Compares row numbers, classes, tags and right answers with the test split.

    Args:
        tally: What was found so far.
        plan: The plan.
        streams: Folder of the token streams; None where the cache doesn't have them.
        rows: The lines of `predictions.ndjson`.
    """
    if streams is None or not rows or any(one.subject == "token stream `test`" for one in tally.findings):
        return  # without the stream, or with another one, nothing follows
    from ftc.spec.documents.streams import open_stream

    stream = open_stream(streams / "test.arrow")
    places = _first_windows(stream) if head_card(plan.settings.model.head).finds_spans else list(range(len(stream)))
    found = list(difference("predictions.ndjson: rows", len(rows), len(places), "the test split"))
    if not found:
        for number, (row, place) in enumerate(zip(rows, places, strict=True), 1):
            found += _row(f"predictions.ndjson, line {number}", plan, row, stream, place)
    tally.findings[:0] = found
    tally.checked.append(f"{len(rows)} predictions are of the test split's rows")
    if plan.settings.answer in ("written label", "text") and not rows[0].right:
        tally.not_checked.append("the expected answers in predictions.ndjson: they are tokens in the test split")


def _first_windows(stream: TokenStream) -> list[int]:
    """A question is known by its first window."""
    first: dict[int, int] = {}
    for place, row in enumerate(stream.rows.tolist()):
        first.setdefault(row, place)
    return sorted(first.values())


def _row(subject: str, plan: Plan, row: Outcome, stream: TokenStream, place: int) -> Iterator[Finding]:
    told = "the test split"
    yield from difference(f"{subject}: row", row.row, int(stream.rows[place]), told)
    if row.place:
        yield from difference(f"{subject}: place", row.place, stream.place(place), told)
    labels = plan.settings.text.labels
    match plan.settings.answer:
        case "label":
            yield from difference(f"{subject}: expected", row.expected, labels[int(stream.labels[place])], told)
        case "labels" | "tags":
            yield from difference(f"{subject}: targets", list(row.targets), stream.targets[place].tolist(), told)
        case "numbers":
            yield from difference(f"{subject}: right", list(row.right), stream.texts(place), told)
        case "span":
            yield from difference(f"{subject}: right", list(row.right), stream.texts(place)[1:], told)
        case "rewarded":
            yield from difference(
                f"{subject}: expected", [row.expected or ""][: len(stream.texts(place))], stream.texts(place), told
            )
        case "text" | "written label":
            yield from difference(f"{subject}: right", list(row.right), stream.texts(place), told)
        case "pair" | "rated" | "rank":
            return
        case _:
            assert_never(plan.settings.answer)
