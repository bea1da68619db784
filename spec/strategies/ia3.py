"""IA3: learned scales of keys, values and feed-forward layers."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ftc.spec.module_names import Role, role_of
from ftc.spec.strategies.card import (
    Base,
    Beside,
    Card,
    Choices,
    PeftMethod,
    Settled,
    Trained,
    UsualRate,
)
from ftc.spec.strategies.common import AdaptedSettings, Simple, beside_trained, plural

if TYPE_CHECKING:
    from ftc.spec.documents.facts import ModelFacts

__all__ = ["IA3", "ROLES", "Ia3", "Ia3Settings"]

ROLES: tuple[Role, ...] = ("keys_values", "feed_forward_out")
"""What the layers do that are scaled."""


class Ia3(Simple):
    """Keys, values and what enters the last feed-forward layer are scaled, a number each (IA3, Liu et al. 2022)."""

    kind: Literal["ia3"]

    def settle(self, base: Base) -> Settled:
        """How many layers are scaled."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        head = chosen.head("trained_modules", base)
        count = chosen.places("num_modules", self.kind, _scaled(base.model), base)
        settings = Ia3Settings(kind=kind, num_modules=count, trained_modules=head)
        return Settled(settings, chosen.reasons, tuple(chosen.problems), ())


class Ia3Settings(AdaptedSettings):
    """Keys, values and the input of the last feed-forward layer are scaled."""

    kind: Literal["ia3"]

    def trained(self, base: Base) -> Trained:
        """A number for each output of keys and values, and for each input of the last feed-forward layer."""
        scaled = _scaled(base.model)
        size = sum(i if role_of(name) == "feed_forward_out" else o for name, (i, o) in scaled.items())
        return beside_trained(size, {name: _scales(*size) for name, size in scaled.items()})

    def words(self) -> str:
        """In a few words."""
        return f"IA3 on {plural(self.num_modules, 'module')}"

    def peft(self) -> PeftMethod:
        """peft's own."""
        return PeftMethod("IA3Config", {}, "IA3Layer")


def _scaled(model: ModelFacts) -> dict[str, tuple[int, int]]:
    return {name: size for name, size in model.linear_modules.items() if role_of(name) in ROLES}


def _scales(inputs: int, outputs: int) -> Beside:
    return Beside(
        inputs=inputs,
        outputs=outputs,
        width=0,
        scales=True,
        forward=0,
        backward=0,
        through=0,
        once=0,
        once_backward=0,
        turns_input=False,
        keeps_input=False,  # what is scaled is kept, wherever it stands
        casts_input=True,
        keeps=0,
        keeps_once=0,
        casts_once=0,
        sums=0,
    )


IA3 = Card(
    kind="ia3",
    recipe=Ia3,
    settings=Ia3Settings,
    label="IA3",
    tag="ia3",
    result="adapter",
    library="peft",
    rate=UsualRate(3e-3, 1e-5, 5e-2, "Liu et al. 2022", None, 1, 1),
    libraries=("peft",),
    marks=("ia3_",),
    no_sharding=None,
    divides_layers=False,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=None,
    reads_images=False,
    foreign_names={"peft": ("ia3",)},
)
