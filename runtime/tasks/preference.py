"""Two answers to a prompt: the likelihood of each, compared with what the untrained model gives them.

The formulas of the losses stand in `ftc.spec.preference_losses`, and here as code. The reference is the model before
the first step, so its log-probabilities are computed once, by `learn_references`, and no second model is ever held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.tasks.language import LanguageScorer
from ftc.runtime.tasks.rated_answers import RatedAnswers, RatedCoupling
from ftc.runtime.tasks.scorer import Arithmetic, Batch, Objective, Prediction, next_tokens, target_losses
from ftc.spec.documents.loss_settings import PreferenceSettings
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["LOSSES", "PREFERENCE", "Compared", "PreferenceScorer", "RatedScorer", "pair_weights"]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two answers to each of B prompts.

    Attributes:
        chosen: (B,) log-probability of the chosen answer, per token where the settings say so.
        rejected: (B,) that of the rejected one.
        margin: (B,) how much more likely the chosen answer is, beside the reference where there is one.
        settings: The plan's.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    margin: torch.Tensor
    settings: PreferenceSettings

    @property
    def rewards(self) -> torch.Tensor:
        """(B,) difference of the two answers' rewards."""
        return self.settings.beta * self.margin


def _smoothed(rewards: torch.Tensor, share: float) -> torch.Tensor:
    """(B,) cross entropy of the choice, where a share of the pairs is the wrong way round."""
    right = -functional.logsigmoid(rewards)
    return right if share == 0 else (1 - share) * right - share * functional.logsigmoid(-rewards)


def _robust(pairs: Compared) -> torch.Tensor:
    share, rewards = pairs.settings.label_smoothing, pairs.rewards
    right, wrong = -functional.logsigmoid(rewards), -functional.logsigmoid(-rewards)
    return ((1 - share) * right - share * wrong) / (1 - 2 * share)


def _odds_ratio(pairs: Compared) -> torch.Tensor:
    # An answer that is certain has infinite odds; the bound keeps its gradient finite in float32.
    rest = [torch.log(-torch.expm1(one.clamp(max=-1e-6))) for one in (pairs.chosen, pairs.rejected)]
    ratio = (pairs.chosen - pairs.rejected) - (rest[0] - rest[1])
    return -pairs.settings.beta * functional.logsigmoid(ratio)


LOSSES: dict[str, Callable[[Compared], torch.Tensor]] = {
    "dpo": lambda pairs: _smoothed(pairs.rewards, pairs.settings.label_smoothing),
    "robust_dpo": _robust,
    "ipo": lambda pairs: (pairs.margin - 1 / (2 * pairs.settings.beta)) ** 2,
    "hinge": lambda pairs: torch.relu(1 - pairs.rewards),
    "simpo": lambda pairs: _smoothed(pairs.rewards - pairs.settings.gamma, pairs.settings.label_smoothing),
    "orpo": _odds_ratio,
    "cpo": lambda pairs: _smoothed(pairs.rewards, pairs.settings.label_smoothing),
}
"""(B,) loss of each pair by the card's name, without the chosen answer's own loss."""


def pair_weights(rows: TokenStream, numbers: list[int]) -> torch.Tensor | None:
    """(B,) what the losses of pairs are multiplied by; None where all count alike."""
    found = [rows.pair_weight(number) for number in numbers]
    return None if all(one == 1 for one in found) else torch.tensor(found, dtype=torch.float32)


