"""A model as its costs see it: linear layers by their part in a layer, and what is trained of them.

Names decide: what stands in an attention module and is no output projection feeds attention; what stands elsewhere is
the feed-forward part, whose last layer gives the model's width back, whatever it is called. Where gradients have to
flow follows from what is trained before a place: below the first trained weight there is no backward pass.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ftc.compiler.time.amounts import Kernel, window_of
from ftc.spec.architectures import Family
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.experts import expert_group
from ftc.spec.fused_kernels import FusedPart
from ftc.spec.module_names import part_of, role_of
from ftc.spec.precisions import NUMBER_TYPES, Float8Products
from ftc.spec.strategies import Beside

__all__ = [
    "Linear",
    "Network",
    "Part",
    "composes_norms",
    "drops",
    "linear_part",
    "network_of",
    "reads_encoder",
    "rotates",
]

Part = Literal["attention in", "attention out", "cross in", "cross out", "feed in", "feed out"]

_ATTENTION = re.compile(r"attn|attention|\.att\.", re.IGNORECASE)
_CROSS = re.compile(r"EncDecAttention|encoder_attn|crossattention|cross_attn")
_LEARNED_PLACES = re.compile(r"\bwpe\.|position_embeddings\.")
_DROPOUTS = (
    *("hidden_dropout_prob", "hidden_dropout", "resid_pdrop", "dropout_rate", "dropout", "resid_dropout"),
    "residual_dropout",
)
_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer.

    Attributes:
        name: Its full name.
        layer: Number of its layer.
        in_decoder: Whether it belongs to the decoder of an encoder-decoder.
        part: Its part in the layer.
        inputs: Width of what comes in.
        outputs: Width of what goes out.
        beside: What is learned beside it; None where nothing is.
        trained: Whether its own weights are trained.
        copies: How many such layers there are, of which each token goes through some: the experts of a layer.
        chosen: How many of these a token goes through.
        float8: How its products are computed in 8 bits in training; None where they aren't.
    """

    name: str
    layer: int
    in_decoder: bool
    part: Part
    inputs: int
    outputs: int
    beside: Beside | None
    trained: bool
    copies: int = 1
    chosen: int = 1
    float8: Float8Products | None = None

    @property
    def weights(self) -> int:
        """Weights that a token is multiplied with."""
        return self.inputs * self.outputs * self.chosen

    @property
    def reads_encoder(self) -> bool:
        """Whether it is fed with what the encoder gave, in place of the decoder's own states."""
        return reads_encoder(self.name)

    def feeds(self, role: str) -> bool:
        """Whether it gives attention its queries `q`, keys `k` or values `v`; a fused layer gives all."""
        first = self.name.rsplit(".", 1)[-1]
        is_single = re.fullmatch(r"[qkv](_proj|_lin)?|query(_proj)?|key(_proj)?|value(_proj)?", first)
        return not is_single or first[0] == role


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What decides about arithmetic and traffic.

    Attributes:
        family: Decoder, encoder, or both.
        linears: Linear layers, in the order in which they are used.
        layers: Layers of the decoder or encoder; of the encoder where there are both.
        decoder_layers: Layers of the decoder where there are both.
        repeats: How often each stored layer is used; more than once where layers share weights.
        hidden: Width of the model.
        queries: Width of all queries: heads by their width.
        keys: Width of all keys.
        heads: Heads of queries.
        head_width: Outputs of the head: vocabulary or labels.
        pooled: Width of a layer over whole rows before a new head; 0 where there is none.
        trainable: Weights that are trained.
        trained_bytes: Bytes of one of them, and of its gradient.
        is_full: Whether all of them are.
        flows_from_start: Whether the embeddings' output wants a gradient, as where virtual tokens, biases or scales of
            the first layer are learned.
        trains_head: Whether the head is new.
        packed_bytes: Bytes of a weight of a linear layer that is held packed; 0 where none is.
        attention: The kernel that computes attention.
        near_layers: Layers of the decoder or encoder that look back through a window alone.
        ends_with_product: Whether nothing of a layer is saved behind its last product.
        composes_norms: Whether its norms are computed piece by piece.
        rotates: Whether queries and keys are turned by their place.
        rounded: Weights that each pass rounds, as they will be when they are exported.
        head_parts: How many devices divide the head's weights.
        fused: Parts of layers that one kernel computes, in place of several.
        float8_time: Time of a product in 8 bits by that of the same product in the other type.
    """

    family: Family
    linears: tuple[Linear, ...]
    layers: int
    decoder_layers: int
    repeats: float
    hidden: int
    queries: int
    keys: int
    heads: int
    head_width: int
    pooled: int
    trainable: int
    trained_bytes: int
    is_full: bool
    flows_from_start: bool
    trains_head: bool
    packed_bytes: float
    attention: Kernel
    near_layers: frozenset[int]
    ends_with_product: bool
    composes_norms: bool
    rotates: bool
    rounded: int = 0
    head_parts: int = 1
    fused: tuple[FusedPart, ...] = ()
    float8_time: float = 1.0

    def __hash__(self) -> int:
        """Of few fields, though all are compared: rates are asked for of each candidate, and of a thousand layers."""
        return hash((self.hidden, self.trainable, self.attention, len(self.linears), self.linears[:1]))

    @property
    def linear_weights(self) -> int:
        """Weights of all linear layers as they are used, repeats counted."""
        return round(self.repeats * sum(one.inputs * one.outputs * one.copies for one in self.linears))

    def is_behind_last_attention(self, one: Linear) -> bool:
        """Whether a layer stands in the last layer of the model, where each place is computed by itself."""
        last = max(other.layer for other in self.linears)
        return one.layer == last and one.part in ("attention out", "feed in", "feed out")

    @property
    def depth(self) -> int:
        """Layers of encoder and decoder together."""
        return self.layers + self.decoder_layers

    @property
    def adapters(self) -> int:
        """Linear layers that have an adapter."""
        return sum(one.beside is not None for one in self.linears)


def network_of(
    model: ModelFacts,
    *,
    beside: Mapping[str, Beside],
    trained: Container[str],
    flows_from_start: bool,
    trainable: int,
    new_outputs: int,
    attention: Kernel,
    packed_bytes: float = 0.0,
    trained_bytes: int = NUMBER_TYPES[0].size,
) -> Network:
    """A model with what is trained of it.

    Args:
        model: The base model.
        beside: What stands beside linear layers, by their names.
        trained: Names of those that are trained themselves.
        flows_from_start: Whether gradients go down to the embeddings in any case.
        trainable: Weights that are trained.
        new_outputs: Outputs of a new head; 0 where the model's own is used.
        attention: The kernel that computes attention.
        packed_bytes: Bytes of a weight of a linear layer that is held in fewer bits; 0 where none is.
        trained_bytes: Bytes of a trained weight, and of its gradient.
    """
    linears = tuple(sorted((*_linears(model, beside, trained), *_experts(model, beside, trained)), key=_order))
    stored = len({(one.in_decoder, one.layer) for one in linears})
    used = model.num_layers + (model.num_decoder_layers or 0)
    return Network(
        family=model.family,
        linears=linears,
        layers=model.num_layers,
        decoder_layers=model.num_decoder_layers or 0,
        repeats=max(1.0, used / max(1, stored)),
        hidden=model.hidden_size,
        queries=model.num_heads * model.head_dim,
        keys=model.num_kv_heads * model.head_dim,
        heads=model.num_heads,
        head_width=new_outputs or model.vocab_size,
        pooled=model.hidden_size if new_outputs and model.family != "decoder" else 0,
        trainable=trainable,
        trained_bytes=trained_bytes,
        is_full=all(one.trained for one in linears),
        flows_from_start=flows_from_start,
        trains_head=bool(new_outputs),
        packed_bytes=packed_bytes,
        attention=attention,
        near_layers=window_of(model)[1],
        ends_with_product=bool(model.kind.ends_with_product) and not drops(model),
        composes_norms=composes_norms(model),
        rotates=rotates(model),
    )


def composes_norms(model: ModelFacts) -> bool:
    """Whether norms are written out in pieces, as those by the root mean square are, and not one kernel of torch's.

    Where that isn't known, a norm with a bias is torch's and one without is written out, but in encoders whose
    configuration doesn't call it one by the root mean square.
    """
    if model.kind.norm is not None:
        return model.kind.norm != "fused"
    if model.family == "encoder":
        return "rms_norm_eps" in model.config
    return not any("norm" in name.lower() or "ln_" in name for name in model.tensors if name.endswith(".bias"))


def rotates(model: ModelFacts) -> bool:
    """Whether queries and keys are rotated by their positions; decoders without a table of them, where not known."""
    if model.kind.positions is not None:
        return model.kind.positions == "rotary"
    return model.family == "decoder" and not any(map(_LEARNED_PLACES.search, model.tensors))


def drops(model: ModelFacts) -> bool:
    """Whether something is dropped at random between the parts of layers; not, where that isn't known."""
    config = model.config
    said = next((config[key] for key in _DROPOUTS if isinstance(config.get(key), (int, float))), None)
    return bool(model.kind.dropout if said is None else said)


