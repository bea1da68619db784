"""Bytes that a training step moves between memory and cores, and operations that it launches, counted from shapes.

Counted is what each operation of transformers' modules reads and writes, without any fusion but attention's: linear
layers, norms (in float32, piece by piece, where they are written out), rotations, residuals, activations,
adapters with their dropout and scaling, logits and their loss; weights once a pass; gradients and the optimizer's
moments once a step. Small layers stay in a processor's cache, so for them the figure is a bound from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ftc.compiler.time.amounts import Rates
from ftc.compiler.time.network import Linear, Network

__all__ = ["Traffic", "traffic_rates"]

_FP32 = 4
_NORMS = {True: 24, False: 8}
"""Reads and writes of a layer's two norms, in widths of the model: in pieces, or one kernel each."""
_RESIDUALS = 6
_ROTATIONS = 10
_SCORES = 8
"""Reads and writes of each score where attention isn't fused: product, mask, softmax, dropout, product."""
_BACKWARD = 1.5
"""What the way back moves by what the way there does: between 0.8 (an encoder with an adapter) and 2.3 (a decoder as a
whole), counted at the dispatcher of torch 2.13 on small models."""
_LOGITS = 24
"""Bytes that each logit costs beyond its own: a copy in float32, its logarithms, and their gradients."""
_OPTIMIZER = 28
"""Bytes for each trained weight a step: weight and gradient read, the weight written, and the gradient read twice and
written twice to be shortened and let go of. What the optimizer remembers is read and written beside it."""
_OF_ADAMW = 8.0
"""Bytes that AdamW remembers of a weight."""
_LAYER_OPERATIONS = {"forward": 42, "backward": 62}
"""Kernels that a layer launches, counted the same way: 40 to 48 there, 45 to 78 back."""
_ADAPTER_OPERATIONS = 4
_STEP_OPERATIONS = 40
_FUSED_MOMENTS = 6
"""Kernels a step for each trained tensor: norm, shortening, update."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes and kernels.

    Attributes:
        forward: Bytes of the forward pass by quantity of a micro-batch.
        backward: Bytes of the backward pass.
        step_bytes: Bytes of the optimizer's step.
        forward_operations: Kernels of the forward pass.
        backward_operations: Kernels of the backward pass.
        step_operations: Kernels of the optimizer's step.
    """

    forward: Rates
    backward: Rates
    step_bytes: float
    forward_operations: float
    backward_operations: float
    step_operations: float


@lru_cache(maxsize=32)
def traffic_rates(
    network: Network,
    activation_bytes: int,
    *,
    checkpointing: bool,
    state_bytes: float = _OF_ADAMW,
    one_place: bool = False,
) -> Traffic:
    """What a micro-batch moves and launches, and a step beside it.

    Args:
        network: The model.
        activation_bytes: Of a number between layers.
        checkpointing: Whether layers are computed again on the way back.
        state_bytes: What the optimizer remembers of each trained weight.
        one_place: Whether the last layer computes one place of each row behind its attention, in a look alone.
    """
    layers = _layers(network, activation_bytes, one_place=one_place)
    weights = _weight_bytes(network, activation_bytes)
    head = Rates(scored=network.head_width * (activation_bytes + _LOGITS / 2))
    passes = 2 if checkpointing else 1
    gradients = 2 * _FP32 * network.trainable
    made = 2 * _FP32 * sum(one.beside.keeps_once for one in network.linears if one.beside)
    forward = layers + head + Rates(passes=weights + made)
    backward = layers * (_BACKWARD + passes - 1) + head + Rates(passes=passes * weights + gradients)
    operations = {way: count * network.depth + _ADAPTER_OPERATIONS * network.adapters
                  for way, count in _LAYER_OPERATIONS.items()}  # fmt: skip
    tensors = 2 * network.adapters if not network.is_full else 2 * len(network.linears)
    return Traffic(
        forward=forward,
        backward=backward,
        step_bytes=(_OPTIMIZER + 2 * state_bytes) * network.trainable,
        forward_operations=operations["forward"],
        backward_operations=operations["backward"] + (passes - 1) * operations["forward"],
        step_operations=_STEP_OPERATIONS + _FUSED_MOMENTS * tensors,
    )


def _layers(network: Network, activation_bytes: int, *, one_place: bool) -> Rates:
    """Activations that all layers read and write, a token and a pair."""
    main = sum((_linear(one) for one in network.linears if not one.in_decoder), start=0.0)
    decoder = sum((_linear(one) for one in network.linears if one.in_decoder), start=0.0)
    alone = sum((_linear(one) for one in network.linears if one_place and network.is_behind_last_attention(one)), 0.0)
    beside = _beside(network)
    scores = _SCORES * network.heads if network.attention == "formula" else 0
    near = len(network.near_layers)
    e = activation_bytes
    return Rates(
        rows=e * alone,
        tokens=e * (network.repeats * main - alone + network.layers * beside),
        pairs=e * (network.layers - near) * scores,
        near_pairs=e * near * scores,
        target_tokens=e * (decoder + network.decoder_layers * 1.5 * beside),
        target_pairs=e * network.decoder_layers * scores,
        cross_pairs=e * network.decoder_layers * scores,
    )


def _linear(one: Linear) -> float:
    """Elements a token: what comes in and goes out, what an adapter does beside it, and an activation behind it."""
    moved: float = one.inputs + one.outputs
    if one.beside is not None:
        moved += 3 * one.inputs + 4 * one.outputs + 2 * one.beside.width
    if one.part == "feed in":
        moved += 2.5 * one.outputs
    return moved


def _beside(network: Network) -> float:
    """Elements a token and layer that norms, residuals, rotations and attention move."""
    rotations = _ROTATIONS * (network.queries + network.keys) if network.rotates else 0
    attention = 6 * network.queries + 2 * network.keys
    return (_NORMS[network.composes_norms] + _RESIDUALS) * network.hidden + rotations + attention


def _weight_bytes(network: Network, activation_bytes: int) -> float:
    """Weights that a pass reads: as they are held, or packed and then unpacked; of trained ones also a cast."""
    linear = network.linear_weights
    if network.packed_bytes:
        return linear * (network.packed_bytes + 2 * activation_bytes)
    cast = _FP32 + activation_bytes if network.is_full and activation_bytes < _FP32 else 0
    return linear * (activation_bytes + cast)
