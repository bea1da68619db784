"""Peak memory of one of several devices that share a run, by torch's own rules.

DDP keeps a second copy of the gradients, its buckets. `fully_shard` keeps a part of weights, gradients and moments, in
host RAM where they are offloaded, and gathers layers one after the other in the width of the products: the one that
computes, the next one, and what is outside the layers.
"""

from __future__ import annotations

from ftc.compiler.memory.expert_formula import expert_weights
from ftc.compiler.memory.memory_formula import MemoryInputs, phase_peak
from ftc.compiler.remembered import remembered
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.shardings import Offload, ShardingCard

__all__ = ["on_one_of"]

_FP32 = 4

_DIVIDED = ("weights", "adapter", "gradients", "optimiser state")
_COMPUTING = ("forward", "loss", "backward", "evaluation", "generation")
"""Phases in which something is put together; at the loss what stands outside the layers still is."""
_INSIDE = ("layers", "encoder", "prompts", "last token")
_BEFORE_LAYERS = "forward: embedding"
_LAYERS_AT_ONCE = {"forward": 3, "evaluation": 3, "generation": 3, "backward": 2}
"""Layers that are whole or on their way: the one that computes, and one or two buffers in which others arrive."""


def on_one_of(
    phases: tuple[PhasePeak, ...], job: MemoryInputs, card: ShardingCard, parts: int, offload: Offload
) -> tuple[PhasePeak, ...]:
    """The phases on one of several devices.

    Args:
        phases: Of one device with the same rows.
        job: What was estimated.
        card: What each holds.
        parts: Into how many parts each tensor is divided.
        offload: Where parts lie.
    """
    if card.buckets:
        copies = job.trained_bytes * job.num_trainable
        held = [(one.phase, one.components, one.components.get("gradients", 0)) for one in phases]
        return tuple(phase_peak(name, {**sizes, "gradients": own + copies}) for name, sizes, own in held)
    if not card.is_divided:
        return phases
    # Before the first layer computes the buffer of what is outside is still there, and nothing is saved yet.
    named = {phase.phase: phase for phase in phases}
    read = named.pop(_BEFORE_LAYERS).components if _BEFORE_LAYERS in named else {}  # images that become tokens
    saved = {name: read.get(name, 0) for name in ("saved activations", "temporaries")}
    first = phase_peak(_BEFORE_LAYERS, {**named["forward: layers"].components, **saved})
    return tuple(_in_parts(one, job, parts, offloads=offload == "cpu") for one in (first, *named.values()))


def _in_parts(phase: PhasePeak, job: MemoryInputs, parts: int, *, offloads: bool) -> PhasePeak:
    held: dict[str, int] = {name: 0 if offloads else -(-phase.components.get(name, 0) // parts) for name in _DIVIDED}
    if phase.phase.startswith(_COMPUTING):
        is_inside = phase.phase.endswith(_INSIDE)
        at_once = _LAYERS_AT_ONCE[phase.phase.partition(":")[0]] if is_inside else 0
        arriving = job.activation_bytes != job.weight_bytes or offloads
        held["gathered weights"] = _gathered(job, at_once + (1 / parts if is_inside and arriving else 0))
        if phase.phase == _BEFORE_LAYERS:
            held["gathered weights"] = 2 * _gathered(job, 1)
        if phase.phase == "backward: embedding":  # taken apart before gradients are exchanged
            held["gathered weights"] = 0
        if is_inside and phase.phase.startswith("backward"):
            held["gradients"] += _gradients_of_a_layer(job)
    return phase_peak(phase.phase, {**phase.components, **held})


def _gathered(job: MemoryInputs, at_once: float) -> int:
    """Bytes of what is whole at once: what stands outside the layers, and so many of these."""
    layers = _weights_of_layers(job.model)
    outside, adapter = job.model.num_parameters - layers, job.num_trainable if job.is_adapter else 0
    return job.activation_bytes * (outside + round(at_once * (layers + adapter) * _largest_layer(job, layers)))


@remembered
def _weights_of_layers(model: ModelFacts) -> int:
    return sum(inputs * outputs for inputs, outputs in model.linear_modules.values()) + expert_weights(model)


def _gradients_of_a_layer(job: MemoryInputs) -> int:
    """As they are computed, and in float32 on their way to the others; a share of an output layer's is still there."""
    inside = sum(stack.num_weights for stack in job.stacks)
    trained = job.num_trainable if job.is_adapter or job.has_vocabulary else min(job.num_trainable, inside)
    return round((job.activation_bytes + _FP32) * trained * _largest_layer(job, inside))


def _largest_layer(job: MemoryInputs, weights: int) -> float:
    """Part of so many weights that a layer of the stack with the largest ones has."""
    return max(stack.num_weights / max(1, stack.layers) for stack in job.stacks) / max(1, weights)
