"""OFT: what comes into a linear layer is turned by a learned rotation."""

# pyright: reportIncompatibleMethodOverride=false
# mypy judges these: pyright takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.strategies.card import Base, Beside, Card, PeftMethod, Problem
from ftc.spec.strategies.on_linear import NO_PUBLISHED_RATE, NOT_IN_PARTS, OnLinear, OnLinearSettings, OnPlainLinear

__all__ = ["OFT", "Oft", "OftSettings"]

_TERMS = 5
"""Of the series by which peft makes a rotation: its own default."""


class OftSettings(OnPlainLinear):
    """A rotation of what comes in."""

    label: ClassVar[str] = "OFT"
    kind: Literal["oft"]
    block_size: int
    block_share: bool
    dropout: Real

    @property
    def numbers(self) -> Mapping[str, str]:
        """Its numbers."""
        return {"blocks of": str(self.block_size), "dropout": f"{self.dropout:g}"}

    def block_of(self, inputs: int) -> int:
        """Width of the blocks of a layer with so many inputs, as peft finds it."""
        if self.block_size >= inputs:
            return inputs
        higher = next(size for size in range(self.block_size, inputs + 1) if inputs % size == 0)
        lower = next(size for size in range(self.block_size, 0, -1) if inputs % size == 0)
        return lower if self.block_size - lower <= higher - self.block_size else higher

    def num_weights(self, inputs: int, outputs: int) -> int:
        """The upper half of each block's matrix."""
        block = self.block_of(inputs)
        return (1 if self.block_share else inputs // block) * block * (block - 1) // 2

    def beside(self, inputs: int, outputs: int) -> Beside:
        """A product of each block, whose matrix is a sum of powers."""
        block = self.block_of(inputs)
        made = (1 if self.block_share else inputs // block) * block**2
        return Beside(
            inputs=inputs,
            outputs=outputs,
            width=0,
            scales=False,
            forward=inputs * block,
            backward=inputs * block,
            through=inputs * block,
            once=(_TERMS - 2) * made * block,
            once_backward=2 * (_TERMS - 2) * made * block,
            turns_input=True,
            keeps_input=True,
            casts_input=True,
            keeps=0,
            keeps_once=inputs * block + (_TERMS - 2) * made,
            casts_once=0,
            sums=0,
        )

    def misfit(self, base: Base, task: str) -> Problem | None:
        """peft takes states of four dimensions for images, and latents come to their layer as such."""
        wide = base.model.kind.widens_latents
        if wide not in self.targets:
            return super().misfit(base, task)
        others = ", ".join(name for name in self.targets if name != wide)
        summary = (
            f"`{wide}` of a `{base.model.model_type}` model reads states of four dimensions, "
            "which peft's OFT takes for images"
        )
        return Problem("FTC274", summary, "targets", f"write `targets: [{others}]`, or choose `kind: lora`")

    def peft(self) -> PeftMethod:
        """peft's own."""
        arguments = {
            "r": 0,
            "oft_block_size": self.block_size,
            "block_share": self.block_share,
            "module_dropout": self.dropout,
            "use_cayley_neumann": True,
            "num_cayley_neumann_terms": _TERMS,
        }
        return PeftMethod("OFTConfig", arguments, "OFTLayer")


class Oft(OnLinear):
    """What comes into a layer is turned, block by block, by a rotation that is learned (OFT, Qiu et al. 2023)."""

    SETTINGS: ClassVar[type[OnLinearSettings]] = OftSettings
    UNITS: ClassVar[dict[str, str]] = {"block_size": "dimensions", "dropout": "share of the blocks"}
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {"block_size": (16, 32), "dropout": (0.05,)}

    kind: Literal["oft"]
    block_size: int = Field(default=32, ge=2, le=1024)
    """Width of a block that is turned by itself; where it doesn't divide a layer's inputs, the nearest width that does.
    Default: 32, as in peft."""
    block_share: bool = False
    """Whether all blocks of a layer share one rotation. Default: no, as in peft."""
    dropout: Real = Field(default=0.0, ge=0, lt=1)
    """Share of the blocks that are left as they are in a training step. Default: 0, as in peft."""

    def automatic(self) -> Mapping[str, tuple[object, str]]:
        """Nothing may be `auto`."""
        return {}


OFT = Card(
    kind="oft",
    recipe=Oft,
    settings=OftSettings,
    label=OftSettings.label,
    tag="oft",
    result="adapter",
    library="peft",
    rate=NO_PUBLISHED_RATE,
    libraries=("peft",),
    marks=("oft_",),
    no_sharding=NOT_IN_PARTS,
    divides_layers=False,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=None,
    reads_images=True,
    foreign_names={"peft": ("oft",), "llamafactory": ("oft",)},
)
