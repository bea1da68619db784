"""A low-rank adapter with nothing left open, and the tables of a vocabulary whose rows it trains."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real, SparseDocument
from ftc.spec.module_names import part_of
from ftc.spec.strategies.card import Base
from ftc.spec.strategies.common import plural
from ftc.spec.strategies.patterns import by_name

__all__ = ["AdapterSettings", "LoraInit", "lies_in", "token_tables"]

LoraInit = Literal["default", "gaussian", "orthogonal", "olora", "pissa"]
"""What a low-rank adapter begins with."""


class AdapterSettings(SparseDocument):
    """A low-rank adapter."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("token_ids", "target_parameters", "num_parameters")

    rank: int
    alpha: int
    dropout: Real
    targets: tuple[str, ...]
    """Last parts of the names of the adapted modules, sorted."""
    num_modules: int
    """Modules that these targets match in the base model; checked when the adapter is made."""
    trained_modules: tuple[str, ...]
    """Modules of a new head, which are trained whole."""
    also_trained: tuple[str, ...] = ()
    """Ends of the names of further modules that are trained whole."""
    token_ids: tuple[int, ...] = ()
    """Added tokens whose rows in the vocabulary's tables are trained; absent from documents where there are none."""
    target_parameters: tuple[str, ...] = ()
    """Ends of the names, in memory, of the tensors of experts that are adapted; absent from documents without any."""
    num_parameters: int = 0
    """Tensors that these match in the base model; checked when the adapter is made."""
    ranks: dict[str, int] = Field(default={})
    """Ranks of single modules by the end of their names; the longest end counts. An end may name a layer."""
    alphas: dict[str, int] = Field(default={})
    rank_stabilized: bool = False
    """Whether the update is multiplied by alpha / sqrt(rank) instead of alpha / rank."""
    dora: bool = False
    """Whether a length is learned for each row of the weight."""
    init: LoraInit = "default"

    @property
    def differs_by_layer(self) -> bool:
        """Whether like modules have another adapter in other layers, or none."""
        names_layer = any(part.isdigit() for end in self.target_parameters for part in end.split("."))
        return names_layer or any(part_of(f"{end}.weight").kind == "layer" for end in self.ranks)

    def rank_of(self, name: str) -> int:
        """Rank of an adapted layer's update, by its full name."""
        own = by_name(self.ranks, name)
        return self.rank if own is None else self.ranks[own]

    def scale_of(self, name: str) -> float:
        """What an adapted layer's update is multiplied by, by its full name."""
        own, rank = by_name(self.alphas, name), self.rank_of(name)
        alpha = self.alpha if own is None else self.alphas[own]
        return alpha / (math.sqrt(rank) if self.rank_stabilized else rank)

    def no_lora_file(self) -> str | None:
        """Why it can't be a file of two matrices a layer beside the base as it is; None where it can."""
        if self.dora:
            return "DoRA also learns the length of each row of a weight"
        if whole := (*self.trained_modules, *self.also_trained):
            return f"{', '.join(whole)} {'was' if len(whole) == 1 else 'were'} trained whole"
        if self.target_parameters:
            return "it adapts all experts of a layer at once, and such a file holds two matrices of one linear layer"
        if self.token_ids:
            return f"it trained the rows of {plural(len(self.token_ids), 'added token')}"
        return None

    def words(self, name: str) -> str:
        """`LoRA r=16 on 24 modules`, with what is unusual about it."""
        ranks = {self.rank, *self.ranks.values()}
        rank = f"r={self.rank}" if len(ranks) == 1 else f"r={min(ranks)} to {max(ranks)}"
        variants = {"DoRA": self.dora, "rank-stabilized": self.rank_stabilized}
        traits = [*(word for word, is_on in variants.items() if is_on)]
        if self.init != "default":
            traits.append(f"{self.init} init")
        if self.token_ids:
            traits.append(plural(len(self.token_ids), "token row"))
        if self.also_trained:
            traits.append(f"{', '.join(self.also_trained)} fully trained")
        more = f" ({', '.join(traits)})" if traits else ""
        places = [plural(self.num_modules, "module")] if self.num_modules or not self.num_parameters else []
        places += [plural(self.num_parameters, "tensor") + " of experts"] if self.num_parameters else []
        return f"{name} {rank} on {' and '.join(places)}{more}"


def token_tables(base: Base, also_trained: tuple[str, ...]) -> tuple[str, ...]:
    """Modules with a row for each token that the task's model holds and that aren't trained whole."""
    own = base.model.tokenizer.own
    held = [name for name in own.tables if f"{name}.weight" in base.held] if own else []
    return tuple(name for name in held if not any(lies_in(f"{name}.weight", end) for end in also_trained))


def lies_in(tensor: str, end: str) -> bool:
    """Whether a tensor is a module's own, or of one inside it; the module by the end of its name."""
    return f".{end}." in f".{tensor}"
