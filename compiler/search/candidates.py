"""The candidates of the solver: all ways to run the job that the recipe leaves open.

Open is what stands as `auto`: how many devices share the work and what each of them holds, how many rows go through
the model at once, whether they share sequences of how many tokens, which kernel attends, whether activations are
recomputed, and which optimizer keeps how large a state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from ftc.compiler.draft import Candidate, Draft
from ftc.compiler.memory.eval_passes import usual_rows
from ftc.compiler.rules.train_rules import unsharded
from ftc.compiler.search.attention_kernels import kernels_for_auto
from ftc.compiler.search.device_counts import device_counts
from ftc.compiler.search.optimizer_choice import kinds_for_auto, pages_have_room
from ftc.spec.heads import head_card
from ftc.spec.optimizers import OptimizerKind, optimizer_card
from ftc.spec.sections.model import AttentionKernel
from ftc.spec.sections.train import Offload, Sharding
from ftc.spec.strategies import strategy_card
from ftc.spec.text_forms import form_card

__all__ = [
    "LAYOUTS",
    "attention_kernels",
    "eval_batches",
    "optimizer_kinds",
    "packing_obstacle",
    "packings",
    "training_candidates",
]

LAYOUTS: tuple[tuple[Sharding, Offload], ...] = (("none", "none"), ("ddp", "none"), ("fsdp", "none"), ("fsdp", "cpu"))
"""What each device may hold and where, what exchanges least first."""


def training_candidates(draft: Draft) -> Iterator[Candidate]:
    """All ways to train that the recipe allows, with a sequence for each row; see `packings` for the others.

    They evaluate as many rows at once as is usual where memory doesn't matter.
    """
    tokens, asked = draft.recipe.train.micro_batch_tokens, draft.recipe.eval.batch_size
    kinds, kernels = optimizer_kinds(draft), attention_kernels(draft)
    for count in device_counts(draft):
        ways = product(kinds, kernels, _modes(draft), _micro_batches(draft, count), _layouts(draft, count))
        for kind, kernel, checkpointing, size, layout in ways:
            if len(kinds) == 1 or _can_share(draft, kind, layout[0], count):
                rows = usual_rows(draft, count)[0] if asked == "auto" else asked
                yield Candidate(size, checkpointing, rows, kernel, kind, False, tokens, *layout, count)


def optimizer_kinds(draft: Draft) -> tuple[OptimizerKind, ...]:
    """Optimizers that the recipe allows, what `auto` takes first first."""
    asked = draft.recipe.train.optimizer.kind
    return kinds_for_auto(draft) if asked == "auto" else (asked,)


def attention_kernels(draft: Draft) -> tuple[AttentionKernel, ...]:
    """Kernels of attention that the recipe allows, the usual one first."""
    asked = draft.recipe.model.attention
    return kernels_for_auto(draft) if asked == "auto" else (asked,)


def _can_share(draft: Draft, kind: OptimizerKind, sharding: Sharding, count: int) -> bool:
    """Whether so many devices may have this optimizer where `auto` takes it: some take whole tensors, others pages."""
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
        return f"an {draft.loaded.family.replace('_', '-')} reads a row as a whole"
    if draft.strategy.traits.num_virtual:
        return "its virtual tokens stand before the first row alone"
    return None


def packings(draft: Draft, one: Candidate) -> Iterator[Candidate]:
    """The same way to train with rows that share sequences; none where they can't, or where the recipe says no.

    A sequence has as many tokens as a micro-batch of the longest rows. Where attention computes all pairs of it and
    masks most of them, one as long as the model is wide keeps that under a fifth of the arithmetic. On a processor,
    where memory hardly limits, only that is looked at.
    """
    asked = draft.recipe.train.packing
    if asked is False or packing_obstacle(draft) is not None:
        return
    longest = draft.splits["train"].length_max
    most = one.micro_batch * longest
    narrow = max(longest, min(most, draft.model.hidden_size))
    if (tokens := draft.recipe.train.micro_batch_tokens) is not None:
        lengths = [tokens]
    elif one.attention == "flash_attention_2":
        lengths = [most]
    elif draft.device.kind == "cpu":
        lengths = [narrow]
    else:
        lengths = sorted({narrow, most})
    yield from (replace(one, packing=True, micro_batch_tokens=length) for length in lengths)
