"""Learning from a teacher: what it says of each target, and how far the model's own word is from that.

The loss of a target is (1 - w) * its own loss + w * T^2 * D, with the divergence D between the two probabilities, each
a softmax of scores divided by the temperature T. T^2 keeps the gradient's size when T changes (Hinton et al. 2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, assert_never

import torch
from torch import nn

from ftc.runtime.collate import Batch
from ftc.runtime.tasks.scorer import Scorer
from ftc.spec.settings import DistillationSettings, Head
from ftc.spec.train import Divergence

__all__ = ["Teacher", "divergence"]

_NEVER = -1e30
"""Stands for minus infinity, of which no difference can be taken."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model that is asked and never changed.

    Attributes:
        model: In evaluation mode, without gradients.
        scorer: What asks it about the run's batches.
        settings: How much it counts.
        head: What the run's model ends in, and so what a score is of.
    """

    model: nn.Module
    scorer: Scorer
    settings: DistillationSettings
    head: Head

    @torch.no_grad()
    def scores(self, batch: Batch) -> torch.Tensor:
        """(N, C) the teacher's scores, in the order of the run's labels where there are labels."""
        scores = self.scorer.logits(self.model, batch)
        order = self.settings.teacher.outputs
        if not order or order == tuple(range(len(order))):
            return scores
        return scores.index_select(-1, torch.tensor(order, device=scores.device))

    def blended(self, losses: torch.Tensor, scores: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """(N,) the losses with the teacher's share in them.

        Args:
            losses: (N,) what each target costs by the rows.
            scores: (N, C) the model's.
            wanted: (N, C') the teacher's; of a vocabulary that one of them has padded, what both have counts.
        """
        temperature, weight = self.settings.temperature, self.settings.weight
        if self.head == "multi_label":  # each class is a choice of two, whose scores are its own and zero
            scores, wanted = (torch.stack((one, torch.zeros_like(one)), dim=-1) for one in (scores, wanted))
        elif self.head == "span":
            scores, wanted = (one.clamp_min(_NEVER) for one in (scores, wanted))
        elif (width := min(scores.shape[-1], wanted.shape[-1])) < max(scores.shape[-1], wanted.shape[-1]):
            scores, wanted = scores[..., :width], wanted[..., :width]
        apart = divergence(scores / temperature, wanted / temperature, self.settings.loss)
        if self.head == "multi_label":
            apart = apart.mean(dim=-1)
        return (1 - weight) * losses + weight * temperature**2 * apart


def divergence(scores: torch.Tensor, wanted: torch.Tensor, kind: Divergence) -> torch.Tensor:
    """(...) how far probabilities are apart, in nats.

    Args:
        scores: (..., C) unnormalised log-probabilities q of the model.
        wanted: (..., C) those of the teacher, p; no gradient flows there.
        kind: `forward_kl` is KL(p || q), `reverse_kl` is KL(q || p), and `jsd` is half of KL(p || m) and KL(q || m)
            each, with their mean m.
    """
    apart: torch.Tensor = _Divergence.apply(scores, wanted, kind)  # type: ignore[no-untyped-call]
    return apart


class _Divergence(torch.autograd.Function):
    """Keeps its gradient, one tensor of the scores' size, in place of the four that autograd would keep."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, wanted: torch.Tensor, kind: Divergence) -> torch.Tensor:
        q_log, p_log = scores.log_softmax(dim=-1), wanted.log_softmax(dim=-1)
        q = q_log.exp()
        match kind:
            case "forward_kl":
                p = p_log.exp()
                value, slope = (p * (p_log - q_log)).sum(dim=-1), q - p
            case "reverse_kl":
                difference = q_log - p_log
                value = (q * difference).sum(dim=-1)
                slope = q * (difference - value[..., None])
            case "jsd":
                p = p_log.exp()
                m_log = torch.logaddexp(p_log, q_log) - math.log(2)
                towards = q_log - m_log
                mine = (q * towards).sum(dim=-1)
                value = (mine + (p * (p_log - m_log)).sum(dim=-1)) / 2
                slope = q * (towards - mine[..., None]) / 2
            case _:
                assert_never(kind)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[torch.Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * outer[0][..., None], None, None
