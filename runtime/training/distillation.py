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

from ftc.runtime.tasks.scorer import Scorer
from ftc.runtime.training.collate import Batch
from ftc.spec.documents.settings import DistillationSettings
from ftc.spec.heads import Head, head_card
from ftc.spec.sections.train import Divergence

__all__ = ["Teacher", "divergence"]

_NEVER = -1e30
"""Stands for minus infinity, of which no difference can be taken."""
_AT_ONCE = 2**24
"""Scores that are compared at once, 64 MiB of them, so that what passes is small beside what stays."""


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
    def log_probs(self, batch: Batch) -> torch.Tensor:
        """(N, C) what it thinks of each choice at the temperature, in the order of the run's labels where it has any.

        Where each class is decided by itself it is (N, C, 2): for the class and against it.
        """
        scores = self.scorer.logits(self.model, batch)
        order = self.settings.teacher.outputs
        if order != tuple(range(len(order))):
            scores = scores.index_select(-1, torch.tensor(order, device=scores.device))
        return (self._choices(scores) / self.settings.temperature).log_softmax(dim=-1)

    def blended(self, losses: torch.Tensor, scores: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """(N,) the losses with the teacher's share in them.

        Args:
            losses: (N,) what each target costs by the rows.
            scores: (N, C) the model's.
            wanted: What `log_probs` gave; of a vocabulary that one of the two has padded, what both have counts.
        """
        scores, width = self._choices(scores), wanted.shape[-1]
        if width != scores.shape[-1]:
            width = min(width, scores.shape[-1])
            scores, wanted = scores[..., :width], wanted[..., :width].log_softmax(dim=-1)
        apart = divergence(scores, wanted, self.settings.loss, self.settings.temperature)
        if head_card(self.head).choices == "independent":
            apart = apart.mean(dim=-1)
        weight = self.settings.weight
        return (1 - weight) * losses + weight * self.settings.temperature**2 * apart

    def _choices(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores of choices that exclude each other, all of them finite."""
        over = head_card(self.head).choices
        match over:
            case "independent":  # two for each class, whose scores are its own and zero
                return torch.stack((scores, torch.zeros_like(scores)), dim=-1)
            case "positions":
                return scores.clamp_min(_NEVER)
            case "exclusive":
                return scores
            case _:
                assert_never(over)


def divergence(scores: torch.Tensor, wanted: torch.Tensor, kind: Divergence, temperature: float = 1.0) -> torch.Tensor:
    """(...) how far probabilities are apart, in nats.

    Args:
        scores: (..., C) the model's scores; divided by the temperature they are unnormalized log-probabilities q.
        wanted: (..., C) log-probabilities p of the teacher, at the temperature already; no gradient flows there.
        kind: `forward_kl` is KL(p || q), `reverse_kl` is KL(q || p), and `jsd` is half of KL(p || m) and KL(q || m)
            each, with their mean m.
        temperature: What scores are divided by.
    """
    flat = scores.flatten(0, -2), wanted.flatten(0, -2)
    apart: torch.Tensor = _Divergence.apply(*flat, kind, temperature)  # type: ignore[no-untyped-call]
    return apart.view(scores.shape[:-1])


class _Divergence(torch.autograd.Function):
    """Keeps its gradient, one tensor of the scores' size, in place of the four that autograd would keep."""

    @staticmethod
    def forward(
        ctx: Any, scores: torch.Tensor, wanted: torch.Tensor, kind: Divergence, temperature: float
    ) -> torch.Tensor:
        values, slopes = scores.new_empty(len(scores)), torch.empty_like(scores)
        size = max(1, _AT_ONCE // scores.shape[-1])
        for start in range(0, len(scores), size):
            lines = slice(start, start + size)
            q_log = (scores[lines] / temperature).log_softmax(dim=-1)
            values[lines], slopes[lines] = _value_and_slope(q_log, wanted[lines], kind)
        ctx.save_for_backward(slopes.div_(temperature))
        return values

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[torch.Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes.mul_(outer[0][:, None]), None, None, None  # in place, since a step goes this way once


def _value_and_slope(q_log: torch.Tensor, p_log: torch.Tensor, kind: Divergence) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) divergences, and (N, C) their gradients by the scores behind q."""
    q = q_log.exp()
    match kind:
        case "forward_kl":
            p = p_log.exp()
            return (p * (p_log - q_log)).sum(dim=-1), q - p
        case "reverse_kl":
            toward = q_log - p_log
            value = (q * toward).sum(dim=-1)
            return value, q * (toward - value[:, None])
        case "jsd":
            m_log = torch.logaddexp(p_log, q_log) - math.log(2)
            toward = q_log - m_log
            mine = (q * toward).sum(dim=-1)
            value = (mine + (p_log.exp() * (p_log - m_log)).sum(dim=-1)) / 2
            return value, q * (toward - mine[:, None]) / 2
        case _:
            assert_never(kind)
