"""VeRA: vectors beside two random matrices that all layers share."""

# pyright: reportIncompatibleMethodOverride=false
# mypy judges these: pyright takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.strategies.card import Beside, Card, PeftMethod, UsualRate
from ftc.spec.strategies.on_linear import SHARED_IN_PARTS, OnLinear, OnLinearSettings

__all__ = ["VERA", "Vera", "VeraSettings"]


class VeraSettings(OnLinearSettings):
    """Vectors beside two shared random matrices."""

    label: ClassVar[str] = "VeRA"
    kind: Literal["vera"]
    rank: int
    dropout: Real
    d_initial: Real
    projection_prng_key: int

    @property
    def numbers(self) -> Mapping[str, str]:
        """Its numbers."""
        return {"rank": str(self.rank), "dropout": f"{self.dropout:g}"}

    @property
    def drops(self) -> float:
        """The dropout."""
        return self.dropout

    def num_weights(self, inputs: int, outputs: int) -> int:
        """One a rank, and one an output."""
        return self.rank + outputs

    def num_frozen(self, sizes: Mapping[str, tuple[int, int]]) -> int:
        """The two matrices, of the widest layer's sizes."""
        return self.rank * (max(i for i, _ in sizes.values()) + max(o for _, o in sizes.values()))

    @property
    def saves_frozen(self) -> bool:
        """Once for all layers, as peft does it."""
        return True

    def beside(self, inputs: int, outputs: int) -> Beside:
        """Two products as LoRA has them, of which only the vectors between and behind them learn."""
        return Beside(
            inputs=inputs,
            outputs=outputs,
            width=self.rank,
            scales=False,
            forward=self.rank * (inputs + outputs),
            backward=self.rank * outputs,
            through=self.rank * inputs,
            once=0,
            once_backward=0,
            turns_input=False,
            keeps_input=False,
            casts_input=True,
            keeps=self.rank + outputs,  # what each vector multiplies
            keeps_once=0,
            casts_once=self.rank * (inputs + outputs),  # slices of both matrices
            sums=0,
        )

    def peft(self) -> PeftMethod:
        """peft's own."""
        arguments = {
            "r": self.rank,
            "vera_dropout": self.dropout,
            "d_initial": self.d_initial,
            "projection_prng_key": self.projection_prng_key,
        }
        return PeftMethod("VeraConfig", arguments, "VeraLayer")


class Vera(OnLinear):
    """Vectors are trained that scale two frozen random matrices, which all layers share (VeRA, Kopiczko et al.
    2024).
    """

    SETTINGS: ClassVar[type[OnLinearSettings]] = VeraSettings
    UNITS: ClassVar[dict[str, str]] = {
        "rank": "dimensions",
        "dropout": "share of the inputs",
        "d_initial": "a pure number",
        "projection_prng_key": "a pure number",
    }
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "rank": (64, 256),
        "dropout": (0.05,),
        "d_initial": (0.1,),
        "projection_prng_key": (0,),
    }

    kind: Literal["vera"]
    rank: int = Field(default=256, ge=1, le=8192)
    """Rank of the update. A rank costs one weight a layer, so that it is larger than LoRA's. Default: 256, as in
    peft."""
    dropout: Real = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is dropped in training. Default: 0, which is fastest."""
    d_initial: Real = Field(default=0.1, gt=0, le=10)
    """What the vector between both matrices begins with. Default: 0.1, the largest that the authors found good."""
    projection_prng_key: int = Field(default=0, ge=0, le=2**31 - 1)
    """Seed of the two random matrices. Default: 0, as in peft."""

    def automatic(self) -> Mapping[str, tuple[object, str]]:
        """Nothing may be `auto`."""
        return {}


VERA = Card(
    kind="vera",
    recipe=Vera,
    settings=VeraSettings,
    label=VeraSettings.label,
    tag="vera",
    result="adapter",
    library="peft",
    rate=UsualRate(4e-3, 1e-4, 1e-1, "the usual rate of VeRA with AdamW (Kopiczko et al. 2024)", None, 1, 1),
    libraries=("peft",),
    marks=("vera_",),
    no_sharding=SHARED_IN_PARTS,
    divides_layers=False,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=False,
    folds_in=False,
    rounds=None,
    reads_images=True,
    foreign_names={"peft": ("vera",)},
)
