"""The rows of `predictions.ndjson` beside the test split: which rows they are, what was asked, and what is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, assert_never

from ftc.compiler.audit.tally import Tally, difference
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.slices import Groups
from ftc.spec.heads import head_card

if TYPE_CHECKING:
    from ftc.spec.documents.streams import TokenStream

__all__ = ["TestSplit", "Words", "check_answers"]


class SplitWords(Protocol):
    """A split in words."""

    def given(self, number: int) -> str:
        """What a model is given of the row at a place of the stream."""
        ...

    def expected(self, number: int) -> str:
        """What it should say of it."""
        ...


Words = Callable[["TokenStream", Path], SplitWords]
"""A split in words, from its stream and the tokenizer's folder."""


@dataclass(frozen=True, slots=True)
class TestSplit:
    """Where the test split lies.

    Attributes:
        streams: Folder of the token streams; None where the cache doesn't have them, or has others.
        model: Folder of the base model with its tokenizer; None where it isn't here, or is another one.
        words: Puts the split in words; None where another release of ftc may have put it otherwise.
    """

    streams: Path | None
    model: Path | None
    words: Words | None


def check_answers(tally: Tally, plan: Plan, split: TestSplit, rows: Sequence[Outcome]) -> None:
    """Compares row numbers, prompts, groups, classes, tags and right answers with the test split.

    Args:
        tally: What was found so far.
        plan: The plan.
        split: Where the test split lies.
        rows: The lines of `predictions.ndjson`.
    """
    if split.streams is None or not rows:
        return
    from ftc.spec.documents.streams import open_stream

    stream = open_stream(split.streams / "test.arrow")
    places = _first_windows(stream) if head_card(plan.settings.model.head).finds_spans else list(range(len(stream)))
    found = list(difference("predictions.ndjson: rows", len(rows), len(places), "the test split"))
    if not found:
        for number, (row, place) in enumerate(zip(rows, places, strict=True), 1):
            found += _row(f"predictions.ndjson, line {number}", plan, row, stream, place)
        found += _groups(plan, split.streams, rows, places)
    if split.model is None or split.words is None:
        why = (
            "the base model's tokenizer is not here as it was"
            if split.model is None
            else "another release of ftc wrote them"
        )
        tally.not_checked.append(f"prompts and expected texts in predictions.ndjson: {why}")
    elif not found:
        words = split.words(stream, split.model)
        for number, (row, place) in enumerate(zip(rows, places, strict=True), 1):
            subject = f"predictions.ndjson, line {number}"
            found += difference(f"{subject}: prompt", row.prompt, words.given(place), "the test split")
            if row.expected is not None:
                found += difference(f"{subject}: expected", row.expected, words.expected(place), "the test split")
    tally.findings[:0] = found
    tally.checked.append(f"{len(rows)} predictions are of the test split's rows")


def _groups(plan: Plan, streams: Path, rows: Sequence[Outcome], places: Sequence[int]) -> Iterator[Finding]:
    """The slices of each row, beside those of the split."""
    if plan.settings.eval.groups_sha256 is None:
        return
    columns = Groups.model_validate_json((streams / "groups.json").read_bytes()).columns
    for number, (row, place) in enumerate(zip(rows, places, strict=True), 1):
        known = {name: values[place] for name, values in columns.items()}
        yield from difference(f"predictions.ndjson, line {number}: slices", row.slices, known, "the test split")


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
    if row.images:  # earlier releases named none
        yield from difference(f"{subject}: images", list(row.images), stream.images(place), told)
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
        case "pair" | "rated" | "rank" | "filled":
            return
        case _:
            assert_never(plan.settings.answer)
