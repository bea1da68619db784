"""Base models whose files hold quantized weights: a card for each method that `config.json` can name.

Most are dequantized while they are loaded, by transformers' own code: the model then is one of 16 or 32 bits, in which
every strategy can train. GPTQ and AWQ are chosen for their size: memory keeps these weights as the files hold them, and
what is trained is an adapter beside them. A server of answers holds all of them as the files do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

__all__ = [
    "DEQUANTIZING_BYTES",
    "LEAST_RELEASE",
    "QUANTIZED_FILES",
    "Dequantizer",
    "Needed",
    "QuantizedFiles",
    "QuantizedMethod",
    "files_card",
    "method_of",
    "quantized_files",
]

QuantizedMethod = Literal["fp8", "mxfp4", "compressed-tensors", "gptq", "awq"]
"""What config.json calls the methods whose files ftc loads."""

DEQUANTIZING_BYTES = 9
"""Bytes for each number of the largest weight that pass through host RAM while it is dequantized: it as it is stored,
and twice in float32, before and after its scale."""

LEAST_RELEASE = (5, 23)
"""Release of transformers, (major, minor), from which on all of them are dequantized, experts too."""


class Needed(NamedTuple):
    """A package beside transformers, which the extra of ftc with the same name installs.

    Attributes:
        name: Of the package.
        least: Its release, (major, minor), that transformers takes.
    """

    name: str
    least: tuple[int, int]


class Dequantizer(NamedTuple):
    """How transformers makes plain weights of quantized ones while it loads them.

    Attributes:
        config: Its class for the method's configuration, which takes `dequantize=True`.
        package: What it needs beside itself; None for nothing.
    """

    config: str
    package: Needed | None


class QuantizedFiles(NamedTuple):
    """One method.

    Attributes:
        method: `quant_method` in config.json.
        label: Its usual name.
        holds: What files hold, in words.
        dequantizer: How they are dequantized while they are loaded; None where they aren't.
        keeps: Whether memory holds them as files do.
    """

    method: str
    label: str
    holds: str
    dequantizer: Dequantizer | None
    keeps: bool


QUANTIZED_FILES: tuple[QuantizedFiles, ...] = (
    QuantizedFiles(
        method="fp8",
        label="FP8",
        holds="FP8, floats of 8 bits with a scale for each block of a matrix",
        dequantizer=Dequantizer("FineGrainedFP8Config", package=None),
        keeps=False,
    ),
    QuantizedFiles(
        method="mxfp4",
        label="MXFP4",
        holds="MXFP4, floats of 4 bits of which 32 share a scale",
        dequantizer=Dequantizer("Mxfp4Config", package=None),
        keeps=False,
    ),
    QuantizedFiles(
        method="compressed-tensors",
        label="compressed-tensors",
        holds="FP8, or whole numbers of 4 or 8 bits",
        dequantizer=Dequantizer("CompressedTensorsConfig", package=Needed("compressed-tensors", least=(0, 15))),
        keeps=False,
    ),
    QuantizedFiles(
        method="gptq",
        label="GPTQ",
        holds="whole numbers of 4 or 8 bits, of which a group shares a scale",
        dequantizer=None,
        keeps=True,
    ),
    QuantizedFiles(
        method="awq",
        label="AWQ",
        holds="whole numbers of 4 bits, of which a group shares a scale",
        dequantizer=None,
        keeps=True,
    ),
    QuantizedFiles(
        method="bitsandbytes",
        label="bitsandbytes",
        holds="packed numbers of 4 or 8 bits",
        dequantizer=None,
        keeps=False,
    ),
)


def method_of(config: Mapping[str, Any]) -> str | None:
    """What a model's config.json calls the method; `unknown` where it doesn't say, None where nothing is quantized."""
    if not (said := config.get("quantization_config")):
        return None
    if not isinstance(said, Mapping):
        return "unknown"
    if (name := said.get("quant_method")) is not None:
        return str(name)
    # Older files name no method where bitsandbytes packed the weights.
    return "bitsandbytes" if said.get("load_in_4bit") or said.get("load_in_8bit") else "unknown"


def files_card(method: str) -> QuantizedFiles | None:
    """The card of a method; None for one that ftc doesn't know."""
    return next((card for card in QUANTIZED_FILES if card.method == method), None)


def quantized_files(method: QuantizedMethod) -> QuantizedFiles:
    """The card of a method whose files ftc loads."""
    card = files_card(method)
    assert card is not None, "each of these methods has one"
    return card
