"""Baselines that prompt the untouched base model: one card each, with every fact about it.

To add one, write its card here and what its prompt looks like into `ftc.compiler.tokens.prompted_rows`. Rules, passes,
runs and views ask the cards.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["PROMPT_BASELINES", "PromptBaselineCard", "PromptBaselineKind", "prompt_baseline_card"]

PromptBaselineKind = Literal["zero_shot", "few_shot"]


class PromptBaselineCard(NamedTuple):
    """One baseline.

    Attributes:
        kind: What a recipe calls it.
        title: What people call it.
        has_examples: Whether worked examples stand before each row's prompt.
        does: What the base model is given, in words.
    """

    kind: PromptBaselineKind
    title: str
    has_examples: bool
    does: str


PROMPT_BASELINES: tuple[PromptBaselineCard, ...] = (
    PromptBaselineCard(
        kind="zero_shot",
        title="zero-shot prompt",
        has_examples=False,
        does="the recipe's own prompt, with the labels listed",
    ),
    PromptBaselineCard(
        kind="few_shot",
        title="few-shot prompt",
        has_examples=True,
        does="the zero-shot prompt, with the same examples of training rows before each row",
    ),
)
"""Every baseline, the cheapest first."""

_BY_KIND = {card.kind: card for card in PROMPT_BASELINES}


def prompt_baseline_card(kind: PromptBaselineKind) -> PromptBaselineCard:
    """What is known of a baseline."""
    return _BY_KIND[kind]
