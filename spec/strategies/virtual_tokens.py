"""Virtual tokens: prompt tuning, p-tuning and prefix tuning."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.heads import head_card
from ftc.spec.strategies.card import (
    Base,
    Card,
    Choices,
    Obstacle,
    PeftMethod,
    Problem,
    Settled,
    StrategySettings,
    Trained,
    Traits,
    UsualRate,
)
from ftc.spec.strategies.common import Simple, plural

__all__ = ["PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "PTuning", "PTuningSettings", "PrefixTuning",
           "PrefixTuningSettings", "PromptTuning", "PromptTuningSettings", "VirtualSettings"]  # fmt: skip


class _Virtual(Simple):
    """What methods with virtual tokens have in common."""

    UNITS: ClassVar[dict[str, str]] = {"virtual_tokens": "tokens"}
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {"virtual_tokens": (20,)}

    virtual_tokens: int = Field(default=20, ge=1, le=2048)
    """Learned tokens before every row; each takes a position. Default: 20, as many as the
    first papers found enough."""


class PromptTuning(_Virtual):
    """Virtual tokens before every row are learned, and nothing else (Lester et al. 2021)."""

    kind: Literal["prompt_tuning"]
    init: Literal["vocabulary", "random"] = "vocabulary"
    """What the tokens begin as: words drawn from the vocabulary, or chance. Default: vocabulary, which learns
    faster."""

    def settle(self, base: Base) -> Settled:
        """As it is written."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        head = chosen.head("trained_modules", base)
        tokens = chosen.take("virtual_tokens", self.virtual_tokens)
        init = chosen.take("init", self.init)
        settings = PromptTuningSettings(kind=kind, virtual_tokens=tokens, trained_modules=head, init=init)
        return Settled(settings, chosen.reasons, (), ())


class PTuning(_Virtual):
    """Virtual tokens before every row are learned through a small network (P-tuning, Liu et al. 2021)."""

    UNITS: ClassVar[dict[str, str]] = {"encoder_size": "dimensions"}
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {"encoder_size": ("auto", 128)}

    kind: Literal["p_tuning"]
    encoder: Literal["mlp", "lstm"] = "mlp"
    """What that network is: `mlp`, two layers in the middle for each token by itself, or `lstm`, two layers that read
    all tokens both ways, and one behind them. Default: mlp, which the authors' own code came to."""
    encoder_size: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] = "auto"
    """Width of that network, which is left behind when the tokens are saved. Default `auto`: the model's own width."""

    def settle(self, base: Base) -> Settled:
        """The width of the network."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        head = chosen.head("trained_modules", base)
        tokens = chosen.take("virtual_tokens", self.virtual_tokens)
        encoder = chosen.take("encoder", self.encoder)
        settings = PTuningSettings(
            kind=kind,
            virtual_tokens=tokens,
            trained_modules=head,
            encoder=encoder,
            encoder_size=_width(chosen, "encoder_size", self.encoder_size, base),
        )
        missed = "memory: the workspace of the LSTM kernels is not in the estimate"
        return Settled(settings, chosen.reasons, (), (missed,) if encoder == "lstm" else ())


class PrefixTuning(_Virtual):
    """Key and value vectors of virtual tokens are learned for every layer (Li & Liang 2021)."""

    UNITS: ClassVar[dict[str, str]] = {"projection_size": "dimensions"}
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {"projection_size": ("auto", 128)}

    kind: Literal["prefix_tuning"]
    projection_size: Literal["auto"] | Annotated[int, Field(ge=1, le=65536)] | None = None
    """Width of a two-layer network that computes the key and value vectors from one vector per token and is
    dropped when they are saved; `auto` is the model's own width. Default: none: they are learned directly; the
    authors found the network steadier at small learning rates, and it has as many weights as the learned prefix times
    its width."""

    def settle(self, base: Base) -> Settled:
        """The layers that have keys and values, and the width of a network that makes them."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        head = chosen.head("trained_modules", base)
        tokens = chosen.take("virtual_tokens", self.virtual_tokens)
        depth = base.model.num_decoder_layers or base.model.num_layers
        num_layers = chosen.derive("num_layers", depth, "every layer of the model")
        size = self.projection_size
        settings = PrefixTuningSettings(
            kind=kind,
            virtual_tokens=tokens,
            trained_modules=head,
            num_layers=num_layers,
            projection_size=chosen.take("projection_size", None)
            if size is None
            else _width(chosen, "projection_size", size, base),
        )
        return Settled(settings, chosen.reasons, (), ())

    def usual_rate(self, card: Card, width: int, *, has_new_head: bool) -> tuple[float, str]:
        """The usual middle; out of a network that of p-tuning, which is one as well."""
        if self.projection_size:
            rate = P_TUNING.rate.at(width, has_new_head=has_new_head)
            return rate, "the usual rate for virtual tokens from a network with AdamW"
        return super().usual_rate(card, width, has_new_head=has_new_head)


