"""The longest micro-batches that the training rows really give: what is planned for, never the longest that may be.

Bounds hold for every order of the rows, since each epoch shuffles them. Where a batch holds two kinds of sequences,
an encoder's source and a decoder's target or the two answers of a preference, the longest of each can meet in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.image_batches import heaviest, with_images
from ftc.compiler.sampled_rows import longest_prompt, with_longest
from ftc.spec.context_parallel import tokens_of_a_process
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.prompted import prompted_apart
from ftc.spec.documents.streams import RowLengths, SplitReport
from ftc.spec.heads import head_card
from ftc.spec.text_forms import form_card

__all__ = [
    "accumulates",
    "evaluation_batch",
    "hides_padding",
    "is_translated",
    "known_lengths",
    "longest_row",
    "longest_target",
    "rows_at_once",
    "scored_per_row",
    "train_shape",
    "usual_rows",
]


def rows_at_once(draft: ClosedDraft) -> int:
    """Sequences in the largest micro-batch: one of several rows, or as many of the longest as have its tokens."""
    if draft.candidate.packing:
        return 1
    micro_batch = draft.candidate.micro_batch
    most = draft.candidate.micro_batch_tokens
    if most is None:
        return micro_batch
    lengths, longest = _trained_lengths(draft), _longest_trained(draft)
    if lengths is None:
        return min(micro_batch, -(-most // longest))
    together = _together(draft, lengths)
    if is_translated(draft):  # the longest of each can stand in a micro-batch without the longest of the other
        parts = (lengths.prompt, lengths.tokens - lengths.prompt)
        return max(-(-int((together * part).max()) // max(1, int(part.max()))) for part in parts)
    tokens = lengths.tokens
    if form_card(draft.text.form).is_pair:
        tokens = 2 * np.maximum(lengths.first_target, tokens - lengths.first_target)
    if form_card(draft.text.form).has_texts:
        tokens = draft.splits["train"].supervised_max * lengths.first_target
    return -(-int((together * tokens).max()) // longest)


def _together(draft: ClosedDraft, lengths: RowLengths) -> NDArray[np.int64]:
    """For each row how many can be in a micro-batch with it, where their padded tokens are limited.

    A row of one with longer rows is with fewer, so a sum over a micro-batch is at most this times what a row has.
    """
    most, micro_batch = draft.micro_batch_tokens, draft.candidate.micro_batch
    fitting: NDArray[np.int64] = np.clip(most // np.maximum(lengths.tokens, 1), 1, micro_batch)
    return fitting


def accumulates(draft: ClosedDraft) -> bool:
    """Whether a device can have more than one micro-batch in an optimizer step."""
    mine = draft.share_of_batch
    if draft.candidate.packing:
        return bool(_largest(_tokens(draft), mine) > draft.micro_batch_tokens)
    most = draft.candidate.micro_batch_tokens
    of_longest = mine if most is None else max(1, most // max(1, _longest_trained(draft)))
    return mine > min(of_longest, draft.candidate.micro_batch)


def train_shape(draft: ClosedDraft) -> BatchShape:
    """The largest micro-batch of training that a device computes, of a candidate: of rows that are shared its part."""
    whole, among = _whole_shape(draft), draft.candidate.context_parallel
    if among == 1:
        return whole
    length = tokens_of_a_process(whole.length, among)
    return whole.model_copy(update={"length": length, "supervised": min(length, whole.supervised)})


def _whole_shape(draft: ClosedDraft) -> BatchShape:
    """The largest micro-batch of whole rows."""
    shape = _packed_shape(draft) if draft.candidate.packing else _padded_shape(draft)
    return with_images(shape, rows_at_once(draft), _images_trained(draft, shape))


def _padded_shape(draft: ClosedDraft) -> BatchShape:
    report, length = draft.splits["train"], _longest_trained(draft)
    supervised = _target_trained(draft) if is_translated(draft) else _most_trained(draft)
    is_padded = draft.candidate.micro_batch > 1 and report.length_p50 < length
    rows, shape = rows_at_once(draft), BatchShape(length=length, supervised=supervised, padded=is_padded)
    if draft.candidate.micro_batch_tokens is None or is_translated(draft):
        return shape
    most = -(-_scored_at_once(draft) // rows)  # more rows than these, which are shorter
    return shape.model_copy(update={"supervised": min(shape.length, max(shape.supervised, most))})


def _scored_at_once(draft: ClosedDraft) -> int:
    """Supervised tokens of a micro-batch whose padded tokens are limited, at most."""
    most, lengths = draft.micro_batch_tokens, _trained_lengths(draft)
    if lengths is not None:
        return int((_together(draft, lengths) * lengths.scored).max())
    return min(most, draft.candidate.micro_batch * _most_trained(draft))


def _images_trained(draft: ClosedDraft, shape: BatchShape) -> list[tuple[ImageShape, ...]]:
    """Images of the heaviest micro-batch, by rows."""
    if (images := draft.row_images.get("train")) is None:
        return []
    lengths = known_lengths(draft, "train")
    if draft.candidate.packing:
        most = None if lengths is None else _most_within(images.weights, lengths.tokens, shape.length)
        return heaviest(images, draft.share_of_batch, most)
    limited = draft.candidate.micro_batch_tokens is not None and lengths is not None
    most = int((_together(draft, lengths) * images.weights).max()) if limited and lengths is not None else None
    return heaviest(images, draft.candidate.micro_batch, most)


def _packed_shape(draft: ClosedDraft) -> BatchShape:
    """The longest sequence that rows of one optimizer step can make up, and the most of it that can be supervised."""
    batch, longest = draft.share_of_batch, longest_row(draft, "train")
    tokens, lengths = _tokens(draft), known_lengths(draft, "train")
    length = max(longest, min(draft.micro_batch_tokens, _largest(tokens, batch)))
    if lengths is None:
        most = batch * draft.splits["train"].supervised_max
    else:
        most = min(_largest(lengths.scored, batch), _most_within(lengths.scored, lengths.tokens, length))
    return BatchShape(length=length, supervised=max(1, min(length, most)), padded=True)


def _tokens(draft: Draft) -> NDArray[np.int64]:
    """Tokens of each training row; where only the report is at hand, of the longest for all."""
    lengths, report = known_lengths(draft, "train"), draft.splits["train"]
    return np.full(max(1, report.rows), report.length_max) if lengths is None else lengths.tokens


def _largest(sizes: NDArray[np.int64], count: int) -> int:
    """Sum of the largest sizes."""
    kept = min(count, len(sizes))
    return int(np.partition(sizes, len(sizes) - kept)[len(sizes) - kept :].sum())


def _most_within(sizes: NDArray[np.int64], tokens: NDArray[np.int64], most_tokens: int) -> int:
    """A bound on what rows have of something, such as supervised tokens, that have so many tokens together: that of the
    densest rows, and of one more.
    """
    sparseness, which = -sizes / np.maximum(tokens, 1), np.arange(len(tokens))
    shortest = int(tokens.min(initial=most_tokens))
    enough = most_tokens // shortest + 1 if shortest else len(tokens)  # rows, of which all but one may fit
    if enough < len(tokens):  # of many rows only those are put in order that are as dense as the last of these
        which = np.flatnonzero(sparseness <= np.partition(sparseness, enough - 1)[enough - 1])
    order = which[np.argsort(sparseness[which], kind="stable")]
    fits = int(np.searchsorted(np.cumsum(tokens[order]), most_tokens, side="right"))
    return int(sizes[order][: fits + 1].sum())


def scored_per_row(draft: Draft, shape: BatchShape) -> int:
    """Places of a row at which the head is computed, at most."""
    places = head_card(draft.loaded.head).scored
    match places:
        case "row":
            return 1
        case "token":
            return shape.length
        case "target":
            return shape.supervised
        case _:
            assert_never(places)


def hides_padding(draft: Draft, shape: BatchShape) -> bool:
    """Whether a mask hides padding: a decoder never attends to what is behind a row, unless that is scored.

    A model whose images or prompts see ahead has a mask in any case.
    """
    if draft.model.vision is not None and draft.model.vision.card.sees_ahead != "none":
        return True
    is_alone = draft.strategy.traits.num_virtual == 0
    is_behind = draft.model.family == "decoder" and head_card(draft.loaded.head).writes and is_alone
    return shape.padded and not is_behind


def _longest_trained(draft: Draft) -> int:
    """Tokens of the longest row that is trained on: as it stands in the data, or a prompt with its longest answer."""
    if draft.recipe.writing is None:
        return longest_row(draft, "train")
    if is_translated(draft):
        return longest_prompt(draft) + _target_trained(draft)
    if (lengths := _trained_lengths(draft)) is not None:
        return int(lengths.tokens.max())
    return longest_row(draft, "train") + draft.recipe.writing.max_new_tokens


def _target_trained(draft: Draft) -> int:
    """Tokens of the longest target of an encoder-decoder in training, which it may have written itself."""
    writing = draft.recipe.writing
    return max(longest_target(draft, "train"), writing.max_new_tokens if writing is not None else 0)


def _most_trained(draft: Draft) -> int:
    """Target tokens of a row that is trained on, at most."""
    writing, of_rows = draft.recipe.writing, draft.splits["train"].supervised_max
    if writing is None:
        return of_rows
    return max(writing.max_new_tokens, of_rows if writing.share < 1 else 0)


def _trained_lengths(draft: Draft) -> RowLengths | None:
    """The lengths of the rows that are trained on, with their longest answers where the model writes these."""
    lengths, writing = known_lengths(draft, "train"), draft.recipe.writing
    return lengths if lengths is None or writing is None else with_longest(writing, lengths)


def longest_row(draft: Draft, split: str) -> int:
    """Tokens of a split's longest row, with what others of its batch make it as long as."""
    report, lengths = draft.splits[split], known_lengths(draft, split)
    if is_translated(draft):
        source = report.length_max - 1 if lengths is None else int(lengths.prompt.max())
        return source + longest_target(draft, split)
    if form_card(draft.text.form).is_pair:
        return 2 * _longest_answer(report, lengths)
    if form_card(draft.text.form).has_texts:  # every text is padded to the longest, and a row has at most so many
        return report.supervised_max * (report.length_max if lengths is None else int(lengths.first_target.max()))
    return report.length_max


