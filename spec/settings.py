"""The recipe with nothing left open: what a run does, value by value.

The runtime reads these documents and nothing else; `ftc.spec.plan.Plan.origins` tells where each value came from.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.evaluation import Gate
from ftc.spec.facts import Family
from ftc.spec.train import EarlyStopping, Optimizer, Precision

__all__ = [
    "AdapterSettings",
    "DeterminismSettings",
    "DeviceSettings",
    "EvalSettings",
    "FullSettings",
    "LoraSettings",
    "ModelSettings",
    "QLoraSettings",
    "ScheduleSettings",
    "Seeds",
    "Settings",
    "StrategySettings",
    "TextSettings",
    "TrainSettings",
]


class TextSettings(Document):
    """How a row becomes tokens."""

    form: Literal["classify", "chat", "prompt"]
    """`classify`: text to label. `chat`: messages through the chat template. `prompt`: prompt and completion."""
    uses_chat_template: bool
    """Whether prompt and completion are wrapped as turns of the model's chat template."""
    max_length: int
    """Longest sequence in tokens."""
    overflow: Literal["cut", "drop", "refuse"]
    prompt: str | None
    """Jinja template of the prompt over a row's columns."""
    system: str | None
    labels: tuple[str, ...]
    """Classes in the order of the head's outputs; empty for tasks without classes."""


class ModelSettings(Document):
    """The model as it is loaded."""

    base: str
    """What the recipe calls it."""
    commit: str | None
    """Commit of a hub snapshot."""
    architecture: str
    family: Family
    head: Literal["lm", "classification"]
    """`lm`: the model's own output layer; `classification`: a new linear layer over the labels."""
    attention: Literal["eager", "sdpa", "flash_attention_2"]
    pad_id: int
    """Token that fills short rows. Masks never depend on it."""
    stop_ids: tuple[int, ...]
    """Tokens that end an answer."""


class AdapterSettings(Document):
    """A low-rank adapter."""

    rank: int
    alpha: int
    dropout: Real
    targets: tuple[str, ...]
    """Last parts of the names of the adapted modules, sorted."""
    num_modules: int
    """Modules that these targets match in the base model; checked when the adapter is made."""
    trained_modules: tuple[str, ...]
    """Modules beside the adapter that are trained whole, such as a new head."""


class FullSettings(Document):
    """Every weight is trained."""

    kind: Literal["full"]


class LoraSettings(Document):
    """An adapter beside frozen weights."""

    kind: Literal["lora"]
    adapter: AdapterSettings


class QLoraSettings(Document):
    """An adapter beside frozen 4-bit weights."""

    kind: Literal["qlora"]
    adapter: AdapterSettings
    quantization: Literal["nf4", "fp4"]
    double_quantization: bool


StrategySettings = Annotated[FullSettings | LoraSettings | QLoraSettings, Field(discriminator="kind")]


class ScheduleSettings(Document):
    """Learning rate over the steps."""

    kind: Literal["constant", "linear", "cosine"]
    warmup_steps: int


class Seeds(Document):
    """One named stream for each use of chance, all derived from `train.seed`."""

    init: int
    """Weights that are new: adapter and head."""
    order: int
    """Order of rows."""
    dropout: int


class DeterminismSettings(Document):
    """How alike two runs of the plan have to be."""

    asked: Literal["off", "auto", "best_effort", "bitwise"]
    kernels: Literal["any", "deterministic", "exact"]
    """`deterministic`: those that torch says are, where it has them. `exact`: in addition nothing that is not known to
    give the same bits in another process, and no arithmetic of lower precision than asked."""
    proof_steps: int
    """Steps that are run twice in fresh processes before training; 0 for none."""


class TrainSettings(Document):
    """Training, step by step."""

    num_steps: int
    """Optimiser steps of the whole run."""
    steps_per_epoch: int
    batch_size: int
    """Rows of one optimiser step over all devices."""
    micro_batch: int
    """Rows that go through the model at once on one device."""
    micro_batch_tokens: int | None = None
    """Most tokens that go through the model at once, padding included; None where rows alone decide."""
    packing: bool = False
    """Whether a micro-batch is one sequence of several rows, each with its own positions."""
    batching: Literal["shuffled", "length_grouped"] = "shuffled"
    """Whether an optimiser step's rows are of like length."""
    world_size: int
    """Processes that share each optimiser step's rows."""
    learning_rate: Real
    schedule: ScheduleSettings
    optimizer: Optimizer
    fused: bool
    """Whether the optimiser's fused kernel is used."""
    max_grad_norm: Real | None
    determinism: DeterminismSettings
    precision: Precision
    activation_checkpointing: bool
    evaluate_every_steps: int
    """Steps between looks at validation, each with a checkpoint; the last step always has one."""
    keep_checkpoints: int
    early_stopping: EarlyStopping | None
    select: Literal["best", "last"]
    """Which checkpoint becomes the result: the one with the best validation loss, or the last where there is no
    validation split."""
    select_metric: str
    """`val_loss`, or the metric that early stopping watches."""
    select_higher: bool
    """Whether a higher value of that metric is better."""


class EvalSettings(Document):
    """The measurement at the end."""

    metrics: tuple[str, ...]
    baseline: bool
    gates: dict[str, Gate]
    batch_size: int
    max_new_tokens: int | None
    """None where no metric needs answers."""
    samples: int


class DeviceSettings(Document):
    """What the run expects to find; compared with what is there before the first step."""

    name: str
    kind: Literal["cpu", "cuda"]
    count: int
    threads: int


class Settings(Document):
    """Everything that a run does."""

    text: TextSettings
    model: ModelSettings
    strategy: StrategySettings
    train: TrainSettings
    seeds: Seeds
    eval: EvalSettings
    device: DeviceSettings