def _width(chosen: Choices, key: str, asked: Literal["auto"] | int, base: Base) -> int:
    """Width of the network behind virtual tokens."""
    if asked == "auto":
        return chosen.derive(key, base.model.hidden_size, "the model's own hidden size")
    return chosen.take(key, asked)


class VirtualSettings(StrategySettings):
    """Virtual tokens before every row."""

    virtual_tokens: int
    trained_modules: tuple[str, ...] = ()
    """Modules of a new head."""

    @property
    def traits(self) -> Traits:
        """Tokens of their own."""
        return Traits(
            num_virtual=self.virtual_tokens,
            new_modules=self.trained_modules,
            quantized=None,
            changes_base=False,
            differs_by_layer=False,
            merge_copies=0,
            adapter="",
            targets=(),
            of_experts=(),
            rank=None,
        )

    def begins_with(self, *, is_whole: bool) -> dict[str, Any]:
        """Further arguments of peft's, where the base has its weights or shapes alone."""
        return {}

    def unpacked(self) -> StrategySettings | None:
        """Nothing is packed."""
        return None

    @abstractmethod
    def num_kept(self, base: Base) -> int:
        """Numbers that the tokens come to once they are learned."""

    @abstractmethod
    def num_trained(self, base: Base) -> int:
        """Numbers that are trained for it, those of a network among them."""

    def trained(self, base: Base) -> Trained:
        """The tokens, or what makes them."""
        return Trained(
            num_weights=self.num_trained(base),
            num_saved=self.num_kept(base),
            num_frozen=0,
            beside={},
            own=frozenset(),
            names=frozenset(),
            from_start=True,
            first_behind=False,
            last_layers=None,
            products=True,
            norms=False,
            dropout=False,
        )


def _of_vectors(base: Base, task: str) -> Problem | None:
    """peft turns virtual tokens off by way of a method that only models with a head have."""
    head = head_card(base.head)
    if head.is_new or head.writes:
        return None
    summary = f"with task `{task}`, peft can't turn virtual tokens off, which the base model's results need"
    return Problem("FTC274", summary, "kind", "choose `lora`")


class _Embedded(VirtualSettings):
    """Tokens that go the whole way through the model."""

    def misfit(self, base: Base, task: str) -> Problem | None:
        """A classifier on an encoder-decoder embeds the decoder's tokens itself."""
        if head_card(base.head).writes or base.model.family != "encoder_decoder":
            return _of_vectors(base, task)
        summary = f"a {task} task on an encoder-decoder accepts only vocabulary tokens"
        return Problem("FTC274", summary, "kind", "choose `lora`, or an encoder as the model")

    def num_kept(self, base: Base) -> int:
        """A vector for each token. peft gives encoder and decoder tokens of their own."""
        sides = 2 if base.model.family == "encoder_decoder" and head_card(base.head).writes else 1
        return sides * self.virtual_tokens * base.model.hidden_size


class PromptTuningSettings(_Embedded):
    """Their embeddings are learned."""

    kind: Literal["prompt_tuning"]
    init: Literal["vocabulary", "random"]

    def begins_with(self, *, is_whole: bool) -> dict[str, Any]:
        """Words, where there are any."""
        return {"prompt_tuning_init": "SAMPLE_VOCAB" if self.init == "vocabulary" and is_whole else "RANDOM"}

    def num_trained(self, base: Base) -> int:
        """The vectors themselves."""
        return self.num_kept(base)

    def words(self) -> str:
        """In a few words."""
        return f"{PROMPT_TUNING.label}, {plural(self.virtual_tokens, 'virtual token')}"

    def peft(self) -> PeftMethod:
        """peft's own."""
        return PeftMethod("PromptTuningConfig", {"num_virtual_tokens": self.virtual_tokens}, "PromptEmbedding")


class PTuningSettings(_Embedded):
    """Their embeddings are learned through a network."""

    kind: Literal["p_tuning"]
    encoder: Literal["mlp", "lstm"] = "mlp"
    encoder_size: int

    def num_trained(self, base: Base) -> int:
        """Vectors, and a network between vectors of their width."""
        width, middle = base.model.hidden_size, self.encoder_size
        if self.encoder == "mlp":
            network = (width + 1) * middle + (middle + 1) * middle + (middle + 1) * width
        else:  # both ways, two biases
            gates = sum(2 * 4 * middle * (inputs + middle + 2) for inputs in (width, 2 * middle))
            network = gates + (2 * middle + 1) * 2 * middle + (2 * middle + 1) * width
        return self.num_kept(base) + network

    def words(self) -> str:
        """In a few words."""
        return f"{P_TUNING.label}, {plural(self.virtual_tokens, 'virtual token')}"

    def peft(self) -> PeftMethod:
        """What peft calls a prompt encoder."""
        arguments = {
            "num_virtual_tokens": self.virtual_tokens,
            "encoder_reparameterization_type": self.encoder.upper(),
            "encoder_hidden_size": self.encoder_size,
        }
        return PeftMethod("PromptEncoderConfig", arguments, "PromptEncoder")


