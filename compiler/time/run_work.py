"""What a draft's run has to do, phase by phase: arithmetic, traffic and kernels of training and of every look at rows.

Pure but for the order of rows, which is the run's own. Nothing here knows a device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from ftc.compiler.divided_layers import divides_head, layer_part, sums_of_layers
from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.rules.number_rules import num_evaluations
from ftc.compiler.sampled_rows import answer_lengths
from ftc.compiler.time.amounts import Amounts, RowPart
from ftc.compiler.time.eval_work import grading, prompts, references, sampled, tests, validation
from ftc.compiler.time.image_work import image_work
from ftc.compiler.time.network import Network
from ftc.compiler.time.network_work import forward_work, step_work
from ftc.compiler.time.operator_costs import STEP_MOVES
from ftc.compiler.time.scored_answers import rewarded, scored
from ftc.compiler.time.workload import (
    Training,
    activation_bytes,
    draft_network,
    row_shape,
    teacher_network,
    trained_lengths,
    training_amounts,
)
from ftc.compiler.weights import bytes_per_weight, card_of
from ftc.spec.checkpointing import checkpointing_card
from ftc.spec.devices import UNKNOWN_CAPABILITY
from ftc.spec.documents.estimates import DeviceTraffic, Phase, Work
from ftc.spec.documents.streams import TAUGHT
from ftc.spec.heads import head_card
from ftc.spec.links import host_link, peer_link
from ftc.spec.loss_chunks import compared_at_once
from ftc.spec.precisions import precision_card
from ftc.spec.shardings import Group, group_size, sharding_card
from ftc.spec.strategies import strategy_card
from ftc.spec.text_forms import form_card

__all__ = [
    "RunWork",
    "evaluations",
    "exchanged",
    "moved_to_host",
    "run_work",
    "step_work",
    "train_amounts",
    "train_work",
]

_Ranges = tuple[Work, Work, Work]

_SAMPLED_ROWS = 256
"""Rows whose batches tell one way of dividing them from another."""
_COMPARED_BYTES = 4 * 26
"""What is read and written for each score when model and teacher are compared and the backward pass begins there."""
_SUMMED_BYTES = 20
"""What is read and written of each weight of a trained output layer to add the gradient of one chunk to the sum."""
_SCORED_BYTES = 12
"""What is read and written for each score on the way to its loss, beyond the score itself."""
_CHUNK_OPERATIONS = 22
"""Kernels of a chunk, forward and backward."""
_PIECE_OPERATIONS = 12
"""Kernels of each further part of a chunk whose losses are computed at once."""
_COMPARED_OPERATIONS = 18
"""Kernels that this takes in a micro-batch."""


class RunWork(NamedTuple):
    """Work by phase.

    Attributes:
        phases: At the least, as expected, and at the most, where that depends on what a model writes.
        train_tokens: Tokens of rows that training feeds, padding included and virtual ones not.
        prompts: The part of `generate` that reads prompts; None where no answers are written.
        scores: The part of `grade` that is a reward model's, in the numbers of training; None where it has none.
        traffic: What several devices send to each other in a step; None of one.
    """

    phases: Mapping[Phase, tuple[Work, Work, Work]]
    train_tokens: int
    prompts: Work | None = None
    scores: tuple[Work, Work, Work] | None = None
    traffic: DeviceTraffic | None = None


def run_work(draft: ClosedDraft) -> RunWork:
    """What the run of a settled draft has to do."""
    network, form = draft_network(draft), row_shape(draft, training=True)
    amounts = training_amounts(trained_lengths(draft), form, _training(draft))
    steps = draft.train.num_steps
    alone = _trained(draft, network, amounts, steps)
    train = alone.plus(exchanged(draft, network, amounts, steps))
    phases: dict[Phase, tuple[Work, Work, Work]] = {"train": (alone, train, train)}
    if (writing := draft.recipe.writing) is not None:
        low, _, high = (trained_lengths(draft, tokens) for tokens in answer_lengths(writing))
        low_work, high_work = (
            train_work(draft, network, training_amounts(one, form, _training(draft))) for one in (low, high)
        )
        epochs = writing.count(steps) * draft.train.batch_size / max(1, draft.splits["train"].rows)
        answered = _with_rewards(sampled(draft), rewarded(draft, "train", epochs))
        phases |= {"train": (low_work, train, high_work), "sample": answered}
    if proof := draft.determinism.proof_steps:
        phases["prove"] = _same(train.scaled(2 * proof / steps))
    phases |= dict(_looks(draft))
    # Tokens with their padding: no virtual ones, and those that a classifier's decoder reads again once.
    again = amounts.target_tokens if head_card(form.head).writes else 0
    tokens = amounts.tokens - form.virtual * amounts.rows + again
    asked = prompts(draft) if "generate" in phases else None
    sent = _traffic(draft, network, amounts, steps)
    return RunWork(phases, round(tokens), asked, scored(draft) if "grade" in phases else None, sent)


def _with_rewards(work: _Ranges, rewards: _Ranges | None) -> _Ranges:
    """Answers that are written, with what a reward model has to do to score them."""
    if rewards is None:
        return work
    low, usual, high = (one.plus(more) for one, more in zip(work, rewards, strict=True))
    return low, usual, high


def _looks(draft: ClosedDraft) -> Iterator[tuple[Phase, tuple[Work, Work, Work]]]:
    """What looks at rows have to do."""
    if (compared := draft.train.preference) is not None and compared.needs_reference:
        yield "reference", _same(references(draft))
    if "validation" in draft.splits:
        low, usual, high = (one.scaled(evaluations(draft)) for one in validation(draft))
        yield "validate", _with_rewards((low, usual, high), rewarded(draft, "validation", evaluations(draft)))
    if "test" in draft.splits:
        found = tests(draft)
        if "generate" in found:
            models = 2 if draft.eval.baseline else 1
            found["generate"] = _with_rewards(found["generate"], rewarded(draft, "test", models))
        yield from found.items()
        grades = grading(draft) if draft.grader is not None and draft.eval.max_new_tokens is not None else None
        scores = scored(draft)
        if (both := grades or scores) is not None:
            yield "grade", _with_rewards(both, scores if grades is not None else None)


def train_amounts(draft: ClosedDraft) -> Amounts:
    """What training alone is fed, from a sample of its batches: enough to tell one way of dividing from another.

    Args:
        draft: With micro-batch and packing settled.
    """
    return training_amounts(trained_lengths(draft), row_shape(draft, training=True), _training(draft), _SAMPLED_ROWS)


def train_work(draft: ClosedDraft, network: Network, amounts: Amounts) -> Work:
    """What training alone has to do, with what devices exchange.

    Args:
        draft: With all that decides about a step settled.
        network: See `draft_network`.
        amounts: What it is fed.
    """
    steps = draft.train.num_steps
    return _trained(draft, network, amounts, steps).plus(exchanged(draft, network, amounts, steps))


def _trained(draft: ClosedDraft, network: Network, amounts: Amounts, steps: int) -> Work:
    """Work of the draft's training steps; all that an optimizer can page counts as moved there and back each step.

    What several devices exchange is left out.
    """
    kept = bytes_per_weight(draft, card_of(draft))
    work = step_work(
        network,
        amounts,
        steps,
        activation_bytes(draft),
        checkpointing=draft.candidate.activation_checkpointing,
        state_bytes=kept,
    )
    rows = steps * draft.train.batch_size / draft.candidate.row_shares
    images = image_work(draft, "train", rows=rows, passes=amounts.passes, training=True)
    work = work.plus(images)
    beside = _lessons(draft, amounts).plus(_chunks(draft, network, amounts)).plus(_vectors(draft, network, amounts))
    return work.plus(beside).plus(moved_to_host(draft, network, amounts.passes, steps))


def _chunks(draft: ClosedDraft, network: Network, amounts: Amounts) -> Work:
    """What chunks of the loss take beyond a head that is computed at once: nothing where there are none.

    Each further chunk reads the output layer's weights again, and where they are trained adds up their gradient.
    Losses of preferences are known only when all of a pair is, so that its chunks are computed twice. Others of a large
    chunk are computed for some positions at a time.
    """
    if (size := draft.candidate.loss_chunk_size) is None:
        return Work(flops=0.0, bytes=0.0, operations=0.0)
    table, width = network.hidden * network.head_width / network.head_parts, activation_bytes(draft)
    further = max(0.0, amounts.scored / size - amounts.passes / 2)  # the last one is half full on average
    each = (2 * width + (_SUMMED_BYTES if network.is_full else 0)) * table
    is_pair = form_card(draft.text.form).is_pair
    again = amounts.scored if is_pair else 0.0
    by_chunk = is_pair or (draft.distillation is not None and draft.distillation.judges)
    pieces = 1 if by_chunk else size / compared_at_once(size, network.head_width)
    moved = amounts.scored * network.head_width * 2 * width if pieces > 1 else 0.0  # gradients, to where scores were
    return Work(
        flops=2 * table * again,
        bytes=further * each + again * network.head_width * (width + _SCORED_BYTES) + moved,
        operations=further * _CHUNK_OPERATIONS + (amounts.scored / size) * (pieces - 1) * _PIECE_OPERATIONS,
    )


def _lessons(draft: ClosedDraft, amounts: Amounts) -> Work:
    """A teacher's forward pass over what the model is fed, and what is made of what it says; nothing without one."""
    network = teacher_network(draft)
    if network is None or (draft.distillation is not None and not draft.distillation.judges):
        return Work(flops=0.0, bytes=0.0, operations=0.0)
    if TAUGHT in draft.lengths:
        own = training_amounts(draft.lengths[TAUGHT], row_shape(draft, training=True), _training(draft))
        amounts = replace(own, scored=amounts.scored)
    compared = Work(
        flops=0.0,
        bytes=amounts.scored * network.head_width * _COMPARED_BYTES,
        operations=amounts.passes * _COMPARED_OPERATIONS,
    )
    return forward_work(network, amounts, activation_bytes(draft)).plus(compared)