def reads_encoder(module: str) -> bool:
    """Whether a linear layer of a decoder gives keys or values of what the encoder gave, by its name."""
    place, _, last = module.rpartition(".")
    return _CROSS.search(place) is not None and last[:1] in ("k", "v")


_PARTS: tuple[Part, ...] = ("attention in", "attention out", "cross in", "cross out", "feed in", "feed out")


def _order(one: Linear) -> tuple[bool, int, int, str]:
    return one.in_decoder, one.layer, _PARTS.index(one.part), one.name


def _linears(model: ModelFacts, beside: Mapping[str, Beside], trained: Container[str]) -> Iterator[Linear]:
    for name, (inputs, outputs) in model.linear_modules.items():
        layer = _LAYER.search(name)
        yield Linear(
            name=name,
            layer=int(layer[1]) if layer else 0,
            in_decoder=model.family == "encoder_decoder" and re.search(r"\bdecoder\b", name) is not None,
            part=linear_part(name, inputs, outputs, model.hidden_size),
            inputs=inputs,
            outputs=outputs,
            beside=beside.get(name),
            trained=name in trained,
        )


def _experts(model: ModelFacts, beside: Mapping[str, Beside], trained: Container[str]) -> Iterator[Linear]:
    """The halves of all experts of each layer, as one linear layer each."""
    mixture, experts = model.kind.experts, model.experts
    if mixture is None or experts is None:
        return
    first, _ = mixture.matrices
    for name, (inputs, outputs) in model.expert_matrices.items():
        group = expert_group(name)
        yield Linear(
            name=name,
            layer=part_of(name).layer,
            in_decoder=False,
            part="feed in" if name.endswith(first) else "feed out",
            inputs=inputs,
            outputs=outputs,
            beside=beside.get(name),
            trained=group in trained,
            copies=experts.count,
            chosen=experts.chosen,
        )


def linear_part(name: str, inputs: int, outputs: int, hidden: int) -> Part:
    """The part that a linear layer has in its layer, by its name and sizes in a model of some width."""
    module, role = name.rpartition(".")[0], role_of(name)
    is_output = role in ("attention_out", "feed_forward_out")
    if _CROSS.search(module):
        return "cross out" if is_output else "cross in"
    if _ATTENTION.search(module):
        return "attention out" if is_output else "attention in"
    return "feed out" if is_output or outputs == hidden != inputs else "feed in"
