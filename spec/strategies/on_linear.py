"""What peft's further adapters on linear layers have in common: targets that a recipe chooses, and a few numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from ftc.spec.documents.facts import ModelFacts
from ftc.spec.strategies.card import Base, Beside, Card, Choices, Obstacle, Problem, Trained, Traits
from ftc.spec.strategies.common import AdaptedSettings, Simple, beside_trained, choose_targets, plural, targeted

__all__ = ["NOT_IN_PARTS", "OnLinear", "OnLinearSettings", "Places", "transposed_misfit"]

NOT_IN_PARTS = Obstacle(
    "it is not tested with sharded models",
    "choose `kind: lora`, or `sharding: ddp`",
)


class Places(NamedTuple):
    """Where an adapter is put."""

    targets: tuple[str, ...]
    num_modules: int
    trained_modules: tuple[str, ...]


class OnLinear(Simple):
    """An adapter on linear layers."""

    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {"targets": ("all-linear", ("q_proj", "v_proj"))}

    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all-linear"
    """Linear layers that get an adapter: names of modules such as `[q_proj, v_proj]`. Default: all but the output
    layer."""

    def places(self, chosen: Choices, base: Base) -> Places:
        """Settles where the adapter is put, and a new head beside it."""
        targets = choose_targets(chosen, self.targets, "targets", base.model)
        count = len(targeted(base.model, targets))
        num_modules = chosen.derive("num_modules", count, "modules of the base model that the targets match")
        return Places(targets, num_modules, chosen.head("trained_modules", base))

    def usual_rate(self, card: Card, width: int) -> tuple[float, str]:
        """The usual middle, and who says so."""
        return card.rate.at(width), card.rate.reason(width, card.rate.source)


class OnLinearSettings(AdaptedSettings):
    """An adapter on linear layers."""

    targets: tuple[str, ...]
    """Last parts of the names of the adapted modules, sorted."""

    @property
    @abstractmethod
    def numbers(self) -> Mapping[str, str]:
        """The adapter's numbers for people, the most telling one first."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name for people."""

    @property
    @abstractmethod
    def drops(self) -> float:
        """Share of its input that is dropped in training."""

    @abstractmethod
    def num_weights(self, inputs: int, outputs: int) -> int:
        """Weights that are trained beside a layer of this size."""

    @abstractmethod
    def beside(self, inputs: int, outputs: int) -> Beside:
        """What stands beside a layer of this size."""

    @abstractmethod
    def num_frozen(self, sizes: Mapping[str, tuple[int, int]]) -> int:
        """Weights that it brings along and never trains, for layers of these sizes."""

    @property
    @abstractmethod
    def saves_frozen(self) -> bool:
        """Whether those are saved, and not made anew out of their seed."""

    @property
    def traits(self) -> Traits:
        """Those of an adapter that is alike in all layers."""
        first, *rest = (f"{name} {value}" for name, value in self.numbers.items())
        return replace(super().traits, adapter=", ".join([first, *rest]), targets=self.targets, merge_copies=6)

    def trained(self, base: Base) -> Trained:
        """So much beside each layer."""
        sizes = targeted(base.model, self.targets)
        found = beside_trained(
            sum(self.num_weights(*size) for size in sizes.values()),
            {name: self.beside(*size) for name, size in sizes.items()},
        )
        frozen = self.num_frozen(sizes) if sizes else 0
        return replace(
            found, num_saved=found.num_weights + frozen * self.saves_frozen, num_frozen=frozen, dropout=self.drops > 0
        )

    def words(self) -> str:
        """`VeRA rank 256 on 24 modules`."""
        name, value = next(iter(self.numbers.items()))
        return f"{self.label} {name} {value} on {plural(self.num_modules, 'module')}"


def transposed_misfit(kind: str, model: ModelFacts) -> Problem | None:
    """Why an adapter for torch's own linear layers can't be put on a model of others, as GPT-2 has them."""
    if not model.kind.transposed:
        return None
    summary = f"peft does not support `{kind}` for the linear layers of a `{model.model_type}` model"
    return Problem("FTC274", summary, "kind", "choose `lora`, which works with any linear layer")
