"""What a device can do: by its data sheet, or described by hand in a recipe."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ftc.spec.base import Bandwidth, Bytes, Document, Effect, Power, Throughput

__all__ = ["DeviceByHand", "Rates", "Speed"]


class Rates(Document):
    """Dense multiplications and additions of a GPU by precision, without sparsity."""

    EFFECT: ClassVar[Effect] = Effect.RESOURCE

    float32: Annotated[Throughput, Field(gt=0)] | None = None
    """In float32 without tensor cores, such as `82.6 TFLOP/s`. Default: unknown; no time is estimated for float32."""
    bfloat16: Annotated[Throughput, Field(gt=0)] | None = None
    """In bfloat16 with sums in float32, such as `165 TFLOP/s`. Default: the GPU has no bfloat16, or it is unknown."""


class Speed(Document):
    """What a device reaches at best, by its data sheet or as measured on it."""

    flops: dict[str, int]
    """Operations a second by precision: `float32`, `tfloat32`, `float16`, `bfloat16`, `float8`. What a device lacks,
    or nobody is sure of, is absent."""
    bandwidth: int | None
    """Bytes a second between memory and cores; None where unknown."""
    watts: int | None
    """Power of the whole board at its default limit; None where unknown."""
    source: str
    """Document or measurement that the figures are from."""


class DeviceByHand(Document):
    """A GPU that the catalog doesn't know, described by its data sheet."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    name: str = Field(min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """Name of the GPU, in lower case, that no GPU of the catalog has."""
    memory: Annotated[Bytes, Field(gt=0)]
    """Memory that its driver reports, such as `47.5GiB`; a vendor's round figure is a little more."""
    bandwidth: Annotated[Bandwidth, Field(gt=0)] | None = None
    """Bytes a second between memory and cores, such as `768 GB/s`. Default: unknown; no time is estimated."""
    throughput: Rates = Rates.usual()
    """Dense throughput by precision. Default: unknown; no time is estimated."""
    capability: str | None = Field(default=None, pattern=r"^[1-9]\d?\.\d$")
    """CUDA's compute capability, such as `"8.6"`; kernels are chosen by it. Default: unknown; memory is then that of
    8.0, and the GPU has bfloat16 when `throughput` has a figure for it."""
    power: Annotated[Power, Field(gt=0)] | None = None
    """Power of the whole board, such as `300 W`. Default: unknown; no energy is estimated."""
