"""How the model's weights are changed."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect, Real

__all__ = [
    "VIRTUAL_TOKENS",
    "WHOLE_MODEL",
    "BitFit",
    "Bottleneck",
    "Full",
    "Ia3",
    "LnTuning",
    "Lora",
    "LoraInit",
    "LowRankPattern",
    "ModuleName",
    "PTuning",
    "Partial",
    "PrefixTuning",
    "PromptTuning",
    "QLora",
    "Strategy",
]

LoraInit = Literal["default", "gaussian", "orthogonal", "olora", "pissa"]
"""What a low-rank adapter begins with."""
ModuleName = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$", max_length=200)]
"""The end of a module's name, of whole parts: `q_proj`, `layers.0.q_proj`."""


class Full(Document):
    """Every weight is trained."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["full"]


class LowRankPattern(Document):
    """Another rank or alpha for some of the adapted modules."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    modules: Literal["all"] | Annotated[tuple[ModuleName, ...], Field(min_length=1)] = "all"
    """Ends of the names of adapted modules, of whole parts: `[q_proj]`, `[layers.0.mlp.down_proj]`. Default: all, so
    that `layers` alone decides."""
    layers: Literal["all"] | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = "all"
    """Layers that are meant, counted from 0; those of encoder and decoder, where there are both. Default: all, so that
    `modules` alone decides."""
    rank: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Their rank. Default: none, so that they keep the one that they have without this pattern."""
    alpha: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Their alpha. Default: none, so that they keep the one that they have without this pattern, which doesn't follow
    their rank."""


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
    ranks: dict[str, Annotated[int, Field(ge=1, le=4096)]] = Field(default={})
    """Ranks of single kinds of modules, such as `{down_proj: 32}`. Default: none, so that all have `rank`."""
    alphas: dict[str, Annotated[int, Field(ge=1, le=65536)]] = Field(default={})
    """Alphas of single kinds of modules, such as `{down_proj: 64}`. Default: none, so that all have `alpha`."""
    patterns: tuple[LowRankPattern, ...] = Field(default=(), max_length=200)
    """Ranks and alphas by layer, or by longer names, such as `[{layers: [0, 1], rank: 4}]`. The first pattern that fits
    a module and tells its rank decides it, before `ranks`; of alpha likewise. Default: none, so that layers are
    alike."""
    rank_stabilized: bool = False
    """Multiply by alpha / sqrt(rank) instead of alpha / rank (rsLoRA, Kalajdzievski 2023), which keeps large ranks
    learning. Default: no, since at usual ranks alpha does the same."""
    dora: bool = False
    """Learn each weight's length beside its direction (DoRA, Liu et al. 2024). Default: no; it helps most at small
    ranks, and takes more time and memory."""
    b_rate_ratio: Real = Field(default=1.0, ge=1, le=100)
    """Learning rate of the adapter's second matrix, B, by that of its first (LoRA+, Hayou et al. 2024). Default: 1, one
    rate for both; the paper uses 16."""
    also_train: tuple[ModuleName, ...] = ()
    """Modules beside the adapter that are trained whole and saved with it, such as `[embed_tokens, lm_head]` for new
    words. Default: none; a new head is trained in any case."""


class Lora(_LowRank):
    """Low-rank adapters beside frozen weights (Hu et al. 2021)."""

    kind: Literal["lora"]
    init: LoraInit = "default"
    """What the adapter begins with. `default`: chance and zero, so that it adds nothing yet; `gaussian`: the same with
    normally distributed numbers; `orthogonal`: two parts that cancel out; `olora` and `pissa`: the weight's own main
    directions, which leave the frozen weight (Büyükakyüz 2024, Meng et al. 2024). Default: `default`, the only one that
    costs no time."""


class QLora(_LowRank):
    """Low-rank adapters beside frozen weights of 4 or 8 bits (Dettmers et al. 2022, 2023)."""

    kind: Literal["qlora"]
    init: LoraInit = "default"
    """What the adapter begins with, as for `lora`; those that take directions out of the weight need it whole. Default:
    `default`, which adds nothing yet and takes no time."""
    quantization: Literal["nf4", "fp4", "int8"] = "nf4"
    """Type of the frozen weights. Default: nf4, which loses least of the 4-bit types on normally distributed weights;
    int8 loses less and takes twice the memory."""
    double_quantization: Literal["auto"] | bool = "auto"
    """Whether the scales are quantised too. Default `auto`: yes for 4 bits, which saves about 0.4 bits a weight; 8 bits
    have one scale a row and no more to save."""


