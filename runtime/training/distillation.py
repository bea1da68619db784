"""Distillation: what a teacher says of each target, and how far the model's own word is from that.

The loss of a target is (1 - w) * its own loss + w * T^2 * D, with the divergence D between the two probabilities, each
a softmax of scores divided by the temperature T. T^2 keeps the gradient's size when T changes (Hinton et al. 2015).

A teacher with another tokenizer reads the rows in its own tokens. It is compared by rank, where a token of each begins
at the same character of an answer; elsewhere D is 0.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.models.base_model import Base, keep_differentiable, load_base
from ftc.runtime.models.number_types import torch_type
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import Arithmetic, Batch, ChunkedScorer, Scorer, Taught
from ftc.spec.divergences import divergence_card
from ftc.spec.documents.loss_settings import DistillationSettings
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.heads import Head, head_card
from ftc.spec.precisions import number_type

__all__ = ["Teacher", "build_teacher", "divergence", "make_teacher", "rank_distance", "seen_by_teacher"]

_NEVER = -1e30
"""Stands for minus infinity, of which no difference can be taken."""
_AT_ONCE = 2**24
"""Scores that are compared at once, 64 MiB of them, so that what passes is small beside what stays."""
_SORTED_AT_ONCE = 2**22
"""Scores that are sorted at once: a card's sort takes five times their bytes beside its result."""
_SUPPORTS = {"eager": "", "sdpa": "_supports_sdpa", "flash_attention_2": "_supports_flash_attn"}
"""Where a class of transformers says which kernels it has beside the plain formula."""
_HEADS = ["classifier", "classification_head", "lm_head", "pre_classifier", "qa_outputs", "score"]
"""Layers that are never packed: they are small, or a probability each of whose bits is wanted."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model that is asked and never changed.

    Attributes:
        model: In evaluation mode, without gradients.
        scorer: What asks it about the run's batches.
        settings: How much it counts.
        head: What the run's model ends in, and so what a score is of.
        rows: The training rows in its own tokens, in the order of the split; None where it reads the model's.
    """

    model: nn.Module
    scorer: Scorer
    settings: DistillationSettings
    head: Head
    rows: TokenStream | None = None

    def taught(self, numbers: list[int]) -> Taught | None:
        """Rows of the training split in its own tokens; None where it reads the model's."""
        if (rows := self.rows) is None:
            return None
        firsts = np.cumsum([0, *(self.scorer.num_targets(rows, number) for number in numbers)])
        pairs = [
            np.where(own >= 0, own + first, own)
            for own, first in zip((rows.targets[number].astype(np.int64) for number in numbers), firsts, strict=False)
        ]
        return Taught(self.scorer.batch(rows, numbers), torch.from_numpy(np.concatenate(pairs)))

    @torch.no_grad()
    def answers(self, batch: Batch) -> Callable[[slice], torch.Tensor]:
        """Asks it about a batch; what is given back says of some targets what `log_probs` says of their scores.

        Where it reads tokens of its own, it says so of their partners, and something of those that have none.
        """
        own = batch.taught.batch if batch.taught else batch
        places = batch.taught.pairs.clamp_min(0) if batch.taught else None

        def chosen(lines: slice) -> slice | torch.Tensor:
            return lines if places is None else places[lines]

        if isinstance(self.scorer, ChunkedScorer) and (head := self.scorer.head) is not None:
            with head.holding():
                states = self.scorer.output(self.model, own)
            return lambda lines: self.log_probs(head.scores(states[chosen(lines)]))
        whole = self.log_probs(self.scorer.logits(self.model, own))
        return lambda lines: whole[chosen(lines)]

    @torch.no_grad()
    def log_probs(self, scores: torch.Tensor) -> torch.Tensor:
        """(N, C) what it thinks of each choice at the temperature, in the order of the run's labels where it has any.

        Where each class is decided by itself it is (N, C, 2): for the class and against it.
        """
        order = self.settings.teacher.outputs
        if order != tuple(range(len(order))):
            scores = scores.index_select(-1, torch.tensor(order, device=scores.device))
        return (self._choices(scores) / self.settings.temperature).log_softmax(dim=-1)

    def blended(
        self, losses: torch.Tensor, scores: torch.Tensor, wanted: torch.Tensor, pairs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(N,) the losses with the teacher's share in them.

        Args:
            losses: (N,) what each target costs by the rows.
            scores: (N, C) the model's.
            wanted: What `log_probs` gave; of a vocabulary that one of the two has padded, what both have counts.
            pairs: (N,) -1 for targets without a partner among the teacher's; None where each has one.
        """
        if divergence_card(self.settings.loss).by_rank:
            apart = rank_distance(scores, wanted, self.settings.temperature)
            return self._weighed(losses, apart if pairs is None else torch.where(pairs >= 0, apart, 0.0))
        scores, width = self._choices(scores), wanted.shape[-1]
        if width != scores.shape[-1]:
            width = min(width, scores.shape[-1])
            scores, wanted = scores[..., :width], wanted[..., :width].log_softmax(dim=-1)
        apart = divergence(scores, wanted, self.settings.mixture, self.settings.temperature)
        if head_card(self.head).choices == "independent":
            apart = apart.mean(dim=-1)
        return self._weighed(losses, apart)

    def _weighed(self, losses: torch.Tensor, apart: torch.Tensor) -> torch.Tensor:
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
            case "numbers":
                raise ValueError("numbers have no probabilities that a teacher could give")
            case _:
                assert_never(over)


def divergence(scores: torch.Tensor, wanted: torch.Tensor, beta: float, temperature: float = 1.0) -> torch.Tensor:
    """(...) how far probabilities are apart, in nats.

    Args:
        scores: (..., C) the model's scores; divided by the temperature they are unnormalized log-probabilities q.
        wanted: (..., C) log-probabilities p of the teacher, at the temperature already; no gradient flows there.
        beta: Weight of p in the mixture m of both, with which each is compared: beta KL(p || m) plus
            (1 - beta) KL(q || m); 0 stands for KL(p || q), and 1 for KL(q || p).
        temperature: What scores are divided by.
    """
    flat = scores.flatten(0, -2), wanted.flatten(0, -2)
    apart: torch.Tensor = _Divergence.apply(*flat, beta, temperature)  # type: ignore[no-untyped-call]
    return apart.view(scores.shape[:-1])


class _Divergence(torch.autograd.Function):
    """Keeps its gradient, one tensor of the scores' size, in place of the four that autograd would keep."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, wanted: torch.Tensor, beta: float, temperature: float) -> torch.Tensor:
        values, slopes = scores.new_empty(len(scores)), torch.empty_like(scores)
        size = max(1, _AT_ONCE // scores.shape[-1])
        for start in range(0, len(scores), size):
            lines = slice(start, start + size)
            q_log = (scores[lines] / temperature).log_softmax(dim=-1)
            values[lines], slopes[lines] = _value_and_slope(q_log, wanted[lines], beta)
        ctx.save_for_backward(slopes.div_(temperature))
        return values

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[torch.Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes.mul_(outer[0][:, None]), None, None, None  # in place, since a step goes this way once


def _value_and_slope(q_log: torch.Tensor, p_log: torch.Tensor, beta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) divergences, and (N, C) their gradients by the scores behind q."""
    q = q_log.exp()
    if beta == 0:
        p = p_log.exp()
        return (p * (p_log - q_log)).sum(dim=-1), q - p
    if beta == 1:
        toward = q_log - p_log
        value = (q * toward).sum(dim=-1)
        return value, q * (toward - value[:, None])
    m_log = torch.logaddexp(p_log + math.log(beta), q_log + math.log1p(-beta))
    toward = q_log - m_log
    mine = (q * toward).sum(dim=-1)
    theirs = (p_log.exp() * (p_log - m_log)).sum(dim=-1)
    return beta * theirs + (1 - beta) * mine, (1 - beta) * q * (toward - mine[:, None])


def rank_distance(scores: torch.Tensor, wanted: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """(N,) Wasserstein-1 distances of sorted probabilities (Boizard et al. 2024): the sum of differences over ranks.

    Args:
        scores: (N, C) the model's scores; divided by the temperature they are unnormalized log-probabilities.
        wanted: (N, D) log-probabilities of the teacher, at the temperature already; no gradient flows there. What the
            shorter of the two lacks counts as zero.
        temperature: What scores are divided by.
    """
    apart: torch.Tensor = _RankDistance.apply(scores, wanted, temperature)  # type: ignore[no-untyped-call]
    return apart


class _RankDistance(torch.autograd.Function):
    """Keeps its gradient alone, as `_Divergence` does, and sorts a few targets at a time."""

    @staticmethod
    def forward(ctx: Any, scores: torch.Tensor, wanted: torch.Tensor, temperature: float) -> torch.Tensor:
        values, slopes = scores.new_empty(len(scores)), torch.empty_like(scores)
        ours, theirs = scores.shape[-1], wanted.shape[-1]
        size = max(1, _SORTED_AT_ONCE // max(ours, theirs))
        for start in range(0, len(scores), size):
            lines = slice(start, start + size)
            q = (scores[lines] / temperature).softmax(dim=-1)
            largest, places = q.sort(dim=-1, descending=True, stable=True)
            others = wanted[lines].exp().sort(dim=-1, descending=True, stable=True).values
            gaps = functional.pad(largest, (0, max(0, theirs - ours))) - functional.pad(
                others, (0, max(0, ours - theirs))
            )
            values[lines] = gaps.abs().sum(dim=-1)
            signs = torch.empty_like(q).scatter_(-1, places, gaps[..., :ours].sign())
            slopes[lines] = q * (signs - (q * signs).sum(dim=-1, keepdim=True))
        ctx.save_for_backward(slopes.div_(temperature))
        return values

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[torch.Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes.mul_(outer[0][:, None]), None, None  # in place, since a step goes this way once


def seen_by_teacher(settings: Settings) -> Settings:
    """A run's settings with the teacher in place of the model: the same head over the same rows."""
    import transformers

    lesson = settings.train.distillation
    assert lesson is not None, "the plan has a teacher"
    teacher = lesson.teacher
    changes: dict[str, Any] = {"base": teacher.base, "commit": teacher.commit, "architecture": teacher.architecture}
    changes |= {"quantized_files": teacher.quantized_files, "packed": None}  # only the base may stay packed
    # The run's kernel of attention, or the plain formula where the teacher's class lacks that.
    wanted, kind = settings.model.attention, getattr(transformers, teacher.architecture, None)
    changes["attention"] = wanted if getattr(kind, _SUPPORTS[wanted], True) else "eager"
    if lesson.stream_sha256 is not None:
        changes["pad_id"] = 0  # the model's may be beyond its vocabulary; what is padding is known from lengths
    model = settings.model.model_copy(update={**changes, "family": teacher.family})
    return settings.model_copy(update={"model": model})


def build_teacher(settings: Settings, base: Base, device: torch.device) -> nn.Module:
    """The teacher on its device, in evaluation mode and frozen: no adapter, no dropout, no gradient.

    Raises:
        Refusal: It can't be loaded (FTC635).
    """
    lesson = settings.train.distillation
    assert lesson is not None, "the plan has a teacher"
    dtype = torch_type(number_type(lesson.precision))
    options: dict[str, Any] = {"dtype": dtype}
    if lesson.quantization is not None:
        options["quantization_config"] = _quantization(lesson.quantization, dtype)
    model = load_base(seen_by_teacher(settings), base, is_new=False, **options)
    keep_differentiable(model)  # no gradient is wanted, but the same kernel whatever the CPU
    placed: nn.Module = model.requires_grad_(False).to(device).eval()
    return placed


def make_teacher(
    settings: Settings, model: nn.Module, arithmetic: Arithmetic | None = None, rows: TokenStream | None = None
) -> Teacher:
    """A teacher that can be asked; its scorer hooks itself into the model for good.

    Args:
        settings: The run's.
        model: The teacher.
        arithmetic: See `make_scorer`.
        rows: The training rows in its own tokens, where these are others.
    """
    assert settings.train.distillation is not None, "the plan has a teacher"
    scorer = make_scorer(model, seen_by_teacher(settings), arithmetic)
    return Teacher(model, scorer, settings.train.distillation, settings.model.head, rows)


def _quantization(kind: str, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # a line for every product
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=_HEADS)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=_HEADS,
    )
