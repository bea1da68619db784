"""What a plan knows of a reward model that scores written answers, and the text around each row's answer for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Real, SparseDocument
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.step_scores import StepAggregate, aggregate_card, steps_of

__all__ = [
    "TRIMS",
    "AnswerFrames",
    "FrameFacts",
    "Reasoning",
    "RewardModelFacts",
    "StepReading",
    "Trim",
    "frames_file",
]

Trim = Literal["nothing", "line breaks", "blanks"]
"""What a chat template takes off the ends of a part of an answer."""
TRIMS: dict[Trim, str | None] = {"nothing": "", "line breaks": "\n", "blanks": None}
"""The characters of each, as `str.strip` has them: None for every blank."""
_OPEN, _CLOSE = "<think>", "</think>"


class StepReading(Document):
    """How a process reward model scores an answer by its steps."""

    separator: str
    """Text behind each step, as in the rows of its training."""
    aggregate: StepAggregate
    """How one score comes from those of the steps."""
    right: int = Field(ge=0)
    """The model's output that speaks for a step."""

    def steps(self, answer: str) -> list[str]:
        """The steps of an answer, without separators; empty for an answer of blanks."""
        return steps_of(answer, self.separator)

    def score(self, chances: Sequence[float]) -> float:
        """One score from the chances of the steps to be right; 0, the least, for an answer without a step."""
        return aggregate_card(self.aggregate).of(chances) if chances else 0.0


class RewardModelFacts(Document):
    """What is known of a reward model before any row is read."""

    model: ModelFacts
    run: str | None
    """Id of the run that trained it; None where it isn't named by a run."""
    mean: Real
    spread: Real
    """Its score is `mean` + `spread` x output."""
    steps: StepReading | None
    """How it scores an answer by its steps; None for one that scores whole answers."""
    max_length: int
    """Longest row that it can read, in tokens."""
    path: str
    """Place in the recipe of what names it."""

    @property
    def outputs(self) -> int:
        """Numbers that its head gives: a score, or what speaks for a step and against it."""
        return 1 if self.steps is None else 2


class FrameFacts(Document):
    """What is known of the text around the answers of all splits."""

    sha256: str
    """Digest of `AnswerFrames`."""
    tokens: dict[str, int]
    """Tokens of all rows of a split, in the reward model's own tokens, without answers."""
    longest: int
    """Those of the longest row."""


class Reasoning(Document):
    """What a chat template makes of an answer with a reasoning part: of all up to the last `</think>`.

    The part is the text before the first `</think>` and behind the last `<think>` before that.
    """

    instead: str
    """What stands at the end of the text before an answer without such a part, and gives way to the following."""
    before: str
    """Text before the reasoning part, or before the rest where the part is left out."""
    between: str | None
    """Text between both parts; None where the reasoning part is left out."""
    alone: str | None
    """Text behind a reasoning part that nothing follows; None where the reasoning part is left out."""
    trims: tuple[Trim, Trim, Trim]
    """What is taken off the front of the reasoning part, off its end, and off the front of the rest."""

    def written(self, head: str, answer: str) -> str:
        """The text before an answer without such a part, and an answer that has one, as the template writes them."""
        front, end, start = (TRIMS[one] for one in self.trims)
        part = answer.split(_CLOSE, 1)[0].rstrip(end).split(_OPEN)[-1].lstrip(front)
        rest = answer.rsplit(_CLOSE, 1)[-1].lstrip(start)
        behind = self.between if rest else self.alone
        return head.removesuffix(self.instead) + self.before + ("" if behind is None else part + behind) + rest


class AnswerFrames(SparseDocument):
    """The text around each row's answer for a reward model; a file beside the token streams."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("reasoning",)

    before: tuple[int, ...]
    """Token ids before each row's text."""
    after: tuple[int, ...]
    """Token ids behind it; of a model that scores steps those behind each of them."""
    splits: dict[str, tuple[tuple[str, str], ...]]
    """Text before and behind the answer, by split, in the order of its token stream."""
    reasoning: Reasoning | None = None
    """How its template writes reasoning; absent where it writes every answer as it is."""

    def whole(self, split: str, number: int, answer: str) -> str:
        """A row's text with an answer, as the reward model's own template writes both.

        Args:
            split: The row's split.
            number: Its number in the split's stream.
            answer: The answer, without blanks at its ends.
        """
        before, behind = self.splits[split][number]
        if self.reasoning is not None and _CLOSE in answer:
            return self.reasoning.written(before, answer) + behind
        return before + answer + behind

    def prompt(self, split: str, number: int) -> str:
        """A row's prompt, for a model that scores steps, which have nothing behind them but a separator.

        Args:
            split: The row's split.
            number: Its number in the split's stream.
        """
        return self.splits[split][number][0]


def frames_file(role: str) -> str:
    """Name of the file in the folder of the token streams, by the companion that reads it."""
    return f"frames-{role}.json"