def _vectors(draft: ClosedDraft, network: Network, amounts: Amounts) -> Work:
    """The forward pass of the whole batch before the others, where rows are compared and go through in parts."""
    ratings = draft.train.preference
    compares_all = draft.train.embedding is not None or (ratings is not None and ratings.rates)
    if not compares_all or amounts.passes <= draft.train.num_steps:
        return Work(flops=0.0, bytes=0.0, operations=0.0)
    return forward_work(network, amounts, activation_bytes(draft))


def evaluations(draft: Draft) -> int:
    """Looks at validation, each with a checkpoint."""
    return num_evaluations(draft.train.num_steps, draft.train.evaluate_every_steps)


def _training(draft: ClosedDraft) -> Training:
    train, one = draft.train, draft.candidate
    return Training(
        num_steps=train.num_steps,
        steps_per_epoch=train.steps_per_epoch,
        batch_size=train.batch_size,
        micro_batch=one.micro_batch,
        most_tokens=one.micro_batch_tokens,
        packs=one.packing,
        batching=train.batching,
        seed=draft.seeds.order,
        world_size=one.row_shares,
        part=RowPart(one.context_parallel, masks=one.packing or draft.device.kind == "cpu"),
    )


def _same(work: Work) -> tuple[Work, Work, Work]:
    return work, work, work


