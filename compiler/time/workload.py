"""A draft as the counting of its work sees it: layers with what stands beside them, a row's form, rows' lengths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.divided_layers import beside_part, divides_head, layer_part, trained_share
from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.float8_choices import float8_modules
from ftc.compiler.quantize_choices import rounded_modules
from ftc.compiler.sampled_rows import answer_lengths, with_answers
from ftc.compiler.time.amounts import (
    ALL_PAIRS,
    WHOLE_ROWS,
    Amounts,
    Attending,
    Kernel,
    RowPart,
    batch_amounts,
    kernel_of,
    looks_back_alone,
    window_of,
)
from ftc.compiler.time.network import Network, network_of
from ftc.compiler.weights import PACKED_BYTES, num_trainable, packed_bytes
from ftc.spec.architectures import Family
from ftc.spec.batches import BatchOrder, by_length, processor_batch, scored_at_once, share_of
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.streams import RowLengths
from ftc.spec.heads import Head, head_card
from ftc.spec.precisions import precision_card
from ftc.spec.text_forms import form_card

__all__ = [
    "RowShape",
    "Training",
    "activation_bytes",
    "device_share",
    "draft_kernel",
    "draft_network",
    "evaluation_amounts",
    "is_padded",
    "lengths_of",
    "row_shape",
    "summed",
    "teacher_network",
    "trained_lengths",
    "training_amounts",
]


def draft_network(draft: ClosedDraft, *, training: bool = True, adapters: bool = True) -> Network:
    """The draft's model, with what is trained of it.

    Args:
        draft: With its strategy and device settled.
        training: Whether it learns; attention may take another kernel where it doesn't.
        adapters: Whether what stands beside layers is computed.
    """
    trained, head, among = draft.trained, head_card(draft.loaded.head), draft.candidate.tensor_parallel
    network = network_of(
        model := layer_part(draft.model, among),
        beside=beside_part(draft.model, trained.beside, among) if adapters else {},
        trained=trained.own,
        flows_from_start=trained.from_start,
        trainable=round(trained_share(draft.model, trained, among) * num_trainable(draft)),
        new_outputs=head.num_outputs(len(draft.labels)),
        packed_bytes=packed_bytes(draft),
        trained_bytes=precision_card(draft.train.precision).trained.size,
        attention=draft_kernel(draft, model, training=training),
    )
    width = head.score_width(len(draft.labels), vocabulary=model.vocab_size, hidden=model.hidden_size)
    network = replace(network, head_width=width, rounded=sum(rounded_modules(draft).values()))
    network = replace(network, head_parts=among if divides_head(draft.model, among) else 1)
    return _in_float8(draft, replace(network, fused=draft.train.kernels)) if training else network


def _in_float8(draft: ClosedDraft, network: Network) -> Network:
    """The network with the linear layers whose products are in 8 bits."""
    card, names = precision_card(draft.train.precision), float8_modules(draft)
    if not names:
        return network
    linears = tuple(replace(one, float8=card.float8) if one.name in names else one for one in network.linears)
    return replace(network, linears=linears, float8_time=card.float8_time(draft.device) or 1.0)


def teacher_network(draft: ClosedDraft) -> Network | None:
    """The teacher as it is asked; None without one."""
    if draft.teacher is None:
        return None
    packed = draft.distillation.quantization if draft.distillation else None
    return network_of(
        draft.teacher.model,
        beside={},
        trained=frozenset(),
        flows_from_start=False,
        trainable=0,
        new_outputs=head_card(draft.loaded.head).num_outputs(len(draft.labels)),
        packed_bytes=PACKED_BYTES[packed] if packed else 0.0,
        attention=draft_kernel(draft, draft.teacher.model, training=False),
    )


def draft_kernel(draft: ClosedDraft, model: ModelFacts, *, training: bool) -> Kernel:
    """What computes a model's attention in the draft's run; see `kernel_of`."""
    return kernel_of(model, draft.device, draft.candidate.attention, draft.train.precision, training=training)


def row_shape(draft: ClosedDraft, *, training: bool) -> RowShape:
    """How a row becomes what goes through the draft's model."""
    model, is_causal = draft.model, looks_back_alone(draft.model)
    virtual, is_split = draft.strategy.traits.num_virtual, model.family == "encoder_decoder"
    kernel, (window, _) = draft_kernel(draft, model, training=training), window_of(model)
    # A decoder that predicts tokens never looks at the padding behind them; virtual tokens come with a mask.
    hides = not head_card(draft.loaded.head).writes or is_split or virtual > 0
    return RowShape(
        draft.loaded.head,
        draft.loaded.family,
        is_pair=form_card(draft.text.form).is_pair,
        has_texts=form_card(draft.text.form).has_texts,
        virtual=virtual,
        on_processor=draft.device.kind == "cpu",
        attending=Attending(kernel, causal=is_causal and not is_split, hides=hides, window=window),
        target_attending=Attending(kernel, causal=is_causal, hides=False),
    )


