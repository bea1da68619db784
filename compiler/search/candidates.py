"""The candidates of the solver: all ways to run the job that the recipe leaves open.

Open is what stands as `auto`: how many devices share the work and what each of them holds, how many rows go through
the model at once, whether they share sequences of how many tokens, which kernel attends, whether activations are
recomputed, and which optimizer keeps how large a state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, Literal

from ftc.compiler.candidate import Candidate
from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.batch_shapes import usual_rows
from ftc.compiler.rules.sharing_rules import Sharing, asked_sharing
from ftc.compiler.rules.train_rules import unsharded
from ftc.compiler.rules.vision_rules import lonely_part
from ftc.compiler.search.loss_chunks import LossChunks
from ftc.compiler.time.amounts import Amounts
from ftc.compiler.time.network import Network
from ftc.compiler.time.run_time import job_speed
from ftc.compiler.time.run_work import train_amounts, train_work
from ftc.compiler.time.speed import scale_only, seconds_for
from ftc.compiler.time.workload import draft_network
from ftc.compiler.weights import bytes_per_weight, num_trainable
from ftc.spec.checkpointing import CHECKPOINTING, Checkpointing, Recomputing, checkpointing_card
from ftc.spec.devices import kernels
from ftc.spec.heads import head_card
from ftc.spec.knobs import KNOBS
from ftc.spec.optimizer_card import OptimizerCard
from ftc.spec.optimizer_choice import candidates
from ftc.spec.optimizers import OptimizerKind, optimizer_card
from ftc.spec.precisions import precision_card
from ftc.spec.sections.model import AttentionKernel
from ftc.spec.shardings import SHARDINGS, UNDIVIDED, Offload, Sharding, sharding_card
from ftc.spec.strategies import strategy_card
from ftc.spec.text_forms import form_card

__all__ = [
    "LAYOUTS",
    "TOLD_APART",
    "WORTH_PACKING",
    "attention_kernels",
    "by_speed",
    "can_take",
    "checkpointing",
    "device_counts",
    "eval_batches",
    "flash_obstacle",
    "kernels_for_auto",
    "kinds_for_auto",
    "least",
    "model_obstacle",
    "optimizer_kinds",
    "pace_of",
    "packing_obstacle",
    "packings",
    "pages_have_room",
    "train_seconds",
    "training_candidates",
]

_PLACES: tuple[Offload, ...] = ("none", "cpu")
LAYOUTS: tuple[tuple[Sharding, Offload], ...] = tuple(
    (card.kind, place) for place in _PLACES for card in SHARDINGS if place in card.places
)
"""What each device may hold and where: on the device first, and of these what exchanges least first."""


def training_candidates(draft: Draft, sharing: Sharing | None = None) -> Iterator[Candidate]:
    """All ways to train that the recipe allows, with a sequence for each row; see `packings` for the others.

    They evaluate as many rows at once as is usual where memory doesn't matter.

    Args:
        draft: Without a candidate.
        sharing: Which devices have the same rows; as the recipe says, or each its own, where left out.
    """
    tokens, asked = draft.recipe.train.micro_batch_tokens, draft.recipe.eval.batch_size
    kinds, kernels = optimizer_kinds(draft), attention_kernels(draft)
    group, nodes = sharing or asked_sharing(draft.recipe), draft.recipe.budget.nodes
    is_asked = group == asked_sharing(draft.recipe) != Sharing()
    counts = [count for count in device_counts(draft) if is_asked or count // nodes % group.devices == 0]
    for count in counts:
        shares, layouts = max(1, count // group.devices), _layouts(draft, count, group)
        ways = product(kinds, kernels, _modes(draft), _micro_batches(draft, shares), layouts)
        for kind, kernel, checkpointing, size, layout in ways:
            if len(kinds) == 1 or _can_share(draft, kind, layout[0], count):
                rows = usual_rows(draft, max(1, count // group.tensor))[0] if asked == "auto" else asked
                one = Candidate(size, checkpointing, rows, kernel, kind, False, tokens, *layout, count)
                yield replace(one, context_parallel=group.context, tensor_parallel=group.tensor)


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
    if sharding_card(sharding).is_divided:
        return card.whole_tensors is None
    return not card.paged or pages_have_room(draft, card, count)


def _layouts(draft: Draft, count: int, group: Sharing) -> list[tuple[Sharding, Offload]]:
    """How so many devices may share the work; the model is divided only where it can be.

    Where some of them divide each layer, the others divide what each of these has, and keep it.
    """
    train = draft.recipe.train
    if count == 1:
        return [layout for layout in LAYOUTS if not sharding_card(layout[0]).exchanges]
    nodes = draft.recipe.budget.nodes
    cards = [card for card in SHARDINGS if card.exchanges and card.lacks_partners(count, nodes) is None]
    if train.sharding != "auto":
        cards = [sharding_card(train.sharding)]
    elif any(unsharded(draft.recipe)) or draft.model.packed is not None:
        cards = [UNDIVIDED]
    asked = _PLACES if train.offload == "auto" else (train.offload,)
    if group.tensor > 1:
        divided = [card for card in cards if card.is_divided]
        return [(card.kind, "none") for card in divided or [SHARDINGS[-1]]]
    return [(card.kind, place) for card in cards for place in card.places if place in asked]


def _micro_batches(draft: Draft, shares: int) -> list[int]:
    asked, share = draft.recipe.train.micro_batch, -(-draft.recipe.train.batch_size // shares)
    return [size for size in range(share, 0, -1) if share % size == 0] if asked == "auto" else [asked]


def _modes(draft: Draft) -> list[Recomputing]:
    asked = draft.recipe.train.activation_checkpointing
    return [card.value for card in checkpointing(draft)] if asked == "auto" else [asked]


def checkpointing(draft: Draft) -> list[Checkpointing]:
    """The ways of activation checkpointing that the job can have, what keeps most first."""
    refuses = strategy_card(draft.strategy).no_recomputing is not None or draft.model.kind.recomputes is False
    known = [card for card in CHECKPOINTING if card.compiles or not draft.train.compile]
    return [card for card in known if not (card.recomputes and refuses)]


def eval_batches(draft: Draft, rows: int) -> Iterator[int]:
    """Rows that may be evaluated at once, the most first, which are so many where the recipe leaves that open."""
    yield rows
    while draft.recipe.eval.batch_size == "auto" and rows > 1:
        rows //= 2
        yield rows


def packing_obstacle(draft: Draft) -> str | None:
    """Why rows of this job can't share a sequence."""
    task: str = draft.recipe.task.kind
    if not head_card(draft.loaded.head).writes or form_card(draft.text.form).is_pair:
        return f"a {task.replace('_', ' ')} task scores whole rows"
    if draft.recipe.writing is not None:
        return "answers are sampled before a step, and each is a row of its own"
    if draft.taught_sha256 is not None:
        return "the teacher reads the rows in tokens of its own"
    if draft.loaded.family != "decoder":
        return f"an {draft.loaded.family.replace('_', '-')} reads each row as a whole"
    if draft.strategy.traits.num_virtual:
        return "its virtual tokens are added only before the first row"
    if draft.model.vision is not None and draft.model.vision.grid is not None:
        return "places in an image go in two directions, and are counted from the beginning of a row"
    if draft.model.vision is not None and draft.model.vision.card.sees_ahead != "none":
        return f"attention goes in both directions within {_WHOLE[draft.model.vision.card.sees_ahead]}"
    return None


