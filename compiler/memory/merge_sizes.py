"""What merging an adapter takes, from sizes that are known before: memory of its own, mapped weights, disk.

Weights are mapped from their file as long as they stay what is stored there; each is merged, written and let go of by
itself. So the largest weight decides, and not the model, unless its weights are held in another type than they lie in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from ftc.compiler.memory.context import context_of
from ftc.compiler.resolve.models.model_form import linear_modules
from ftc.compiler.resolve.models.weights import BITS
from ftc.spec.architecture_card import Mixture
from ftc.spec.documents.facts import DeviceFacts, TensorFacts
from ftc.spec.documents.lockfile import is_weight_file
from ftc.spec.documents.merged import Held, Room, WeightType
from ftc.spec.documents.plan import Plan
from ftc.spec.experts import expert_group
from ftc.spec.heads import head_card
from ftc.spec.precisions import NUMBER_TYPES, NumberType, number_type, precision_card

__all__ = ["added_to", "merge_room", "usual_type"]

_FP32 = 4
_SCORED = 8 * 16 * 2
"""Places whose scores are kept, of both models."""
_SMALL_FILES = 2**20
"""Configuration, card and index."""


def usual_type(plan: Plan, tensors: Mapping[str, TensorFacts]) -> WeightType:
    """The type that most of the base is stored in, or the run's where that has fewer bits: no bits that say nothing."""
    if _held(plan).size < NUMBER_TYPES[0].size:
        return _held(plan).name
    sizes: dict[WeightType, int] = {
        kind.name: sum(one.num_elements for one in tensors.values() if one.dtype == kind.stored)
        for kind in NUMBER_TYPES
    }
    return max(sizes, key=lambda kind: sizes[kind])


def added_to(plan: Plan, tensors: Mapping[str, TensorFacts]) -> Held:
    """What a run's adapter stood beside."""
    if (quantized := plan.settings.strategy.traits.quantized) is not None:
        return f"unpacked from {quantized.type}"
    held = _held(plan)
    if plan.settings.model.quantized_files is not None:
        return f"dequantized to {held.name}"
    is_rounded = held.size < NUMBER_TYPES[0].size and any(one.dtype != held.stored for one in tensors.values())
    return f"rounded to {held.name}" if is_rounded else "as stored"


def merge_room(
    plan: Plan,
    tensors: Mapping[str, TensorFacts],
    mixture: Mixture | None,
    weight_type: WeightType,
    machine: DeviceFacts,
) -> Room:
    """What a merge takes at the most, one phase after the other.

    Args:
        plan: The run's plan.
        tensors: The base model's, as they are stored, but whole where files hold them quantized.
        mixture: The base model's, in the words of its type; None for a dense one.
        weight_type: What is written.
        machine: This machine's CPU.
    """
    whole = sum(one.num_elements for one in tensors.values())
    trained = plan.model.num_trainable
    held, width = _held(plan), number_type(weight_type).size
    converted = held.size * sum(one.num_elements for one in tensors.values() if one.dtype != held.stored)
    loaded = _loaded(plan, converted) + _FP32 * trained
    merging = loaded + _widest(plan, tensors, mixture, weight_type)
    again = 0 if weight_type == held.name else held.size * whole
    asking = max(loaded, again) + _one_row(plan)
    outputs = head_card(plan.settings.model.head).num_outputs(len(plan.settings.text.labels))
    words = max((one.shape[0] for one in tensors.values() if len(one.shape) == 2), default=0)  # rows of their table
    kept = _FP32 * _SCORED * (outputs or words)
    is_quantized = plan.settings.model.quantized_files is not None  # then no weight is read in place
    stored = 0 if is_quantized else sum(one.num_elements * BITS[one.dtype] // 8 for one in tensors.values())
    written = width * (whole + trained)
    return Room(
        memory_bytes=context_of(machine).size.expected + max(merging, asking) + kept,
        mapped_bytes=stored if again == 0 else written,
        disk_bytes=written
        + _SMALL_FILES
        + sum(f.size for n, f in plan.lock.model.files.items() if not is_weight_file(n)),
    )


def _held(plan: Plan) -> NumberType:
    """The type in which the run held the base's weights."""
    return precision_card(plan.settings.train.precision).frozen


def _loaded(plan: Plan, converted: int) -> int:
    """Weights in memory of the process before anything is merged."""
    traits = plan.settings.strategy.traits
    if traits.quantized is not None:  # beside the packed weights lies the plain model that takes their values
        packed = next((one.components.get("weights", 0) for one in plan.memory.phases if one.phase == "load"), 0)
        return packed + converted
    if traits.changes_base or plan.settings.model.quantized_files is not None:
        return max(converted, _held(plan).size * plan.model.num_parameters)
    return converted


def _widest(plan: Plan, tensors: Mapping[str, TensorFacts], mixture: Mixture | None, weight_type: WeightType) -> int:
    """What one weight takes while it is merged, or while another that no adapter changes is written."""
    copies = plan.settings.strategy.traits.merge_copies
    adapted = max((i * o for i, o in linear_modules(tensors, "").values()), default=0)
    if mixture is not None and plan.settings.strategy.traits.of_experts:
        adapted = max((adapted, *_expert_layers(tensors, mixture).values()))
    other = max((one.num_elements for one in tensors.values()), default=0)
    width = number_type(weight_type).size
    return max(adapted * (copies * _FP32 + width), other * (width + 1))


def _expert_layers(tensors: Mapping[str, TensorFacts], mixture: Mixture) -> Counter[str]:
    """Weights of all experts of a layer, of which memory has the larger part in one tensor."""
    found = Counter[str]()
    for name, one in tensors.items():
        if mixture.is_expert(name):
            found[expert_group(name)] += one.num_elements
    return found


def _one_row(plan: Plan) -> int:
    """What a row takes on its way through the model: the plan's largest evaluation, shared among its rows."""
    states = ("weights", "adapter", "optimiser state", "gradients", "workspace", "teacher")
    for name, rows in (("evaluation", plan.settings.eval.batch_size), ("forward", plan.settings.train.micro_batch)):
        found = [one for one in plan.memory.phases if one.phase.partition(":")[0] == name]
        if found:
            most = max(sum(size for part, size in one.components.items() if part not in states) for one in found)
            return math.ceil(most / max(rows, 1))
    return 0