def moved_to_host(draft: ClosedDraft, network: Network, passes: float, steps: int) -> Work:
    """What goes to host memory and back: pages of the optimizer, or offloaded parts and the step on them.

    Args:
        draft: With a candidate.
        network: Its model.
        passes: Micro-batches of the run on one device.
        steps: Optimizer steps.
    """
    kept = bytes_per_weight(draft, card_of(draft))
    if card_of(draft).paged:
        return _host(2 * steps * kept * network.trainable)
    if draft.candidate.offload != "cpu":
        return _host(0.0)
    precision = precision_card(draft.train.precision)
    base, trained = precision.base_type(is_whole=strategy_card(draft.strategy).is_whole).size, precision.trained.size
    weights = base * draft.model.num_parameters + trained * _beside(draft, network)
    exchanges = sharding_card(draft.candidate.sharding).exchanges
    gathers = sum(one.times for one in exchanges if one.operation == "all-gather")
    parts = gathers * passes * weights + passes * trained * network.trainable
    stepped = steps * (STEP_MOVES * trained + 2 * kept) * network.trainable
    return _host((parts + stepped) / draft.parts)


def exchanged(draft: ClosedDraft, network: Network, amounts: Amounts, steps: int) -> Work:
    """What a device sends to the others and gets from them, as bytes on its link to the host.

    Args:
        draft: With a candidate.
        network: Its model.
        amounts: What a device is fed in the run.
        steps: Optimizer steps.
    """
    return _host(sum(size * _slowness(draft, group) for group, size in _sent(draft, network, amounts, steps)))