def packings(draft: Draft, one: Candidate) -> Iterator[Candidate]:
    """The same way to train with rows that share sequences; none where they can't, or where the recipe says no.

    A sequence has as many tokens as a micro-batch of the longest rows. Where attention computes all pairs of it and
    masks most of them, one as long as the model is wide keeps that under a fifth of the arithmetic. On a CPU,
    where memory hardly limits, only that is tried.
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


_WHOLE = {"images": "an image", "prompt": "a prompt"}
_WIDEST_HEAD = 256


def model_obstacle(draft: Draft, kernel: AttentionKernel) -> str | None:
    """Why the model's class can't have a kernel; None where it can, or where transformers isn't there to tell."""
    known = draft.model.attention
    if not known or kernel in known:
        return None
    return f"transformers' class for `{draft.model.model_type}` supports {' and '.join(known)}, but not {kernel}"


def flash_obstacle(draft: Draft) -> str | None:
    """Why flash attention's own package can't run on the device; None where it can."""
    device = draft.device
    if device.kind != "cuda":
        return f"flash attention needs a CUDA GPU, but the device is {device.label}"
    if device.capability is not None and not kernels(device.capability)["flash attention"]:
        major, minor = device.capability
        return f"flash attention needs compute capability 8.0, but {device.label} has {major}.{minor}"
    if draft.model.head_dim > _WIDEST_HEAD:
        return (
            f"flash attention supports a head size of at most {_WIDEST_HEAD}, but the model's is {draft.model.head_dim}"
        )
    return None