def longest_target(draft: Draft, split: str) -> int:
    """Tokens of the longest target of an encoder-decoder."""
    lengths = known_lengths(draft, split)
    return draft.splits[split].supervised_max if lengths is None else int((lengths.tokens - lengths.prompt).max())


def _longest_answer(report: SplitReport, lengths: RowLengths | None) -> int:
    """Tokens of the longer sequence of a pair, prompt included."""
    if lengths is None:
        return report.length_max - 1
    first = lengths.first_target
    return int(max(first.max(), (lengths.tokens - first).max()))


def is_translated(draft: Draft) -> bool:
    """Whether an encoder reads one part of a row and a decoder learns the other."""
    return draft.model.family == "encoder_decoder" and head_card(draft.loaded.head).writes


def known_lengths(draft: Draft, split: str) -> RowLengths | None:
    """The lengths of a split's rows; None where only the report is at hand, or there is no row."""
    lengths = draft.lengths.get(split)
    return lengths if lengths is not None and len(lengths.tokens) else None


_USUAL_ROWS = 32
"""Rows that are evaluated at once at most; beyond it little is gained."""

_WRITTEN = ("test", "swaps")
"""Looks in which answers are written, where a metric needs them."""


class _EvalPass(NamedTuple):
    """Rows that are read one batch after the other.

    Attributes:
        name: A split, `retention`, `swaps`, or the name of a prompt baseline.
        rows: Rows at once, at most.
        length: Tokens of the longest.
        supervised: Supervised tokens of a row, or tokens of a target, at most.
        is_even: Whether the usual row is as long as the longest.
    """

    name: str
    rows: int
    length: int
    supervised: int
    is_even: bool


