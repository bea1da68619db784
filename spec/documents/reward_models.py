"""What a plan knows of a reward model that scores written answers, and the text around each row's answer for it."""

from __future__ import annotations

from ftc.spec.base import Document, Real
from ftc.spec.documents.facts import ModelFacts

__all__ = ["AnswerFrames", "FrameFacts", "RewardModelFacts", "frames_file"]


class RewardModelFacts(Document):
    """What is known of a reward model before any row is read."""

    model: ModelFacts
    run: str | None
    """Id of the run that trained it; None where it isn't named by a run."""
    mean: Real
    spread: Real
    """Its score is `mean` + `spread` x output."""
    max_length: int
    """Longest row that it can read, in tokens."""
    path: str
    """Place in the recipe of what names it."""


class FrameFacts(Document):
    """What is known of the text around the answers of all splits."""

    sha256: str
    """Digest of `AnswerFrames`."""
    tokens: dict[str, int]
    """Tokens of all rows of a split, in the reward model's own tokens, without answers."""
    longest: int
    """Those of the longest row."""


class AnswerFrames(Document):
    """The text around each row's answer for a reward model; a file beside the token streams."""

    before: tuple[int, ...]
    """Token ids before each row's text."""
    after: tuple[int, ...]
    """Token ids behind it."""
    splits: dict[str, tuple[tuple[str, str], ...]]
    """Text before and behind the answer, by split, in the order of its token stream."""


def frames_file(role: str) -> str:
    """Name of the file in the folder of the token streams, by the companion that reads it."""
    return f"frames-{role}.json"
