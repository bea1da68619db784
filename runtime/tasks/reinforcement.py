"""Sampled answers: each token's log-probability, times the advantage of its answer.

The formulas stand in `ftc.spec.reinforcement_losses`. A stream of sampled answers keeps as targets of each row the
bits of float32: its advantage, the weight of its tokens, and of a server's answer the importance of each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ftc.runtime.arrays import answer_arrays
from ftc.runtime.tasks.language import LanguageScorer
from ftc.runtime.tasks.scorer import Arithmetic, Batch, Objective, cross_entropy
from ftc.runtime.training.answer_rows import as_bits
from ftc.spec.documents.loss_settings import SamplingSettings
from ftc.spec.documents.settings import ModelSettings, Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["REINFORCEMENT", "ReinforcementScorer"]


class ReinforcementScorer(LanguageScorer):
    """Tokens of sampled answers."""

    def __init__(
        self,
        model: Any,
        settings: ModelSettings,
        arithmetic: Arithmetic,
        sampling: SamplingSettings,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(model, settings, arithmetic, chunk_size)
        self._sampling = sampling
        self._base: tuple[TokenStream, Sequence[torch.Tensor]] | None = None

    def learn_base(self, rows: TokenStream, log_probs: Sequence[torch.Tensor]) -> None:
        """Takes in (tokens,) what the base model gives the answer of each row; the rows before are forgotten."""
        self._base = rows, log_probs

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors, with advantage and weight of each target token."""
        if not len(rows.targets.values):  # prompts alone
            return super().batch(rows, numbers)
        arrays = answer_arrays(rows, numbers, self._pad_id)
        fields: dict[str, Any] = {name: torch.from_numpy(one) for name, one in arrays.items()}
        batch = Batch(**fields)
        known = self._base is not None and self._base[0] is rows
        references = torch.cat([self._base[1][number] for number in numbers]) if known and self._base else None
        return replace(batch, references=references)

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(N,) loss of each token; without an advantage the negative of its log-probability."""
        negative = cross_entropy(logits / self._sampling.temperature, batch.targets)
        if batch.advantages is None or batch.weights is None:
            return negative
        # The ratio to the sampling model's probability: 1, and its gradient is that of the log-probability.
        ratio = torch.exp(negative.detach() - negative)
        found = -batch.advantages * ratio
        if batch.references is not None:
            gap = batch.references + negative  # base's log-probability beside the model's own
            found = found + self._sampling.beta * (torch.exp(gap) - gap - 1)
        return found * batch.weights


def _scorer(model: Any, settings: Settings, arithmetic: Arithmetic) -> ReinforcementScorer:
    train = settings.train
    assert train.sampling is not None, "the plan says how answers are sampled"
    return ReinforcementScorer(model, settings.model, arithmetic, train.sampling, train.loss_chunk_size)


REINFORCEMENT = Objective(
    head="lm",
    is_pair=False,
    is_sampled=True,
    has_texts=False,
    scorer=_scorer,
    score_shape=lambda rows, shape, outputs: (rows * shape.supervised, outputs),
    stand_in_targets=lambda _: as_bits(1.0, 1.0),
    has_offsets=False,
)
