"""Rows to tensors, as far as tasks have it in common. Each task's own batches stand in `ftc.runtime.tasks`.

Rows are padded to the longest of a batch; what is padding is known from lengths, never from ids.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ftc.spec.documents.streams import TokenStream

__all__ = ["Batch", "next_tokens", "packed_batch", "padded", "prompt_batch", "token_types_of"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go through the model at once. B rows, T tokens in the longest, N things to predict."""

    ids: torch.Tensor
    """(B, T) token ids; of preferences (2B, T), chosen and rejected in turn."""
    attention: torch.Tensor
    """(B, T) ones where there is text."""
    positions: torch.Tensor
    """(N,) places, in the flattened (B x T), whose output is scored; of an encoder-decoder those of the decoder."""
    targets: torch.Tensor
    """(N,) what should come out there: token ids, classes, tags, or places; (B, C) ones for the classes of a row that
    has several."""
    owners: torch.Tensor
    """(N,) row of the batch that each loss belongs to."""
    token_types: torch.Tensor | None = None
    """(B, T) zeros for the first text of a pair and ones for the second; None where there are no pairs."""
    decoder_ids: torch.Tensor | None = None
    """(B, U) what the decoder of an encoder-decoder reads: its start token, then all target tokens but the last."""
    sequences: torch.Tensor | None = None
    """(M,) sequence of each scored token of preferences, whose losses belong to pairs."""
    references: torch.Tensor | None = None
    """(B, 2) log-probability of chosen and rejected answer by the untrained model; None where none is known."""
    offsets: torch.Tensor | None = None
    """(B, T, 2) begin and end character of each token in the context, -1 elsewhere; stays in the processor's memory."""
    places: torch.Tensor | None = None
    """(1, T) place of each token in its own row, where several rows make up one sequence; None elsewhere."""

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        if device.type == "cpu":
            return self
        moved: dict[str, Any] = {
            field.name: tensor.to(device, non_blocking=True)
            for field in fields(self)
            if field.name != "offsets" and (tensor := getattr(self, field.name)) is not None
        }
        return replace(self, **moved)

    def corner(self, rows: int, tokens: int) -> Batch:
        """The first rows' beginnings, where each row has one target; scored is the last token of what is left."""
        attention = self.attention[:rows, :tokens]
        lines = torch.arange(len(attention), device=attention.device)
        return Batch(
            ids=self.ids[:rows, :tokens],
            attention=attention,
            positions=lines * attention.shape[1] + attention.sum(dim=1) - 1,
            targets=self.targets[:rows],
            owners=lines,
            token_types=None if self.token_types is None else self.token_types[:rows, :tokens],
        )


def next_tokens(lines: list[NDArray[np.int32]], masks: list[NDArray[np.bool_]], pad_id: int) -> Batch:
    """Sequences for a language model: scored is every place that is followed by a target token."""
    ids, attention = padded(lines, pad_id)
    follows = np.zeros(ids.shape, dtype=bool)
    for line, mask in enumerate(masks):
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


def token_types_of(rows: TokenStream, numbers: list[int], attention: NDArray[np.int64]) -> torch.Tensor:
    """(B, T) ones where the second text of a pair stands."""
    first_lengths = np.array([rows.prompt_length(number) for number in numbers])
    columns = np.arange(attention.shape[1])
    seconds = (columns >= first_lengths[:, None]) & (attention == 1)
    return torch.from_numpy(seconds.astype(np.int64))


def prompt_batch(
    rows: TokenStream, numbers: list[int], pad_id: int, *, left: bool = True, shared: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts alone, padded on the left so that every answer begins at the same place: ids and attention, (B, T).

    An encoder reads them padded on the right, as in training. Tokens that all prompts begin with may stay before the
    padding, where their keys and values are known.
    """
    heads = np.stack([rows.ids(number)[:shared] for number in numbers]).astype(np.int64)
    rests = [rows.ids(number)[shared : rows.prompt_length(number)] for number in numbers]
    ids, attention = padded(rests, pad_id, left=left)
    return torch.from_numpy(np.hstack((heads, ids))), torch.from_numpy(np.hstack((np.ones_like(heads), attention)))


def padded(
    lines: list[NDArray[np.int32]], pad_id: int, *, left: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and attention, (B, T) each, of lines that are filled up on the right, or on the left."""
    width = max(map(len, lines))
    ids = np.full((len(lines), width), pad_id, dtype=np.int64)
    attention = np.zeros((len(lines), width), dtype=np.int64)
    for number, line in enumerate(lines):
        place = slice(width - len(line), width) if left else slice(0, len(line))
        ids[number, place] = line
        attention[number, place] = 1
    return ids, attention
