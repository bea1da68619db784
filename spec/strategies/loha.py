"""LoHa: an update that is the product, number by number, of two of low rank."""

# pyright: reportIncompatibleMethodOverride=false
# mypy judges these: pyright takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.strategies.card import Beside, Card, PeftMethod
from ftc.spec.strategies.on_linear import NO_PUBLISHED_RATE, NOT_IN_PARTS, OnLinear, OnLinearSettings, OnPlainLinear

__all__ = ["LOHA", "LoHa", "LoHaSettings"]


class LoHaSettings(OnPlainLinear):
    """Two updates of low rank, multiplied number by number."""

    label: ClassVar[str] = "LoHa"
    kind: Literal["loha"]
    rank: int
    alpha: int
    rank_dropout: Real
    module_dropout: Real

    @property
    def numbers(self) -> Mapping[str, str]:
        """Its numbers."""
        return {"r =": str(self.rank), "alpha": str(self.alpha), "rank dropout": f"{self.rank_dropout:g}"}

    def num_weights(self, inputs: int, outputs: int) -> int:
        """Two pairs of matrices."""
        return 2 * self.rank * (inputs + outputs)

    def beside(self, inputs: int, outputs: int) -> Beside:
        """The update is computed in each pass, and is as large as the layer's own weight."""
        made = self.rank * inputs * outputs
        return Beside(
            inputs=inputs,
            outputs=outputs,
            width=0,
            scales=False,
            forward=inputs * outputs,
            backward=inputs * outputs,
            through=inputs * outputs,
            once=2 * made,
            once_backward=6 * made,  # both products once more, and two gradients of each
            turns_input=False,
            keeps_input=True,
            casts_input=False,
            keeps=0,
            keeps_once=inputs * outputs,
            casts_once=0,
            sums=0,
        )

    def peft(self) -> PeftMethod:
        """peft's own."""
        arguments = {
            "r": self.rank,
            "alpha": self.alpha,
            "rank_dropout": self.rank_dropout,
            "module_dropout": self.module_dropout,
        }
        return PeftMethod("LoHaConfig", arguments, "LoHaLayer")


class LoHa(OnLinear):
    """The update of a layer is the product, number by number, of two of low rank (LoHa, Hyeon-Woo et al. 2022, Yeh et
    al. 2024).
    """

    SETTINGS: ClassVar[type[OnLinearSettings]] = LoHaSettings
    UNITS: ClassVar[dict[str, str]] = {
        "rank": "dimensions",
        "alpha": "a pure number",
        "rank_dropout": "share of the outputs",
        "module_dropout": "share of the layers",
    }
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "rank": (8, 16),
        "alpha": ("auto", 16),
        "rank_dropout": (0.1,),
        "module_dropout": (0.1,),
    }

    kind: Literal["loha"]
    rank: int = Field(default=8, ge=1, le=4096)
    """Rank of the matrices that the update is made of. Default: 8, as in peft."""
    alpha: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] = "auto"
    """Scale of the update: it is multiplied by alpha / rank. Default `auto`: the rank, as in peft."""
    rank_dropout: Real = Field(default=0.0, ge=0, lt=1)
    """Share of the update's outputs that is dropped in training. Default: 0, as in peft."""
    module_dropout: Real = Field(default=0.0, ge=0, lt=1)
    """Share of the adapters that are left out of a training step. Default: 0, as in peft."""

    def automatic(self) -> Mapping[str, tuple[object, str]]:
        """Alpha."""
        return {"alpha": (self.rank, "the rank, so that the update is added unscaled")}


LOHA = Card(
    kind="loha",
    recipe=LoHa,
    settings=LoHaSettings,
    label=LoHaSettings.label,
    tag="loha",
    result="adapter",
    library="peft",
    rate=NO_PUBLISHED_RATE,
    libraries=("peft",),
    marks=("hada_",),
    no_sharding=NOT_IN_PARTS,
    divides_layers=False,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=None,
    reads_images=True,
    foreign_names={"peft": ("loha",)},
)