def lengths_of(draft: Draft, split: str) -> RowLengths:
    """The rows' lengths; where only the report is at hand, rows of its mean."""
    if split in draft.lengths:
        return draft.lengths[split]
    rows = max(1, (report := draft.splits[split]).rows)
    tokens = np.full(rows, report.tokens // rows, dtype=np.int64)
    scored = np.full(rows, report.supervised_tokens // rows, dtype=np.int64)
    return RowLengths(tokens, tokens - scored, scored, tokens // 2)


def trained_lengths(draft: Draft, answer_tokens: int | None = None) -> RowLengths:
    """The lengths of the rows that are trained on.

    Args:
        draft: With the training settled.
        answer_tokens: Tokens of each answer that the model writes in training; None for the expected ones.
    """
    lengths, writing = lengths_of(draft, "train"), draft.recipe.writing
    if writing is None:
        return lengths
    return with_answers(writing, lengths, answer_tokens or answer_lengths(writing)[1])


def activation_bytes(draft: Draft) -> int:
    """Of a number between layers."""
    return precision_card(draft.train.precision).products.size


_MOST_ROWS = 20_000
"""Rows whose batches are formed; more change the mean by less than anybody could see."""


@dataclass(frozen=True, slots=True)
class RowShape:
    """How a row becomes what goes through the model.

    Attributes:
        head: What is scored of it; see `ftc.spec.documents.settings.ModelSettings`.
        family: Kind of model.
        is_pair: Whether a row is two sequences, as preferences are.
        has_texts: Whether a row is several texts, each a sequence.
        virtual: Tokens that are learned and stand before every row.
        on_processor: Whether a processor computes it, which goes fastest with batches of some size.
        attending: How rows attend to themselves.
        target_attending: The same of the targets of an encoder-decoder.
    """

    head: Head
    family: Family
    is_pair: bool = False
    has_texts: bool = False
    virtual: int = 0
    on_processor: bool = False
    attending: Attending = ALL_PAIRS
    target_attending: Attending = ALL_PAIRS


class Training(NamedTuple):
    """How the rows of a training run are divided.

    Attributes:
        num_steps: Optimizer steps.
        steps_per_epoch: Of them, those of an epoch.
        batch_size: Rows of a step.
        micro_batch: Rows that go through the model at once.
        most_tokens: Tokens of a micro-batch at most.
        packs: Whether a micro-batch is one sequence of several rows.
        batching: Whether a step's rows are of like length.
        seed: Of the order.
        world_size: Into how many shares a step's rows are dealt.
        part: What of each row a device computes.
    """

    num_steps: int
    steps_per_epoch: int
    batch_size: int
    micro_batch: int
    most_tokens: int | None
    packs: bool
    batching: Literal["shuffled", "length_grouped"]
    seed: int
    world_size: int
    part: RowPart = WHOLE_ROWS


def training_amounts(lengths: RowLengths, shape: RowShape, training: Training, most_rows: int = _MOST_ROWS) -> Amounts:
    """Everything that one device is fed in training.

    Args:
        lengths: Of the training rows.
        shape: Of a row.
        training: How they are divided.
        most_rows: Rows whose batches are formed; they stand for the others.
    """
    order = BatchOrder(
        lengths.tokens,
        training.batch_size,
        training.steps_per_epoch,
        training.seed,
        batching=training.batching,
        most_tokens=training.most_tokens,
        packs=training.packs,
        shards=lengths.shards,
    )
    rows = min(most_rows, len(lengths.tokens))
    steps = min(training.num_steps, training.steps_per_epoch, max(1, -(-rows // training.batch_size)))
    total = summed(
        training.part.of(_packed(lengths, shape, numbers) if training.packs else _padded(lengths, shape, numbers))
        for step in range(steps)
        for numbers in order.micro_batches(step, training.micro_batch, 0, training.world_size)
    )
    return total * (training.num_steps / steps)


def evaluation_amounts(lengths: RowLengths, shape: RowShape, batch_size: int, world_size: int = 1) -> Amounts:
    """What one device is fed in a look at all rows of a split, the longest first.

    Args:
        lengths: Of the split.
        shape: Of its rows.
        batch_size: Rows of a batch of the longest.
        world_size: Processes that share the rows.
    """
    some, mine, factor = device_share(lengths, "tokens", world_size)
    whole_rows = head_card(shape.head).scores_rows
    if whole_rows and shape.on_processor and mine:
        batch_size = processor_batch(batch_size, int(some.tokens.max()))
    batches = scored_at_once(mine, some.tokens, batch_size, whole_rows=whole_rows)
    return summed(_padded(some, shape, numbers) for numbers in batches) * factor


def device_share(
    lengths: RowLengths, by: Literal["tokens", "prompt"], world_size: int
) -> tuple[RowLengths, list[int], float]:
    """Rows that stand for all, the first device's numbers of them from the longest on, and how many each stands for."""
    some = lengths.sample(_MOST_ROWS)
    order = by_length(list(range(len(some.tokens))), getattr(some, by))
    return some, share_of(order, 0, world_size), len(lengths.tokens) / max(1, len(some.tokens))


def _padded(lengths: RowLengths, shape: RowShape, numbers: Sequence[int]) -> Amounts:
    tokens, prompt = lengths.tokens[numbers], lengths.prompt[numbers]
    scored = float(lengths.scored[numbers].sum())
    batch = partial(batch_amounts, attending=shape.attending, target_attending=shape.target_attending)
    if shape.is_pair:
        first = lengths.first_target[numbers]
        longest = int(np.maximum(first, tokens - first).max()) + shape.virtual
        return batch(2 * len(numbers), longest, scored=scored, padded=True)
    if shape.has_texts:
        longest = int(lengths.first_target[numbers].max()) + shape.virtual
        return batch(int(scored), longest, scored=scored, padded=True)
    if shape.family == "encoder_decoder" and head_card(shape.head).writes:
        target, source, padded = int((tokens - prompt).max()), int(prompt.max()), is_padded(prompt)
        return batch(len(numbers), source + shape.virtual, target_length=target, scored=scored, padded=padded)
    longest = int(tokens.max())
    found = batch(
        len(numbers),
        longest + shape.virtual,
        target_length=longest if shape.family == "encoder_decoder" else 0,
        scored=_scored(shape, scored, len(numbers), longest),
        padded=is_padded(tokens) or shape.virtual > 0,
    )
    return _unpadded(found, shape, tokens)


def is_padded(lengths: NDArray[np.int64]) -> bool:
    """Whether rows of these lengths need padding in one batch."""
    return bool((lengths != lengths[0]).any())


def _unpadded(found: Amounts, shape: RowShape, tokens: NDArray[np.int64]) -> Amounts:
    """The batch as the package flash-attn computes it: padding that a mask would hide is taken out before."""
    attending = shape.attending
    if attending.kernel != "flash package" or not attending.hides:
        return found
    lengths = (tokens + shape.virtual).tolist()
    return replace(
        found,
        pairs=math.fsum(map(attending.pairs, lengths)),
        near_pairs=math.fsum(map(attending.near_pairs, lengths)),
    )


def _scored(shape: RowShape, supervised: float, rows: int, length: int) -> float:
    match head_card(shape.head).scored:
        case "row":
            return rows
        case "token":
            return rows * length
        case "target":
            return supervised
        case other:
            assert_never(other)


def _packed(lengths: RowLengths, shape: RowShape, numbers: Sequence[int]) -> Amounts:
    """One sequence of several rows: the package computes each row's pairs alone, others all, most of them hidden."""
    tokens = lengths.tokens[numbers]
    whole = float(tokens.sum())
    pairs = near = whole**2
    if shape.attending.kernel == "flash package":
        pairs = math.fsum(map(shape.attending.pairs, tokens.tolist()))
        near = math.fsum(map(shape.attending.near_pairs, tokens.tolist()))
    scored = float(lengths.scored[numbers].sum())
    return Amounts(passes=1, rows=1, tokens=whole, pairs=pairs, near_pairs=near, scored=scored)


def summed(amounts: Iterable[Amounts]) -> Amounts:
    """What several batches hold together."""
    found = list(amounts)
    if not found:
        return Amounts()
    names = Amounts.__dataclass_fields__
    return Amounts(**{name: math.fsum(getattr(one, name) for one in found) for name in names})
