"""Peak memory of a run from shapes alone: pure arithmetic, no framework, a few milliseconds.

Each term says what is held and why. What the layers keep is counted in `layer_formula`; here it is put together with
weights, gradients, the optimizer's state and the way through the head, for each moment at which a step can be largest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ftc.compiler.memory.evaluation_formula import Measuring, measuring_moments
from ftc.compiler.memory.layer_formula import Numbers, Stack, Trained
from ftc.compiler.memory.quantized_weights import never_packed
from ftc.compiler.memory.stacks import stacks_of
from ftc.compiler.memory.teacher_formula import Taught, with_teacher
from ftc.compiler.search.device_catalog import UNKNOWN_CAPABILITY
from ftc.compiler.time.network import composes_norms
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.module_names import part_of
from ftc.spec.strategies import Beside

__all__ = ["Job", "Method", "Usage", "estimate", "quantized_bytes", "uncounted_parts"]

Method = Literal["closed form", "trace"]

_FP32 = 4
_WORKSPACE, _WORKSPACE_SINCE_HOPPER = int(8.125 * 2**20), 32 * 2**20
"""torch's default for cuBLAS's own, of which the forward and the backward thread have one each."""
_ATTENTION = re.compile(r"attn|attention|\.att\.", re.IGNORECASE)
_COUNTED = frozenset(("weight", "bias", "gamma", "beta", "q_bias", "v_bias", "masked_bias", "inv_freq"))
_NUMBER = re.compile(r".*?\.\d+\.")
_MOST_NAMED = 3
"""Parts that are named of those that the formula doesn't count."""


@dataclass(frozen=True)
class Job:
    """What decides about memory.

    Attributes:
        model: The base model.
        beside: What stands beside linear layers, by their names.
        is_adapter: Whether what is trained lies beside the base's weights.
        num_trainable: Weights that are trained.
        num_frozen: Weights that an adapter brings along and never changes.
        state_bytes: What the optimizer keeps on the device.
        head_width: Outputs of the last layer: vocabulary or labels.
        head_rows: Rows of logits that are computed for one micro-batch.
        tokens: Tokens in the longest padded micro-batch.
        length: Tokens of its rows.
        weight_bytes: Bytes of one frozen weight, on average.
        activation_bytes: Bytes of an operand of a product.
        checkpointing: Whether activations are recomputed.
        accumulates: Whether gradients of earlier micro-batches are held while others are computed.
        quantized: Whether frozen weights are in 4 bits, and all between them in float32.
        target_length: Tokens of a row that the decoder of an encoder-decoder gets.
        adapter_dropout: Whether adapters drop some of their input.
        eager: Whether attention holds its scores.
        in_parts: Whether weights are put together layer by layer, in the width of the products.
        masked: Whether attention gets a mask for padding, or for other rows of a sequence.
        unpadded: Whether it gets rows without their padding, and so no masks, as the package flash-attn does.
        on_card: Whether the run is on a CUDA device.
        capability: CUDA's (major, minor).
        layers_kept: Layers of a stack whose activations the backward pass needs; None for all.
        starts_late: Whether the first weight that is trained stands behind the first layer.
        trains_products: Whether weights of linear layers are trained, where the base's own are.
        trains_norms: Whether weights of norms are trained, and none of linear layers.
        measuring: How rows are measured; None where none are.
        taught: The teacher that is learned from; None for none.
    """

    model: ModelFacts
    beside: Mapping[str, Beside]
    is_adapter: bool
    num_trainable: int
    state_bytes: int
    head_width: int
    head_rows: int
    tokens: int
    length: int
    weight_bytes: float
    activation_bytes: int
    checkpointing: bool
    num_frozen: int = 0
    accumulates: bool = False
    quantized: bool = False
    target_length: int = 0
    adapter_dropout: bool = True
    eager: bool = False
    in_parts: bool = False
    masked: bool = False
    unpadded: bool = False
    on_card: bool = True
    capability: tuple[int, int] = UNKNOWN_CAPABILITY
    layers_kept: int | None = None
    starts_late: bool = False
    trains_products: bool = True
    trains_norms: bool = False
    measuring: Measuring | None = None
    taught: Taught | None = None

    @property
    def is_full(self) -> bool:
        """Whether weights of the base's own linear layers are trained."""
        return not self.is_adapter and self.trains_products

    @cached_property
    def stacks(self) -> list[Stack]:
        """The model's layers."""
        return stacks_of(
            self.model,
            self.tokens,
            self.length,
            self.target_length,
            eager=self.eager,
            unpadded=self.unpadded,
            masked=self.masked,
            layers_kept=self.layers_kept,
            starts_late=self.starts_late,
        )

    @cached_property
    def numbers(self) -> Numbers:
        """Bytes of elements."""
        e = self.activation_bytes
        exact = (
            (not self.is_adapter and not self.in_parts)
            or self.quantized
            or (self.model.family == "encoder" and not composes_norms(self.model))
        )  # norms after the sum stay in float32
        return Numbers(
            operand=e,
            linear=_FP32 if self.quantized else e,
            residual=_FP32 if exact else e,
            mask=1 if self.on_card else _FP32,
        )

    @cached_property
    def trained(self) -> Trained:
        """What is trained in the layers."""
        return Trained(self.is_full, self.beside, self.adapter_dropout, self.trains_norms)

    @property
    def has_vocabulary(self) -> bool:
        """Whether the head is the model's own output layer."""
        return self.head_width == self.model.vocab_size


