"""Rows to tensors. Rows are padded to the longest of a batch; what is padding is known from lengths, never from ids."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ftc.spec.documents.streams import TokenStream

__all__ = [
    "Batch",
    "classification_batch",
    "lm_batch",
    "multi_label_batch",
    "packed_batch",
    "preference_batch",
    "prompt_batch",
    "seq2seq_batch",
    "span_batch",
    "words_batch",
]


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


def lm_batch(rows: TokenStream, numbers: list[int], pad_id: int) -> Batch:
    """Rows for a language model: scored is every place that is followed by a supervised token."""
    return _next_tokens([rows.ids(number) for number in numbers], [rows.mask(number) for number in numbers], pad_id)


def _next_tokens(lines: list[NDArray[np.int32]], masks: list[NDArray[np.bool_]], pad_id: int) -> Batch:
    ids, attention = _padded(lines, pad_id)
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


def classification_batch(rows: TokenStream, numbers: list[int], pad_id: int) -> Batch:
    """Rows for a classifier: scored is each row once, at its last token."""
    ids, attention = _padded([rows.ids(number) for number in numbers], pad_id)
    lines = torch.arange(len(numbers))
    return Batch(
        ids=torch.from_numpy(ids),
        attention=torch.from_numpy(attention),
        positions=lines * ids.shape[1] + torch.from_numpy(attention).sum(dim=1) - 1,
        targets=torch.tensor([int(rows.labels[number]) for number in numbers], dtype=torch.int64),
        owners=lines,
        token_types=_token_types(rows, numbers, attention),
    )


def multi_label_batch(rows: TokenStream, numbers: list[int], pad_id: int, num_labels: int) -> Batch:
    """The same for rows that have any number of classes."""
    wanted = torch.zeros(len(numbers), num_labels)
    for line, number in enumerate(numbers):
        wanted[line, torch.from_numpy(rows.targets[number].astype(np.int64))] = 1.0
    return replace(classification_batch(rows, numbers, pad_id), targets=wanted)


def words_batch(rows: TokenStream, numbers: list[int], pad_id: int) -> Batch:
    """Rows of tagged words: scored is each word, at its first token."""
    ids, attention = _padded([rows.ids(number) for number in numbers], pad_id)
    begins = np.zeros(ids.shape, dtype=bool)
    for line, number in enumerate(numbers):
        mask = rows.mask(number)
        begins[line, : len(mask)] = mask
    positions = np.flatnonzero(begins)
    targets = np.concatenate([rows.targets[number] for number in numbers]).astype(np.int64)
    return Batch(
        ids=torch.from_numpy(ids),
        attention=torch.from_numpy(attention),
        positions=torch.from_numpy(positions),
        targets=torch.from_numpy(targets),
        owners=torch.from_numpy(positions // ids.shape[1]),
    )


def span_batch(rows: TokenStream, numbers: list[int], pad_id: int) -> Batch:
    """Windows of a context: scored are all tokens of each, as begin and as end of the answer."""
    ids, attention = _padded([rows.ids(number) for number in numbers], pad_id)
    offsets = torch.full((*ids.shape, 2), -1, dtype=torch.int64)
    for line, number in enumerate(numbers):
        places = torch.from_numpy(rows.offsets[number].astype(np.int64)).view(-1, 2)
        offsets[line, : len(places)] = places
    targets = np.stack([rows.targets[number] for number in numbers]).astype(np.int64)
    lines = torch.arange(len(numbers))
    return Batch(
        ids=torch.from_numpy(ids),
        attention=torch.from_numpy(attention),
        positions=torch.arange(ids.size),
        targets=torch.from_numpy(targets).flatten(),
        owners=lines.repeat_interleave(2),
        token_types=_token_types(rows, numbers, attention),
        offsets=offsets,
    )


def seq2seq_batch(rows: TokenStream, numbers: list[int], pad_id: int, start_id: int) -> Batch:
    """Rows for an encoder-decoder: scored is each token of the decoder, which follows those before it."""
    prompts = [rows.ids(number)[: rows.prompt_length(number)] for number in numbers]
    answers = [rows.ids(number)[rows.prompt_length(number) :] for number in numbers]
    ids, attention = _padded(prompts, pad_id)
    wanted, counts = _padded(answers, pad_id)
    positions = np.flatnonzero(counts)
    read = np.concatenate([np.full((len(numbers), 1), start_id), wanted[:, :-1]], axis=1)
    return Batch(
        ids=torch.from_numpy(ids),
        attention=torch.from_numpy(attention),
        positions=torch.from_numpy(positions),
        targets=torch.from_numpy(wanted.reshape(-1)[positions]),
        owners=torch.from_numpy(positions // wanted.shape[1]),
        decoder_ids=torch.from_numpy(read),
    )


def preference_batch(
    rows: TokenStream, numbers: list[int], pad_id: int, references: torch.Tensor | None = None
) -> Batch:
    """Pairs of answers as sequences one below the other: scored are the answers' tokens, a loss belongs to a pair."""
    lines, masks = [], []
    for number in numbers:
        first = int(rows.targets[number][0])
        lines += [rows.ids(number)[:first], rows.ids(number)[first:]]
        masks += [rows.mask(number)[:first], rows.mask(number)[first:]]
    batch = _next_tokens(lines, masks, pad_id)
    return replace(batch, owners=torch.arange(len(numbers)), sequences=batch.owners, references=references)


def _token_types(rows: TokenStream, numbers: list[int], attention: NDArray[np.int64]) -> torch.Tensor:
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
    ids, attention = _padded(rests, pad_id, left=left)
    return torch.from_numpy(np.hstack((heads, ids))), torch.from_numpy(np.hstack((np.ones_like(heads), attention)))


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