class PreferenceScorer:
    """Chosen and rejected answers, a pair a row."""

    def __init__(
        self,
        model: Any,
        settings: Settings,
        arithmetic: Arithmetic,
    ) -> None:
        assert settings.train.preference is not None, "the plan says which loss compares the answers"
        self.language = LanguageScorer(model, settings.model, arithmetic, settings.train.loss_chunk_size)
        """Reads the sequences; it is hooked into the model."""
        self._pad_id = settings.model.pad_id
        self._settings = settings.train.preference
        self._references: dict[int, torch.Tensor] = {}

    @property
    def needs_reference(self) -> bool:
        """Whether the loss compares with the untrained model."""
        return self._settings.needs_reference

    def learn_references(self, rows: TokenStream, log_probs: torch.Tensor) -> None:
        """Takes in (rows, 2) what the untrained model gives the chosen and the rejected answer of each row."""
        self._references[id(rows)] = log_probs

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors: 2B sequences, chosen and rejected in turn, of which the answers' tokens are scored.

        No reference counts as one of zero.
        """
        known = self._references.get(id(rows))
        lines, masks = [], []
        for number in numbers:
            first = int(rows.targets[number][0])
            lines += [rows.ids(number)[:first], rows.ids(number)[first:]]
            masks += [rows.mask(number)[:first], rows.mask(number)[first:]]
        batch = next_tokens(lines, masks, self._pad_id)
        return replace(
            batch,
            owners=torch.arange(len(numbers)),
            sequences=batch.owners,
            references=None if known is None else known[numbers],
            weights=None if self._settings.rates else pair_weights(rows, numbers),
        )

    def num_targets(self, rows: TokenStream, number: int) -> int:  # noqa: ARG002 - a row is one comparison
        """One: the comparison."""
        return 1

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, 2) log-probability of the chosen and of the rejected answer."""
        losses = target_losses(self.language, model, batch)
        sums = torch.zeros(len(batch.ids), dtype=torch.float32, device=losses.device)
        assert batch.sequences is not None
        sums = sums.index_add(0, batch.sequences, -losses)
        return sums.view(-1, 2)

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(B,) loss of each pair."""
        pairs = self._compared(logits, batch)
        losses = LOSSES[self._settings.loss](pairs)
        if self._settings.sft_weight:
            chosen = pairs.chosen if self._settings.per_token else logits[:, 0] / self._lengths(logits, batch)[:, 0]
            losses = losses - self._settings.sft_weight * chosen
        return losses if batch.weights is None else losses * batch.weights

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """Log-probabilities of the chosen and the rejected answer, and the margin of their rewards."""
        rewards = self._compared(logits, batch).rewards
        return [tuple(row) for row in torch.cat((logits, rewards[:, None]), dim=1).tolist()]

    def _compared(self, logits: torch.Tensor, batch: Batch) -> Compared:
        gained = logits if batch.references is None else logits - batch.references
        if self._settings.per_token:
            lengths = self._lengths(logits, batch)
            logits, gained = logits / lengths, gained / lengths
        return Compared(logits[:, 0], logits[:, 1], gained[:, 0] - gained[:, 1], self._settings)

    @staticmethod
    def _lengths(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(B, 2) scored tokens of each answer."""
        assert batch.sequences is not None
        counts = torch.zeros(logits.numel(), dtype=logits.dtype, device=logits.device)
        counts = counts.index_add(0, batch.sequences, torch.ones_like(batch.sequences, dtype=logits.dtype))
        return counts.clamp(min=1).view(-1, 2)


class RatedScorer(PreferenceScorer):
    """Rated answers, each beside an answer to another prompt."""

    def __init__(self, model: Any, settings: Settings, arithmetic: Arithmetic) -> None:
        super().__init__(model, settings, arithmetic)
        self.coupling = RatedCoupling(self._settings, settings.train.batch_size, self._references)

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors: 2B sequences, own and other answers in turn, of which the answers' tokens are scored."""
        batch = super().batch(rows, numbers)
        assert batch.sequences is not None
        rows_of = torch.arange(len(numbers)).repeat_interleave(2)
        groups = self.coupling.groups(rows, numbers)
        return replace(batch, owners=batch.sequences, sequences=rows_of, references=None, groups=groups)

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(2B, 1) log-probability of each sequence."""
        losses = target_losses(self.language, model, batch)
        sums = torch.zeros(len(batch.ids), dtype=torch.float32, device=losses.device)
        return sums.index_add(0, batch.owners, -losses)[:, None]

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(B,) loss of each row among those of the batch."""
        assert isinstance(batch.groups, RatedAnswers)
        return self.coupling.losses(logits, batch.groups)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:  # noqa: ARG002
        """Nothing: what is said of a row depends on those of other batches."""
        assert batch.sequences is not None
        return [() for _ in range(len(batch.sequences) // 2)]


def _scorer(model: Any, settings: Settings, arithmetic: Arithmetic) -> PreferenceScorer:
    train = settings.train
    kind = RatedScorer if train.preference is not None and train.preference.rates else PreferenceScorer
    return kind(model, settings, arithmetic)


PREFERENCE = Objective(
    head="lm",
    is_pair=True,
    is_sampled=False,
    has_texts=False,
    scorer=_scorer,
    score_shape=lambda rows, shape, outputs: (rows * shape.supervised, outputs),
    stand_in_targets=lambda shape: [shape.length // 2],
    has_offsets=False,
)
