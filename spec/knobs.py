"""What the solver may choose, where a recipe leaves it open: one card each. The compiler's half is
`ftc.compiler.search.knobs`.

The estimates' own names of these values are the fields of `ftc.compiler.candidate.Candidate`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from ftc.spec.base import Effect

__all__ = ["KNOBS", "Knob", "effects_in"]

Memory = Literal["kind", "training", "evaluation", "shared", "state"]
"""How a larger value changes the memory of one device. `kind`: values can't be put in an order, and are compared with
their like alone. `training`, `evaluation`: more in these phases. `shared`: less. `state`: by the bytes that the
optimizer keeps of a weight."""


class Knob(NamedTuple):
    """One value that the solver chooses.

    Attributes:
        name: Field of the candidate.
        recipe: Its path in a recipe.
        settings: Paths in the settings that have it, the telling one first.
        words: What suggestions call it where it changes with another value; None where they leave it out.
        effect: What a written value touches in the recipe.
        memory: How it changes the memory of one device.
        divides: Whether it decides how rows are divided into micro-batches, and so what a step is fed.
        follows_device: Whether it is the device's, so that a lock, which holds on every machine, leaves it out.
        trace_key: Path in the key of a memory trace; empty where the trace's shapes have it.
    """

    name: str
    recipe: str
    settings: tuple[str, ...]
    words: str | None
    effect: Effect
    memory: Memory
    divides: bool
    follows_device: bool
    trace_key: tuple[str, ...]


KNOBS: tuple[Knob, ...] = (
    Knob(
        name="micro_batch",
        recipe="train.micro_batch",
        settings=("train.micro_batch",),
        words="micro-batch",
        effect=Effect.NUMERICS,
        memory="training",
        divides=True,
        follows_device=True,
        trace_key=("train", "micro_batch"),
    ),
    Knob(
        name="activation_checkpointing",
        recipe="train.activation_checkpointing",
        settings=("train.activation_checkpointing",),
        words="recomputing",
        effect=Effect.NUMERICS,
        memory="kind",
        divides=False,
        follows_device=True,
        trace_key=("train", "activation_checkpointing"),
    ),
    Knob(
        name="loss_chunk_size",
        recipe="train.loss_chunk_size",
        settings=("train.loss_chunk_size",),
        words="loss chunks of",
        effect=Effect.RESOURCE,
        memory="kind",
        divides=False,
        follows_device=True,
        trace_key=("train", "loss_chunk_size"),
    ),
    Knob(
        name="packing",
        recipe="train.packing",
        settings=("train.packing",),
        words="packing",
        effect=Effect.RESOURCE,
        memory="kind",
        divides=True,
        follows_device=True,
        trace_key=("train", "packs"),
    ),
    Knob(
        name="micro_batch_tokens",
        recipe="train.micro_batch_tokens",
        settings=("train.micro_batch_tokens",),
        words=None,
        effect=Effect.RESOURCE,
        memory="training",
        divides=True,
        follows_device=True,
        trace_key=(),
    ),
    Knob(
        name="devices",
        recipe="budget.devices",
        settings=("device.count", "train.world_size"),
        words="devices:",
        effect=Effect.NUMERICS,
        memory="shared",
        divides=True,
        follows_device=True,
        trace_key=(),
    ),
    Knob(
        name="context_parallel",
        recipe="train.context_parallel",
        settings=("train.context_parallel",),
        words="context parallelism:",
        effect=Effect.RESOURCE,
        memory="kind",
        divides=True,
        follows_device=True,
        trace_key=("train", "context_parallel"),
    ),
    Knob(
        name="tensor_parallel",
        recipe="train.tensor_parallel",
        settings=("train.tensor_parallel",),
        words="tensor parallelism:",
        effect=Effect.RESOURCE,
        memory="kind",
        divides=True,
        follows_device=True,
        trace_key=("train", "tensor_parallel"),
    ),
    Knob(
        name="sharding",
        recipe="train.sharding",
        settings=("train.sharding",),
        words="sharding",
        effect=Effect.RESOURCE,
        memory="kind",
        divides=False,
        follows_device=True,
        trace_key=("train", "sharding"),
    ),
    Knob(
        name="offload",
        recipe="train.offload",
        settings=("train.offload",),
        words="offload",
        effect=Effect.RESOURCE,
        memory="kind",
        divides=False,
        follows_device=True,
        trace_key=("train", "offload"),
    ),
    Knob(
        name="attention",
        recipe="model.attention",
        settings=("model.attention",),
        words="attention",
        effect=Effect.NUMERICS,
        memory="kind",
        divides=False,
        follows_device=False,
        trace_key=("model", "attention"),
    ),
    Knob(
        name="optimizer",
        recipe="train.optimizer.kind",
        settings=("train.optimizer.kind",),
        words="optimizer",
        effect=Effect.NUMERICS,
        memory="state",
        divides=False,
        follows_device=False,
        trace_key=("train", "optimizer"),
    ),
    Knob(
        name="eval_batch",
        recipe="eval.batch_size",
        settings=("eval.batch_size",),
        words=None,
        effect=Effect.EVAL,
        memory="evaluation",
        divides=False,
        follows_device=True,
        trace_key=("evaluation_batch",),
    ),
)
"""All of them."""


def effects_in(section: str) -> dict[str, Effect]:
    """Effects of the knobs that are values of a section of the recipe, by key."""
    found = ((knob, knob.recipe.rpartition(".")) for knob in KNOBS)
    return {name: knob.effect for knob, (place, _, name) in found if place == section}
