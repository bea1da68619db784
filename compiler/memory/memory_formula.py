"""Peak memory of a run from shapes alone: pure arithmetic, no framework, a few milliseconds.

What the layers save is counted in `layer_formula`; here it is put together with weights, gradients, optimizer state and
the head, for each moment at which a step can be largest. `sharded_formula` divides it among devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ftc.compiler.memory.evaluation_formula import (
    EvaluationInputs,
    Moment,
    TeacherInputs,
    evaluation_moments,
    score_bytes,
    with_last_norm,
    with_teacher,
)
from ftc.compiler.memory.head_formula import cast_head, chunked_head, head_gradients, held_casts
from ftc.compiler.memory.image_moments import (
    beside_images,
    kept_of_images,
    passing_image_casts,
    reading_images,
)
from ftc.compiler.memory.layer_formula import Stack
from ftc.compiler.memory.layer_inputs import Numbers, Trained
from ftc.compiler.memory.loading_formula import loading_moment
from ftc.compiler.memory.stacks import stacks_of
from ftc.compiler.memory.vision_formula import vision_weights
from ftc.compiler.time.network import composes_norms
from ftc.compiler.weights import never_packed
from ftc.spec.checkpointing import Recomputing, checkpointing_card
from ftc.spec.devices import UNKNOWN_CAPABILITY
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.strategies import Beside

__all__ = ["MemoryInputs", "Method", "estimate", "phase_peak", "quantized_bytes"]

Method = Literal["closed form", "trace"]

_FP32 = 4
_WORKSPACE, _WORKSPACE_SINCE_HOPPER = int(8.125 * 2**20), 32 * 2**20
"""torch's default for cuBLAS's own, of which the forward and the backward thread have one each."""


@dataclass(frozen=True)
class MemoryInputs:
    """What decides about a step's memory.

    Attributes:
        model: The base model.
        beside: What stands beside linear layers, by their names.
        is_adapter: Whether what is trained lies beside the base's weights.
        num_trainable: Weights that are trained, and get gradients.
        trained_bytes: Bytes of one of them, and of its gradient.
        num_frozen: Weights that an adapter brings along and never changes.
        state_bytes: What the optimizer keeps on the device.
        step_bytes: What its step makes beside that for one weight at a time.
        head_width: Outputs of the last layer: vocabulary or labels.
        head_parts: How many devices divide the weights of the output layer.
        head_rows: Rows of logits that are there at once: of one micro-batch, or of a chunk of it.
        tokens: Tokens in the longest padded micro-batch.
        length: Tokens of its rows.
        weight_bytes: Bytes of one frozen weight, on average.
        activation_bytes: Bytes of an operand of a product.
        checkpointing: What of activations is recomputed.
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
        chunked_places: Places of a micro-batch whose gradients come with their loss, chunk by chunk; 0 for none.
        has_z_loss: Whether the logarithm of the softmax's normalizer is part of the loss, by itself.
        rounded: What rounding weights in training keeps until the backward pass, over all layers.
        rounding: What it takes in passing, at the widest layer; or what casts to 8 bits do.
        summed: Experts of a layer with what is added to them, while measuring.
        uncast: Weights that no product casts to the type of its operands, since it reads them in 8 bits.
        unpacking: What it takes in passing to multiply out the widest layer that stays quantized.
        copied_head: Bytes of an output layer that each pass copies, with trained rows of added tokens; 0 for none.
        frozen: Modules in front of the language model that aren't trained, by name.
        images: Of a micro-batch; none where they aren't known.
    """

    model: ModelFacts
    beside: Mapping[str, Beside]
    is_adapter: bool
    num_trainable: int
    trained_bytes: int
    state_bytes: int
    step_bytes: int
    head_width: int
    head_rows: int
    tokens: int
    length: int
    weight_bytes: float
    activation_bytes: int
    checkpointing: Recomputing
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
    measuring: EvaluationInputs | None = None
    taught: TeacherInputs | None = None
    chunked_places: int = 0
    has_z_loss: bool = False
    unpacking: int = 0
    copied_head: int = 0
    head_parts: int = 1
    rounded: int = 0
    rounding: int = 0
    summed: int = 0
    uncast: int = 0
    frozen: tuple[str, ...] = ()
    images: tuple[ImageShape, ...] = ()

    @property
    def casts_weights(self) -> bool:
        """Whether the base's own weights are wider than operands of products, which cast them one by one."""
        return not self.is_adapter and not self.in_parts and self.trained_bytes == _FP32

    @property
    def recomputes(self) -> bool:
        """Whether layers run forward once more in the backward pass."""
        return checkpointing_card(self.checkpointing).recomputes

    @property
    def kept_products(self) -> int:
        """Bytes of what large products gave, where they aren't computed again."""
        if not checkpointing_card(self.checkpointing).keeps_products:
            return 0
        return sum(stack.product_bytes(self.numbers, self.trained) for stack in self.stacks)

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
        sums_first = self.model.family == "encoder" and not composes_norms(self.model)
        exact = self.casts_weights or self.quantized or sums_first  # norms after the sum stay in float32
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
    def score_copies(self) -> int:
        """Tensors of the scores' size in the loss: a z-loss has a gradient and exponentials of its own."""
        return 5 if self.has_z_loss else 3

    @property
    def has_vocabulary(self) -> bool:
        """Whether the head is the model's own output layer."""
        return self.head_width == self.model.vocab_size

    @property
    def head_weights(self) -> int:
        """Weights of the model's own output layer that a device has."""
        return self.model.vocab_size * self.model.hidden_size // self.head_parts


