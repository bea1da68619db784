"""What peft's further adapters on linear layers have in common: targets that a recipe chooses, and a few numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.strategies.card import Base, Beside, Card, Choices, Obstacle, Problem, Settled, Trained, Traits, UsualRate
from ftc.spec.strategies.common import AdaptedSettings, Simple, beside_trained, choose_targets, plural, targeted

__all__ = [
    "NOT_IN_PARTS",
    "NO_PUBLISHED_RATE",
    "SHARED_IN_PARTS",
    "OnLinear",
    "OnLinearSettings",
    "OnPlainLinear",
]

_LORA = "choose `kind: lora`"
NOT_IN_PARTS = Obstacle("it is not tested with sharded models", _LORA)
SHARED_IN_PARTS = Obstacle("all layers share its random matrices", _LORA)
NO_PUBLISHED_RATE = UsualRate(
    2e-4, 1e-5, 1e-2, "LoRA's usual rate with AdamW, because none is published for this method", 4096, 0.5, 0.5
)


class OnLinearSettings(AdaptedSettings):
    """An adapter on linear layers."""

    label: ClassVar[str]
    """Its name for people."""
    targets: tuple[str, ...]
    """Last parts of the names of the adapted modules, sorted."""

    @property
    @abstractmethod
    def numbers(self) -> Mapping[str, str]:
        """The adapter's numbers for people, the most telling one first."""

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
        """Whether those are saved, and not computed again from their seed."""

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


class OnPlainLinear(OnLinearSettings):
    """An adapter on torch's own linear layers, all of whose weights are trained and saved."""

    @property
    def drops(self) -> float:
        """Nothing of the input: what it drops are outputs, blocks or whole layers."""
        return 0.0

    def num_frozen(self, sizes: Mapping[str, tuple[int, int]]) -> int:
        """None."""
        return 0

    @property
    def saves_frozen(self) -> bool:
        """There is nothing to save."""
        return False

    def misfit(self, base: Base, task: str) -> Problem | None:
        """Why the adapter can't be put on a model of other linear layers, as GPT-2 has them."""
        if not base.model.kind.transposed:
            return None
        summary = f"peft does not support `{self.kind}` for the linear layers of a `{base.model.model_type}` model"
        return Problem("FTC274", summary, "kind", "choose `lora`, which works with any linear layer")


class OnLinear(Simple):
    """An adapter on linear layers."""

    SETTINGS: ClassVar[type[OnLinearSettings]]
    """What its section is settled to."""
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {"targets": ("all-linear", ("q_proj", "v_proj"))}

    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all-linear"
    """Linear layers that get an adapter: names of modules such as `[q_proj, v_proj]`. Default: all but the output
    layer."""

    @abstractmethod
    def automatic(self) -> Mapping[str, tuple[object, str]]:
        """What `auto` stands for, and why, by the key that may say so."""

    def settle(self, base: Base) -> Settled:
        """Each key as it is written, or what `auto` stands for; then where the adapter is put, and a new head."""
        chosen, automatic = Choices(), self.automatic()
        values: dict[str, Any] = {}
        for key in type(self).model_fields:
            written = getattr(self, key)
            if key == "targets":
                continue
            is_open = key in automatic and written == "auto"
            values[key] = chosen.derive(key, *automatic[key]) if is_open else chosen.take(key, written)
        targets = choose_targets(chosen, self.targets, "targets", base.model)
        count = len(targeted(base.model, targets))
        values["targets"] = targets
        values["num_modules"] = chosen.derive("num_modules", count, "modules of the base model that the targets match")
        values["trained_modules"] = chosen.head("trained_modules", base)
        return Settled(self.SETTINGS(**values), chosen.reasons, tuple(chosen.problems), ())

    def usual_rate(self, card: Card, width: int, *, has_new_head: bool) -> tuple[float, str]:
        """The usual middle, and who says so."""
        usual = card.rate.source
        reason = card.rate.reason(width, usual, has_new_head=has_new_head)
        return card.rate.at(width, has_new_head=has_new_head), reason
