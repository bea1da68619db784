"""How training runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect, Real

__all__ = ["EarlyStopping", "Optimizer", "Precision", "Schedule", "Train"]

Precision = Literal["float32", "bfloat16"]


class Schedule(Document):
    """How the learning rate moves over the run."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["constant", "linear", "cosine"] = "linear"
    """Shape after the warm-up: to zero in a line or a cosine, or none. Default: linear, which has nothing to
    tune."""
    warmup_ratio: Real = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the rate rises from zero. Default: 0.05, which calms the first Adam steps."""


class Optimizer(Document):
    """The optimiser: AdamW (Loshchilov & Hutter 2019)."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["adamw"] = "adamw"
    """Method. Default: AdamW, fused where the device has it."""
    beta1: Real = Field(default=0.9, ge=0, lt=1)
    """Decay of the gradient's mean. Default: 0.9, the paper's."""
    beta2: Real = Field(default=0.999, ge=0, lt=1)
    """Decay of the gradient's square. Default: 0.999, the paper's."""
    epsilon: Real = Field(default=1e-8, gt=0)
    """Added to the denominator. Default: 1e-8, the paper's."""
    weight_decay: Real = Field(default=0.0, ge=0, lt=1)
    """Decay of matrices; biases and norms are never decayed. Default: 0, since adapters are small already."""


class EarlyStopping(Document):
    """Stop when validation no longer gets better."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    metric: str = "val_loss"
    """`val_loss`, or a metric of the task that needs no written answers, such as `val_accuracy` for classes or
    `val_entity_f1` for words. Default: `val_loss`, which every task has."""
    patience: int = Field(default=2, ge=1)
    """Evaluations without a new best before the run stops. Default: 2, since one may be chance."""
    min_delta: Real = Field(default=0.0, ge=0)
    """Smallest change that counts as better, in the metric's own unit. Default: 0, so that any gain counts."""


class Train(Document):
    """How training runs."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS
    EFFECTS: ClassVar[dict[str, Effect]] = {
        "micro_batch_tokens": Effect.RESOURCE,
        "packing": Effect.RESOURCE,
        "keep_checkpoints": Effect.RESOURCE,
    }

    epochs: Real = Field(default=3, gt=0, le=1000)
    """Passes over the training rows; 0.5 is half a pass. Default: 3, after which small sets begin to be learnt by
    heart."""
    max_steps: int | None = Field(default=None, ge=1)
    """At most this many optimiser steps. Default: no limit, so that `epochs` decides."""
    batch_size: int = Field(default=16, ge=1, le=65536)
    """Rows in one optimiser step, over all devices and micro-batches. Default: 16, which gives steady
    gradients and still many steps on a thousand rows."""
    micro_batch: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Rows that go through the model at once, on one device. It changes memory and speed but not the gradient, which
    is normalised by supervised tokens. Default `auto`: the largest that fits the budget."""
    micro_batch_tokens: int | None = Field(default=None, ge=8)
    """At most this many tokens go through the model at once, padding included; the micro-batch then holds as many rows
    as fit, at least one, so that short rows go in larger pieces. Default: no limit, so that `micro_batch` decides."""
    packing: Literal["auto"] | bool = "auto"
    """Several rows in one sequence without padding, each with its own positions and blind for the others; the gradient
    is the same but for rounding. Default `auto`: for a decoder that generates, where the longest row has twice the
    mean's tokens or more."""
    batching: Literal["shuffled", "length_grouped"] = "shuffled"
    """`length_grouped` makes each optimiser step of rows of like length, in shuffled order of steps: less padding, and
    steps that differ in length. Default: shuffled, since chance keeps steps alike."""
    learning_rate: Literal["auto"] | Annotated[Real, Field(gt=0, lt=10)] = "auto"
    """Peak learning rate. Default `auto`: 2e-4 for adapters, 2e-5 for full training, the usual middle of each."""
    schedule: Schedule = Schedule.usual()
    """How the learning rate moves."""
    optimizer: Optimizer = Optimizer.usual()
    """The optimiser."""
    max_grad_norm: Real | None = Field(default=1.0, gt=0)
    """Gradients longer than this are scaled down; `null` for never. Default: 1, the usual guard against spikes."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward and backward pass. Default `auto`: bfloat16 where the device is fast at it."""
    activation_checkpointing: Literal["auto"] | bool = "auto"
    """Recompute activations instead of keeping them: far less memory, about a third more time. Default `auto`: only
    when the job does not fit otherwise."""
    seed: int = Field(default=17, ge=0, lt=2**32)
    """Root of every random stream of training: initial weights, order of rows, dropout. Default: 17, a
    fixed number so that two runs are one."""
    determinism: Literal["off", "auto", "best_effort", "bitwise"] = "auto"
    """How alike two runs of one plan have to be. `auto`: deterministic kernels, unproven. `bitwise`: only kernels known
    to be exact, and the first steps are run twice in fresh processes before training; a difference is an error.
    `best_effort`: the same, but a difference, or a kernel that is not known, is told and recorded, and the run goes on.
    `off`: the fastest kernels. Default: `auto`, which costs little; a proof costs two starts and a few steps."""
    evaluate_every: Literal["epoch"] | Annotated[int, Field(ge=1)] = "epoch"
    """Steps between looks at the validation split, each of which also writes a checkpoint. Default: once an epoch,
    when every row was seen equally often."""
    keep_checkpoints: int = Field(default=2, ge=1, le=1000)
    """Newest checkpoints that stay on disk; the best one always stays. Default: 2, so that one is whole
    while the next is written."""
    early_stopping: EarlyStopping | None = None
    """Stop when validation no longer gets better. Default: never, since the best checkpoint is kept anyway."""
