"""Answers that are rated good or bad (KTO, Ethayarajh et al. 2024): a row's loss depends on all rows of its step.

How far the model has moved from the untrained one is estimated from answers to other prompts, one beside each row. The
mean of these log ratios over a step is the point that rewards are compared with; no gradient goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from ftc.spec.documents.loss_settings import PreferenceSettings
from ftc.spec.documents.streams import TokenStream

__all__ = ["LOSSES", "RatedAnswers", "RatedCoupling"]


LOSSES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"kto": lambda margins: 1 - torch.sigmoid(margins)}
"""(B,) loss of each rated answer by the card's name, from how far its reward is on the right side."""


@dataclass(frozen=True, slots=True)
class RatedAnswers:
    """B rows with two sequences each: the row's own answer, and one to another prompt.

    Attributes:
        firsts: (B,) places of the rows' own answers among the 2B sequences.
        others: (B,) places of the others.
        references: (B, 2) log-probabilities of both by the untrained model; 0 where they are not known.
        is_good: (B,) whether the own answer is rated good.
    """

    firsts: torch.Tensor
    others: torch.Tensor
    references: torch.Tensor
    is_good: torch.Tensor

    def to(self, device: torch.device, *, non_blocking: bool = False) -> RatedAnswers:
        """The same on a device."""
        moved = {one.name: getattr(self, one.name).to(device, non_blocking=non_blocking) for one in fields(self)}
        return RatedAnswers(**moved)


class RatedCoupling:
    """How rated answers of an optimizer batch are compared.

    Args:
        settings: The plan's.
        batch_size: Rows of an optimizer step, and of each part that an evaluation's loss is computed on.
        references: What the scorer has learned of the untrained model, by the identity of the rows.
    """

    def __init__(self, settings: PreferenceSettings, batch_size: int, references: dict[int, torch.Tensor]) -> None:
        self._settings = settings
        self._batch_size = batch_size
        self._references = references

    def groups(self, rows: TokenStream, numbers: Sequence[int]) -> RatedAnswers:
        """The rows' ratings and references, in the order of the numbers."""
        firsts, known = 2 * torch.arange(len(numbers)), self._references.get(id(rows))
        ratings = [rows.is_good(number) for number in numbers]
        references = torch.zeros(len(numbers), 2) if known is None else known[list(numbers)]
        return RatedAnswers(firsts, firsts + 1, references, torch.tensor(ratings, dtype=torch.bool))

    def losses(self, vectors: torch.Tensor, groups: RatedAnswers) -> torch.Tensor:
        """(B,) loss of each row.

        Args:
            vectors: (2B, 1) log-probability of each sequence.
            groups: On the same device.
        """
        margins = self._margins(vectors, groups)
        weights = torch.where(groups.is_good, self._settings.desirable_weight, self._settings.undesirable_weight)
        return weights.to(margins.dtype) * LOSSES[self._settings.loss](margins)

    def _margins(self, vectors: torch.Tensor, groups: RatedAnswers) -> torch.Tensor:
        """(B,) how far each reward is on the right side of the point that it is compared with."""
        gained = vectors[:, 0].view(-1, 2) - groups.references
        moved = gained[:, 1].mean().clamp(min=0).detach()
        margins = self._settings.beta * (gained[:, 0] - moved)
        return torch.where(groups.is_good, margins, -margins)

    def settled(
        self, rows: TokenStream, vectors: Sequence[NDArray[np.float32]]
    ) -> tuple[list[float], list[tuple[float, ...]]]:
        """Loss and prediction of each row of a split, of which both log-probabilities are known, (2, 1).

        As many rows in turn are compared as in an optimizer step. A prediction is both log-probabilities, and the
        margin by which the reward is on the right side.
        """
        losses: list[float] = []
        predictions: list[tuple[float, ...]] = []
        for start in range(0, len(rows), self._batch_size):
            numbers = range(len(rows))[start : start + self._batch_size]
            part = torch.from_numpy(np.concatenate([vectors[number] for number in numbers]))
            groups = self.groups(rows, numbers)
            losses += self.losses(part, groups).tolist()
            margins = self._margins(part, groups)
            predictions += [tuple(row) for row in torch.cat((part.view(-1, 2), margins[:, None]), dim=1).tolist()]
        return losses, predictions
