"""Bottleneck adapters: small layers with a narrow middle."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.module_names import Role, role_of
from ftc.spec.strategies.card import (
    Base,
    Beside,
    Card,
    Choices,
    PeftMethod,
    Settled,
    Trained,
    Traits,
    UsualRate,
)
from ftc.spec.strategies.common import AdaptedSettings, Simple, beside_trained, plural

if TYPE_CHECKING:
    from ftc.spec.documents.facts import ModelFacts

__all__ = ["BOTTLENECK", "Bottleneck", "BottleneckSettings", "roles_of"]

Placement = Literal["pfeiffer", "houlsby"]
Activation = Literal["relu", "gelu", "silu"]


class Bottleneck(Simple):
    """Small layers with a narrow middle behind others that stay as they are (Houlsby et al. 2019)."""

    UNITS: ClassVar[dict[str, str]] = {"size": "dimensions"}
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {"size": (16, 64)}

    kind: Literal["bottleneck"]
    placement: Placement = "pfeiffer"
    """`houlsby`: behind attention and behind the feed-forward layer; `pfeiffer`: behind the latter alone (Pfeiffer et
    al. 2020). Default: pfeiffer, which is as good on most tasks with half the weights."""
    size: int = Field(default=64, ge=1, le=8192)
    """Width of the middle. Default: 64, the usual one for models of 768 dimensions."""
    activation: Activation = "relu"
    """Activation function in the middle. Default: relu, as is usual for these adapters."""

    def settle(self, base: Base) -> Settled:
        """How many layers get one."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        placement = chosen.take("placement", self.placement)
        size = chosen.take("size", self.size)
        activation = chosen.take("activation", self.activation)
        head = chosen.head("trained_modules", base)
        count = chosen.places("num_modules", self.kind, _places(base.model, self.placement), base)
        settings = BottleneckSettings(
            kind=kind,
            num_modules=count,
            trained_modules=head,
            placement=placement,
            size=size,
            activation=activation,
        )
        return Settled(settings, chosen.reasons, tuple(chosen.problems), ())


class BottleneckSettings(AdaptedSettings):
    """Small layers behind others."""

    kind: Literal["bottleneck"]
    placement: Placement
    size: int
    activation: Activation

    @property
    def traits(self) -> Traits:
        """It stays a layer of its own."""
        return replace(super().traits, merge_copies=0)

    def trained(self, base: Base) -> Trained:
        """Two matrices with biases behind each layer."""
        places = _places(base.model, self.placement)
        size = sum(2 * outputs * self.size + self.size + outputs for _, outputs in places.values())
        beside = {name: self._behind(inputs, outputs) for name, (inputs, outputs) in places.items()}
        return beside_trained(size, beside, first_behind=self.placement == "pfeiffer")

    def _behind(self, inputs: int, outputs: int) -> Beside:
        """One that reads what its layer gives."""
        return Beside(
            inputs=outputs,
            outputs=outputs,
            width=self.size,
            scales=False,
            forward=self.size * (inputs + outputs),
            backward=self.size * (2 * outputs + inputs),
            through=self.size * inputs,
            once=0,
            once_backward=0,
            turns_input=False,
            keeps_input=True,
            casts_input=True,
            keeps=self.size,
            keeps_once=0,
            casts_once=0,
            sums=0,
        )

    def words(self) -> str:
        """In a few words."""
        return f"{self.placement} adapters of {self.size} after {plural(self.num_modules, 'module')}"

    def peft(self) -> PeftMethod | None:
        """peft has none."""
        return None


def roles_of(placement: Placement) -> tuple[Role, ...]:
    """What the layers do that get one."""
    return ("feed_forward_out",) if placement == "pfeiffer" else ("attention_out", "feed_forward_out")


def _places(model: ModelFacts, placement: Placement) -> dict[str, tuple[int, int]]:
    return {name: size for name, size in model.linear_modules.items() if role_of(name) in roles_of(placement)}


BOTTLENECK = Card(
    kind="bottleneck",
    recipe=Bottleneck,
    settings=BottleneckSettings,
    label="bottleneck adapters",
    tag="bottleneck",
    result="adapter",
    library="ftc",
    rate=UsualRate(1e-4, 1e-5, 1e-2, "Pfeiffer et al. 2020", None, 1, 1),
    libraries=(),
    marks=(".bottleneck.",),
    no_sharding=None,
    divides_layers=False,
    no_recomputing=None,
    no_merging="they are separate layers",
    saves_what_it_trains=True,
    folds_in=False,
    rounds=None,
    reads_images=False,
    foreign_names={},
)