@dataclass(frozen=True, slots=True)
class Usage:
    """Peaks by phase."""

    phases: tuple[PhasePeak, ...]

    @property
    def peak_bytes(self) -> int:
        """The largest of them."""
        return max(phase.peak_bytes for phase in self.phases)


def quantized_bytes(model: ModelFacts, packed: float, row: float = 0.0) -> float:
    """Bytes of a weight on average: linear layers are packed, embeddings, norms and the head are made float32.

    Args:
        model: The base model.
        packed: Bytes of a weight of a linear layer.
        row: Bytes that each of its outputs takes in addition.
    """
    linear = sum(i * o for i, o in model.linear_modules.values()) - never_packed(model)
    whole = max(model.num_parameters, 1)
    rows = sum(outputs for _, outputs in model.linear_modules.values())
    return (linear * packed + rows * row + (whole - linear) * _FP32) / whole


def estimate(job: Job) -> Usage:
    """The moments at which a step or a measurement can be largest, each with what it holds."""
    fixed = {
        "weights": round(job.model.num_parameters * job.weight_bytes),
        "adapter": 0 if not job.is_adapter else _FP32 * (job.num_trainable + job.num_frozen),
        "optimiser state": job.state_bytes,
        "workspace": _workspaces(job),
    }
    gradients = _FP32 * job.num_trainable
    earlier = gradients if job.accumulates else 0
    layer = max(round(_kept_bytes(job) / _num_layers(job)), 1)
    kept = (_boundaries(job) if job.checkpointing else round(_kept_bytes(job))) + _around_layers(job)
    within = {"saved activations": kept + _cast_head(job), "gradients": earlier}
    each = job.activation_bytes if job.in_parts else _FP32
    table = each * job.model.vocab_size * job.model.hidden_size if job.is_full else 0
    waiting = table if job.has_vocabulary and job.model.tied_embeddings else 0
    moments: dict[str, Mapping[str, int]] = {
        "load": _loading(job),
        "forward: layers": {
            "saved activations": kept,
            "gradients": earlier,
            "temporaries": _casts(job) + _passing(job),
        },
        "forward: head": {**within, "logits": _per_logit(job, job.activation_bytes), "temporaries": _casts(job)},
        "backward: loss and head": {**within, **_loss(job), "temporaries": _head_gradients(job) + _held_casts(job)},
        "backward: layers": {
            "saved activations": kept + (layer if job.checkpointing else 0),
            "gradients": earlier if job.accumulates else min(gradients, waiting),
            "temporaries": waiting + _passing(job) + _held_casts(job),
        },
        "backward: embedding": {"gradients": gradients, "temporaries": _at_embedding(job, table, waiting)},
        "optimiser step": {"gradients": gradients},
    }
    if job.measuring is not None:
        moments |= measuring_moments(job.model, job.measuring, job.head_width, job.numbers, job.trained)
    moments |= _keeping(job)
    if job.taught is not None:
        compared = {**within, "temporaries": _held_casts(job)}
        scores = job.head_rows * job.head_width
        moments = with_teacher(moments, job.taught, scores=scores, compared=compared)
    return Usage(tuple(_phase(name, {**fixed, **moment}) for name, moment in moments.items()))


def _workspaces(job: Job) -> int:
    each = _WORKSPACE if job.capability < (9, 0) else _WORKSPACE_SINCE_HOPPER
    return 2 * each if job.on_card else 0


def _at_embedding(job: Job, table: int, waiting: int) -> int:
    """Gradients of the table on their way: into earlier ones, or in both widths to where they are summed."""
    if job.in_parts:  # those of an output layer of its own are exchanged together with them
        tables = 2 if job.has_vocabulary and not job.model.tied_embeddings else 1
        return tables * table * (job.activation_bytes + _FP32) // job.activation_bytes
    return (2 * waiting + table) if job.accumulates else 0


def _loading(job: Job) -> dict[str, int]:
    """Quantized weights are packed one by one; of the others each is there twice while it is made float32."""
    widest = 0
    if job.quantized:
        packed = set(job.model.linear_modules)
        kept = (one for name, one in job.model.tensors.items() if name.removesuffix(".weight") not in packed)
        widest = max((math.prod(one.shape) for one in kept), default=0)
    return {"optimiser state": 0, "workspace": 0, "temporaries": 2 * widest}


