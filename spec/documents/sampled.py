"""The answers that a run sampled and trained on, `answers.ndjson` in its folder: a line each, in the order of training.

From a line's tokens and the plan anybody can compute its rewards again, and from a group's rewards its advantages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from ftc.spec.base import Document, Real
from ftc.spec.storage.reading import read_regular

__all__ = ["AnyAnswer", "Earned", "SampledAgain", "SampledAnswer", "WrittenAnswer", "answer_kind", "read_answers"]


class Earned(NamedTuple):
    """What an answer earned: by each reward, in all, and beside its group."""

    rewards: tuple[float, ...]
    reward: float
    advantage: float


class SampledAgain(NamedTuple):
    """What follows from recorded answers; in the place of what can't be computed stands why, in words."""

    earned: Sequence[Earned] | str
    """What each earned."""
    fed: Mapping[int, str] | str
    """Digest of what each step was fed, by its number."""


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


class SampledAnswer(WrittenAnswer):
    """One answer and what it earned."""

    rewards: tuple[Real, ...]
    """What it earned by each of the plan's rewards, without weights."""
    reward: Real
    """Their weighted sum."""
    advantage: Real


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
