"""Rows to tensors. Rows are padded to the longest of a batch; what is padding is known from lengths, never from ids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ftc.spec.streams import TokenStream

__all__ = ["Batch", "classification_batch", "lm_batch", "packed_batch", "prompt_batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go through the model at once. B rows, T tokens in the longest, N things to predict."""

    ids: torch.Tensor
    """(B, T) token ids."""
    attention: torch.Tensor
    """(B, T) ones where there is text."""
    positions: torch.Tensor
    """(N,) places, in the flattened (B x T), whose output is scored."""
    targets: torch.Tensor
    """(N,) what should come out there: token ids, or classes."""
    owners: torch.Tensor
    """(N,) row of the batch that each target belongs to."""
    token_types: torch.Tensor | None = None
    """(B, T) zeros for the first text of a pair and ones for the second; None for a language model."""
    places: torch.Tensor | None = None
    """(1, T) place of each token in its own row, where several rows make up one sequence; None elsewhere."""

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        if device.type == "cpu":
            return self
        move = partial(torch.Tensor.to, device=device, non_blocking=True)
        return Batch(
            ids=move(self.ids),
            attention=move(self.attention),
            positions=move(self.positions),
            targets=move(self.targets),
            owners=move(self.owners),
            token_types=None if self.token_types is None else move(self.token_types),
            places=None if self.places is None else move(self.places),
        )


def lm_batch(rows: TokenStream, numbers: list[int], pad_id: int) -> Batch:
    """Rows for a language model: scored is every place that is followed by a supervised token."""
    ids, attention = _padded([rows.ids(number) for number in numbers], pad_id)
    follows = np.zeros(ids.shape, dtype=bool)
    for line, number in enumerate(numbers):
        mask = rows.mask(number)
        follows[line, : len(mask) - 1] = mask[1:]
    positions = np.flatnonzero(follows)
    return Batch(
        ids=torch.from_numpy(ids),
        attention=torch.from_numpy(attention),
        positions=torch.from_numpy(positions),
        targets=torch.from_numpy(ids.reshape(-1)[positions + 1]),
        owners=torch.from_numpy(positions // ids.shape[1]),
    )


def packed_batch(rows: TokenStream, numbers: list[int]) -> Batch:
    """Rows for a decoder as one sequence without padding: from their places it knows which tokens may see each other.

    A row's last token predicts nothing, and no row's first token is predicted.
    """
    ids = np.concatenate([rows.ids(number) for number in numbers]).astype(np.int64)
    lengths = [len(rows.ids(number)) for number in numbers]
    follows = [np.append(rows.mask(number)[1:], False) for number in numbers]
    positions = np.flatnonzero(np.concatenate(follows))
    owners = np.repeat(np.arange(len(numbers)), lengths)
    return Batch(
        ids=torch.from_numpy(ids)[None],
        attention=torch.ones(1, len(ids), dtype=torch.int64),
        positions=torch.from_numpy(positions),
        targets=torch.from_numpy(ids[positions + 1]),
        owners=torch.from_numpy(owners[positions]),
        places=torch.from_numpy(np.concatenate([np.arange(length) for length in lengths]))[None],
    )


def classification_batch(rows: TokenStream, numbers: list[int], pad_id: int) -> Batch:
    """Rows for a classifier: scored is each row once, at its last token."""
    ids, attention = _padded([rows.ids(number) for number in numbers], pad_id)
    lines = torch.arange(len(numbers))
    lengths = torch.from_numpy(attention).sum(dim=1)
    first_lengths = torch.tensor([rows.prompt_length(number) for number in numbers])
    columns = torch.arange(ids.shape[1])
    seconds = (columns >= first_lengths[:, None]) & (columns < lengths[:, None])
    return Batch(
        ids=torch.from_numpy(ids),
        attention=torch.from_numpy(attention),
        positions=lines * ids.shape[1] + lengths - 1,
        targets=torch.tensor([int(rows.labels[number]) for number in numbers], dtype=torch.int64),
        owners=lines,
        token_types=seconds.long(),
    )


def prompt_batch(rows: TokenStream, numbers: list[int], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts alone, padded on the left so that every answer begins at the same place: ids and attention, (B, T)."""
    prompts = [rows.ids(number)[: rows.prompt_length(number)] for number in numbers]
    ids, attention = _padded(prompts, pad_id, left=True)
    return torch.from_numpy(ids), torch.from_numpy(attention)


def _padded(
    lines: list[NDArray[np.int32]], pad_id: int, *, left: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    width = max(map(len, lines))
    ids = np.full((len(lines), width), pad_id, dtype=np.int64)
    attention = np.zeros((len(lines), width), dtype=np.int64)
    for number, line in enumerate(lines):
        place = slice(width - len(line), width) if left else slice(0, len(line))
        ids[number, place] = line
        attention[number, place] = 1
    return ids, attention
