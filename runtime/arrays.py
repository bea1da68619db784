"""Rows as arrays: what a batch consists of before it becomes tensors, so that an audit makes it again without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ftc.spec.documents.streams import TokenStream

__all__ = ["ArrayDigest", "answer_arrays", "next_token_arrays", "padded", "translated_arrays"]


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


def next_token_arrays(
    lines: list[NDArray[np.int32]], masks: list[NDArray[np.bool_]], pad_id: int
) -> dict[str, NDArray[np.int64]]:
    """Sequences for a language model, by the batch's fields: scored is every place that a target token follows."""
    ids, attention = padded(lines, pad_id)
    follows = np.zeros(ids.shape, dtype=bool)
    for line, mask in enumerate(masks):
        follows[line, : len(mask) - 1] = mask[1:]
    positions = np.flatnonzero(follows)
    targets = ids.reshape(-1)[positions + 1]
    owners = positions // ids.shape[1]
    return {"ids": ids, "attention": attention, "positions": positions, "targets": targets, "owners": owners}


def translated_arrays(
    rows: TokenStream, numbers: list[int], pad_id: int, start_id: int
) -> dict[str, NDArray[np.int64]]:
    """Rows for an encoder-decoder, by the batch's fields: prompts for the one, and answers for the other.

    Args:
        rows: A stream.
        numbers: Which of its rows.
        pad_id: Fills lines up.
        start_id: Token that the decoder begins with.
    """
    ids, attention = padded([rows.ids(number)[: rows.prompt_length(number)] for number in numbers], pad_id)
    wanted, counts = padded([rows.ids(number)[rows.prompt_length(number) :] for number in numbers], pad_id)
    positions = np.flatnonzero(counts)
    return {
        "ids": ids,
        "attention": attention,
        "positions": positions,
        "targets": wanted.reshape(-1)[positions],
        "owners": positions // wanted.shape[1],
        "decoder_ids": np.concatenate([np.full((len(numbers), 1), start_id), wanted[:, :-1]], axis=1),
    }


def answer_arrays(
    rows: TokenStream, numbers: list[int], pad_id: int
) -> dict[str, NDArray[np.int64] | NDArray[np.float32]]:
    """Written answers, with advantage and weight of each target token where these earn something, in the order of the
    batch's fields.
    """
    lines = [rows.ids(number) for number in numbers]
    found = next_token_arrays(lines, [rows.mask(number) for number in numbers], pad_id)
    if not len(rows.targets.values):
        return {**found}
    kept = [np.asarray(rows.targets[number], dtype=np.int32).view(np.float32) for number in numbers]
    of_tokens = np.stack([one[:2] for one in kept])[found["owners"]]
    advantages = np.ascontiguousarray(of_tokens[:, 0])
    if len(ratios := np.concatenate([one[2:] for one in kept])):  # the importance of each token of a server
        advantages *= ratios
    return {**found, "advantages": advantages, "weights": np.ascontiguousarray(of_tokens[:, 1])}


class ArrayDigest:
    """Digest of everything that one step feeds to the model in this process, as it is fed.

    It covers the numbers of the rows in their source, and name, type, shape and bytes of every tensor of each batch,
    padding and masks included: whatever a loader, a template or a collation does wrong, this is another digest.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add_arrays(self, numbers: list[int], arrays: Iterable[tuple[str, NDArray[np.generic]]]) -> None:
        """Adds one micro-batch.

        Args:
            numbers: Numbers of its rows in the source.
            arrays: What its tensors hold, by their names.
        """
        self._sha256.update(f"{numbers}\n".encode())
        for name, value in arrays:
            self._sha256.update(f"{name} torch.{value.dtype} {value.shape}\n".encode())
            self._sha256.update(np.ascontiguousarray(value).data)

    def hexdigest(self) -> str:
        """The digest of all that was added."""
        return self._sha256.hexdigest()
