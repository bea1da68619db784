"""Divergences between a model's probabilities and a teacher's: one card each, with every fact about it.

To add one, write its card here. All but the one by rank are cases of the generalized Jensen-Shannon divergence, which
`ftc.runtime.training.distillation` computes; rules, passes, importers and docs ask the cards, and no other file names a
member.

With the teacher's probabilities P, the model's Q and their mixture M = beta P + (1 - beta) Q it is
beta KL(P || M) + (1 - beta) KL(Q || M). At the ends, where this would be 0, it stands for KL(P || Q) (beta 0) and
KL(Q || P) (beta 1), to which it is proportional close to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

__all__ = ["DIVERGENCES", "Divergence", "DivergenceCard", "divergence_card"]


class DivergenceCard(NamedTuple):
    """One divergence.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        formula: Of one target, for people.
        source: The paper.
        beta: Weight of the teacher in the mixture; None where the recipe sets it, or there is none.
        by_rank: Whether it compares probabilities by their rank, the largest with the largest, whatever tokens they are
            of: then the teacher may have another vocabulary.
        reads: Keys of `train.distillation` that it knows, beside those that all know.
        foreign: What others call it; torchtune by its class.
    """

    kind: str
    label: str
    formula: str
    source: str
    beta: float | None
    by_rank: bool
    reads: tuple[str, ...]
    foreign: tuple[str, ...]


DIVERGENCES: tuple[DivergenceCard, ...] = (
    DivergenceCard(
        kind="forward_kl",
        label="forward KL",
        formula="KL(P || Q), from the teacher's side: the model covers all that the teacher finds likely",
        source="Hinton 2015",
        beta=0.0,
        by_rank=False,
        reads=(),
        foreign=("kl", "kld", "ForwardKLLoss", "ForwardKLWithChunkedOutputLoss"),
    ),
    DivergenceCard(
        kind="reverse_kl",
        label="reverse KL",
        formula="KL(Q || P), from the model's side: it leaves out what the teacher finds unlikely",
        source="Gu 2024 (MiniLLM)",
        beta=1.0,
        by_rank=False,
        reads=(),
        foreign=("rkl", "ReverseKLLoss", "ReverseKLWithChunkedOutputLoss"),
    ),
    DivergenceCard(
        kind="jsd",
        label="JSD",
        formula="the mean of KL(P || M) and KL(Q || M) with the mean M of both",
        source="Lin 1991",
        beta=0.5,
        by_rank=False,
        reads=(),
        foreign=("js",),
    ),
    DivergenceCard(
        kind="generalized_jsd",
        label="generalized JSD",
        formula="beta KL(P || M) + (1 - beta) KL(Q || M) with M = beta P + (1 - beta) Q",
        source="Agarwal 2024 (GKD)",
        beta=None,
        by_rank=False,
        reads=("beta",),
        foreign=("gkd", "gjsd"),
    ),
    DivergenceCard(
        kind="uld",
        label="ULD",
        formula="the sum of |P - Q| over ranks: sorted probabilities, the shorter list filled up with zeros",
        source="Boizard 2024",
        beta=None,
        by_rank=True,
        reads=(),
        foreign=("universal_logit_distillation", "wasserstein"),
    ),
)
"""Every divergence, in the order in which a recipe's kinds are listed."""

_BY_KIND = {card.kind: card for card in DIVERGENCES}

if TYPE_CHECKING:
    Divergence = str
else:
    Divergence = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def divergence_card(kind: str) -> DivergenceCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]
