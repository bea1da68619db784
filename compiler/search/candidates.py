"""The points that the solver looks at: all ways to run the job that the recipe leaves open.

Open is what stands as `auto`: how many devices share the work and what each of them holds, how many rows go through
the model at once, whether they share sequences of how many tokens, which kernel attends, whether activations are
recomputed, and what the optimiser remembers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from ftc.compiler.draft import Draft
from ftc.compiler.rules.sharding_rules import unsharded
from ftc.compiler.search.attention_kernels import kernels_for_auto
from ftc.compiler.search.device_counts import device_counts, threads_of_each
from ftc.compiler.search.optimizer_choice import kinds_for_auto, pages_have_room
from ftc.spec.heads import head_card
from ftc.spec.optimizers import OptimizerKind, optimizer_card
from ftc.spec.sections.model import AttentionKernel
from ftc.spec.sections.train import Offload, Sharding
from ftc.spec.strategies import strategy_card
from ftc.spec.text_forms import form_card

__all__ = [
    "LAYOUTS",
    "Point",
    "at",
    "eval_batches",
    "packing_obstacle",
    "packings",
    "point_of",
    "share_of_batch",
    "training_points",
]

LAYOUTS: tuple[tuple[Sharding, Offload], ...] = (("none", "none"), ("ddp", "none"), ("fsdp", "none"), ("fsdp", "cpu"))
"""What each device may hold and where, what exchanges least first."""


@dataclass(frozen=True, slots=True)
class Point:
    """One way to run the job.

    Attributes:
        micro_batch: Rows that go through the model at once on one device.
        checkpointing: Whether activations are recomputed.
        eval_batch: Rows that are evaluated at once.
        attention: Kernel of attention.
        optimizer: Kind of optimiser.
        packs: Whether rows share sequences.
        tokens: Most tokens that go through the model at once; None where rows alone decide.
        sharding: What each of several devices holds.
        offload: Where their parts lie.
        devices: How many share the run.
    """

    micro_batch: int
    checkpointing: bool
    eval_batch: int
    attention: AttentionKernel
    optimizer: OptimizerKind
    packs: bool
    tokens: int | None
    sharding: Sharding
    offload: Offload
    devices: int


def at(draft: Draft, point: Point) -> Draft:
    """The draft as it is at a point; origins stay as they are."""
    values = {
        "train.micro_batch": point.micro_batch,
        "train.activation_checkpointing": point.checkpointing,
        "eval.batch_size": point.eval_batch,
        "model.attention": point.attention,
        "train.optimizer.kind": point.optimizer,
        "train.fused": optimizer_card(point.optimizer).fused,
        "train.packing": point.packs,
        "train.micro_batch_tokens": point.tokens,
        "train.sharding": point.sharding,
        "train.offload": point.offload,
        "train.world_size": point.devices,
        "device.count": point.devices,
        "device.threads": threads_of_each(draft, point.devices),
    }
    return replace(draft, values={**draft.values, **values})


def point_of(draft: Draft) -> Point:
    """The point that a settled draft stands at."""
    values = draft.values
    return Point(
        micro_batch=values["train.micro_batch"],
        checkpointing=values["train.activation_checkpointing"],
        eval_batch=values["eval.batch_size"],
        attention=values["model.attention"],
        optimizer=values["train.optimizer.kind"],
        packs=values["train.packing"],
        tokens=values["train.micro_batch_tokens"],
        sharding=values["train.sharding"],
        offload=values["train.offload"],
        devices=values["train.world_size"],
    )


def training_points(draft: Draft) -> Iterator[Point]:
    """All ways to train that the recipe allows, with a sequence for each row; see `packings` for the others."""
    train, attention, rows = draft.recipe.train, draft.recipe.model.attention, draft.values["eval.batch_size"]
    kinds = kinds_for_auto(draft) if train.optimizer.kind == "auto" else (train.optimizer.kind,)
    kernels = kernels_for_auto(draft) if attention == "auto" else (attention,)
    for count in device_counts(draft):
        ways = product(kinds, kernels, _modes(draft), _micro_batches(draft, count), _layouts(draft, count))
        for kind, kernel, checkpointing, size, layout in ways:
            if len(kinds) == 1 or _can_share(draft, kind, layout[0], count):
                yield Point(size, checkpointing, rows, kernel, kind, False, train.micro_batch_tokens, *layout, count)


def _can_share(draft: Draft, kind: OptimizerKind, sharding: Sharding, count: int) -> bool:
    """Whether so many devices may have this optimiser where `auto` takes it: some take whole tensors, others pages."""
    card = optimizer_card(kind)
    if sharding == "fsdp":
        return card.whole_tensors is None
    return not card.paged or pages_have_room(draft, card, count)


def _layouts(draft: Draft, count: int) -> list[tuple[Sharding, Offload]]:
    """How so many devices may share the work; `fsdp` where it can divide the model."""
    train = draft.recipe.train
    if count == 1:
        return [("none", "none")]
    kinds: list[Sharding] = ["ddp", "fsdp"] if train.sharding == "auto" else [train.sharding]
    places: list[Offload] = ["none", "cpu"] if train.offload == "auto" else [train.offload]
    if train.sharding == "auto" and any(unsharded(draft.recipe)):
        kinds = ["ddp"]
    return [(kind, place) for kind in kinds for place in places if kind == "fsdp" or place == "none"]


def _micro_batches(draft: Draft, count: int) -> list[int]:
    asked, share = draft.recipe.train.micro_batch, -(-draft.recipe.train.batch_size // count)
    return [size for size in range(share, 0, -1) if share % size == 0] if asked == "auto" else [asked]


def share_of_batch(draft: Draft) -> int:
    """Rows of an optimiser step that one device gets at most."""
    return -(-draft.recipe.train.batch_size // int(draft.values["train.world_size"]))


def _modes(draft: Draft) -> list[bool]:
    asked = draft.recipe.train.activation_checkpointing
    if asked != "auto":
        return [asked]
    return [False] if strategy_card(draft.strategy).no_recomputing else [False, True]


def eval_batches(draft: Draft, rows: int) -> Iterator[int]:
    """Rows that may be evaluated at once, the most first, which are so many where the recipe leaves that open."""
    yield rows
    while draft.recipe.eval.batch_size == "auto" and rows > 1:
        rows //= 2
        yield rows


def packing_obstacle(draft: Draft) -> str | None:
    """Why rows of this job can't share a sequence."""
    task: str = draft.recipe.task.kind
    if head_card(draft.loaded.head).is_new or form_card(draft.text.form).is_pair:
        return f"a {task.replace('_', ' ')} scores whole rows"
    if draft.loaded.family != "decoder":
        return f"an {draft.values['model.family'].replace('_', '-')} reads a row as a whole"
    if draft.strategy.traits.num_virtual:
        return "its virtual tokens stand before the first row alone"
    return None


def packings(draft: Draft, point: Point) -> Iterator[Point]:
    """The same way to train with rows that share sequences; none where they can't, or where the recipe says no.

    A sequence has as many tokens as a micro-batch of the longest rows. Where attention computes all pairs of it and
    masks most of them, one as long as the model is wide keeps that under a fifth of the arithmetic. On a processor,
    where memory hardly limits, only that is looked at.
    """
    asked = draft.recipe.train.packing
    if asked is False or packing_obstacle(draft) is not None:
        return
    longest = draft.splits["train"].length_max
    most = point.micro_batch * longest
    narrow = max(longest, min(most, draft.model.hidden_size))
    if (tokens := draft.recipe.train.micro_batch_tokens) is not None:
        lengths = [tokens]
    elif point.attention == "flash_attention_2":
        lengths = [most]
    elif draft.device.kind == "cpu":
        lengths = [narrow]
    else:
        lengths = sorted({narrow, most})
    yield from (replace(point, packs=True, tokens=length) for length in lengths)
