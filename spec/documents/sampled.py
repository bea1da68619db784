"""The answers that a run sampled and trained on, `answers.ndjson` in its folder: a line each, in the order of training.

From a line's tokens and the plan anybody can compute its rewards again, and from a group's rewards its advantages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

from ftc.spec.base import Document, Real, SparseDocument
from ftc.spec.storage.reading import read_regular

__all__ = [
    "AnyAnswer",
    "Earned",
    "Line",
    "SampledAgain",
    "SampledAnswer",
    "WrittenAnswer",
    "answer_kind",
    "read_answers",
    "server_means",
]


class Earned(NamedTuple):
    """What an answer earned: by each reward, in all, and beside its group."""

    rewards: tuple[float, ...]
    reward: float
    advantage: float


class Line(NamedTuple):
    """An answer as it was written.

    Attributes:
        ids: Its tokens, with the one that ended it.
        log_probs: Log-probability of each, by the distribution that a server drew it from; None where the run itself
            wrote it.
    """

    ids: list[int]
    log_probs: list[float] | None = None


class SampledAgain(NamedTuple):
    """What follows from recorded answers; in the place of what can't be computed stands why, in words."""

    earned: Sequence[Earned] | str
    """What each earned."""
    fed: Mapping[int, str] | str
    """Digest of what each step was fed, by its number."""
    left_out: str = ""
    """What of the rewards was taken as it is recorded, in words; empty for nothing."""


class WrittenAnswer(Document):
    """One answer."""

    step: int
    """Optimizer step that trained on it, from 1."""
    prompt: int
    """Number of the prompt in the training split's stream, from 0."""
    place: str
    """Name of the prompt's row, such as `data/tasks.jsonl:38`."""
    answer: int
    """Number of the answer in its group, from 0."""
    ids: tuple[int, ...]
    """Sampled tokens, with the one that ended the answer."""
    ended: bool
    """Whether the model ended it; else it was cut off."""


class SampledAnswer(WrittenAnswer, SparseDocument):
    """One answer and what it earned."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("log_probs", "own_log_probs")

    rewards: tuple[Real, ...]
    """What it earned by each of the plan's rewards, without weights."""
    reward: Real
    """Their weighted sum."""
    advantage: Real
    log_probs: tuple[Real, ...] | None = None
    """Log-probability of each token, by the server that wrote it; absent where the run itself did."""
    own_log_probs: tuple[Real, ...] | None = None
    """The same as the trainer computed it before the step; absent where the run itself wrote the answer."""

    def ratios(self, cap: float) -> list[float]:
        """Importance of each token: its probability by the trainer over that by the server, at most `cap`."""
        pairs = zip(self.own_log_probs or (), self.log_probs or (), strict=True)
        return [math.exp(min(own - theirs, math.log(cap))) for own, theirs in pairs]


def server_means(answers: Sequence[SampledAnswer], cap: float | None) -> dict[str, float]:
    """How the probabilities of a server that wrote a step's answers compare with the trainer's, by the fields of the
    step's event; nothing where the run itself wrote them.
    """
    known = [one for one in answers if one.log_probs is not None and one.own_log_probs is not None]
    gaps = [
        own - theirs for one in known for own, theirs in zip(one.own_log_probs or (), one.log_probs or (), strict=True)
    ]
    if not gaps:
        return {}
    found = {"log_prob_gap": math.fsum(map(abs, gaps)) / len(gaps)}
    return found if cap is None else {**found, "capped": sum(gap > math.log(cap) for gap in gaps) / len(gaps)}


def answer_kind(*, earns: bool) -> type[WrittenAnswer]:
    """What is noted of each answer that is written in training: more where answers earn something."""
    return SampledAnswer if earns else WrittenAnswer


AnyAnswer = TypeVar("AnyAnswer", bound=WrittenAnswer)


def read_answers(path: Path, kind: type[AnyAnswer]) -> Iterator[AnyAnswer]:
    """The lines of a file; one that a crash cut off is left out.

    Args:
        path: The file.
        kind: What its plan has answers written for.

    Raises:
        OSError: The file can't be read.
    """
    for line in read_regular(path).splitlines():
        try:
            yield kind.model_validate_json(line)
        except ValueError:
            continue
