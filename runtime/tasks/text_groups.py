"""Vectors of texts, compared with those of all rows of an optimizer batch or of a split: losses and ranks.

The formulas of the losses stand in `ftc.spec.embedding_losses`, and here as code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ftc.spec.documents.loss_settings import EmbeddingSettings
from ftc.spec.documents.streams import TokenStream

__all__ = ["LOSSES", "Coupling", "RowCoupling", "TextGroups", "coupling_of", "units"]

_AT_ONCE = 1024
"""Queries whose similarities to all passages are held at once."""


@dataclass(frozen=True, slots=True)
class TextGroups:
    """Texts of B rows, S in all: of each row a query and its passages, the right one first, or two texts.

    Attributes:
        firsts: (B,) place of each row's first text.
        others: (P,) places of all other texts; P is S - B.
        right: (B,) which of the others stands behind each first.
        hidden: (B, P) whether a passage is no wrong one: it is also right for the query. Never the row's own.
        scores: (B,) how similar two texts should be; 0 where rows have no scores.
    """

    firsts: torch.Tensor
    others: torch.Tensor
    right: torch.Tensor
    hidden: torch.Tensor
    scores: torch.Tensor

    def to(self, device: torch.device, *, non_blocking: bool = False) -> TextGroups:
        """The same on a device."""
        moved = {one.name: getattr(self, one.name).to(device, non_blocking=non_blocking) for one in fields(self)}
        return TextGroups(**moved)


def _ranking(vectors: torch.Tensor, groups: TextGroups, settings: EmbeddingSettings) -> torch.Tensor:
    queries, passages = (functional.normalize(vectors[places], dim=-1) for places in (groups.firsts, groups.others))
    scores = queries @ passages.T / settings.temperature
    return functional.cross_entropy(scores.masked_fill(groups.hidden, -torch.inf), groups.right, reduction="none")


def _cosines(vectors: torch.Tensor, groups: TextGroups) -> torch.Tensor:
    """(B,) how similar each row's two texts are."""
    return functional.cosine_similarity(vectors[groups.firsts], vectors[groups.others[groups.right]], dim=-1)


def _cosent(vectors: torch.Tensor, groups: TextGroups, settings: EmbeddingSettings) -> torch.Tensor:
    """One loss for all rows, which stands for each."""
    scaled = _cosines(vectors, groups) / settings.temperature
    gaps = scaled[:, None] - scaled[None, :]  # of i and j, which count where j should score higher
    counts = groups.scores[:, None] < groups.scores[None, :]
    gaps = gaps.masked_fill(~counts, -torch.inf).reshape(-1)
    return torch.cat((gaps.new_zeros(1), gaps)).logsumexp(dim=0).expand(len(groups.firsts))


LOSSES: dict[str, Callable[[torch.Tensor, TextGroups, EmbeddingSettings], torch.Tensor]] = {
    "multiple_negatives": _ranking,
    "cosent": _cosent,
    "cosine": lambda vectors, groups, _: (_cosines(vectors, groups) - groups.scores) ** 2,
}
"""(B,) loss of each row by the card's name, of (S, D) vectors."""


