"""Losses over pairs of a preferred and a rejected answer, or over rated answers: one card each, with every fact.

To add one, write its card here and its formula into `ftc.runtime.tasks.preference`, or into `rated_answers` beside it
for a loss of single answers. Rules, passes, importers and docs ask the cards; no other file names a member.

In the formulas, c and r are the log-probabilities that the model gives the chosen and the rejected answer, summed over
the answer's tokens, or averaged over them where a card `averages`. c0 and r0 are those of the reference, which is the
model before the first step. The margin h is (c - c0) - (r - r0), or c - r for a loss without a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

__all__ = ["PREFERENCE_LOSSES", "PreferenceLoss", "PreferenceLossCard", "preference_loss", "preference_loss_named"]


class PreferenceLossCard(NamedTuple):
    """One loss.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        formula: Loss of a pair.
        source: The paper.
        reads: Keys of the recipe's task that it knows, beside `beta`, which all know.
        usual: Values of keys where the recipe has none and the section's own default is not the paper's.
        needs_reference: Whether the untrained model's log-probabilities are part of it. Without, no pass over the
            training rows is needed before the first step.
        averages: Whether it is defined over log-probabilities per token, so that the length of an answer doesn't count.
        rates: Whether a row is one answer that is rated good or bad, and not a pair.
        foreign: What TRL (`loss_type`), LLaMA-Factory (`pref_loss`) and Axolotl (`rl`, `dpo_loss_type`) call it.
    """

    kind: str
    label: str
    formula: str
    source: str
    reads: tuple[str, ...]
    usual: Mapping[str, float]
    needs_reference: bool
    averages: bool
    rates: bool
    foreign: tuple[str, ...]


PREFERENCE_LOSSES: tuple[PreferenceLossCard, ...] = (
    PreferenceLossCard(
        kind="dpo",
        label="DPO",
        formula="-log sigmoid(beta h); with `label_smoothing` the conservative DPO (cDPO)",
        source="Rafailov 2023; Mitchell 2023 for cDPO",
        reads=("sft_weight", "label_smoothing", "per_token"),
        usual={},
        needs_reference=True,
        averages=False,
        rates=False,
        foreign=("dpo", "sigmoid"),
    ),
    PreferenceLossCard(
        kind="robust_dpo",
        label="robust DPO",
        formula="DPO's loss, unbiased if a share `label_smoothing` of the pairs has swapped answers",
        source="Chowdhury 2024",
        reads=("sft_weight", "label_smoothing", "per_token"),
        usual={"label_smoothing": 0.1},
        needs_reference=True,
        averages=False,
        rates=False,
        foreign=("robust",),
    ),
    PreferenceLossCard(
        kind="ipo",
        label="IPO",
        formula="(h - 1 / (2 beta)) squared, per token",
        source="Azar 2023",
        reads=("sft_weight",),
        usual={},
        needs_reference=True,
        averages=True,
        rates=False,
        foreign=("ipo",),
    ),
    PreferenceLossCard(
        kind="hinge",
        label="hinge",
        formula="max(0, 1 - beta h)",
        source="Zhao 2023 (SLiC-HF), Liu 2023 (RSO)",
        reads=(
            "sft_weight",
            "per_token",
        ),
        usual={},
        needs_reference=True,
        averages=False,
        rates=False,
        foreign=("hinge",),
    ),
    PreferenceLossCard(
        kind="simpo",
        label="SimPO",
        formula="-log sigmoid(beta h - gamma), per token and without a reference",
        source="Meng 2024",
        reads=("sft_weight", "gamma", "label_smoothing"),
        usual={"beta": 2.0},
        needs_reference=False,
        averages=True,
        rates=False,
        foreign=("simpo",),
    ),
    PreferenceLossCard(
        kind="orpo",
        label="ORPO",
        formula="SFT loss of the chosen answer - beta log sigmoid(log odds ratio), per token and without a reference",
        source="Hong 2024",
        reads=("sft_weight",),
        usual={"sft_weight": 1.0},
        needs_reference=False,
        averages=True,
        rates=False,
        foreign=("orpo",),
    ),
    PreferenceLossCard(
        kind="cpo",
        label="CPO",
        formula="SFT loss of the chosen answer - log sigmoid(beta h), without a reference",
        source="Xu 2024",
        reads=("sft_weight", "label_smoothing", "per_token"),
        usual={"sft_weight": 1.0},
        needs_reference=False,
        averages=False,
        rates=False,
        foreign=("cpo",),
    ),
    PreferenceLossCard(
        kind="kto",
        label="KTO",
        formula="w (1 - sigmoid(s beta (c - c0 - z))): for a good answer s = 1 and w = `desirable_weight`, for a bad "
        "one s = -1 and w = `undesirable_weight`. z is the mean of d - d0 over the rows of a step, at least 0, where d "
        "is the log-probability of another row's answer to the row's prompt",
        source="Ethayarajh 2024",
        reads=("desirable_weight", "undesirable_weight"),
        usual={},
        needs_reference=True,
        averages=False,
        rates=True,
        foreign=("kto",),
    ),
)
"""Every loss over pairs, in the order in which a recipe's kinds are listed."""

_BY_KIND = {card.kind: card for card in PREFERENCE_LOSSES}

if TYPE_CHECKING:
    PreferenceLoss = str
else:
    PreferenceLoss = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def preference_loss(kind: str) -> PreferenceLossCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]


def preference_loss_named(foreign: str) -> PreferenceLossCard | None:
    """The card of a loss by the name that another tool gives it; None for a loss that ftc doesn't have."""
    return next((card for card in PREFERENCE_LOSSES if foreign in card.foreign), None)