def kernels_for_auto(draft: Draft) -> tuple[AttentionKernel, ...]:
    """What `attention: auto` chooses among, the one that it takes where all are as fast first.

    The plain formula is for models that have nothing else: it is never faster and never smaller. Flash attention's own
    package comes in where it is installed, in 16 bits, and where no equal bits are asked for.
    """
    found: list[AttentionKernel] = ["sdpa"] if model_obstacle(draft, "sdpa") is None else []
    proves = draft.recipe.train.determinism in ("bitwise", "best_effort")
    has_flash = "flash-attn" in draft.packages and precision_card(draft.train.precision).is_mixed and not proves
    if has_flash and flash_obstacle(draft) is None and "flash_attention_2" in (draft.model.attention or ()):
        found.append("flash_attention_2")
    return tuple(found) or ("eager",)


def device_counts(draft: Draft) -> tuple[int, ...]:
    """The numbers of devices of all machines together that the recipe allows, the least first.

    `auto` stands for one up to as many of the plan's kind as this machine has: processes on a CPU share it, so
    that it counts as one. Each device has a row of every step and room for a micro-batch that is written; what is to
    be shared needs two, and a proof of equal bits is made by one, as is the training of parts whose gradients can't be
    exchanged. A kind that isn't here can't be counted, and stands for one.
    """
    asked, train, nodes = draft.recipe.budget.devices, draft.recipe.train, draft.recipe.budget.nodes
    if asked != "auto":
        return (asked * nodes,)
    writing = draft.recipe.writing
    if train.compile or (writing is not None and not writing.divides):  # rules refuse more
        return (1,)
    least = 1 if train.sharding == "auto" else sharding_card(train.sharding).least_devices(nodes)
    if least == 1 and (train.determinism in ("bitwise", "best_effort") or lonely_part(draft) is not None):
        return (nodes,)
    here = draft.device.count if draft.device.local else 1
    group = asked_sharing(draft.recipe).devices
    counts = (count for count in range(least, here + 1) if count % group == 0)
    return tuple(nodes * count for count in counts if _have_rows(draft, nodes * count // group)) or (nodes,)


def _have_rows(draft: Draft, shares: int) -> bool:
    batch, micro = draft.recipe.train.batch_size, draft.recipe.train.micro_batch
    return shares <= batch and (micro == "auto" or micro <= -(-batch // shares))


_HOST_SHARE = 0.8
"""Part of the host's memory that pages may take; the rest is for the process and the system."""


def kinds_for_auto(draft: Draft) -> tuple[OptimizerKind, ...]:
    """What `optimizer: {kind: auto}` chooses among, the exact ones first; without a choice, what is left."""
    found = candidates("auto", draft.recipe.train.precision)
    return tuple(card.kind for card in found if len(found) == 1 or can_take(draft, card))


def can_take(draft: Draft, card: OptimizerCard) -> bool:
    """Whether the solver may take or suggest an optimizer on the draft's device.

    Its package has to be installed there, a proof of equal bits has to be possible where one is asked for, and pages
    have to have room beside the device, which is known of this machine alone.
    """
    kind = draft.device.kind
    proves = draft.recipe.train.determinism in ("bitwise", "best_effort")
    if kind not in card.solver_on or (proves and kind not in card.exact_on):
        return False
    is_installed = card.extra == "train" or card.package in draft.packages
    return is_installed and (not card.paged or pages_have_room(draft, card))


def pages_have_room(draft: Draft, card: OptimizerCard, processes: int = 1) -> bool:
    """Whether the host's memory has room for the pages of so many processes, each with all of the optimizer's state."""
    host, processes = draft.device.host_bytes, -(-processes // draft.recipe.budget.nodes)
    return host is None or processes * bytes_per_weight(draft, card) * num_trainable(draft) <= _HOST_SHARE * host


TOLD_APART = 1.1
"""Times that the roofline tells apart."""
WORTH_PACKING: Mapping[Literal["cpu", "cuda"], float] = {"cuda": 0.9, "cpu": 0.8}
"""Part of a padded run's time below which `auto` packs: less than a tenth is more than a roofline can tell. On a
CPU packed rows took up to a quarter longer than expected beside padded ones (`benchmarks/packing.py`)."""

Pace = Callable[[ClosedDraft], float]
"""Seconds that training of a draft is expected to take."""


def by_speed(draft: Draft, sharing: Sharing | None = None) -> list[Candidate]:
    """All candidates that the recipe allows, the fastest first; for the arguments see `training_candidates`."""
    seconds = pace_of(least(draft))
    pace = dict(_paced(draft, seconds, sharing))
    ranked = sorted(pace, key=_order(draft, pace))
    eval_rows = {count: _rows_of_evaluations(draft, count) for count in {one.layer_groups for one in pace}}
    return [replace(candidate, eval_batch=rows) for candidate in ranked for rows in eval_rows[candidate.layer_groups]]


def _rows_of_evaluations(draft: Draft, shares: int) -> list[int]:
    """Rows that each device, or group that divides layers, may evaluate at once; so many of them share the rows."""
    asked = draft.recipe.eval.batch_size
    usual = usual_rows(draft, shares)[0] if asked == "auto" else asked
    return list(eval_batches(draft, usual))


def least(draft: Draft) -> ClosedDraft:
    """The draft with the first way to run it: on the fewest devices, with the most rows at once."""
    return draft.at(next(training_candidates(draft)))


def train_seconds(draft: ClosedDraft) -> float:
    """What training is expected to take, by the best source there is; without one, in proportion.

    Args:
        draft: As the run would be.
    """
    return pace_of(draft)(draft)


def pace_of(draft: ClosedDraft) -> Pace:
    """`train_seconds` of drafts that differ from this one by their candidates, and by nothing else."""
    speed = job_speed(draft) or scale_only()
    networks: dict[Any, Network] = {}
    fed: dict[Any, Amounts] = {}

    def seconds(one: ClosedDraft) -> float:
        variant = one.candidate.attention, one.candidate.tensor_parallel
        if variant not in networks:
            networks[variant] = draft_network(one)
        divided = tuple(getattr(one.candidate, knob.name) for knob in KNOBS if knob.divides)
        key = (divided, variant)
        if key not in fed:
            fed[key] = train_amounts(one)
        return seconds_for(train_work(one, networks[variant], fed[key]), speed).expected

    return seconds


def _paced(draft: Draft, seconds: Pace, sharing: Sharing | None) -> Iterator[tuple[Candidate, float]]:
    """Candidates with their pace; where the recipe leaves it open, rows share sequences only where that is worth it."""
    asked, chunks = draft.recipe.train.packing, LossChunks(draft)
    for candidate in map(chunks.on, training_candidates(draft, sharing)):
        packed = [(one, seconds(draft.at(one))) for one in map(chunks.on, packings(draft, candidate))]
        if asked is True and packed:
            yield from packed
            continue
        padded = seconds(draft.at(candidate))
        yield candidate, padded
        yield from ((one, pace) for one, pace in packed if pace < WORTH_PACKING[draft.device.kind] * padded)


def _order(draft: Draft, pace: dict[Candidate, float]) -> Callable[[Candidate], tuple[Any, ...]]:
    kernels, kinds = kernels_for_auto(draft), kinds_for_auto(draft)
    fastest = {
        rounded: min((pace[one] for one in pace if optimizer_card(one.optimizer).is_rounded is rounded), default=0.0)
        for rounded in (False, True)
    }

    def key(candidate: Candidate) -> tuple[Any, ...]:
        rounded = optimizer_card(candidate.optimizer).is_rounded
        least, seconds = fastest[rounded], pace[candidate]
        level = math.floor(math.log(seconds / least) / math.log(TOLD_APART)) if least > 0 else 0
        kernel = kernels.index(candidate.attention) if candidate.attention in kernels else 0
        kind = kinds.index(candidate.optimizer) if candidate.optimizer in kinds else 0
        shared = candidate.devices, LAYOUTS.index((candidate.sharding, candidate.offload))
        mode = CHECKPOINTING.index(checkpointing_card(candidate.activation_checkpointing))
        return rounded, level, shared, kernel, kind, mode, -candidate.micro_batch, seconds

    return key