class PrefixTuningSettings(VirtualSettings):
    """Their keys and values are learned."""

    kind: Literal["prefix_tuning"]
    num_layers: int
    """Layers that have some."""
    projection_size: int | None = None
    """Width of the network that makes them; None where they are learned as they are."""

    def misfit(self, base: Base, task: str) -> Problem | None:
        """Only models that write have a KV cache, and of those that cache latents peft knows no prefix."""
        latents = base.model.kind.widens_latents
        if head_card(base.head).writes and not latents:
            return None
        if (problem := _of_vectors(base, task)) is not None:
            return problem
        summary = f"a {task} task with a new head has no KV cache"
        if latents:
            summary = f"the KV cache of a `{base.model.model_type}` model has latents, for which peft has no prefix"
        help = "choose `prompt_tuning` or `p_tuning`, which add tokens before the row"
        return Problem("FTC274", summary, "kind", help)

    def num_kept(self, base: Base) -> int:
        """Keys and values of each token in each layer."""
        return self.virtual_tokens * self.num_layers * 2 * base.model.num_kv_heads * base.model.head_dim

    def num_trained(self, base: Base) -> int:
        """The same, or vectors and a network of two layers that makes them."""
        kept, middle = self.num_kept(base), self.projection_size
        if not middle:
            return kept
        outputs = kept // self.virtual_tokens
        width = outputs // (2 * self.num_layers)
        return self.virtual_tokens * width + (width + 1) * middle + (middle + 1) * outputs

    def words(self) -> str:
        """In a few words."""
        return f"{PREFIX_TUNING.label}, {plural(self.virtual_tokens, 'virtual token')}"

    def peft(self) -> PeftMethod:
        """peft's own. Of a model of fewer layers, as traces have, the prefix still has all of them."""
        arguments = {
            "num_virtual_tokens": self.virtual_tokens,
            "num_layers": self.num_layers,
            "prefix_projection": self.projection_size is not None,
            "encoder_hidden_size": self.projection_size,
        }
        return PeftMethod("PrefixTuningConfig", arguments, "PrefixEncoder")


_WHOLE = Obstacle(
    "virtual tokens are computed outside the model's forward pass, where shards are gathered",
    "choose `kind: lora`",
)
_UNMERGED = "virtual tokens come before each row"

PROMPT_TUNING = Card(
    kind="prompt_tuning",
    recipe=PromptTuning,
    settings=PromptTuningSettings,
    label="prompt tuning",
    tag="prompt-tuning",
    result="adapter",
    library="peft",
    rate=UsualRate(3e-2, 1e-4, 0.5, "peft's examples; Lester et al. 2021 use 0.3 with Adafactor", None, 1, 1),
    libraries=("peft",),
    marks=("prompt_encoder",),
    no_sharding=_WHOLE,
    divides_layers=False,
    no_recomputing=None,
    no_merging=_UNMERGED,
    saves_what_it_trains=False,
    folds_in=False,
    rounds=None,
    reads_images=False,
    foreign_names={"peft": ("prompt_tuning",)},
)
P_TUNING = Card(
    kind="p_tuning",
    recipe=PTuning,
    settings=PTuningSettings,
    label="p-tuning",
    tag="p-tuning",
    result="adapter",
    library="peft",
    rate=UsualRate(1e-3, 1e-5, 5e-2, "peft's examples", None, 1, 1),
    libraries=("peft",),
    marks=("prompt_encoder",),
    no_sharding=_WHOLE,
    divides_layers=False,
    no_recomputing=None,
    no_merging=_UNMERGED,
    saves_what_it_trains=False,
    folds_in=False,
    rounds=None,
    reads_images=False,
    foreign_names={"peft": ("p_tuning",)},
)
PREFIX_TUNING = Card(
    kind="prefix_tuning",
    recipe=PrefixTuning,
    settings=PrefixTuningSettings,
    label="prefix tuning",
    tag="prefix-tuning",
    result="adapter",
    library="peft",
    rate=UsualRate(1e-2, 1e-4, 0.5, "peft's examples", None, 1, 1),
    libraries=("peft",),
    marks=("prompt_encoder",),
    no_sharding=_WHOLE,
    divides_layers=False,
    no_recomputing=Obstacle(
        "activation checkpointing doesn't work with prefix tuning: a second forward pass would lengthen the prefix",
        "remove it, or choose `prompt_tuning`",
    ),
    no_merging=_UNMERGED,
    saves_what_it_trains=False,
    folds_in=False,
    rounds=None,
    reads_images=False,
    foreign_names={"peft": ("prefix_tuning",)},
)
