"""The longest micro-batches that the rows really give: what memory is planned for, never the longest that may be.

Bounds hold for every order of the rows, since each epoch mixes them anew. Where a batch holds two kinds of sequences,
an encoder's source and a decoder's target or the two answers of a preference, the longest of each can meet in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.budget.points import share_of_batch
from ftc.compiler.draft import Draft
from ftc.spec.streams import RowLengths, SplitReport
from ftc.spec.task import Preference
from ftc.spec.trace import BatchShape

__all__ = ["accumulates", "evaluation_shape", "rows_at_once", "scored_per_row", "train_shape"]


_BESIDE = ("retention", "swaps")
"""What is measured beside the splits, by the name of its rows."""


def rows_at_once(draft: Draft) -> int:
    """Sequences in the largest micro-batch: one of several rows, or as many of the longest as have its tokens."""
    if draft.values["train.packing"]:
        return 1
    micro_batch: int = draft.values["train.micro_batch"]
    most: int | None = draft.values["train.micro_batch_tokens"]
    if most is None:
        return micro_batch
    lengths, longest = _known(draft, "train"), _length(draft, ["train"])
    if lengths is None:
        return min(micro_batch, -(-most // longest))
    together = _together(draft, lengths)
    if _is_translated(draft):  # the longest of each can stand in a micro-batch without the longest of the other
        parts = (lengths.prompt, lengths.tokens - lengths.prompt)
        return max(-(-int((together * part).max()) // max(1, int(part.max()))) for part in parts)
    tokens = lengths.tokens
    if isinstance(draft.recipe.task, Preference):
        tokens = 2 * np.maximum(lengths.first_target, tokens - lengths.first_target)
    return -(-int((together * tokens).max()) // longest)


def _together(draft: Draft, lengths: RowLengths) -> NDArray[np.int64]:
    """For each row how many can be in a micro-batch with it, where their padded tokens are limited.

    A row of one with longer rows is with fewer, so a sum over a micro-batch is at most this times what a row has.
    """
    most, micro_batch = (int(draft.values[f"train.{name}"]) for name in ("micro_batch_tokens", "micro_batch"))
    fitting: NDArray[np.int64] = np.clip(most // np.maximum(lengths.tokens, 1), 1, micro_batch)
    return fitting


def accumulates(draft: Draft) -> bool:
    """Whether a device can have more than one micro-batch in an optimiser step."""
    mine = share_of_batch(draft)
    if draft.values["train.packing"]:
        return bool(_largest(_tokens(draft), mine) > draft.values["train.micro_batch_tokens"])
    most: int | None = draft.values["train.micro_batch_tokens"]
    of_longest = mine if most is None else max(1, most // max(1, draft.splits["train"].length_max))
    return mine > min(of_longest, int(draft.values["train.micro_batch"]))


def train_shape(draft: Draft) -> BatchShape:
    """The largest micro-batch of training, of a draft that stands at a point."""
    if draft.values["train.packing"]:
        return _packed_shape(draft)
    rows, shape = rows_at_once(draft), _shape(draft, ["train"], draft.values["train.micro_batch"])
    if draft.values["train.micro_batch_tokens"] is None or _is_translated(draft):
        return shape
    most = -(-_scored_at_once(draft) // rows)  # more rows than these, which are shorter
    return shape.model_copy(update={"supervised": min(shape.length, max(shape.supervised, most))})


def _scored_at_once(draft: Draft) -> int:
    """Supervised tokens of a micro-batch whose padded tokens are limited, at most."""
    most, lengths = draft.values["train.micro_batch_tokens"], _known(draft, "train")
    if lengths is not None:
        return int((_together(draft, lengths) * lengths.scored).max())
    return min(int(most), int(draft.values["train.micro_batch"]) * draft.splits["train"].supervised_max)


def _packed_shape(draft: Draft) -> BatchShape:
    """The longest sequence that rows of one optimiser step can make up, and the most of it that can be supervised."""
    batch, longest = share_of_batch(draft), _length(draft, ["train"])
    tokens, lengths = _tokens(draft), _known(draft, "train")
    length = max(longest, min(draft.values["train.micro_batch_tokens"], _largest(tokens, batch)))
    if lengths is None:
        most = batch * draft.splits["train"].supervised_max
    else:
        most = min(_largest(lengths.scored, batch), _most_scored(lengths, length))
    return BatchShape(length=length, supervised=max(1, min(length, most)), padded=True)


def _tokens(draft: Draft) -> NDArray[np.int64]:
    """Tokens of each training row; where only the report is at hand, of the longest for all."""
    lengths, report = _known(draft, "train"), draft.splits["train"]
    return np.full(max(1, report.rows), report.length_max) if lengths is None else lengths.tokens


def _largest(sizes: NDArray[np.int64], count: int) -> int:
    """Sum of the largest sizes."""
    kept = min(count, len(sizes))
    return int(np.partition(sizes, len(sizes) - kept)[len(sizes) - kept :].sum())


def _most_scored(lengths: RowLengths, most_tokens: int) -> int:
    """A bound on the supervised tokens of rows that have so many tokens together: the densest rows, and one more."""
    order = np.argsort(-lengths.scored / np.maximum(lengths.tokens, 1), kind="stable")
    fits = int(np.searchsorted(np.cumsum(lengths.tokens[order]), most_tokens, side="right"))
    return int(lengths.scored[order][: fits + 1].sum())


def evaluation_shape(draft: Draft) -> BatchShape | None:
    """The largest batch of what is measured: splits, general text, rows with words exchanged; None where nothing is."""
    rows: int = draft.values["eval.batch_size"]
    measured = [name for name in ("validation", "test") if name in draft.splits]
    if not measured:
        return None
    shape = _shape(draft, measured, rows)
    for name in _BESIDE:
        if (lengths := _known(draft, name)) is not None:
            shape = _joined(shape, _shape_beside(draft, lengths), rows)
    return shape


def _shape_beside(draft: Draft, lengths: RowLengths) -> tuple[int, int, int]:
    """Tokens of the longest row, most supervised ones, and tokens of the usual row."""
    target = int((lengths.tokens - lengths.prompt).max()) if _is_translated(draft) else 0
    longest = int(lengths.prompt.max()) + target if target else int(lengths.tokens.max())
    return longest, max(target, int(lengths.scored.max())), int(np.median(lengths.tokens))


def _joined(shape: BatchShape, other: tuple[int, int, int], rows: int) -> BatchShape:
    """The larger of both in each respect."""
    length, supervised, usual = other
    return BatchShape(
        length=max(shape.length, length),
        supervised=max(shape.supervised, supervised),
        padded=shape.padded or (rows > 1 and usual < length),
    )


def scored_per_row(draft: Draft, shape: BatchShape) -> int:
    """Places of a row at which the head is computed, at most."""
    match draft.values["model.head"]:
        case "classification" | "multi_label":
            return 1
        case "span":
            return shape.length
        case _:
            return shape.supervised


def _shape(draft: Draft, splits: Sequence[str], rows: int) -> BatchShape:
    reports = [draft.splits[name] for name in splits]
    length = _length(draft, splits)
    supervised = max(_target(draft, name) if _is_translated(draft) else draft.splits[name].supervised_max
                     for name in splits)  # fmt: skip
    usual = min(report.length_p50 for report in reports)
    return BatchShape(length=length, supervised=supervised, padded=rows > 1 and usual < length)


def _length(draft: Draft, splits: Sequence[str]) -> int:
    """Tokens of the longest row, with what others of its batch make it as long as."""
    return max(_row_length(draft, name, draft.splits[name]) for name in splits)


def _row_length(draft: Draft, split: str, report: SplitReport) -> int:
    lengths = _known(draft, split)
    if _is_translated(draft):
        source = report.length_max - 1 if lengths is None else int(lengths.prompt.max())
        return source + _target(draft, split)
    if isinstance(draft.recipe.task, Preference):
        return 2 * _longest_answer(report, lengths)
    return report.length_max


def _target(draft: Draft, split: str) -> int:
    """Tokens of the longest target of an encoder-decoder."""
    lengths = _known(draft, split)
    return draft.splits[split].supervised_max if lengths is None else int((lengths.tokens - lengths.prompt).max())


def _longest_answer(report: SplitReport, lengths: RowLengths | None) -> int:
    """Tokens of the longer sequence of a pair, prompt included."""
    if lengths is None:
        return report.length_max - 1
    first = lengths.first_target
    return int(max(first.max(), (lengths.tokens - first).max()))


def _is_translated(draft: Draft) -> bool:
    """Whether an encoder reads one part of a row and a decoder learns the other."""
    return draft.model.family == "encoder_decoder" and draft.values["model.head"] == "lm"


def _known(draft: Draft, split: str) -> RowLengths | None:
    lengths = draft.lengths.get(split)
    return lengths if lengths is not None and len(lengths.tokens) else None
