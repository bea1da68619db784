"""RandLoRA: an update of full rank, out of random matrices that all layers share."""

# pyright: reportIncompatibleMethodOverride=false
# mypy judges these: pyright takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.strategies.card import Beside, Card, PeftMethod, UsualRate
from ftc.spec.strategies.on_linear import SHARED_IN_PARTS, OnLinear, OnLinearSettings

__all__ = ["RANDLORA", "RandLora", "RandLoraSettings"]


class RandLoraSettings(OnLinearSettings):
    """Scales of shared random matrices."""

    label: ClassVar[str] = "RandLoRA"
    kind: Literal["randlora"]
    rank: int
    alpha: int
    dropout: Real
    sparsity: Literal["none", "sparse", "very_sparse"]
    projection_prng_key: int

    @property
    def numbers(self) -> Mapping[str, str]:
        """Its numbers."""
        return {"rank": str(self.rank), "alpha": str(self.alpha), "dropout": f"{self.dropout:g}"}

    @property
    def drops(self) -> float:
        """The dropout."""
        return self.dropout

    def num_bases(self, inputs: int, outputs: int) -> int:
        """Random matrices that a layer's full rank takes."""
        return -(-min(inputs, outputs) // self.rank)

    def num_weights(self, inputs: int, outputs: int) -> int:
        """A scale of each rank of each matrix, and of each number of the narrower side."""
        return self.num_bases(inputs, outputs) * (self.rank + min(inputs, outputs))

    def num_frozen(self, sizes: Mapping[str, tuple[int, int]]) -> int:
        """One matrix for the narrower side, and all of the wider one, of the widest layer's sizes."""
        inputs, outputs = max(i for i, _ in sizes.values()), max(o for _, o in sizes.values())
        return self.rank * (min(inputs, outputs) + max(inputs, outputs) * self.num_bases(inputs, outputs))

    @property
    def saves_frozen(self) -> bool:
        """peft would save them once for each layer."""
        return False

    def beside(self, inputs: int, outputs: int) -> Beside:
        """Two products through all ranks together; the one at the narrower side learns."""
        ranks = self.rank * self.num_bases(inputs, outputs)
        is_first = inputs <= outputs  # the one that learns reads the input
        return Beside(
            inputs=inputs,
            outputs=outputs,
            width=ranks,
            scales=False,
            forward=ranks * (inputs + outputs),
            backward=ranks * (outputs + (inputs if is_first else 0)),
            through=ranks * (inputs + (0 if is_first else outputs)),
            once=0,
            once_backward=0,
            turns_input=False,
            keeps_input=is_first,
            casts_input=True,
            keeps=0 if is_first else ranks,
            keeps_once=ranks * (inputs + outputs),
            casts_once=0,
            sums=0,
        )

    def peft(self) -> PeftMethod:
        """peft's own."""
        arguments = {
            "r": self.rank,
            "randlora_alpha": self.alpha,
            "randlora_dropout": self.dropout,
            "sparse": self.sparsity == "sparse",
            "very_sparse": self.sparsity == "very_sparse",
            "projection_prng_key": self.projection_prng_key,
            "save_projection": False,
        }
        return PeftMethod("RandLoraConfig", arguments, "RandLoraLayer")


class RandLora(OnLinear):
    """Scales are trained of as many random matrices as a full rank takes, which all layers share (RandLoRA, Albert et
    al. 2025).
    """

    SETTINGS: ClassVar[type[OnLinearSettings]] = RandLoraSettings
    UNITS: ClassVar[dict[str, str]] = {
        "rank": "dimensions",
        "alpha": "a pure number",
        "dropout": "share of the inputs",
        "projection_prng_key": "a pure number",
    }
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "rank": (16, 32),
        "alpha": ("auto", 640),
        "dropout": (0.05,),
        "projection_prng_key": (0,),
    }

    kind: Literal["randlora"]
    rank: int = Field(default=32, ge=1, le=4096)
    """Rank of each random matrix. A smaller one takes more matrices, and so more weights. Default: 32, as in peft."""
    alpha: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] = "auto"
    """Scale of the update: it is multiplied by alpha / rank. Default `auto`: twenty times the rank, as in peft."""
    dropout: Real = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is dropped in training. Default: 0, which is fastest."""
    sparsity: Literal["none", "sparse", "very_sparse"] = "none"
    """How many of the random numbers are zero: none, two thirds, or nearly all. Default: none, as in peft."""
    projection_prng_key: int = Field(default=0, ge=0, le=2**31 - 1)
    """Seed of the random matrices. Default: 0, as in peft."""

    def automatic(self) -> Mapping[str, tuple[object, str]]:
        """Alpha."""
        return {"alpha": (20 * self.rank, "twenty times the rank, as peft recommends")}


RANDLORA = Card(
    kind="randlora",
    recipe=RandLora,
    settings=RandLoraSettings,
    label=RandLoraSettings.label,
    tag="randlora",
    result="adapter",
    library="peft",
    rate=UsualRate(
        1e-4,
        1e-6,
        1e-2,
        "half of LoRA's usual rate with AdamW, because its scale is ten times as large",
        4096,
        0.5,
        0.5,
    ),
    libraries=("peft",),
    marks=("randlora_",),
    no_sharding=SHARED_IN_PARTS,
    divides_layers=False,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=None,
    reads_images=True,
    foreign_names={"peft": ("randlora",)},
)
