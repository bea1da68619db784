"""The experts of a model whose layers are a mixture of them: how many there are, and how many a token goes to.

A router sends each token of a layer to a few experts. So a token costs the arithmetic of these alone, while memory
holds all. Which experts a token goes to is known only when it is computed; how many is in the configuration, and
transformers computes all of a layer at once (grouped products), so that no size depends on the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ftc.spec.architecture_card import Mixture
from ftc.spec.module_names import part_of

__all__ = ["CHOSEN_EXPERTS", "NUM_EXPERTS", "Experts", "expert_group", "expert_matrices", "experts_of"]

NUM_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
"""Keys of config.json for the experts that a layer chooses from; releases of transformers differ in one type's key."""
CHOSEN_EXPERTS = ("num_experts_per_tok",)
"""Keys for the experts that each token goes to."""


class _Tensor(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def num_elements(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of a model.

    Attributes:
        count: Experts in a layer that has some.
        chosen: Experts that a token goes to in each such layer.
        inner: Width between the two halves of an expert.
        layers: Weights of all experts of a layer, by a name for them such as `model.layers.0.experts`.
        routers: Weights of all routers.
    """

    count: int
    chosen: int
    inner: int
    layers: Mapping[str, int]
    routers: int

    @property
    def idle(self) -> int:
        """Weights that a token doesn't go through."""
        return sum(size - size * self.chosen // self.count for size in self.layers.values())


def experts_of(mixture: Mixture | None, config: Mapping[str, Any], tensors: Mapping[str, _Tensor]) -> Experts | None:
    """The experts of a model by its stored tensors; None where its layers are dense, or the file has no experts."""
    if mixture is None:
        return None
    layers: dict[str, int] = {}
    routers = 0
    for name, tensor in tensors.items():
        if mixture.is_expert(name):
            group = expert_group(name)
            layers[group] = layers.get(group, 0) + tensor.num_elements
        elif mixture.is_router(name):
            routers += tensor.num_elements
    if not layers:
        return None
    return Experts(
        _first(config, NUM_EXPERTS), _first(config, CHOSEN_EXPERTS), int(config[mixture.inner]), layers, routers
    )


def expert_matrices(mixture: Mixture, experts: Experts, hidden: int) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of each expert of a layer, by what memory calls the tensor of all of them.

    Args:
        mixture: What the model type calls them.
        experts: Of the model.
        hidden: Width of what comes into a layer.
    """
    found: dict[str, tuple[int, int]] = {}
    for group, size in experts.layers.items():
        halves = size // (experts.count * hidden * experts.inner) - 1  # 2 where a gate lies beside what it multiplies
        sizes = (hidden, halves * experts.inner), (experts.inner, hidden)
        layer = group.removesuffix("experts")
        found |= {f"{layer}{end}": form for end, form in zip(mixture.matrices, sizes, strict=True)}
    return found


def _first(config: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    return next(int(config[key]) for key in keys if config.get(key) is not None)


def expert_group(name: str) -> str:
    """The key in `Experts.layers` of an expert's weight by its name: the same for every way of calling the module."""
    part = part_of(name)
    return f"{part.stack}.layers.{part.layer}.experts".lstrip(".")