def _keeping(job: Job) -> dict[str, dict[str, int]]:
    """Saving takes nothing; what is read lies with the processor, which is the device itself where there is no card."""
    read = 0 if job.on_card else _FP32 * job.num_trainable
    alone = {"optimiser state": 0, "temporaries": read}
    return {"save": {}, "resume": alone if read > job.state_bytes else {}, "export": alone}


def _phase(name: str, components: Mapping[str, int]) -> PhasePeak:
    held = {part: size for part, size in components.items() if size}
    return PhasePeak(phase=name, peak_bytes=sum(held.values()), components=held)


def _num_layers(job: Job) -> int:
    return max(1, sum(stack.layers for stack in job.stacks))


def _kept_bytes(job: Job) -> float:
    """What all layers keep, with the casts of weights that are in float32."""
    saved = sum(stack.saved_bytes(job.numbers, job.trained) for stack in job.stacks)
    if not job.is_adapter and not job.in_parts:
        return saved + sum(stack.cast_bytes(job.numbers) for stack in job.stacks)
    if job.quantized and job.numbers.casts:
        return saved + job.activation_bytes * never_packed(job.model)
    return saved


def _boundaries(job: Job) -> int:
    return sum(stack.boundary_bytes(job.numbers) for stack in job.stacks)


def _around_layers(job: Job) -> int:
    """What is kept before and behind the layers."""
    return sum(stack.around_bytes(job.numbers, job.trained) for stack in job.stacks)


def _cast_head(job: Job) -> int:
    """An output layer in float32, as products read it."""
    is_exact = job.quantized or not (job.is_adapter or job.in_parts)
    if not (job.has_vocabulary and job.numbers.casts and is_exact):
        return 0
    return job.activation_bytes * job.model.vocab_size * job.model.hidden_size


def _per_logit(job: Job, size: int) -> int:
    return job.head_rows * job.head_width * size


def _casts(job: Job) -> int:
    """Mixed precision's casts of trained weights, which live until the way forward is over."""
    if not job.numbers.casts or job.in_parts:
        return 0
    if not job.is_full:
        return job.activation_bytes * job.num_trainable if job.is_adapter else 0
    return sum(stack.cast_bytes(job.numbers) for stack in job.stacks) if job.checkpointing else 0


def _held_casts(job: Job) -> int:
    """Casts of adapters, which the way back needs."""
    if not job.is_adapter or job.checkpointing or not job.numbers.casts or job.in_parts:
        return 0
    return job.activation_bytes * job.num_trainable


def _loss(job: Job) -> dict[str, int]:
    """Log-probabilities, their gradient and that of the scores, each in float32; what a bound on scores keeps."""
    bounded = job.activation_bytes if job.has_vocabulary and job.model.config.get("final_logit_softcapping") else 0
    return {"logits": _per_logit(job, 3 * _FP32 + bounded)}


def _head_gradients(job: Job) -> int:
    """The gradient of a trained output layer beyond what the scores held: as it is computed, and as it is kept."""
    if not (job.is_full and job.has_vocabulary):
        return 0
    each = _FP32 + (job.activation_bytes if job.numbers.casts else 0)
    if job.in_parts:  # it waits in the width of products until gradients are exchanged
        each = job.activation_bytes
    size = job.model.vocab_size * job.model.hidden_size * each
    return max(0, size - _per_logit(job, 3 * _FP32 - job.activation_bytes))


def _passing(job: Job) -> int:
    """Gradients on their way through the layers."""
    return max(stack.passing_bytes(job.numbers, job.trained) for stack in job.stacks)


def uncounted_parts(model: ModelFacts) -> tuple[str, ...]:
    """What the formula has no terms for, in words: names within a layer, at most three, and `…` for more.

    It knows attention, feed-forward parts and norms: matrices, and vectors called weight or bias. Convolutions and
    recurrent states have tensors of other shapes or names, and layers without attention have none of its matrices.
    """
    strange: dict[str, None] = {}
    attending: dict[tuple[str, int], bool] = {}
    for name, tensor in model.tensors.items():
        part = part_of(name)
        if part.kind != "layer":
            continue
        inner, at = _NUMBER.sub("", name, count=1), (part.stack, part.layer)
        attending[at] = attending.get(at, False) or _ATTENTION.search(name) is not None
        last = name.rpartition(".")[2]
        if last not in _COUNTED or (last == "weight" and len(tensor.shape) > 2):
            strange[f"`{inner}`"] = None
    without = sum(not attends for attends in attending.values())
    found = [*strange, *([f"{without} layer{'s' if without > 1 else ''} without attention"] if without else [])]
    return (*found[:_MOST_NAMED], *(["…"] if len(found) > _MOST_NAMED else []))
