"""How training runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ftc.spec.base import Document, Effect, Real
from ftc.spec.checkpointing import Recomputing
from ftc.spec.extension_points import ENTRY
from ftc.spec.fused_kernels import AskedKernels
from ftc.spec.knobs import effects_in
from ftc.spec.names import Spelled
from ftc.spec.optimizer_choice import usual_optimizer
from ftc.spec.optimizer_keys import OptimizerKeys
from ftc.spec.optimizers import OptimizerKind
from ftc.spec.parameter_patterns import MOST_PATTERNS, ParameterPattern
from ftc.spec.precisions import AskedPrecision
from ftc.spec.quantized_weights import ImitatedKind
from ftc.spec.schedules import ScheduleKeys, ScheduleKind
from ftc.spec.sections.distillation import Distillation
from ftc.spec.shardings import AskedSharding

__all__ = [
    "EarlyStopping",
    "Optimizer",
    "ParameterGroup",
    "QuantizeAware",
    "Schedule",
    "Train",
]

ClassWeight = Annotated[Real, Field(gt=0, le=1000)]


class Schedule(ScheduleKeys):
    """Learning rate schedule."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS
    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("warmup_steps",)

    kind: ScheduleKind = "linear"
    """Shape after the warm-up, as listed in `docs/optimizers.md`. Default: linear, which has nothing to tune."""
    warmup_ratio: Real = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the rate rises from zero. Default: 0.05, which stabilizes the first Adam steps."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Optimizer steps in which the rate rises, instead of `warmup_ratio`. Default: none, so that the share applies."""
    decay_ratio: Real = Field(default=0.2, gt=0, le=1)
    """Share of the steps at the end in which `warmup_stable_decay` decays. Default: 0.2; longer decays gain little."""
    patience: int = Field(default=1, ge=0)
    """Evaluations on validation without improvement before `plateau` lowers the rate. Default: 1, because one may be
    chance."""
    factor: Real = Field(default=0.5, gt=0, lt=1)
    """Factor by which `plateau` multiplies the rate. Default: 0.5, which can be applied several times in a run."""


class Optimizer(OptimizerKeys):
    """The optimizer."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["auto"] | OptimizerKind = "adamw"
    """The method; `docs/optimizers.md` lists papers, state and hyperparameters. Paged optimizers let the driver move
    their state to host RAM. `auto`: AdamW in float32, paged if only that fits, and 8-bit if nothing else fits.
    Default: AdamW, fused if the device supports it, because another optimizer gives other results; under
    `precision: pure_bfloat16` AdamW with Kahan summation, which keeps what rounding takes of an update."""
    beta1: Real = Field(default=0.9, ge=0, lt=1)
    """Decay of the gradient's mean, for AdamW and Lion. Default: 0.9, as in the papers."""
    beta2: Literal["auto"] | Annotated[Real, Field(ge=0, lt=1)] = "auto"
    """Decay of the mean square (AdamW) or of the momentum (Lion). Default `auto`: 0.999 and 0.99, as in the papers,
    and 0.99 where AdamW keeps its means in bfloat16, which rounds a decay of 0.999 to none."""
    epsilon: Real = Field(default=1e-8, gt=0)
    """Added to AdamW's denominator. Default: 1e-8, as in the paper."""
    momentum: Real = Field(default=0.9, ge=0, lt=1)
    """Momentum of SGD. Default: 0.9, the usual value."""
    weight_decay: Real = Field(default=0.0, ge=0, lt=1)
    """Weight decay of matrices; biases and norms are never decayed. Default: 0, because adapters are small already."""


class EarlyStopping(Document):
    """Stop when validation no longer improves."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    metric: str = "val_loss"
    """`val_loss`, or a metric of the task that needs no generated answers, such as `val_accuracy` for classes or
    `val_entity_f1` for words. Default: `val_loss`, which every task has."""
    patience: int = Field(default=2, ge=1)
    """Evaluations without improvement before the run stops. Default: 2, because one may be chance."""
    min_delta: Real = Field(default=0.0, ge=0)
    """Smallest change that counts as improvement, in the metric's own unit. Default: 0, so that any gain counts."""


