"""What the run may cost, and on what it runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Bytes, Document, Effect, MoneyText, Seconds

__all__ = ["Budget"]


class Budget(Document):
    """What the run may cost, and on what it runs."""

    EFFECT: ClassVar[Effect] = Effect.RESOURCE
    EFFECTS: ClassVar[dict[str, Effect]] = {"device": Effect.NUMERICS, "threads": Effect.NUMERICS}

    device: str = Field(default="auto", min_length=1, max_length=60)
    """`cpu`, or a card by its catalogue name such as `rtx-4090`, whether it is in this machine or not. Default `auto`:
    this machine's card, else its CPU."""
    vram: Annotated[Bytes, Field(gt=0)] | None = None
    """Memory that the run may use, such as `24GiB`. Default: what the device has."""
    time: Annotated[Seconds, Field(gt=0)] | None = None
    """Longest run, such as `2h`. Default: no limit, since `train.epochs` bounds the work."""
    price_per_hour: MoneyText | None = None
    """What the device costs an hour, such as `0.40 USD`. Default: unknown, and no cost is shown."""
    cost: MoneyText | None = None
    """Most that the run may cost, such as `5 USD`; needs `price_per_hour`. Default: no limit, since without a
    price there is no cost."""
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    """CPU threads. Another number can change a result's last bits. Default `auto`: the physical cores."""
