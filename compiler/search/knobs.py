"""Where the solver's choice of each knob comes from: one function a knob of `ftc.spec.knobs`, which gives its origin.

A value that the recipe has keeps the recipe's origin. One that it leaves open is explained by what the search found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ftc.compiler.candidate import Candidate
from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.batch_shapes import usual_rows
from ftc.compiler.memory.memory import limit_of
from ftc.compiler.search.candidates import TOLD_APART, least, model_obstacle, pace_of, packing_obstacle, packings
from ftc.compiler.search.loss_chunks import chunk_obstacle
from ftc.compiler.search.search import Found
from ftc.compiler.weights import card_of
from ftc.spec.checkpointing import checkpointing_card
from ftc.spec.documents.plan import Origin
from ftc.spec.knobs import KNOBS
from ftc.spec.optimizer_choice import candidates
from ftc.spec.shardings import sharding_card

__all__ = ["BESIDE", "ORIGINS", "Choice", "chosen"]

_SMALLEST = "the smallest value, and it does not fit"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the solver found.

    Attributes:
        draft: The draft at the candidate that is taken.
        found: The search's finding.
        candidates: All that were tried.
    """

    draft: ClosedDraft
    found: Found
    candidates: Sequence[Candidate]

    def derived(self, reason: str) -> Origin:
        """Follows from the search, whether or not anything fits."""
        return Origin(kind="derived", reason=reason)

    def fitting(self, reason: str) -> Origin:
        """The same, where the reason is that it fits."""
        return self.derived(reason if self.found.fits else _SMALLEST)

    def asked(self, recipe_path: str) -> Origin:
        """The recipe has the value, written or default."""
        return self.draft.origin_of(recipe_path)


def chosen(choice: Choice) -> ClosedDraft:
    """The draft with the origins of all that the solver settles."""
    draft = choice.draft
    told = {knob.settings[0]: ORIGINS[knob.name](choice) for knob in KNOBS}
    beside = {path: origin(choice) for path, origin in BESIDE.items()}
    return replace(draft, origins={**draft.origins, **told, **beside, **_nodes(choice)})


def _micro_batch(choice: Choice) -> Origin:
    if choice.draft.recipe.train.micro_batch != "auto":
        return choice.asked("train.micro_batch")
    one, share = choice.draft.candidate, choice.draft.share_of_batch
    if one.micro_batch != share:
        return choice.fitting("fastest that fits")
    return choice.fitting("the whole batch fits" if one.devices == 1 else "one device's whole share of the batch fits")


def _checkpointing(choice: Choice) -> Origin:
    if choice.draft.recipe.train.activation_checkpointing != "auto":
        return choice.asked("train.activation_checkpointing")
    return choice.fitting(checkpointing_card(choice.draft.candidate.activation_checkpointing).chosen)


def _loss_chunk_size(choice: Choice) -> Origin:
    draft = choice.draft
    if (obstacle := chunk_obstacle(draft)) is not None:
        return choice.derived(obstacle)
    if draft.recipe.train.loss_chunk_size != "auto":
        return choice.asked("train.loss_chunk_size")
    if draft.candidate.loss_chunk_size is None:
        return choice.derived("all logits of a per-device batch take little memory")
    return choice.derived("all logits of a per-device batch at once would take much memory")


def _packing(choice: Choice) -> Origin:
    draft = choice.draft
    asked, obstacle = draft.recipe.train.packing, packing_obstacle(draft)
    if asked is False or (asked is True and obstacle is None):
        return choice.asked("train.packing")
    if obstacle is not None:
        return choice.derived(obstacle)
    one, seconds = draft.candidate, pace_of(draft)
    padded = replace(one, packing=False, micro_batch_tokens=draft.recipe.train.micro_batch_tokens)
    packed = [one] if one.packing else list(packings(draft, padded))
    part = min(seconds(draft.at(other)) for other in packed) / seconds(draft.at(padded))
    return choice.derived(f"the roofline estimates {part:.0%} of the time without packing")


def _micro_batch_tokens(choice: Choice) -> Origin:
    one = choice.draft.candidate
    if one.micro_batch_tokens == choice.draft.recipe.train.micro_batch_tokens:
        return choice.asked("train.micro_batch_tokens")
    if one.micro_batch_tokens == one.micro_batch * choice.draft.splits["train"].length_max:
        return choice.derived("the per-device batch in one sequence, at the longest rows")
    return choice.derived("attention over longer sequences costs more than padding")


