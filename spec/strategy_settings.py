"""A strategy with nothing left open, as a run carries it out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.module_names import part_of
from ftc.spec.strategy import LoraInit

__all__ = [
    "AdapterSettings",
    "BitFitSettings",
    "BottleneckSettings",
    "FullSettings",
    "Ia3Settings",
    "LnTuningSettings",
    "LoraSettings",
    "PTuningSettings",
    "PartialSettings",
    "PrefixTuningSettings",
    "PromptTuningSettings",
    "QLoraSettings",
    "StrategySettings",
    "differs_by_layer",
    "virtual_tokens",
]


class AdapterSettings(Document):
    """A low-rank adapter."""

    rank: int
    alpha: int
    dropout: Real
    targets: tuple[str, ...]
    """Last parts of the names of the adapted modules, sorted."""
    num_modules: int
    """Modules that these targets match in the base model; checked when the adapter is made."""
    trained_modules: tuple[str, ...]
    """Modules of a new head, which are trained whole."""
    also_trained: tuple[str, ...] = ()
    """Ends of the names of further modules that are trained whole."""
    ranks: dict[str, int] = Field(default={})
    """Ranks of single modules by the end of their names; the longest end counts. An end may name a layer."""
    alphas: dict[str, int] = Field(default={})
    rank_stabilized: bool = False
    """Whether the update is multiplied by alpha / sqrt(rank) instead of alpha / rank."""
    dora: bool = False
    """Whether a length is learnt for each row of the weight."""
    init: LoraInit = "default"


class FullSettings(Document):
    """Every weight is trained."""

    kind: Literal["full"]


class LoraSettings(Document):
    """An adapter beside frozen weights."""

    kind: Literal["lora"]
    adapter: AdapterSettings


class QLoraSettings(Document):
    """An adapter beside frozen weights of 4 or 8 bits."""

    kind: Literal["qlora"]
    adapter: AdapterSettings
    quantization: Literal["nf4", "fp4", "int8"]
    double_quantization: bool


class PartialSettings(Document):
    """The last layers are trained, and everything behind them."""

    kind: Literal["partial"]
    layers: Literal["all"] | int
    """Last layers of each stack."""
    embeddings: bool


class BitFitSettings(Document):
    """Biases are trained, and a new head."""

    kind: Literal["bitfit"]
    trained_modules: tuple[str, ...] = ()
    """Modules of a new head."""


class _Adapted(Document):
    """An adapter whose places follow from the model."""

    num_modules: int
    """Modules that it changes; checked when it is made."""
    trained_modules: tuple[str, ...] = ()
    """Modules of a new head."""


class LnTuningSettings(_Adapted):
    """Weights of norms are trained."""

    kind: Literal["ln_tuning"]


class Ia3Settings(_Adapted):
    """Keys, values and the input of the last feed-forward layer are scaled."""

    kind: Literal["ia3"]


class BottleneckSettings(_Adapted):
    """Small layers behind others."""

    kind: Literal["bottleneck"]
    placement: Literal["pfeiffer", "houlsby"]
    size: int
    activation: Literal["relu", "gelu", "silu"]


class _VirtualSettings(Document):
    """Virtual tokens before every row."""

    virtual_tokens: int
    trained_modules: tuple[str, ...] = ()
    """Modules of a new head."""


class PromptTuningSettings(_VirtualSettings):
    """Their embeddings are learnt."""

    kind: Literal["prompt_tuning"]
    init: Literal["vocabulary", "random"]


class PTuningSettings(_VirtualSettings):
    """Their embeddings are learnt through a network."""

    kind: Literal["p_tuning"]
    encoder: Literal["mlp", "lstm"] = "mlp"
    encoder_size: int


class PrefixTuningSettings(_VirtualSettings):
    """Their keys and values are learnt."""

    kind: Literal["prefix_tuning"]
    num_layers: int
    """Layers that have some."""
    projection_size: int | None = None
    """Width of the network that makes them; None where they are learnt as they are."""


StrategySettings = Annotated[
    FullSettings
    | PartialSettings
    | BitFitSettings
    | LnTuningSettings
    | LoraSettings
    | QLoraSettings
    | Ia3Settings
    | BottleneckSettings
    | PromptTuningSettings
    | PTuningSettings
    | PrefixTuningSettings,
    Field(discriminator="kind"),
]


def virtual_tokens(strategy: StrategySettings) -> int:
    """Tokens that stand before every row; 0 for most strategies."""
    return strategy.virtual_tokens if isinstance(strategy, _VirtualSettings) else 0


def differs_by_layer(strategy: StrategySettings) -> bool:
    """Whether adapters of like modules have other ranks in other layers, so that no layer stands for the others."""
    ranks = strategy.adapter.ranks if isinstance(strategy, LoraSettings | QLoraSettings) else ()
    return any(part_of(f"{end}.weight").kind == "layer" for end in ranks)
