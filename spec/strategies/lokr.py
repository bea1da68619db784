"""LoKr: an update that is the Kronecker product of two matrices."""

# pyright: reportIncompatibleMethodOverride=false
# mypy judges these: pyright takes the base's `kind` for a method.

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.strategies.card import Beside, Card, PeftMethod
from ftc.spec.strategies.on_linear import NO_PUBLISHED_RATE, NOT_IN_PARTS, OnLinear, OnLinearSettings, OnPlainLinear

__all__ = ["LOKR", "LoKr", "LoKrSettings"]


class LoKrSettings(OnPlainLinear):
    """A Kronecker product."""

    label: ClassVar[str] = "LoKr"
    kind: Literal["lokr"]
    rank: int
    alpha: int
    rank_dropout: Real
    module_dropout: Real
    decompose_both: bool
    decompose_factor: int
    """Width of the small matrix, at most; -1 for the squarest one."""

    @property
    def numbers(self) -> Mapping[str, str]:
        """Its numbers."""
        return {"r =": str(self.rank), "alpha": str(self.alpha), "rank dropout": f"{self.rank_dropout:g}"}

    def shapes(self, inputs: int, outputs: int) -> tuple[int, int, int, int]:
        """Rows and columns of the small matrix, and of the other."""
        columns, others = _factors(inputs, self.decompose_factor)
        rows, more = _factors(outputs, self.decompose_factor)
        return rows, columns, more, others

    def num_weights(self, inputs: int, outputs: int) -> int:
        """Two matrices, each whole or as a product of low rank."""
        rows, columns, more, others = self.shapes(inputs, outputs)
        is_low = self.decompose_both and self.rank < max(rows, columns) / 2
        small = self.rank * (rows + columns) if is_low else rows * columns
        return small + (self.rank * (more + others) if self._is_low(more, others) else more * others)

    def _is_low(self, rows: int, columns: int) -> bool:
        return self.rank < max(rows, columns) / 2

    def beside(self, inputs: int, outputs: int) -> Beside:
        """The update is computed in each pass, and is as large as the layer's own weight."""
        rows, columns, more, others = self.shapes(inputs, outputs)
        made = self.rank * more * others * self._is_low(more, others)
        made += self.rank * rows * columns * (self.decompose_both and self._is_low(rows, columns))
        return Beside(
            inputs=inputs,
            outputs=outputs,
            width=0,
            scales=False,
            forward=inputs * outputs,
            backward=inputs * outputs,
            through=inputs * outputs,
            once=made,
            once_backward=2 * made,
            turns_input=False,
            keeps_input=True,
            casts_input=True,
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
            "decompose_both": self.decompose_both,
            "decompose_factor": self.decompose_factor,
        }
        return PeftMethod("LoKrConfig", arguments, "LoKrLayer")


class LoKr(OnLinear):
    """The update of a layer is the Kronecker product of a small matrix and one of low rank (LoKr, Yeh et al. 2024)."""

    SETTINGS: ClassVar[type[OnLinearSettings]] = LoKrSettings
    UNITS: ClassVar[dict[str, str]] = {
        "rank": "dimensions",
        "alpha": "a pure number",
        "rank_dropout": "share of the outputs",
        "module_dropout": "share of the layers",
        "decompose_factor": "dimensions",
    }
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "rank": (8, 16),
        "alpha": ("auto", 16),
        "rank_dropout": (0.1,),
        "module_dropout": (0.1,),
        "decompose_factor": ("auto", 8),
    }

    kind: Literal["lokr"]
    rank: int = Field(default=8, ge=1, le=4096)
    """Rank of the matrices that the update is made of. Default: 8, as in peft."""
    alpha: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] = "auto"
    """Scale of the update: it is multiplied by alpha / rank. Default `auto`: the rank, as in peft."""
    rank_dropout: Real = Field(default=0.0, ge=0, lt=1)
    """Share of the update's outputs that is dropped in training. Default: 0, as in peft."""
    module_dropout: Real = Field(default=0.0, ge=0, lt=1)
    """Share of the adapters that are left out of a training step. Default: 0, as in peft."""
    decompose_both: bool = False
    """Whether the small matrix is of low rank, too. Default: no, as in peft."""
    decompose_factor: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] = "auto"
    """Width of the small matrix, at most. Default `auto`: the largest that divides the layer's widths and is no more
    than their square roots, which takes the fewest weights."""

    def automatic(self) -> Mapping[str, tuple[object, str]]:
        """Alpha, and how matrices are divided."""
        return {
            "alpha": (self.rank, "the rank, so that the update is added unscaled"),
            "decompose_factor": (-1, "peft's name for the squarest matrices"),
        }


def _factors(width: int, factor: int) -> tuple[int, int]:
    """A width as a product of two, the smaller one first, as peft divides it."""
    if factor > 0 and width % factor == 0:
        return factor, width // factor
    most = width if factor == -1 else factor
    small = next(one for one in range(min(most, math.isqrt(width)), 0, -1) if width % one == 0)
    return small, width // small


LOKR = Card(
    kind="lokr",
    recipe=LoKr,
    settings=LoKrSettings,
    label=LoKrSettings.label,
    tag="lokr",
    result="adapter",
    library="peft",
    rate=NO_PUBLISHED_RATE,
    libraries=("peft",),
    marks=("lokr_",),
    no_sharding=NOT_IN_PARTS,
    divides_layers=False,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=None,
    reads_images=True,
    foreign_names={"peft": ("lokr",)},
)