def quantized_bytes(model: ModelFacts, packed: float, row: float = 0.0, frozen: float = _FP32) -> float:
    """Bytes of a weight on average: linear layers are packed, embeddings, norms and the head are made float32.

    What reads images stays in the type of frozen weights.

    Args:
        model: The base model.
        packed: Bytes of a weight of a linear layer.
        row: Bytes that each of its outputs takes in addition.
        frozen: Bytes of a weight in front of the language model.
    """
    linear = sum(i * o for i, o in model.linear_modules.values()) - never_packed(model)
    whole = max(model.num_parameters, 1)
    rows, seeing = sum(outputs for _, outputs in model.linear_modules.values()), vision_weights(model)
    return (linear * packed + rows * row + seeing * frozen + (whole - linear - seeing) * _FP32) / whole


def estimate(job: MemoryInputs) -> tuple[PhasePeak, ...]:
    """The moments at which a step or a measurement can be largest, each with what it holds."""
    workspace = _WORKSPACE if job.capability < (9, 0) else _WORKSPACE_SINCE_HOPPER
    fixed = {
        "weights": round(job.model.num_parameters * job.weight_bytes),
        "adapter": 0 if not job.is_adapter else job.trained_bytes * (job.num_trainable + job.num_frozen),
        "optimiser state": job.state_bytes,
        "workspace": 2 * workspace if job.on_card else 0,
    }
    gradients, scores = job.trained_bytes * job.num_trainable, job.head_rows * job.head_width
    earlier = gradients if job.accumulates else 0
    saved = _saved_bytes(job)
    layer = max(round(saved / max(1, sum(stack.layers for stack in job.stacks))), 1)
    boundaries = sum(stack.boundary_bytes(job.numbers) for stack in job.stacks)
    kept = boundaries + job.kept_products if job.recomputes else round(saved)
    kept += sum(stack.around_bytes(job.numbers, job.trained) for stack in job.stacks) + kept_of_images(job)
    passing, passing_back = _passing(job, kept=not job.recomputes), _passing(job, kept=True, backward=True)
    # The copy of an output layer is kept for the backward pass, or the cast that is made of it, as without one.
    passing_copy, kept_copy = (job.copied_head, 0) if job.quantized else (0, job.copied_head)
    within = {"saved activations": kept + cast_head(job) + kept_copy, "gradients": earlier}
    each = job.activation_bytes if job.in_parts else job.trained_bytes
    table = each * job.model.vocab_size * job.model.hidden_size if job.is_full else 0
    waiting = table if job.has_vocabulary and job.model.tied_embeddings else 0
    # saved by log_softmax and nll_loss in float32, with their gradient; by tanh where logits are soft-capped
    bounded = job.activation_bytes if job.has_vocabulary and job.model.config.get("final_logit_softcapping") else 0
    logits = scores * (job.score_copies * _FP32 + bounded)
    read = 0 if job.on_card else job.trained_bytes * job.num_trainable  # safetensors are read into host RAM
    alone = {"optimiser state": 0, "temporaries": read}
    moments: dict[str, Moment] = {
        "load": loading_moment(job),
        "forward: layers": {
            "saved activations": kept,
            "gradients": earlier,
            "temporaries": _casts(job) + passing,
        },
        "forward: head": {
            **within,
            "logits": score_bytes(scores, job.activation_bytes, job.head_parts),
            "temporaries": _casts(job) + passing_copy,
        },
        "backward: loss and head": {
            **within,
            "logits": logits,
            "temporaries": head_gradients(job) + held_casts(job),
        },
        **(chunked_head(job, within, logits) if job.chunked_places else {}),
        "backward: layers": {
            "saved activations": kept + (layer if job.recomputes else 0),
            "gradients": earlier if job.accumulates else min(gradients, waiting),
            "temporaries": waiting + passing_back + held_casts(job),
        },
        "backward: embedding": {"gradients": gradients, "temporaries": _at_embedding(job, table, waiting)},
        "optimiser step": {"gradients": gradients, "temporaries": job.step_bytes},
    }
    moments = with_last_norm(beside_images(job, moments | _measured(job))) | reading_images(job, earlier)
    moments |= {"save": {}, "resume": alone if read > job.state_bytes else {}, "export": alone}
    if job.taught is not None:
        compared = {**within, "temporaries": held_casts(job)}
        moments = with_teacher(moments, job.taught, scores=scores, compared=compared, chunked=job.chunked_places > 0)
    return tuple(phase_peak(name, {**fixed, **moment}) for name, moment in moments.items())


