"""How training rows are augmented: copies with other words, other prompts, or typos."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ftc.spec.base import Document, Effect, Real

__all__ = ["PROMPT_COLUMN", "Augment", "Paraphrases", "with_prompts"]

PROMPT_COLUMN = "ftc_prompt"
"""Column of an augmented row that says which of the additional prompts it has, from 1."""


class Paraphrases(Document):
    """A table of phrases, relative to the recipe."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    path: str = Field(min_length=1)
    """CSV or other data file with the columns `from` and `to`, relative to the recipe's folder or at an address. A
    phrase may occur in several rows."""


class Augment(Document):
    """Augmented copies of training rows. Evaluation rows and target tokens are never changed."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    variants: int = Field(default=1, ge=1, le=20)
    """Augmented copies of each row; a copy that equals its row is left out. Default: 1, which at most doubles the
    rows."""
    share: Real = Field(default=1.0, gt=0, le=1)
    """Share of the training rows that are augmented. Default: 1, so that no row is preferred."""
    prompts: tuple[str, ...] = Field(default=(), max_length=50)
    """Additional prompt templates of a generation task; each augmented row uses one. Default: none, so that it keeps
    its row's prompt."""
    paraphrases: Paraphrases | None = None
    """Phrases and their paraphrases; each phrase is replaced with probability 0.5. Default: none, because only you
    know what means the same."""
    words: Real = Field(default=0.0, ge=0, le=0.5)
    """Share of the words that are dropped or swapped with the next. Default: 0, because word order often matters."""
    characters: Real = Field(default=0.0, ge=0, le=0.5)
    """Share of the letters that are doubled, dropped or swapped with the next (typos). Default: 0, because
    clean text needs no typos."""
    seed: int = Field(default=17, ge=0, lt=2**32)
    """Random seed of the augmentation. Default: 17, a fixed number so that everybody gets the same rows."""


def with_prompts(prompt: str, others: tuple[str, ...]) -> str:
    """One template that renders the prompt named by the row's `PROMPT_COLUMN`, or the first prompt if the row names
    none.
    """
    name = PROMPT_COLUMN
    branches = "".join(
        f"{'{%'} {'if' if number == 1 else 'elif'} {name} is defined and {name} == {number} {'%}'}{other}"
        for number, other in enumerate(others, start=1)
    )
    return f"{branches}{'{%'} else {'%}'}{prompt}{'{%'} endif {'%}'}" if others else prompt
