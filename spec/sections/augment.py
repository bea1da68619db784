"""Variants of training rows: what is varied, and how much."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ftc.spec.base import Document, Effect, Real

__all__ = ["PROMPT_COLUMN", "Augment", "Paraphrases", "with_prompts"]

PROMPT_COLUMN = "ftc_prompt"
"""Column of a variant that tells which of the further prompts it has, from 1."""


class Paraphrases(Document):
    """A table of phrases beside the recipe."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    path: str = Field(min_length=1)
    """CSV or other data file with the columns `from` and `to`, relative to the recipe's folder. A phrase may stand in
    several rows."""


class Augment(Document):
    """Variants of training rows; rows that are measured are never varied. What is learned stays as it is."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    variants: int = Field(default=1, ge=1, le=20)
    """Variants of each row that has any; one that comes out like its row is left out. Default: 1, which doubles the
    rows at most."""
    share: Real = Field(default=1.0, gt=0, le=1)
    """Share of the training rows that have variants. Default: 1, so that no row is preferred."""
    prompts: tuple[str, ...] = Field(default=(), max_length=50)
    """Further prompt templates of a generation, of which each variant has one. Default: none, so that variants have the
    prompt of their row."""
    paraphrases: Paraphrases | None = None
    """Phrases and what may stand for them; each is replaced with a chance of one half. Default: none, since only you
    know what means the same."""
    words: Real = Field(default=0.0, ge=0, le=0.5)
    """Share of the words that are left out or change places with the next. Default: 0, since order often matters."""
    characters: Real = Field(default=0.0, ge=0, le=0.5)
    """Share of the letters that are doubled, left out or change places with the next. Default: 0, since clean text
    needs no slips."""
    seed: int = Field(default=17, ge=0, lt=2**32)
    """Seed of all variants. Default: 17, a fixed number so that two people get the same."""


def with_prompts(prompt: str, others: tuple[str, ...]) -> str:
    """One template that takes the prompt which a row's `PROMPT_COLUMN` names, and the first where there is none."""
    name = PROMPT_COLUMN
    branches = "".join(
        f"{'{%'} {'if' if number == 1 else 'elif'} {name} is defined and {name} == {number} {'%}'}{other}"
        for number, other in enumerate(others, start=1)
    )
    return f"{branches}{'{%'} else {'%}'}{prompt}{'{%'} endif {'%}'}" if others else prompt