class Partial(Document):
    """The last layers are trained whole, with everything behind them; those before stay as they are."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["partial"]
    layers: Literal["all"] | Annotated[int, Field(ge=0, le=1000)] = 2
    """Last layers that are trained, in each stack of layers; with 0 only what follows them, such as a new head.
    Default: 2, where most of what is particular to a task is learnt."""
    embeddings: bool = False
    """Whether the embeddings are trained, and with them an output layer that shares their weights. Default: no, since
    few rows move few words of them."""


class BitFit(Document):
    """Only biases and a new head are trained (Ben Zaken et al. 2021)."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["bitfit"]


class LnTuning(Document):
    """Only the weights of norms and a new head are trained (Zhao et al. 2023)."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["ln_tuning"]


class Ia3(Document):
    """Keys, values and what enters the last feed-forward layer are scaled, a number each (IA3, Liu et al. 2022)."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["ia3"]


class Bottleneck(Document):
    """Small layers with a narrow middle behind others that stay as they are (Houlsby et al. 2019)."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: Literal["bottleneck"]
    placement: Literal["pfeiffer", "houlsby"] = "pfeiffer"
    """`houlsby`: behind attention and behind the feed-forward layer; `pfeiffer`: behind the latter alone (Pfeiffer et
    al. 2020). Default: pfeiffer, which is as good on most tasks with half the weights."""
    size: int = Field(default=64, ge=1, le=8192)
    """Width of the middle. Default: 64, the usual one for models of 768 dimensions."""
    activation: Literal["relu", "gelu", "silu"] = "relu"
    """What stands in the middle. Default: relu, as is usual for these adapters."""


class _Virtual(Document):
    """What methods with virtual tokens have in common."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    virtual_tokens: int = Field(default=20, ge=1, le=2048)
    """Tokens that stand before every row and are learnt; each takes a place of the model's. Default: 20, as many as the
    first papers found enough."""


class PromptTuning(_Virtual):
    """Virtual tokens before every row are learnt, and nothing else (Lester et al. 2021)."""

    kind: Literal["prompt_tuning"]
    init: Literal["vocabulary", "random"] = "vocabulary"
    """What the tokens begin as: words drawn from the vocabulary, or chance. Default: vocabulary, which learns
    faster."""


class PTuning(_Virtual):
    """Virtual tokens before every row are learnt through a small network (P-tuning, Liu et al. 2021)."""

    kind: Literal["p_tuning"]
    encoder: Literal["mlp", "lstm"] = "mlp"
    """What that network is: `mlp`, two layers in the middle for each token by itself, or `lstm`, two layers that read
    all tokens both ways, and one behind them. Default: mlp, which the authors' own code came to."""
    encoder_size: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] = "auto"
    """Width of that network, which is left behind when the tokens are saved. Default `auto`: the model's own width."""


class PrefixTuning(_Virtual):
    """Keys and values of virtual tokens are learnt for every layer (Li & Liang 2021)."""

    kind: Literal["prefix_tuning"]
    projection_size: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] | None = None
    """Width of a network of two layers that makes the keys and values out of one vector a token, and that is left
    behind when they are saved; `auto` is the model's own width. Default: none, so that they are learnt as they are: the
    authors found the network steadier at small learning rates, and it has as many weights as all keys and values times
    its width."""


Strategy = Annotated[
    Full | Lora | QLora | Partial | BitFit | LnTuning | Ia3 | Bottleneck | PromptTuning | PTuning | PrefixTuning,
    Field(discriminator="kind"),
]
"""Any strategy, told apart by `kind`."""

WHOLE_MODEL = ("full", "partial", "bitfit")
"""Strategies whose result is a model; that of the others is an adapter beside it."""
VIRTUAL_TOKENS = ("prompt_tuning", "p_tuning", "prefix_tuning")
"""Strategies that put tokens of their own before a row."""
