"""How the model's weights are changed."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect, Real

__all__ = ["Full", "Lora", "QLora", "Strategy"]


class Full(Document):
    """Every weight is trained."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["full"]


class _LowRank(Document):
    """What LoRA and QLoRA have in common."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    rank: int = Field(default=16, ge=1, le=4096)
    """Rank of the update. More rank learns more and costs memory in proportion. Default: 16, enough for most single
    tasks."""
    alpha: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] = "auto"
    """Scale of the update: it is multiplied by alpha / rank. Default `auto`: twice the rank."""
    dropout: Real = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is dropped in training. Default: 0, which is fastest; try 0.05 on few rows."""
    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all-linear"
    """Linear layers that get an adapter: names of modules such as `[q_proj, v_proj]`. Default: all but the output
    layer, which comes closest to full training."""


class Lora(_LowRank):
    """Low-rank adapters beside frozen weights (Hu et al. 2021)."""

    kind: Literal["lora"]


class QLora(_LowRank):
    """Low-rank adapters beside frozen 4-bit weights (Dettmers et al. 2023)."""

    kind: Literal["qlora"]
    quantization: Literal["nf4", "fp4"] = "nf4"
    """4-bit type of the frozen weights. Default: nf4, which loses least on normally distributed weights."""
    double_quantization: bool = True
    """Whether the scales are quantised too. Default: yes, which saves about 0.4 bits a weight."""


Strategy = Annotated[Full | Lora | QLora, Field(discriminator="kind")]
"""Any strategy, told apart by `kind`."""
