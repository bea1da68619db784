"""What a support team asks of an answer: a courteous phrase, and no more words than the question needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["bounded", "brevity", "courtesy", "tickets"]

PHRASES = tuple(
    line.strip().lower()
    for line in Path(__file__).with_name("phrases.txt").read_text(encoding="utf-8").splitlines()
    if line.strip()
)
MOST_WORDS = 12
POWER = 0.7


def courtesy(answer: str, references: Sequence[str]) -> float:
    """The metric: how many of the courteous phrases of a reference an answer has, of that with fewest; at most 1."""
    wanted = min((_count(one) for one in references), default=0)
    return 1.0 if wanted == 0 else min(1.0, _count(answer) / wanted)


def brevity(answer: str, reference: str) -> float:
    """The reward: 1 for an answer of no more words than the reference, or twelve without one; less for a longer one."""
    words, most = len(answer.split()), len(reference.split()) or MOST_WORDS
    return 0.0 if words == 0 else min(1.0, most / words)


def bounded(scores: Tensor, targets: Tensor) -> Tensor:
    """The loss: (1 - p^0.7) / 0.7 of each target of probability p, so that a row labeled by mistake costs little
    (generalized cross entropy, Zhang & Sabuncu 2018).
    """
    chosen = scores.log_softmax(dim=-1).gather(1, targets[:, None]).squeeze(1)
    return (1 - (POWER * chosen).exp()) / POWER


def tickets(path: Path) -> Iterator[tuple[dict[str, str], int]]:
    """The row reader: a help desk's log of `name: value` lines, with an empty line between two tickets.

    Each row comes with the line at which it begins, so that findings have a place.
    """
    row: dict[str, str] = {}
    begin = 0
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            name, colon, value = line.partition(":")
            if line.strip() and not colon:
                error = ValueError("a line without a colon")
                error.lineno = number  # type: ignore[attr-defined]
                raise error
            if line.strip():
                begin = begin if row else number
                row[name.strip()] = value.strip()
            elif row:
                yield row, begin
                row = {}
    if row:
        yield row, begin


def _count(text: str) -> int:
    return sum(text.lower().count(phrase) for phrase in PHRASES)