def _devices(choice: Choice) -> Origin:
    """Why so many: by what was left to choose, and by the roofline."""
    draft, found = choice.draft, choice.found
    if draft.recipe.budget.devices != "auto":
        return choice.asked("budget.devices")
    nodes = draft.recipe.budget.nodes
    count, counts = draft.devices_of_a_machine, sorted({one.devices // nodes for one in choice.candidates})
    if len(counts) == 1:
        is_all = draft.device.count == count
        return choice.derived("all devices of this machine" if is_all else "this job allows only this number")
    among = f"of {counts[0]} to {counts[-1]}"
    if found.fits and draft.candidate.devices in found.too_dear:
        return choice.derived(f"the cheapest {among}: none certainly stays within the budget's cost")
    kept = " and stays within the budget's cost" if found.too_dear else ""
    return choice.fitting(f"the fastest {among} that fits{kept}{_compared(choice) if found.fits else ''}")


def _compared(choice: Choice) -> str:
    """The pace beside the best on the least number of devices, or on more, whether or not that fits."""
    draft, fewest = choice.draft, min(one.devices for one in choice.candidates)
    is_more, seconds = draft.candidate.devices > fewest, pace_of(least(draft))
    other = next(one for one in choice.candidates if (one.devices == fewest) is is_more)
    part = seconds(draft) / seconds(draft.at(other))
    if not is_more:
        return ": more devices save less than a tenth by the roofline" if part < TOLD_APART else ""
    words = f"the fastest candidate on {fewest}"
    return f": the roofline estimates {part:.0%} of the time of {words}" if part < 1 else f": {words} does not"


def _context_parallel(choice: Choice) -> Origin:
    if choice.draft.recipe.train.context_parallel != "auto":
        return choice.asked("train.context_parallel")
    if choice.draft.candidate.context_parallel == 1:
        return choice.derived("each device has rows of its own")
    return choice.fitting("nothing fits with fewer devices for each row")


def _tensor_parallel(choice: Choice) -> Origin:
    if choice.draft.recipe.train.tensor_parallel != "auto":
        return choice.asked("train.tensor_parallel")
    if choice.draft.candidate.tensor_parallel == 1:
        return choice.derived("each device computes whole layers")
    return choice.fitting("nothing fits with fewer devices for each layer")


def _sharding(choice: Choice) -> Origin:
    one = choice.draft.candidate
    if one.devices == 1:
        return choice.derived("one device holds everything")
    if choice.draft.recipe.train.sharding != "auto":
        return choice.asked("train.sharding")
    if not one.is_divided:
        return choice.derived("exchanging only gradients is fastest")
    where = " inside each machine" if sharding_card(one.sharding).divided_among == "machine" else ""
    return choice.fitting(f"the fastest candidate that fits shards the model{where}")


def _offload(choice: Choice) -> Origin:
    one, asked = choice.draft.candidate, choice.draft.recipe.train.offload
    if asked == one.offload:
        return choice.asked("train.offload")
    if asked == "auto" and one.offload == "none":
        return choice.derived("GPU memory is faster")
    return choice.fitting("the fastest candidate that fits keeps shards in host RAM")


def _attention(choice: Choice) -> Origin:
    draft = choice.draft
    if draft.recipe.model.attention != "auto":
        return choice.asked("model.attention")
    obstacle = model_obstacle(draft, "sdpa")
    if draft.candidate.attention == "flash_attention_2":
        why = f"; {obstacle}" if obstacle else ", and the job fits or is faster with it"
        return choice.derived(f"flash-attn is installed{why}")
    return choice.derived(obstacle or "available on every device without further packages")


def _optimizer(choice: Choice) -> Origin:
    if choice.draft.recipe.train.optimizer.kind != "auto":
        return choice.asked("train.optimizer.kind")
    card = card_of(choice.draft)
    if len(candidates("auto", choice.draft.recipe.train.precision)) == 1:
        return choice.derived(f"the one that keeps what rounding takes of updates to {card.weights.name} weights")
    if card.is_rounded:
        return choice.derived("AdamW's optimizer state in float32 does not fit; 8-bit state rounds at each step")
    if card.paged:
        words = "its optimizer state can move to host RAM: fastest such candidate that fits"
        return choice.fitting(f"AdamW in float32, {words}")
    return choice.fitting("AdamW in float32 is exact, and fits")


def _eval_batch(choice: Choice) -> Origin:
    draft = choice.draft
    if draft.recipe.eval.batch_size != "auto":
        return choice.asked("eval.batch_size")
    rows, reason = usual_rows(draft, draft.candidate.layer_groups)
    if draft.candidate.eval_batch == rows:
        return choice.derived(reason)
    return choice.fitting(f"the largest that fits {limit_of(draft)[1]}")


ORIGINS: Mapping[str, Callable[[Choice], Origin]] = {
    "micro_batch": _micro_batch,
    "activation_checkpointing": _checkpointing,
    "loss_chunk_size": _loss_chunk_size,
    "packing": _packing,
    "micro_batch_tokens": _micro_batch_tokens,
    "devices": _devices,
    "context_parallel": _context_parallel,
    "tensor_parallel": _tensor_parallel,
    "sharding": _sharding,
    "offload": _offload,
    "attention": _attention,
    "optimizer": _optimizer,
    "eval_batch": _eval_batch,
}
"""By the knob's name."""


def _processes(choice: Choice) -> Origin:
    is_one = choice.draft.candidate.devices == 1
    return choice.derived("one process on one device" if is_one else "a process for each device")


def _threads(choice: Choice) -> Origin:
    if choice.draft.recipe.budget.threads != "auto":
        return choice.asked("budget.threads")
    if (count := choice.draft.devices_of_a_machine) > 1:
        return choice.derived(f"a share of the physical cores for each of {count} processes")
    return choice.derived("physical cores available to this process")


def _kernel_of_optimizer(choice: Choice) -> Origin:
    card = card_of(choice.draft)
    if card.fused:
        return choice.derived("the fused kernel updates all weights in one pass")
    return choice.derived(f"`{card.kind}` has only one kernel")


def _device(choice: Choice) -> Origin:
    device = choice.draft.device
    return choice.derived(device.label if device.local else f"{device.label}, from ftc's list of GPUs")


def _nodes(choice: Choice) -> Mapping[str, Origin]:
    """Where the number of machines comes from, in plans that have it."""
    return {"train.nodes": choice.asked("budget.nodes")} if choice.draft.recipe.budget.nodes > 1 else {}


BESIDE: Mapping[str, Callable[[Choice], Origin]] = {
    "train.world_size": _processes,
    "train.fused": _kernel_of_optimizer,
    "device.threads": _threads,
    "device.name": _device,
    "device.kind": _device,
}
"""Settings that follow from a candidate and the device, by path."""
