"""Two answers to a prompt: the likelihood of each, compared with what the untrained model gives them.

The loss is that of direct preference optimization: -log sigmoid(beta * ((c - c0) - (r - r0))), with the log-probability
of the chosen answer c and of the rejected one r, and c0 and r0 those of the reference. The reference is the model
before the first step, so its figures are computed once, by `references`, and no second model is ever held.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.tasks.language import LanguageScorer
from ftc.runtime.tasks.scorer import Arithmetic, Batch, Objective, Prediction, cross_entropy, next_tokens
from ftc.spec.documents.settings import ModelSettings, Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["PREFERENCE", "PreferenceScorer"]


class PreferenceScorer:
    """Chosen and rejected answers, a pair a row; `beta` is how closely the model stays to the reference."""

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic, beta: float) -> None:
        self._language = LanguageScorer(model, settings, arithmetic)
        self._pad_id = settings.pad_id
        self._beta = beta
        self._references: dict[int, torch.Tensor] = {}

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
        )

    def num_targets(self, rows: TokenStream, number: int) -> int:  # noqa: ARG002 - a row is one comparison
        """One: the comparison."""
        return 1

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, 2) log-probability of the chosen and of the rejected answer."""
        scores = self._language.logits(model, batch)
        sums = torch.zeros(len(batch.ids), dtype=torch.float32, device=scores.device)
        assert batch.sequences is not None
        sums = sums.index_add(0, batch.sequences, -cross_entropy(scores, batch.targets))
        return sums.view(-1, 2)

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(B,) loss of each pair."""
        return -functional.logsigmoid(self._beta * self._margins(logits, batch))

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """Log-probabilities of the chosen and the rejected answer, and the margin of their rewards."""
        rewards = self._beta * self._margins(logits, batch)
        return [tuple(row) for row in torch.cat((logits, rewards[:, None]), dim=1).tolist()]

    def _margins(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        gained = logits if batch.references is None else logits - batch.references
        return gained[:, 0] - gained[:, 1]


def _scorer(model: Any, settings: Settings, arithmetic: Arithmetic) -> PreferenceScorer:
    assert settings.train.preference is not None, "the plan says how closely the model stays to the reference"
    return PreferenceScorer(model, settings.model, arithmetic, settings.train.preference.beta)


PREFERENCE = Objective(
    head="lm",
    is_pair=True,
    scorer=_scorer,
    score_shape=lambda rows, shape, outputs: (rows * shape.supervised, outputs),
    stand_in_targets=lambda shape: [shape.length // 2],
    has_offsets=False,
)