class QuantizeAware(Document):
    """Quantization-aware training (QAT): in training, each pass rounds the weights of the linear layers inside the
    model's layers as `ftc run export` will, so that the others learn to make up for it. Beside LoRA it rounds their sum
    with the adapter, which is what is exported. Gradients pass the rounding as if it weren't there. Validation and test
    measure the rounded model. Needs `ftc[torchao]`.
    """

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    weights: ImitatedKind
    """What weights are rounded to: `int8`, 8 bits with a scale for each row, or `int4`, 4 bits with a scale for each
    group."""
    group_size: Literal["auto"] | Annotated[int, Field(ge=8, le=4096)] = "auto"
    """Weights of a row that share a scale, for `int4`; layers whose rows are no multiple of it stay as they are.
    Default `auto`: 32, the most exact that kernels for 4 bits have."""


class ParameterGroup(Document):
    """Parameters with a learning rate of their own."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    parameters: tuple[ParameterPattern, ...] = Field(min_length=1, max_length=MOST_PATTERNS)
    """Patterns of parameters' names: whole parts of a name, in which `*`, `?` and `[0-9]` match characters of one
    part, such as `[embed_tokens]` or `["layers.[0-7]"]`. Beside an adapter they name the modules that it changes."""
    learning_rate: Annotated[Real, Field(gt=0, lt=10)]
    """Their peak learning rate; the schedule is that of all others."""


class Train(Document):
    """How training runs."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS
    EFFECTS: ClassVar[dict[str, Effect]] = {
        **effects_in("train"),
        **dict.fromkeys(("keep_checkpoints", "save_in_background"), Effect.RESOURCE),
    }

    @model_validator(mode="after")
    def _optimizer_of_the_precision(self) -> Self:
        """Where no optimizer is named, the one that trains weights of the type in which the precision has them."""
        usual = usual_optimizer(self.precision)
        if usual is None or "kind" in self.optimizer.model_fields_set:
            return self
        optimizer = self.optimizer.model_copy(update={"kind": usual})
        optimizer.model_fields_set.discard("kind")  # nobody wrote it
        return self.model_copy(update={"optimizer": optimizer})

    epochs: Literal["auto"] | Annotated[Real, Field(gt=0, le=1000)] = "auto"
    """Passes over the training rows; 0.5 is half a pass. Default `auto`: 3, and more on few rows: as many as make 300
    optimizer steps, at most 30, where a new head is trained, and 60 steps, at most 6, where answers are written. The
    best checkpoint on validation becomes the result: by the loss, or, where `epochs` is `auto` and a new head is
    trained, by the task's main metric (macro F1 for classes), since such a head's loss rises with its confidence."""
    max_steps: int | None = Field(default=None, ge=1)
    """Maximum number of optimizer steps. Default: no limit, so that `epochs` decides."""
    batch_size: int = Field(default=16, ge=1, le=65536)
    """Rows per optimizer step, over all devices and accumulation steps. Default: 16, which gives steady gradients and
    still many steps on a thousand rows."""
    micro_batch: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Per-device batch size: rows that go through the model at once, on one device; the rest of `batch_size` is
    gradient accumulation. It changes memory and speed but not the gradient, which is normalized by target tokens.
    Default `auto`: the fastest that fits the budget, which is the largest unless padding costs more."""
    micro_batch_tokens: int | None = Field(default=None, ge=8)
    """Maximum number of tokens that go through the model at once, padding included; the per-device batch then has as
    many rows as fit, at least one, so that short rows form larger batches. Default: no limit, so that `micro_batch`
    decides."""
    packing: Literal["auto"] | bool = "auto"
    """Packing: several rows in one sequence without padding, each with its own positions and attention mask; the
    gradient is the same except for rounding. Default `auto`: for a decoder that generates, if the roofline estimate
    is at least a tenth faster (a fifth on a CPU)."""
    loss_chunk_size: Literal["auto", "none"] | Annotated[int, Field(ge=1)] = "auto"
    """Chunked cross entropy: target positions whose logits are computed at once, forward and backward, so that the
    logits over the vocabulary never take memory as a whole. `none` computes all at once. The gradient is the same
    except for rounding. Default `auto`: chunks where all logits of a per-device batch take more than 1 GiB, or more
    than an eighth of the memory, with 12 bytes each."""
    batching: Literal["shuffled", "length_grouped"] = "shuffled"
    """`length_grouped` builds each optimizer step from rows of similar length, in shuffled order of steps: less
    padding, but steps differ in length. Default: shuffled, so that steps are similar."""
    learning_rate: Literal["auto"] | Annotated[Real, Field(gt=0, lt=10)] = "auto"
    """Peak learning rate. Default `auto`: the usual middle of the strategy, for LoRA 2e-4 at a hidden size of 4,096 and
    for full training 2e-5 at 2,048. Narrower models take more: LoRA's goes by the inverse root of the hidden size, or
    beside a new head by its inverse power 0.85, and full training's by its inverse."""
    head_learning_rate: Literal["auto"] | Annotated[Real, Field(gt=0, lt=10)] = "auto"
    """Peak learning rate of a new head, which is randomly initialized. Default `auto`: where
    `learning_rate` is `auto` too, 5e-3 beside an adapter and 1e-3, Adam's own, else; where it isn't, the same as it."""
    parameter_groups: tuple[ParameterGroup, ...] = Field(default=(), max_length=100)
    """Learning rates of single modules or layers; the first group that fits a parameter counts. A new head keeps
    `head_learning_rate`. Default: none, so that everything else learns at `learning_rate`."""
    layer_decay: Annotated[Real, Field(gt=0, lt=1)] | None = None
    """Layer-wise learning rate decay (Howard & Ruder 2018): the last layer learns at this share of `learning_rate`,
    each layer before it at this share of the next one's, and the embeddings at this share of the first layer's. What
    follows the layers keeps `learning_rate`, and `parameter_groups` their own. Default: none; 0.9 is usual for
    encoders."""
    class_weights: Literal["auto", "none", "balanced", "balanced_sqrt"] | dict[str, ClassWeight] = "auto"
    """What the loss of a row is multiplied by, by its class, in training; measured losses stay as they are. `balanced`:
    the inverse of the class's share of the training rows, as in scikit-learn; `balanced_sqrt`: the square root of
    that, so that the mean over the training rows is 1; or a weight for each class, such as `{spam: 3}`, with 1 for the
    others. Default `auto`: `balanced_sqrt` where the rarest class has less than a third of an even share of the rows,
    else none; only a classification with one label a row can have any."""
    schedule: Schedule = Schedule.usual()
    """Learning rate schedule."""
    optimizer: Optimizer = Optimizer.usual()
    """The optimizer."""
    label_smoothing: Real = Field(default=0.0, ge=0, lt=1)
    """Label smoothing: share of each target's probability that is spread over all classes or tokens in training;
    evaluation losses are not smoothed. Default: 0, because most tasks gain nothing."""
    focal_gamma: Annotated[Real, Field(gt=0, le=10)] | None = None
    """Focal loss (Lin et al. 2017): in training, the loss of a label to which the model gives probability p counts
    (1 - p) to this power, so that rows which it still gets wrong count most; measured losses stay as they are. For
    classification and token classification with a head. Default: none, because plain cross entropy gives better
    probabilities; 2 is usual where most rows are easy."""
    loss: Annotated[str, Spelled(ENTRY)] | None = None
    """Loss of an installed package in place of the cross entropy, by package and name, such as
    `courtesy-metrics:bounded`; it gives each target a loss by its scores, in training, and measured losses stay as they
    are. For tasks whose targets are tokens, or labels of a new head. A plan measures its memory on tensors without
    data. Default: none, because a task has its own loss, which `label_smoothing` and `focal_gamma` change; the distance
    to a teacher is `distillation.loss`."""
    z_loss: Annotated[Real, Field(gt=0, le=1)] | None = None
    """Weight of the z-loss (PaLM, Chowdhery et al. 2022): in training, this times the squared logarithm of the
    softmax's normalizer is added to the loss of each target token, so that scores don't drift to sizes that half
    precision rounds; measured losses stay as they are. For tasks whose targets are tokens. Default: none, because
    scores hardly drift in short training; 1e-4 is the paper's."""
    neftune_alpha: Real | None = Field(default=None, gt=0, le=100)
    """Noise on the embeddings in training, uniform up to alpha / sqrt(tokens * width) (NEFTune, Jain et al. 2023).
    Default: none; 5 is usual for instructions."""
    ema_decay: Annotated[Real, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average (EMA) of the trained weights. Validation, early stopping, the best
    checkpoint, the test and the saved model use the average; training goes on with the weights themselves, and
    checkpoints keep both. At step t, counted from 0, the decay is at most (1 + t) / (10 + t), as in TensorFlow and
    diffusers, so that the first steps are soon forgotten. Takes 4 more bytes for each trained weight. Default: none,
    because the best checkpoint is chosen anyway; 0.99 averages about the last 100 steps."""
    average_checkpoints: int | None = Field(default=None, ge=2, le=1000)
    """Number of last checkpoints whose mean is the result (checkpoint averaging): weights are added at the last
    evaluations of the run, with equal shares, and from the first of these on, validation measures the mean so far. No
    file of a checkpoint is read again. Takes 4 more bytes for each trained weight. Default: none, so that the result is
    one checkpoint; 5 is usual where checkpoints are an epoch apart or less."""
    quantize_aware: QuantizeAware | None = None
    """Quantization-aware training: weights are rounded in training as they will be when they are exported, for
    strategies that train the model's own weights, and for `lora`. Default: none, because 8 bits lose little without it;
    worth its time for `int4`, above all on small models."""
    router_aux_loss: Real | None = Field(default=None, gt=0, le=10)
    """Weight of the load balancing loss of a mixture of experts, which is added to the loss in training: it is least
    where the router sends equally many tokens to each expert (Fedus et al. 2021). Default: none, because a router that
    is not trained stays as balanced as it was; with `train_router`, 0.001 is usual."""
    train_router: bool = False
    """Train the routers of a mixture of experts too, where the strategy trains the model's own weights; an adapter
    trains them if `modules_to_save` names them. Default: no, because few rows unbalance the experts."""
    distillation: Distillation | None = None
    """A teacher for distillation. Default: none, so that only the rows are trained on; a teacher needs memory for its
    weights and a forward pass in every step."""
    max_grad_norm: Real | None = Field(default=1.0, gt=0)
    """Maximum gradient norm; larger gradients are clipped. `null` disables clipping. Default: 1, the usual guard
    against spikes."""
    precision: AskedPrecision = "auto"
    """Precision of the forward and backward pass; trained weights, gradients and optimizer state stay in float32,
    except under `pure_bfloat16`, where they are in bfloat16 as well: 10 bytes a weight instead of 16, for strategies
    that train the model's own weights. Ask for it where nothing else fits: gradients and averages are rounded to 8
    significant bits; `adamw_kahan` keeps what rounding takes of updates.
    With `float8`, the products of trained linear layers inside the model's layers are computed in 8 bits in training,
    by torchao (`ftc[torchao]`), and all else as in `bfloat16`: for strategies that train the model's own weights, on
    GPUs with such tensor cores (Ada, Hopper and later). Casts to 8 bits are some hundred kernels a layer unless
    `compile` fuses them, so ask for both. A tensor has one scale; with `float8_rowwise` each row has one, which is more
    exact and slower, and with `float8_rowwise_with_gw_hp` gradients of weights stay in bfloat16. Evaluations compute in
    bfloat16.
    With `float16` the loss is scaled (torch's `GradScaler`), since small gradients would become 0; a step whose scaled
    gradients overflow is skipped and counted, and the scale halves. Default `auto`: bfloat16 on a GPU that has it,
    float16 on an older one with tensor cores (T4, V100, RTX 20), unless the model's activations are known to overflow
    it, and float32 elsewhere."""
    activation_checkpointing: Literal["auto"] | Recomputing = "auto"
    """Activation (gradient) checkpointing: recompute activations in the backward pass instead of keeping them. With
    `true` far less memory, about a third more time. With `selective` the results of linear layers and of fused
    attention are kept, and only what is cheap is computed again: norms, rotations, activation functions, dropout.
    Results are the same, in nearly all models to the bit. Default `auto`: only if the job does not fit otherwise, and
    then the faster one that fits."""
    compile: bool = False
    """Compile the model's layers for training with `torch.compile`, on one device: once for each kind of layer and for
    each kind of micro-batch (one row or several, padded or not), whatever the lengths of the rows. Losses differ by
    rounding; evaluations are computed as without. Where the layers can't be compiled, the run says so and goes on
    without (FTC673). CUDA graphs are not offered yet: nobody has measured on a GPU how much memory their pool takes, so
    a plan could not prove that the job fits. Default: no, because compiling takes up to some minutes at each start, and
    the plan has no estimate of that, or of what a step gains."""
    kernels: AskedKernels = "auto"
    """Kernels of the layers' norms (RMSNorm), rotations (RoPE) and gated activations (SwiGLU, GeGLU) in training.
    `liger`: those of the package liger-kernel (`ftc[kernels]`), one kernel in place of several and less kept for the
    backward pass, on one CUDA GPU; losses differ by rounding, evaluations are computed as without. Where a plan or a
    run can't have them, it says so and goes on with torch's own (FTC674). `torch`: torch's own. Default `auto`:
    liger-kernel on a GPU where it is installed and knows the model type, and torch's own elsewhere."""
    sharding: AskedSharding = "auto"
    """What each of several devices (`budget.devices`) holds: with `ddp` the whole model, with `fsdp` a shard of every
    weight, gradient and optimizer state, and one layer at a time as a whole (torch's `fully_shard`). `hsdp` is for
    several machines (`budget.nodes`): each machine holds the whole model in shards, so that weights are gathered inside
    a machine and only gradients cross the network, once per step. The gradient is the same except for rounding. In
    bfloat16 `fsdp` and `hsdp` round more: they gather layers with trained weights in bfloat16, so that activations
    between layers are bfloat16, which `ddp` keeps in float32. Default `auto`: the fastest that fits, by the traffic
    over each link, and of equals the one that communicates least: `ddp`, then `hsdp`."""
    context_parallel: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    """Context parallelism: devices of a machine that share each row. Each computes its part of a row's tokens, and
    attention gathers the KV of all tokens, so that activations and logits of long rows take a share of the memory.
    `budget.devices` is a multiple of it; `sharding` says what each device holds, as ever. The gradient is the
    same except for rounding and dropout. Default `auto`: 1, and 2, 4 or more only where nothing else fits
    and a step has a row for each device."""
    tensor_parallel: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    """Tensor parallelism: devices of a machine that divide each layer while it is computed, by transformers' own plan
    for the model: each has a share of the heads and of the feed-forward part, so that a layer's weights and activations
    take a share of the memory, and each holds the same rows. They exchange states in every layer, which wants a fast
    link. `budget.devices` is a multiple of it; `sharding: fsdp` divides among the others what each has. The gradient is
    the same except for rounding and dropout. Default `auto`: 1, and 2, 4 or more only where nothing else fits."""
    offload: Literal["auto", "none", "cpu"] = "auto"
    """With `cpu`, each device's shards under `fsdp` and `hsdp` are kept in host RAM, and the optimizer step runs there:
    least GPU memory, but slow. Default `auto`: `none`, because GPU memory is faster, and `cpu` if that is the fastest
    that fits."""
    seed: int = Field(default=17, ge=0, lt=2**32)
    """Root of every random stream of training: initial weights, order of rows, dropout. Default: 17, a fixed number so
    that two runs are equal."""
    determinism: Literal["off", "auto", "best_effort", "bitwise"] = "auto"
    """How equal two runs of one plan must be. `auto`: deterministic kernels, not verified. `bitwise`: only kernels
    known to be deterministic, and the first steps run twice in fresh processes before training; a difference is an
    error. `best_effort`: the same, but a difference or an unknown kernel is only reported and recorded. `off`: the
    fastest kernels. Default: `auto`, which costs little; the check costs two starts and a few steps."""
    evaluate_every: Literal["epoch"] | Annotated[int, Field(ge=1)] = "epoch"
    """Steps between evaluations on the validation split, each of which also writes a checkpoint. Default: once per
    epoch, when every row was used equally often."""
    keep_checkpoints: int = Field(default=2, ge=1, le=1000)
    """Number of newest checkpoints to keep; the best one is always kept. Default: 2, so that one is complete while the
    next is written."""
    save_in_background: Literal["auto"] | bool = "auto"
    """Asynchronous checkpoints: weights and optimizer state are copied into host RAM, and a thread writes the copy
    while training goes on, one at a time; the plan's host RAM has the copy. A checkpoint counts once it is whole. If
    the disk refuses, the run ends at the next step, and the older checkpoints are intact. The last checkpoint of a run
    is waited for. Default `auto`: on a GPU of this machine, for checkpoints of 1 GiB and more, if host RAM has room for
    the copy."""
    early_stopping: EarlyStopping | None = None
    """Stop when validation no longer improves. Default: never, because the best checkpoint is kept anyway."""
