"""Which model is tuned."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect

__all__ = ["AttentionKernel", "License", "Model"]

AttentionKernel = Literal["eager", "sdpa", "flash_attention_2"]
"""The plain formula, torch's fused kernels, or those of the package flash-attn."""


class License(Document):
    """What the license of the base model may be, and that of a teacher."""

    EFFECT: ClassVar[Effect] = Effect.COSMETIC

    allow: tuple[str, ...] = Field(min_length=1)
    """Accepted licenses by their hub id in lower case, such as `apache-2.0`. A model without one is refused."""


class Model(Document):
    """The base model."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    base: str = Field(min_length=1, max_length=300)
    """Folder relative to the recipe, or hub id such as `HuggingFaceTB/SmolLM2-135M-Instruct`."""
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    """Branch, tag or commit on the hub. Default: the main branch; the lock keeps the commit that it stood at."""
    license: License | None = None
    """Accepted licenses, a teacher's too. Default: any, since which license suits depends on the use; the plan shows
    it."""
    attention: Literal["auto"] | AttentionKernel = "auto"
    """Attention kernel. Default `auto`: sdpa, which every device has and which needs no further package; the plain
    formula for models whose class in transformers has nothing else; flash attention where its package is installed and
    the run then fits or is faster."""
