"""Partial training: the last layers and what follows them."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.module_names import part_of
from ftc.spec.strategies.card import (
    Base,
    Card,
    Choices,
    Problem,
    Settled,
    Trained,
    UsualRate,
)
from ftc.spec.strategies.common import Simple, WholeSettings, plural

__all__ = ["PARTIAL", "Partial", "PartialSettings", "depths_of"]


class Partial(Simple):
    """The last layers are trained whole, with everything behind them; those before stay as they are."""

    UNITS: ClassVar[dict[str, str]] = {"layers": "layers"}
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {"layers": (2, "all")}

    kind: Literal["partial"]
    layers: Literal["all"] | Annotated[int, Field(ge=0, le=1000)] = 2
    """Last layers that are trained, in each stack of layers; with 0 only what follows them, such as a new head.
    Default: 2, where most of what is particular to a task is learned."""
    embeddings: bool = False
    """Whether the embeddings are trained, and with them an output layer that shares their weights. Default: no, since
    few rows move few words of them."""

    def settle(self, base: Base) -> Settled:
        """As many last layers as there are."""
        chosen = Choices()
        settings = PartialSettings(
            kind=chosen.take("kind", self.kind),
            layers=chosen.take("layers", self.layers),
            embeddings=chosen.take("embeddings", self.embeddings),
        )
        deepest = max(depths_of(base.model.tensors).values(), default=0)
        if self.layers != "all" and self.layers > deepest:
            summary = f"the last {self.layers} layers of a model with only {deepest}"
            chosen.problems.append(Problem("FTC272", summary, "layers", f"write at most {deepest}, or `all`"))
        return Settled(settings, chosen.reasons, tuple(chosen.problems), ())


class PartialSettings(WholeSettings):
    """The last layers are trained, and everything behind them."""

    kind: Literal["partial"]
    layers: Literal["all"] | int
    """Last layers of each stack."""
    embeddings: bool

    def trained(self, base: Base) -> Trained:
        """Weights of the last layers and behind them, and embeddings where they are trained."""
        depths = depths_of(base.model.tensors)
        found = {name: one for name, one in base.trainable.items() if self.is_trained(name, depths)}
        linear = {name.rpartition(".")[0] for name in found}.intersection(base.model.linear_modules)
        if (experts := base.model.experts) is not None:
            linear |= {name for name in experts.layers if self.is_trained(name, depths)}
        return Trained(
            num_weights=sum(one.num_elements for one in found.values()),
            num_saved=sum(one.num_elements for one in base.held.values()),
            num_frozen=0,
            beside={},
            own=frozenset(linear),
            from_start=self.embeddings,
            first_behind=False,
            last_layers=None if self.layers == "all" or self.embeddings else self.layers,
            products=True,
            norms=False,
            dropout=False,
        )

    def is_trained(self, name: str, depths: Mapping[str, int]) -> bool:
        """Whether a weight is trained, by its name and the number of layers of each stack."""
        part = part_of(name)
        if part.kind == "layer":
            return self.layers == "all" or part.layer >= depths[part.stack] - self.layers
        return part.kind == "output" or self.embeddings

    def words(self) -> str:
        """In a few words."""
        last = f"the last {plural(self.layers, 'layer')}" if self.layers != "all" and self.layers else ""
        which = "all layers" if self.layers == "all" else last
        return " and ".join(
            part for part in (which, "embeddings" if self.embeddings else "", "the output layer") if part
        )


def depths_of(names: Iterable[str]) -> dict[str, int]:
    """Layers of each stack, by what its names begin with."""
    found: dict[str, int] = {}
    for name in names:
        part = part_of(name)
        if part.kind == "layer":
            found[part.stack] = max(found.get(part.stack, 0), part.layer + 1)
    return found


PARTIAL = Card(
    kind="partial",
    recipe=Partial,
    settings=PartialSettings,
    label="partial fine-tuning",
    tag="partial",
    result="model",
    library="transformers",
    rate=UsualRate(2e-5, 1e-6, 5e-4, "as for full fine-tuning", 2048, 1),
    libraries=(),
    marks=(),
    no_sharding=None,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    foreign_names={"llamafactory": ("freeze",)},
)
