"""What a row of the table of architectures (`ftc.spec.architectures`) says of a model type of transformers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

__all__ = ["Architecture", "BehindHead", "Family", "Mixture", "Norm", "Positions"]

Family = Literal["decoder", "encoder", "encoder_decoder"]

Positions = Literal["learned", "learned after padding", "sinusoidal", "rotary", "alibi", "relative", "disentangled"]
"""How a model knows where a token stands.

A table of positions, in some models counted from behind the padding id; sines; rotated queries and keys (RoPE); a
slope for each head (ALiBi); a learned bias for each distance, as in T5; DeBERTa's products with learned distances.
"""
Norm = Literal["fused", "composed", "composed in its input's type", "composed twice"]
"""How norms are computed: by torch's kernel for layer norms, which keeps its input and two numbers a token; in several
operators, which keep what was normalized as well where weights are trained; so that a product with weights in float32
is cast back; or so that the input is kept once more as it came, as T5's norms do."""

BehindHead = Literal["nothing", "softcap", "times scale", "by scaling", "plus bias"]
"""What comes behind an output layer, by the name of its value in config.json: tanh between two factors
(`final_logit_softcapping`), a product (`logit_scale`), a quotient (`logits_scaling`), or a buffer of the model that is
added (`final_logits_bias`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A mixture of experts, in the words of a model type's config.json and of its files.

    Attributes:
        inner: Key of the width between the two halves of an expert.
        experts: Parts of the names of the experts' weights, between dots.
        matrices: What memory calls the two tensors of all experts of a layer, behind the layer's number: of the half
            that comes first, with a gate where there is one, and of the other. transformers 5.24 has these names.
        routers: Ends of the names of modules that decide where a token goes, as files and memory have them.
        has_loss: Whether transformers knows the load balancing loss of its routers (Fedus et al. 2021).
        widths_between: Tensors as wide as an expert that are there at once between its products: what the first one
            gave for gate and value, the activation, and their product; with biases for each token where it has such.
        shares_first: Whether what an expert of all tokens gave waits for the others.
        wide_shares: Whether what a router gives is float32, and so what experts gave once it is multiplied by that.
        peft_names: Names of modules that peft's LoRA takes for the experts, wherever they lie, since the experts had
            modules of these names in files of earlier releases. A dense layer with one of them gets no adapter.
    """

    inner: str
    experts: tuple[str, ...]
    matrices: tuple[str, str]
    routers: tuple[str, ...]
    has_loss: bool
    widths_between: int
    shares_first: bool
    wide_shares: bool
    peft_names: tuple[str, ...]

    def is_expert(self, name: str) -> bool:
        """Whether a weight belongs to one of the experts that tokens are routed to, or to all of them at once."""
        return any(f".{part}." in f".{name}" for part in self.experts)

    def expert_module(self, name: str) -> str:
        """The module of a layer's experts, as files and memory call it, by the name of one of their weights."""
        end = next(part for part in self.experts if f".{part}." in f".{name}")
        return f"{name.partition(f'{end}.')[0]}{end}"

    def is_router(self, name: str) -> bool:
        """Whether a weight belongs to a router."""
        return any(f".{end}." in f".{name}" for end in self.routers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One model type.

    Attributes:
        model_type: As config.json calls it.
        family: Decoder, encoder, or both; where it isn't known, the class in config.json tells.
        widths_in_config: Whether config.json gives the widths of its linear layers, so that both can be compared.
        inner_ratio: Width of the feed-forward part by the model's, where config.json may leave it out; 0 where it
            never does.
        transposed: Whether weights of linear layers are stored as (inputs, outputs).
        positions: How it knows where a token stands.
        scales_rotation: Whether its rotation (RoPE) takes transformers' scaled forms, one for all layers; see `Rope`.
        window_every: One layer of so many, the last of them, attends to everything, where config.json gives a window
            and doesn't list its layers; 0 where each layer has the window.
        norm: How norms are computed.
        two_norms: Whether attention and feed-forward part stand side by side, with a norm of the same input each.
        activation: Of the feed-forward part, where config.json names none.
        dropout: Rate between the parts of layers, where config.json gives none.
        attention_dropout: Rate of attention's scores, where config.json gives none.
        inner_dropout: Whether the feed-forward part drops out between its halves, at the same rate as elsewhere.
        ends_with_product: Whether a layer's last product is added to the residual as it is, dropout aside: no norm
            and no product with it comes behind.
        widens_keys: Whether rotation gives keys the type of its cosines, float32, in place of their own.
        unquantized: Ends of the names of linear layers that transformers keeps out of 4 and 8 bits.
        recomputes: Whether its class in transformers can compute layers again in the backward pass.
        counts_padding: Whether it tells how far apart two tokens are by their places in the row, padding included.
        reads_padding: Whether its state takes in padding, whatever the mask says.
        classifier: Modules that transformers adds, untrained, for classes of rows; empty where it has no such model.
        classifier_layers: Linear layers of these: 2 where a square one comes before the one of the labels.
        classifier_keeps: Parts of a pretrained head that a classifier of rows still has.
        classifier_reads_one: Whether a classifier of rows needs one position of each row behind the last attention,
            and the layer can compute it alone; see `ftc.runtime.evaluation.shortcuts`.
        tagger: Untrained modules for classes of tokens; empty where ftc trains none.
        span_head: Untrained modules for spans; empty where ftc trains none.
        tagger_keeps: Parts of a pretrained head that the two still have.
        tokens: Tokens of beginning, end and padding that its tokenizer's class assumes where files name none.
        summary_prefix: What it was pretrained to read before a text that is to be summarized.
        behind_head: What it does with its output layer's scores over the vocabulary; `nothing` for an encoder, which
            is never trained by them.
        mixture: Its experts, where layers are a mixture of them; `dense` where they aren't.
        divides_layers: Whether transformers' plan for tensor parallelism divides its layers by columns and rows alone,
            so that each device has a share of the heads.
        widens_latents: Last part of the name of the linear layer that makes keys and values from a latent, which the KV
            cache keeps in place of both (DeepSeek-V2, 2024); empty where the cache keeps keys and values.
    """

    model_type: str
    family: Family | None
    widths_in_config: bool | None
    inner_ratio: int | None
    transposed: bool | None
    positions: Positions | None
    scales_rotation: bool | None
    window_every: int | None
    norm: Norm | None
    two_norms: bool | None
    activation: str | None
    dropout: float | None
    attention_dropout: float | None
    inner_dropout: bool | None
    ends_with_product: bool | None
    widens_keys: bool | None
    unquantized: tuple[str, ...] | None
    recomputes: bool | None
    counts_padding: bool | None
    reads_padding: bool | None
    classifier: tuple[str, ...] | None
    classifier_layers: int | None
    classifier_keeps: tuple[str, ...] | None
    classifier_reads_one: bool | None
    tagger: tuple[str, ...] | None
    span_head: tuple[str, ...] | None
    tagger_keeps: tuple[str, ...] | None
    tokens: tuple[str | None, str | None, str | None] | None
    summary_prefix: str | None
    behind_head: BehindHead | None
    mixture: Mixture | Literal["dense"] | None
    divides_layers: bool | None
    widens_latents: str | None

    @property
    def experts(self) -> Mixture | None:
        """The mixture of experts; None where layers are dense, or nothing is known."""
        return self.mixture if isinstance(self.mixture, Mixture) else None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Columns of which nothing is known, in words."""
        return tuple(one.name.replace("_", " ") for one in fields(self) if getattr(self, one.name) is None)