@dataclass(frozen=True, slots=True)
class Coupling:
    """How rows of an optimizer batch are compared with each other.

    Attributes:
        settings: The plan's.
        batch_size: Rows of an optimizer step, and of each part that an evaluation's loss is computed on.
    """

    settings: EmbeddingSettings
    batch_size: int

    def groups(self, rows: TokenStream, numbers: Sequence[int]) -> TextGroups:
        """What belongs together of some rows' texts, in the order of the numbers."""
        keys = [[_key(text) for text in rows.marked(number)] for number in numbers]
        flat = [key for own in keys for key in own]
        firsts = np.cumsum([0, *map(len, keys)])[:-1].astype(np.int64)
        others = np.setdiff1d(np.arange(len(flat)), firsts)
        right = firsts - np.arange(len(firsts))  # before it stand the passages of earlier rows
        scored = self.settings.card.needs_score
        scores = [float(rows.targets[n][1:2].view(np.float32).sum()) if scored else 0.0 for n in numbers]
        return TextGroups(
            torch.from_numpy(firsts),
            torch.from_numpy(others),
            torch.from_numpy(right),
            torch.from_numpy(_also_right(keys, [flat[place] for place in others], right)),
            torch.tensor(scores, dtype=torch.float32),
        )

    def losses(self, vectors: torch.Tensor, groups: TextGroups) -> torch.Tensor:
        """(B,) loss of each row, added up over all lengths of vectors.

        Args:
            vectors: (S, D) of the groups' texts, in their order.
            groups: On the same device.
        """
        loss = LOSSES[self.settings.loss]
        total = loss(vectors, groups, self.settings)
        for length in self.settings.matryoshka:
            total = total + loss(vectors[:, :length], groups, self.settings)
        return total

    def settled(
        self, rows: TokenStream, vectors: Sequence[NDArray[np.float32]]
    ) -> tuple[list[float], list[tuple[float, ...]]]:
        """Loss and prediction of each row of a split, of which vectors are known: those of each row, (K, D).

        Losses compare as many rows in turn as an optimizer step does, whatever the batch size of the evaluation. A
        prediction is the rank of the right passage among all different passages of the split, equal ones before it,
        without those that are also right; and how similar the first two texts are.
        """
        losses: list[float] = []
        for start in range(0, len(rows), self.batch_size):
            numbers = range(len(rows))[start : start + self.batch_size]
            part = torch.from_numpy(np.concatenate([vectors[number] for number in numbers]))
            losses += self.losses(part, self.groups(rows, numbers)).tolist()
        whole = [units(own) for own in vectors]
        alike = [float(own[0] @ own[1]) for own in whole]
        if self.settings.card.needs_score:
            return losses, [(one,) for one in alike]
        return losses, list(zip(map(float, _ranks(rows, whole)), alike, strict=True))


def _key(text: NDArray[np.int32]) -> int:
    """A number that equal texts share, in every process."""
    return int.from_bytes(hashlib.blake2b(text.tobytes(), digest_size=8).digest(), "little", signed=True)


def _also_right(keys: Sequence[Sequence[int]], passages: Sequence[int], right: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(B, P) which passages are also right for a row's query: equal to its own, or to that of a row of equal query."""
    known: dict[int, set[int]] = {}
    for own in keys:
        known.setdefault(own[0], set()).add(own[1])
    unique, places = np.unique(np.array(passages, dtype=np.int64), return_inverse=True)
    number = {int(key): place for place, key in enumerate(unique)}
    found = np.zeros((len(keys), len(unique)), dtype=np.bool_)
    for row, own in enumerate(keys):
        found[row, [number[key] for key in known[own[0]]]] = True
    hidden = found[:, places]
    hidden[np.arange(len(keys)), right] = False
    return np.asarray(hidden)


def units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1, as `torch.nn.functional.normalize` makes them."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return np.asarray(vectors / lengths, np.float32)


def _ranks(rows: TokenStream, units: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
    """(N,) at which place each row's right passage is found among all different ones; see `Coupling.settled`."""
    keys = [[_key(text) for text in rows.marked(number)] for number in range(len(rows))]
    known: dict[int, set[int]] = {}
    places: dict[int, int] = {}
    passages: list[NDArray[np.float32]] = []
    for own, vectors in zip(keys, units, strict=True):
        known.setdefault(own[0], set()).add(own[1])
        for key, vector in zip(own[1:], vectors[1:], strict=True):
            if key not in places:
                places[key] = len(passages)
                passages.append(vector)
    all_of_them, found = np.stack(passages), np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), _AT_ONCE):
        part = range(len(rows))[start : start + _AT_ONCE]
        alike = np.stack([units[number][0] for number in part]) @ all_of_them.T
        for line, number in enumerate(part):
            query, passage = keys[number][:2]
            reached = alike[line] >= alike[line, places[passage]]
            reached[[places[key] for key in known[query]]] = False
            found[number] = 1 + int(reached.sum())
    return found


class RowCoupling(Protocol):
    """How rows of an optimizer batch are compared with each other."""

    def groups(self, rows: TokenStream, numbers: Sequence[int]) -> Any:
        """What is known of some rows, in their order: `firsts` and `others` are places of their sequences."""
        ...

    def losses(self, vectors: torch.Tensor, groups: Any) -> torch.Tensor:
        """(B,) loss of each row, of what the model made of all sequences."""
        ...

    def settled(
        self, rows: TokenStream, vectors: Sequence[NDArray[np.float32]]
    ) -> tuple[list[float], list[tuple[float, ...]]]:
        """Loss and prediction of each row of a split."""
        ...


def coupling_of(scorer: object) -> RowCoupling | None:
    """How a scorer's rows are compared with each other; None where each has a loss of its own."""
    return getattr(scorer, "coupling", None)