def _traffic(draft: ClosedDraft, network: Network, amounts: Amounts, steps: int) -> DeviceTraffic | None:
    """What a device sends to others of its machine in a step, and a machine to others; None of a single device."""
    sent = _sent(draft, network, amounts, steps)
    one_each = draft.recipe.budget.nodes > 1 and draft.devices_of_a_machine == draft.candidate.tensor_parallel
    inside = sum(size for group, size in sent if group == "machine" or (group == "run" and not one_each)) / steps
    # In a ring the last device of a machine sends on what all have sent; those that divide layers have a ring each.
    across = sum(size for group, size in sent if group != "machine") / steps * draft.candidate.tensor_parallel
    network_bytes = across if draft.recipe.budget.nodes > 1 else 0.0
    return (
        DeviceTraffic(device_bytes=round(inside), machine_bytes=round(network_bytes))
        if inside or network_bytes
        else None
    )


def _sent(draft: ClosedDraft, network: Network, amounts: Amounts, steps: int) -> list[tuple[Group, float]]:
    """Bytes that a device sends to each group of others in the run; to other machines, what a machine sends."""
    precision, nodes, one = precision_card(draft.train.precision), draft.recipe.budget.nodes, draft.candidate
    held = layer_part(draft.model, one.tensor_parallel).num_parameters
    whole = precision.products.size * (held + _beside(draft, network))
    sizes = {"weights": whole, "gradients": precision.trained.size * network.trainable}
    sent: dict[tuple[Group, str], int] = {}
    for exchange in sharding_card(one.sharding).exchanges:
        key = exchange.group, exchange.every
        sent[key] = sent.get(key, 0) + exchange.sent * sizes[exchange.content]
    found: list[tuple[Group, float]] = []
    for (group, every), size in sent.items():
        count, members = (steps if every == "step" else amounts.passes), group_size(group, one.layer_groups, nodes)
        found.append((group, count * size * (members - 1) / members))
    inside = _keys_of_others(draft, network, amounts) + _sums_of_states(draft, network, amounts)
    return [*found, ("machine", inside)]


def _keys_of_others(draft: ClosedDraft, network: Network, amounts: Amounts) -> float:
    """Bytes of keys and values that a device gets from those that share its rows, and of their gradients."""
    others, one = draft.candidate.context_parallel - 1, draft.candidate
    times = 3 if checkpointing_card(one.activation_checkpointing).recomputes else 2
    return times * others * amounts.tokens * 2 * network.keys * network.layers * activation_bytes(draft)


def _sums_of_states(draft: ClosedDraft, network: Network, amounts: Amounts) -> float:
    """Bytes of states that a device sends where several divide each layer: sums of what they have computed, forward,
    again where that is recomputed, and of gradients in the backward pass; and of scores that are put together.
    """
    among, model = draft.candidate.tensor_parallel, draft.model
    if among == 1:
        return 0.0
    forward, backward = sums_of_layers(model)
    times = 2 if checkpointing_card(draft.candidate.activation_checkpointing).recomputes else 1
    states = 2 * (times * forward + backward) * amounts.tokens * network.hidden
    scores = amounts.scored * (network.head_width + 2 * network.hidden) if divides_head(model, among) else 0.0
    return (states + scores) * (among - 1) / among * activation_bytes(draft)


def _slowness(draft: ClosedDraft, group: Group) -> float:
    """Seconds that a byte takes to another device of a group, by those that it takes to the host.

    In a ring the slowest link sets the pace. Between machines that is their network; where its speed is unknown it
    counts as fast as the link inside, and the time isn't told. All devices of a machine share its network: where they
    exchange parts at once, together they send the whole. Where they divide layers, each has an exchange of its own with
    those of other machines, all at once.
    """
    device, budget = draft.device, draft.recipe.budget
    capability = device.capability or UNKNOWN_CAPABILITY
    inside = peer_link(device.name, capability)
    between = inside if budget.link is None else budget.link / draft.candidate.tensor_parallel
    alone = budget.nodes == 1 or group == "machine"
    no_inside = group == "machines" or draft.devices_of_a_machine == draft.candidate.tensor_parallel
    return host_link(capability) / (inside if alone else between if no_inside else min(inside, between))


def _beside(draft: Draft, network: Network) -> int:
    """Weights of an adapter, which are no part of the model."""
    return 0 if strategy_card(draft.strategy).is_whole else network.trainable


def _host(size: float) -> Work:
    return Work(flops=0.0, bytes=0.0, operations=0.0, host_bytes=size)
