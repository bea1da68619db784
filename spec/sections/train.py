"""How training runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect, Real
from ftc.spec.knobs import effects_in
from ftc.spec.optimizers import OptimizerKeys, OptimizerKind
from ftc.spec.schedules import ScheduleKeys, ScheduleKind

__all__ = [
    "Distillation",
    "Divergence",
    "EarlyStopping",
    "Offload",
    "Optimizer",
    "Precision",
    "Schedule",
    "Sharding",
    "TeacherQuantization",
    "Train",
]

Precision = Literal["float32", "bfloat16"]
ClassWeight = Annotated[Real, Field(gt=0, le=1000)]
Sharding = Literal["none", "ddp", "fsdp"]
"""What each of several devices holds: `ddp` a whole model, `fsdp` a part of every weight, gradient and moment."""
Offload = Literal["none", "cpu"]
"""Where parts of weights, gradients and moments lie between their uses: on the device, or in the host's memory."""


class Schedule(ScheduleKeys):
    """How the learning rate moves over the run."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: ScheduleKind = "linear"
    """Shape after the warm-up, as `docs/optimizers.md` lists them. Default: linear, which has nothing to tune."""
    warmup_ratio: Real = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the rate rises from zero. Default: 0.05, which calms the first Adam steps."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Optimizer steps over which the rate rises, in place of `warmup_ratio`. Default: none, so that the share holds."""
    decay_ratio: Real = Field(default=0.2, gt=0, le=1)
    """Share of the steps at the end over which `warmup_stable_decay` falls. Default: 0.2, after which longer falls gain
    little."""
    patience: int = Field(default=1, ge=0)
    """Looks at validation without a new best that `plateau` bears before it lowers the rate. Default: 1, since one may
    be chance."""
    factor: Real = Field(default=0.5, gt=0, lt=1)
    """What `plateau` multiplies the rate by. Default: 0.5, which can be done several times in a run."""


class Optimizer(OptimizerKeys):
    """The optimizer: what becomes of a gradient."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["auto"] | OptimizerKind = "adamw"
    """The method; `docs/optimizers.md` lists their papers, state and hyperparameters. Paged ones let the driver move
    their state to the host's memory. `auto`: AdamW in float32, paged where it fits only so, and in 8 bits where nothing
    else fits. Default: AdamW, fused where the device has it, since another memory gives other results."""
    beta1: Real = Field(default=0.9, ge=0, lt=1)
    """Decay of the gradient's mean, of AdamW and Lion. Default: 0.9, the papers'."""
    beta2: Literal["auto"] | Annotated[Real, Field(ge=0, lt=1)] = "auto"
    """Decay of AdamW's mean square, and of Lion's memory. Default `auto`: 0.999 and 0.99, the papers'."""
    epsilon: Real = Field(default=1e-8, gt=0)
    """Added to AdamW's denominator. Default: 1e-8, the paper's."""
    momentum: Real = Field(default=0.9, ge=0, lt=1)
    """Share of the last step that SGD keeps. Default: 0.9, the usual one."""
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


Divergence = Literal["forward_kl", "reverse_kl", "jsd"]
"""How far the model's choice is from the teacher's: from the teacher's side, which wants all covered that the teacher
finds likely; from the model's own, which wants nothing that the teacher finds unlikely; or from both, by halves."""
TeacherQuantization = Literal["nf4", "int8"]
"""Forms of bitsandbytes in which a teacher's linear layers may be held."""


class Distillation(Document):
    """A teacher: a model that knows the task already, whose probabilities are learned beside the rows' own answers.

    The loss of each target is `(1 - weight) * cross entropy + weight * temperature^2 * divergence` (Hinton et al.
    2015). The teacher is never changed, and it is asked again in every step.
    """

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    teacher: str = Field(min_length=1, max_length=300)
    """Folder relative to the recipe, or hub id: a model with the task's own head, the base model's tokenizer and the
    task's labels. The whole model that a run of ftc leaves is one."""
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    """Branch, tag or commit of the teacher on the hub. Default: the main branch; the lock keeps its commit."""
    loss: Divergence = "forward_kl"
    """Which distance between the two is made small. `forward_kl`: from the teacher to the model. `reverse_kl`: from the
    model to the teacher, which suits a model much smaller than the teacher (MiniLLM, Gu et al. 2024). `jsd`: half of
    each to their mean. Default: forward_kl, that of the paper."""
    temperature: Real = Field(default=2.0, gt=0, le=100)
    """What scores are divided by before they become probabilities, on both sides; more shows more of what the teacher
    finds second best. Default: 2, as in DistilBERT."""
    weight: Real = Field(default=0.5, gt=0, le=1)
    """Share of the teacher in the loss; the rows' own answers have the rest. Default: 0.5, both alike."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the teacher's weights are held in. Default `auto`: the precision of the run."""
    quantization: TeacherQuantization | None = None
    """Holds the teacher's linear layers in 4 or 8 bits: less memory, and probabilities that are a little coarser.
    Default: none, since the teacher is what is learned from."""


