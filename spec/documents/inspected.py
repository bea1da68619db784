"""What training changed in a model: its weights by module, the states between its layers, and embeddings of tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real

__all__ = ["InspectedRun", "LayerStates", "ModuleChange", "MovedToken"]


class ModuleChange(Document):
    """One weight, before the first step and in the result."""

    name: str
    """Its module's name in the model, with the weight's behind it where that isn't `weight`."""
    layer: int | None
    """Number of the layer that it is part of, from 0; None outside of layers."""
    module: str
    """What it is in its layer, such as `q_proj`."""
    kind: Literal["factors", "dense", "new"]
    """Whether the change is a product of an adapter's factors, from which it was computed exactly, or a whole tensor;
    `new` is a weight that the base model lacks."""
    parameters: int
    """Numbers in the weight."""
    update_norm: Real | None
    """Frobenius norm of the change; None of a new weight, which has nothing to be compared with."""
    base_norm: Real | None
    """Frobenius norm of the weight before."""
    spectral_norm: Real | None
    """Largest singular value of the change; None of vectors."""
    stable_rank: Real | None
    """Squared Frobenius norm over squared largest singular value."""
    effective_rank: Real | None
    """Exponential of the entropy of the singular values, divided by their sum (Roy and Vetterli 2007). None of vectors
    and of tensors whose smaller side is too large to compute it."""
    rank_limit: int | None
    """The most that a rank can be: of an adapter that of its factors."""

    @property
    def relative(self) -> float | None:
        """Norm of the change as a share of the weight's."""
        if self.update_norm is None or not self.base_norm:
            return None
        return float(self.update_norm) / float(self.base_norm)


class LayerStates(Document):
    """What leaves one layer, on the same rows, before the first step and in the result."""

    stack: str
    """Name of the stack of layers in the model."""
    layer: int
    """From 0."""
    cosine: Real
    """Mean cosine similarity of the states of a place, before and after."""
    cka: Real
    """Linear centered kernel alignment of all places (Kornblith and others 2019): 1 where states differ only by a
    rotation and a scale."""
    change: Real
    """Mean norm of the difference as a share of the state's norm before."""


class MovedToken(Document):
    """One token whose embedding moved far."""

    id: int
    token: str
    distance: Real
    """Euclidean distance of its embedding before and after."""
    relative: Real | None
    """The same as a share of the norm before; None where that was 0."""


class InspectedRun(Document):
    """What a run's training changed."""

    schema_: Literal["ftc.inspect/1"] = Field(default="ftc.inspect/1", alias="schema")
    ftc_version: str
    run_id: str
    name: str
    """Name of the recipe's job."""
    strategy: str
    """Kind of the strategy."""
    base: str
    parameters: int
    """Of the model."""
    trained: int
    """Trained parameters, by the plan."""
    changes: tuple[ModuleChange, ...]
    split: Literal["train", "validation"] | None
    """Whose rows the states are of; None where they were not computed."""
    rows: int
    places: int
    """Places of these rows whose states were compared."""
    states: tuple[LayerStates, ...]
    tokens: tuple[MovedToken, ...]
    """The tokens whose embeddings moved most, the farthest first; empty where embeddings were not trained."""
    notes: tuple[str, ...] = ()
    """What is not measured, and why."""
