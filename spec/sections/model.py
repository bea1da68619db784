"""Which model is tuned, what the run may cost, and on what it runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from ftc.spec.base import Bytes, Document, Effect, MoneyText, Seconds
from ftc.spec.documents.device import DeviceByHand

__all__ = ["AttentionKernel", "Budget", "Device", "License", "Model", "TokenPrice"]

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
    """Folder relative to the recipe, or hub id such as `HuggingFaceTB/SmolLM2-135M-Instruct`. Models outside the
    project are named as they lie in a folder that the machine's owner allows: in the environment variable
    `FTC_MODEL_PATHS`, or as `model_paths` in `~/.config/ftc/config.toml`. The lock pins a folder's files by digest
    wherever it lies."""
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    """Branch, tag or commit on the hub. Default: the main branch; the lock keeps the commit that it stood at."""
    license: License | None = None
    """Accepted licenses, a teacher's too. Default: any, since which license suits depends on the use; the plan shows
    it."""
    attention: Literal["auto"] | AttentionKernel = "auto"
    """Attention kernel. Default `auto`: sdpa, which every device has and which needs no further package; the plain
    formula for models whose class in transformers has nothing else; flash attention where its package is installed and
    the run then fits or is faster."""


def _kind_of_device(value: object) -> str:
    return "by-hand" if isinstance(value, dict | DeviceByHand) else "by-name"


Device = Annotated[
    Annotated[Annotated[str, Field(min_length=1, max_length=60)], Tag("by-name")]
    | Annotated[DeviceByHand, Tag("by-hand")],
    Discriminator(_kind_of_device),
]
"""A device by its name, or a card in figures."""


class TokenPrice(Document):
    """What a service asks for a million tokens."""

    EFFECT: ClassVar[Effect] = Effect.RESOURCE

    sent: MoneyText
    """For a million tokens that it is sent, such as `0.15 USD`."""
    received: MoneyText
    """For a million tokens that it writes, such as `0.60 USD`; in the same currency."""


class Budget(Document):
    """What the run may cost, and on what it runs."""

    EFFECT: ClassVar[Effect] = Effect.RESOURCE
    EFFECTS: ClassVar[dict[str, Effect]] = {
        "device": Effect.NUMERICS,
        "devices": Effect.NUMERICS,
        "threads": Effect.NUMERICS,
    }

    device: Device = "auto"
    """`cpu`, or a card by its name such as `rtx-4090` (see `ftc device list`), whether it is in this machine or not;
    a card that the catalog lacks is described by its figures. Default `auto`: this machine's card, else its CPU."""
    devices: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = 1
    """Devices of that kind in one machine, with one process each, which share the rows of every step; `train.sharding`
    says what each of them holds. More of them draw other dropout, and add in another order. `auto`: from one to as
    many as this machine has the number that is fastest and fits, of those whose cost keeps within `cost` where there
    is a price, and of equals the least; processes on a CPU share it, which counts as one. Default: 1, which needs no
    exchange, and is the same on every machine."""
    vram: Annotated[Bytes, Field(gt=0)] | None = None
    """Memory that the run may use on each device, such as `24GiB`. Default: what the device has."""
    allow_tight: bool = False
    """Run even where the highest figure of the memory estimate is over the limit and only the lowest is not: it may run
    out of memory at its peak. Default: no, since that can be after hours."""
    time: Annotated[Seconds, Field(gt=0)] | None = None
    """Longest run, such as `2h`. Default: no limit, since `train.epochs` bounds the work."""
    price_per_hour: MoneyText | None = None
    """What one device costs an hour, such as `0.40 USD`; a CPU is one, however many processes share it. Default:
    unknown, and no cost is shown."""
    price_per_million_tokens: TokenPrice | None = None
    """What the service of `eval.judge` costs, such as `{sent: 0.15 USD, received: 0.60 USD}`; it becomes a part of the
    run's cost. Default: unknown, and the judge is in no cost."""
    cost: MoneyText | None = None
    """Most that the run may cost, such as `5 USD`; needs `price_per_hour`. Default: no limit, since without a
    price there is no cost."""
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    """CPU threads. Another number can change a result's last bits. Default `auto`: the physical cores."""