class Train(Document):
    """How training runs."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS
    EFFECTS: ClassVar[dict[str, Effect]] = {**effects_in("train"), "keep_checkpoints": Effect.RESOURCE}

    epochs: Literal["auto"] | Annotated[Real, Field(gt=0, le=1000)] = "auto"
    """Passes over the training rows; 0.5 is half a pass. Default `auto`: 3, and more on few rows: as many as make 300
    optimizer steps, at most 15, where a new head is trained, and 60 steps, at most 6, where answers are written. The
    best checkpoint on validation becomes the result: by the loss, or, where `epochs` is `auto` and a new head is
    trained, by the task's main metric (macro F1 for classes), since such a head's loss rises with its confidence."""
    max_steps: int | None = Field(default=None, ge=1)
    """At most this many optimizer steps. Default: no limit, so that `epochs` decides."""
    batch_size: int = Field(default=16, ge=1, le=65536)
    """Rows in one optimizer step, over all devices and micro-batches. Default: 16, which gives steady
    gradients and still many steps on a thousand rows."""
    micro_batch: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Rows that go through the model at once, on one device. It changes memory and speed but not the gradient, which
    is normalized by supervised tokens. Default `auto`: the fastest that fits the budget,
    which is the largest unless padding costs more."""
    micro_batch_tokens: int | None = Field(default=None, ge=8)
    """At most this many tokens go through the model at once, padding included; the micro-batch then holds as many rows
    as fit, at least one, so that short rows go in larger pieces. Default: no limit, so that `micro_batch` decides."""
    packing: Literal["auto"] | bool = "auto"
    """Several rows in one sequence without padding, each with its own positions and blind for the others; the gradient
    is the same but for rounding. Default `auto`: for a decoder that generates, where the roofline finds it faster by a
    tenth or more."""
    batching: Literal["shuffled", "length_grouped"] = "shuffled"
    """`length_grouped` makes each optimizer step of rows of like length, in shuffled order of steps: less padding, and
    steps that differ in length. Default: shuffled, since chance keeps steps alike."""
    learning_rate: Literal["auto"] | Annotated[Real, Field(gt=0, lt=10)] = "auto"
    """Peak learning rate. Default `auto`: the usual middle of the strategy, for LoRA 2e-4 at a hidden size of 4,096 and
    for full training 2e-5 at 2,048, in inverse proportion to the model's own hidden size."""
    head_learning_rate: Literal["auto"] | Annotated[Real, Field(gt=0, lt=10)] = "auto"
    """Peak learning rate of a new head, which is randomly initialized. Default `auto`: 1e-3, Adam's own, where
    `learning_rate` is `auto` too, else the same as that."""
    class_weights: Literal["auto", "none", "balanced", "balanced_sqrt"] | dict[str, ClassWeight] = "auto"
    """What the loss of a row is multiplied by, by its class, in training; measured losses stay as they are. `balanced`:
    the inverse of the class's share of the training rows, as in scikit-learn; `balanced_sqrt`: the square root of
    that, so that the mean over the training rows is 1; or a weight for each class, such as `{spam: 3}`, with 1 for the
    others. Default `auto`: `balanced_sqrt` where the rarest class has less than a third of an even share of the rows,
    else none; only a classification with one label a row can have any."""
    schedule: Schedule = Schedule.usual()
    """How the learning rate moves."""
    optimizer: Optimizer = Optimizer.usual()
    """The optimizer."""
    label_smoothing: Real = Field(default=0.0, ge=0, lt=1)
    """Share of each target that is spread over all choices in training, so that none is learned as certain; losses that
    are measured stay as they are. Default: 0, since most tasks gain nothing."""
    neftune_alpha: Real | None = Field(default=None, gt=0, le=100)
    """Noise on the embeddings in training, uniform up to alpha / sqrt(tokens * width) (NEFTune, Jain et al. 2023).
    Default: none; 5 is usual for instructions."""
    distillation: Distillation | None = None
    """A teacher to learn from. Default: none, so that the rows alone teach; a teacher costs its forward pass in every
    step, and its weights in memory."""
    max_grad_norm: Real | None = Field(default=1.0, gt=0)
    """Gradients longer than this are scaled down; `null` for never. Default: 1, the usual guard against spikes."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward and backward pass. Default `auto`: bfloat16 where the device is fast at it."""
    activation_checkpointing: Literal["auto"] | bool = "auto"
    """Recompute activations instead of keeping them: far less memory, about a third more time. Default `auto`: only
    when the job does not fit otherwise."""
    sharding: Literal["auto", "ddp", "fsdp"] = "auto"
    """What each of several devices holds (`budget.devices`): with `ddp` the whole model, with `fsdp` its part of every
    weight, gradient and moment, and one layer at a time as a whole (torch's `fully_shard`). The gradient is the same
    but for rounding, of which `fsdp` does more in bfloat16: of weights that are trained themselves it puts layers
    together in bfloat16, so that what goes from layer to layer is in bfloat16, which `ddp` keeps in float32. Default
    `auto`: the fastest that fits, and of equals `ddp`, which exchanges least."""
    offload: Literal["auto", "none", "cpu"] = "auto"
    """With `cpu`, each device's part under `fsdp` lies in the host's memory, and the optimizer's step is done there:
    least memory on the device, and slow. Default `auto`: `none`, since the device's own memory is faster, and `cpu`
    where that is the fastest that fits."""
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