def usual_rows(draft: Draft, groups: int) -> tuple[int, str]:
    """Rows at once where memory doesn't matter, and why: all there are, up to a bound.

    What is measured later may have more than none.

    Args:
        draft: With its rows counted.
        groups: Devices, or groups of those that divide layers, among which the rows are divided.
    """
    rows = max((-(-count // groups) for count in _counts(draft).values()), default=0)
    if not 0 < rows < _USUAL_ROWS:
        return _USUAL_ROWS, "larger batches gain little"
    if groups == 1:
        return rows, f"no more than {rows} rows are evaluated"
    return rows, f"the rows to evaluate are divided into {groups} shares of at most {rows}"


def evaluation_batch(draft: ClosedDraft) -> tuple[int, BatchShape] | None:
    """Rows at once and their shape, such that no evaluation's batch takes more; None where nothing is evaluated.

    Fewer rows stand for more shorter ones, as long as answers of each need their place.
    """
    passes = [_eval_pass(draft, name, count) for name, count in _counts(draft).items()]
    if not passes:
        return None
    if is_translated(draft):
        target = max(one.supervised for one in passes)
        source = max(one.length - one.supervised for one in passes)
        shape = BatchShape(length=source + target, supervised=target, padded=_is_padded(passes))
        return max(one.rows for one in passes), shape
    length = max(one.length for one in passes)
    rows = max(-(-one.rows * one.length // length) for one in passes)
    rows = max([rows, *(one.rows for one in passes if one.name in _written(draft, passes))])
    supervised = max(-(-one.rows * one.supervised // rows) for one in passes)
    shape = BatchShape(length=length, supervised=supervised, padded=_is_padded(passes))
    return rows, with_images(shape, rows, _images_evaluated(draft, passes))


def _images_evaluated(draft: Draft, passes: list[_EvalPass]) -> list[tuple[ImageShape, ...]]:
    """Images of the heaviest batch of all passes, by rows."""
    found = [heaviest(draft.row_images.get(one.name), one.rows) for one in passes]
    return max(found, key=lambda rows: sum(one.weight for images in rows for one in images), default=[])


def _written(draft: ClosedDraft, passes: list[_EvalPass]) -> tuple[str, ...]:
    """Names of the passes in which answers are written, each of which needs its place."""
    if draft.recipe.task.sampling is not None and draft.eval.max_new_tokens is not None:
        return tuple(one.name for one in passes)
    in_training = ("train",) if _writes_here(draft) else ()
    if draft.eval.max_new_tokens is None:
        return in_training
    return (*in_training, *_WRITTEN, *prompted_apart(draft.measured.baselines))


def _writes_here(draft: Draft) -> bool:
    """Whether the run's own device writes answers in training; what a server writes takes the server's memory."""
    writing = draft.recipe.writing
    return writing is not None and writing.here


def _is_padded(passes: list[_EvalPass]) -> bool:
    return any(one.rows > 1 and not one.is_even for one in passes)


def _counts(draft: Draft) -> dict[str, int]:
    """Rows of each one. A loss with a reference also needs its log-probabilities of the training rows; training on
    answers that the model writes has a step's prompts answered.
    """
    compared = draft.train.preference
    has_reference = compared is not None and compared.needs_reference
    is_read = has_reference or _writes_here(draft)
    splits = [name for name in ("train", "validation", "test") if name != "train" or is_read]
    found = {name: draft.splits[name].rows for name in splits if name in draft.splits}
    if _writes_here(draft):
        found["train"] = draft.train.batch_size
    return {name: rows for name, rows in (*found.items(), *_beside(draft)) if rows}


def _beside(draft: Draft) -> Iterator[tuple[str, int]]:
    """Rows that are measured beside the test split, where there is one."""
    for name in ("retention", "swaps", *prompted_apart(draft.measured.baselines)):
        lengths = known_lengths(draft, name)
        if lengths is not None and "test" in draft.splits:
            yield name, len(lengths.tokens)


def _eval_pass(draft: ClosedDraft, name: str, count: int) -> _EvalPass:
    rows = min(draft.candidate.eval_batch, -(-count // draft.candidate.layer_groups))
    if name not in draft.splits:
        lengths = draft.lengths[name]
        target = int((lengths.tokens - lengths.prompt).max()) if is_translated(draft) else 0
        longest = int(lengths.prompt.max()) + target if target else int(lengths.tokens.max())
        scored = max(target, int(lengths.scored.max()))
        return _EvalPass(name, rows, longest, scored, is_even=int(np.median(lengths.tokens)) >= longest)
    report, length = draft.splits[name], longest_row(draft, name)
    if name == "train" and draft.recipe.writing is not None and draft.recipe.task.sampling is None:
        length = longest_prompt(draft) + is_translated(draft)  # answers are written, those of the rows aren't scored
        return _EvalPass(name, rows, length, 1, is_even=report.length_p50 >= length)
    supervised = longest_target(draft, name) if is_translated(draft) else report.supervised_max
    return _EvalPass(name, rows, length, supervised, is_even=report.length_p50 >= length)