def _passing(job: MemoryInputs, *, kept: bool, backward: bool = False) -> int:
    """What is on its way through the widest layer, beside what its backward pass needs where that is counted."""
    sizes = (stack.passing_bytes(job.numbers, job.trained, kept=kept, backward=backward) for stack in job.stacks)
    return job.rounding + job.unpacking + max(sizes)


def _measured(job: MemoryInputs) -> dict[str, Moment]:
    """The moments at which measuring can be largest; none where nothing is measured."""
    if job.measuring is None:
        return {}
    found: dict[str, Moment] = {}
    found |= evaluation_moments(job.model, job.measuring, job.head_width, job.numbers, job.trained)
    for name, more in (("evaluation: layers", job.summed + job.unpacking), ("evaluation: head", job.copied_head)):
        found[name] = {**found[name], "temporaries": found[name].get("temporaries", 0) + more}
    return found


def _at_embedding(job: MemoryInputs, table: int, waiting: int) -> int:
    """Gradients of the table on their way: into earlier ones, or in both widths to where they are summed."""
    if job.in_parts:  # those of an output layer of its own are exchanged together with them
        head = table // job.head_parts if job.has_vocabulary and not job.model.tied_embeddings else 0
        return (table + head) * (job.activation_bytes + _FP32) // job.activation_bytes
    return (2 * waiting + table) if job.accumulates else 0


def _saved_bytes(job: MemoryInputs) -> float:
    """What all layers keep, with the casts of weights that are in float32."""
    saved = job.rounded + sum(stack.saved_bytes(job.numbers, job.trained) for stack in job.stacks)
    if job.casts_weights:
        return saved + _cast_bytes(job)
    if job.quantized and job.numbers.casts:
        return saved + job.activation_bytes * never_packed(job.model)
    return saved


def _casts(job: MemoryInputs) -> int:
    """Mixed precision's casts of trained weights, which live until the way forward is over."""
    if not job.numbers.casts or job.in_parts:
        return 0
    if not job.is_full:
        return job.activation_bytes * job.num_trainable if job.is_adapter else 0
    return _cast_bytes(job) + passing_image_casts(job) if job.recomputes and job.casts_weights else 0


def _cast_bytes(job: MemoryInputs) -> int:
    """What products read in place of float32 weights of layers."""
    return sum(stack.cast_bytes(job.numbers) for stack in job.stacks) - job.activation_bytes * job.uncast


def phase_peak(name: str, components: Mapping[str, int]) -> PhasePeak:
    """A moment with what it holds, without parts that hold nothing."""
    held = {part: size for part, size in components.items() if size}
    return PhasePeak(phase=name, peak_bytes=sum(held.values()), components=held)
