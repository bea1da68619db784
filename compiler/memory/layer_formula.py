"""What the layers of a model save for the backward pass, from the shapes of its tensors: pure arithmetic.

Terms follow what autograd saves in transformers' modules, and name the operator that saves it. Under mixed precision
bytes of an element differ: those of a product, of what a linear layer gives, and between layers. What a model is made
of is read off its tensors: norms with or without a bias, gated or plain feed-forward parts, one projection or three.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ftc.compiler.memory import expert_formula as experts
from ftc.compiler.memory.layer_inputs import FP32, Numbers, Trained
from ftc.compiler.remembered import remembered
from ftc.compiler.time.network import composes_norms, drops, reads_encoder, rotates
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.module_names import role_of
from ftc.spec.strategies import Beside

__all__ = ["ALIGNED", "Stack"]

ALIGNED = 16
"""Places to a multiple of which fused kernels lengthen a mask's rows."""
_COMPOSED_ACTIVATIONS = ("gelu_new", "gelu_fast", "gated-gelu")
"""Activations that are written out in several operators, each of which keeps something."""


@dataclass(frozen=True)
class Stack:
    """One stack of layers with the tokens that go through it.

    Attributes:
        model: The model that it is part of.
        linear: Its linear layers, by full name: (inputs, outputs).
        norms: Norms of width h in all its layers.
        inner_norms: Width of all other norms in its layers together, those of heads left out.
        layers: How many there are.
        tokens: Tokens of the micro-batch.
        length: Tokens of a row.
        crossed: Tokens of the other stack that it attends to; 0 where there is none.
        eager: Whether attention holds its scores.
        masks: How many of its layers' attention get a mask of all pairs.
        masked: Whether each row has a mask of its own, since padding is hidden; elsewhere all rows share truth values.
        crossed_masks: How many get one for the other stack.
        repeats: How often each layer that is stored is used.
        head_norms: Whether queries and keys are normed.
        norms_after: Whether what attention and feed-forward part give is normed, and not what they read.
        has_sinks: Whether each head has a score of its own that no token has.
    """

    model: ModelFacts
    linear: dict[str, tuple[int, int]]
    norms: int
    layers: int
    tokens: int
    length: int
    crossed: int = 0
    eager: bool = False
    masks: int = 0
    masked: bool = True
    crossed_masks: int = 0
    repeats: float = 1.0
    inner_norms: int = 0
    head_norms: bool = False
    norms_after: bool = False
    has_sinks: bool = False

    def saved_bytes(self, numbers: Numbers, trained: Trained) -> float:
        """What all its layers keep, casts of trained weights left out."""
        of_experts = experts.saved_bytes(self.model, numbers.linear, trained=trained.all_weights)
        return (
            self._of_norms(numbers, trained)
            + self._of_attention(numbers, trained)
            + self._of_feed_forward(numbers)
            + self._share * self.tokens * of_experts
            + self._of_dropout(numbers)
            + self.repeats * self._of_inputs(numbers, trained)
        )

    @cached_property
    def num_weights(self) -> int:
        """Weights of its linear layers and experts."""
        linear = sum(inputs * outputs for inputs, outputs in self.linear.values())
        return linear + round(self._share * experts.expert_weights(self.model))

    @property
    def _share(self) -> float:
        """How many of the model's layers it has."""
        return self.layers / max(1, self.model.num_layers)

    def cast_bytes(self, numbers: Numbers) -> int:
        """Trained weights as products read them."""
        linear = sum(inputs * outputs for inputs, outputs in self.linear.values())
        return numbers.operand * linear if numbers.casts else 0

    def boundary_bytes(self, numbers: Numbers) -> int:
        """What stands between layers, where only that is kept."""
        return self.layers * self.tokens * numbers.residual * self.model.hidden_size

    def product_bytes(self, numbers: Numbers, trained: Trained) -> int:
        """What large products give, where only that is kept beside what stands between layers."""
        least, e = min((inputs for inputs, _ in self.linear.values()), default=0), numbers.operand
        size = sum(self._tokens_of(name) * outputs for name, (_, outputs) in self.linear.items())
        for name, one in self.adapted(trained).items():  # its first product, and a second one that is as wide
            size += self._tokens_of(name) * (one.width + (one.outputs if 0 < least <= one.width else 0))
        size += round(self._share * self.tokens * experts.product_width(self.model))
        attended = 0 if self.holds_scores else e * self.queries + FP32 * self.model.num_heads
        return round(self.repeats * e * size) + self._attentions * self.tokens * attended

    def around_bytes(self, numbers: Numbers, trained: Trained) -> int:
        """What is saved outside the layers: embeddings, dropout, the last norm, relative position bias."""
        h, inner = self.model.hidden_size, 2 if trained.all_weights and composes_norms(self.model) else 1
        each = numbers.residual * h + FP32 * h * inner
        if self._drops:
            each += 2 * numbers.mask * h
        distances = 0
        if not self.eager and self.has_relative_bias:
            distances = numbers.operand * self.model.num_heads * self.length * (self.length + self._crossed_length)
        return self.tokens * each + self.mask_pairs + distances  # the mask is one of truth values, for all layers

    def passing_bytes(self, numbers: Numbers, trained: Trained, *, kept: bool, backward: bool = False) -> int:
        """What is on its way through a layer: at its feed-forward part, or at the scores of attention.

        Args:
            numbers: Bytes of elements.
            trained: What is trained in the layers.
            kept: Whether what its backward pass needs is counted already, as the two halves that are multiplied.
            backward: Whether it is the way back.
        """
        copies = 1 if kept else 3 if self.is_gated else 2
        wide = copies * numbers.linear * self.inner + self._of_wide_adapter(numbers, trained)
        wide += experts.routed_bytes(self.model, numbers.linear, trained=trained.all_weights)
        scores = 0
        if self.holds_scores:
            # Behind softmax its gradient, their product and what comes of it; the kept operand is gone by then.
            each = 3 * FP32 - numbers.operand * numbers.casts if backward else self.score_bytes(numbers) - FP32 * kept
            scores = each * self.model.num_heads * self.length
        return self.tokens * (max(wide, scores) + 2 * numbers.residual * self.model.hidden_size)

    def score_bytes(self, numbers: Numbers) -> int:
        """Of a score that is held, into softmax and out of it: as the product gave it beside its cast, or with a mask.

        A decoder's mask is as wide as its states, and widens what it is added to.
        """
        is_widened = self.model.family == "decoder" and numbers.residual == FP32
        return 2 * FP32 + (numbers.operand if numbers.casts and not is_widened else 0)

    def _of_wide_adapter(self, numbers: Numbers, trained: Trained) -> int:
        """An adapter's input in the adapter's float32, and the same with some of it dropped, on its way to a cast."""
        if not numbers.casts or not self.adapts_wide(trained):
            return 0
        is_cast = numbers.linear < FP32
        return (is_cast + trained.dropout) * FP32 * self.inner

    def adapts_wide(self, trained: Trained) -> bool:
        """Whether an adapter reads what lies between the two halves of a feed-forward part."""
        read = (one.inputs for one in self.adapted(trained).values())
        return self.inner > self.model.hidden_size and self.inner in read

    def adapted(self, trained: Trained) -> dict[str, Beside]:
        """Its linear layers with a second way beside or behind them."""
        return {name: one for name, one in trained.beside.items() if name in self.linear and not one.scales}

    def scaled(self, trained: Trained) -> dict[str, Beside]:
        """Its linear layers whose input or output is scaled."""
        return {name: one for name, one in trained.beside.items() if name in self.linear and one.scales}

    @property
    def aligned(self) -> int:
        """Places of a row of a mask as fused kernels take it."""
        return -(-self.length // ALIGNED) * ALIGNED

    @property
    def mask_pairs(self) -> int:
        """Truth values of a layer's mask, one for all rows where no padding is hidden; 0 where no layer has one."""
        return (self.tokens if self.masked else self.length) * self.length if self.masks else 0

    @cached_property
    def is_gated(self) -> bool:
        """Whether its feed-forward part multiplies two halves."""
        if self.model.experts:
            return True
        wide = [size for size in self.linear.values() if size[1] == self.inner]
        return self.joins_halves or len(wide) * self.repeats >= 2 * self.layers

    @cached_property
    def joins_halves(self) -> bool:
        """Whether one layer gives both halves of a gated feed-forward part, of which views are taken."""
        return not self.model.experts and any(outputs == 2 * self.inner for _, outputs in self.linear.values())

    @cached_property
    def inner(self) -> int:
        """Width between the halves of a feed-forward part."""
        return experts.inner_width(self.model, self.linear)

    @property
    def queries(self) -> int:
        """Width of all queries."""
        return self.model.num_heads * self.model.head_dim

    @property
    def keys(self) -> int:
        """Width of all keys."""
        return self.model.num_kv_heads * self.model.head_dim

    @property
    def _attentions(self) -> int:
        return self.layers * (2 if self.crossed else 1)

    def _of_norms(self, numbers: Numbers, trained: Trained) -> float:
        """Saved by layer_norm: input, mean, rstd; by a composed RMSNorm with trained weights also x * rsqrt."""
        h, inputs = self.model.hidden_size, self.norms
        if self.model.kind.two_norms and numbers.residual == FP32:
            inputs = self.layers
        size = FP32 * h * inputs
        if trained.all_weights and composes_norms(self.model):
            size += FP32 * h * self.norms
        elif trained.norms and composes_norms(self.model):
            size += numbers.residual * h * self.norms
        if self.model.kind.norm == "composed twice" and numbers.residual < FP32:
            size += numbers.residual * h * self.norms
        return self.repeats * self.tokens * (size + 8 * self.norms + FP32 * self.inner_norms)

    def _of_attention(self, numbers: Numbers, trained: Trained) -> float:
        """Saved by SDPA: q, out, logsumexp for each token; k, v for each that is attended to."""
        e, queries, keys = numbers.operand, self.queries, self.keys
        own = e * 2 * queries + FP32 * self.model.num_heads  # saved by SDPA: q, out, logsumexp
        size = self.layers * self.tokens * (own + e * 2 * keys)  # saved by SDPA: k, v
        if self.crossed:
            size += self.layers * (self.tokens * own + self.crossed * e * 2 * keys)  # cross-attention
        if self.rotates_fused_qkv and numbers.linear == e:  # v is a view of qkv, which RoPE then copies
            size += self.layers * self.tokens * e * (queries + keys)
        if self.head_norms:
            learned = e if trained.all_weights else 0  # saved by the norms of q and k: input, and x * rsqrt
            size += self.layers * self.tokens * (FP32 + learned) * (queries + keys)
        if self.crossed and not self.has_relative_bias:
            size += self.crossed_masks * self.tokens * e * -(-self._crossed_length // ALIGNED) * ALIGNED
        if self.has_relative_bias:
            return size + self._of_scores(numbers) + self._of_relative_bias(numbers)
        # saved by SDPA with a mask: attn_mask in aligned rows, and k, v repeated for each query head
        size += self.masks * self.tokens * e * (self.aligned + 2 * (queries - keys))
        return size + self._of_scores(numbers)

    @property
    def rotates_fused_qkv(self) -> bool:
        """Whether one layer gives queries, keys and values, which rotation then copies."""
        all_three = self.queries + 2 * self.keys
        joint = (name for name, (_, outputs) in self.linear.items() if outputs == all_three)
        return rotates(self.model) and any(role_of(name) == "keys_values" for name in joint)

    def _of_scores(self, numbers: Numbers) -> float:
        """Attention scores where they are materialized: saved by softmax, matmul and dropout."""
        if not self.holds_scores:
            return 0
        e, dropped = numbers.operand, self._drops
        each = FP32 + (e if dropped or numbers.casts else 0) + (numbers.mask if dropped else 0)
        each += e if self.model.config.get("attn_logit_softcapping") else 0  # saved by tanh
        scores = self.model.num_heads * self.length * each
        if self.is_disentangled:  # scores against them, twice, their places, and their own keys and queries
            buckets = 2 * int(self.model.config.get("position_buckets") or 256)
            scores += 2 * e * self.model.num_heads * buckets + 2 * e * self.queries * buckets // self.length
            scores += 2 * 8 * self.length * self.length // self.tokens + self.length + e * self.queries
        return self.layers * self.tokens * scores

    def _of_relative_bias(self, numbers: Numbers) -> float:
        """Relative position bias, saved by SDPA as attn_mask in each layer; for each row, if it hides padding."""
        if self.eager or not self.has_relative_bias:
            return 0
        rows = self.tokens // self.length
        size = self.length * self.aligned * (rows if self.masks else 1)
        if self.crossed and (self.crossed_masks or numbers.linear > numbers.operand):  # zeros, made again where cast
            across = self._crossed_length
            size += self.length * -(-across // ALIGNED) * ALIGNED * (rows if self.crossed_masks else 1)
        return self.layers * numbers.operand * self.model.num_heads * size

    @property
    def has_relative_bias(self) -> bool:
        """Whether scores have a learned bias by distance."""
        return _has_relative_bias(self.model)

    @property
    def holds_scores(self) -> bool:
        """Whether attention holds its scores."""
        return self.eager or self.is_disentangled

    @property
    def is_disentangled(self) -> bool:
        """Whether scores with distances are products of their own."""
        return self.model.kind.positions == "disentangled"

    @property
    def _crossed_length(self) -> int:
        """Length of the rows that are attended to in the other stack."""
        return self.crossed * self.length // self.tokens

    def _of_feed_forward(self, numbers: Numbers) -> float:
        """Saved by silu and mul: gate, silu(gate), up; or by a plain activation: its input."""
        kept = numbers.linear * (3 if self.is_gated else 1)
        if self.composes:  # saved by pow, mul and tanh of a composed GELU, in float32
            kept += 3 * FP32 + (FP32 - numbers.linear if self.is_gated else 0)
        if self.model.kind.inner_dropout:
            kept += numbers.mask
        inner = sum(experts.dense_inner(self.linear)) if self.model.experts else self.layers * self.inner
        return self.tokens * kept * inner

    @property
    def composes(self) -> bool:
        """Whether its activation is written out in several operators."""
        config = self.model.config
        keys = ("hidden_act", "activation_function", "hidden_activation", "feed_forward_proj")
        named = next((str(config[key]) for key in keys if config.get(key)), self.model.kind.activation)
        return named in _COMPOSED_ACTIVATIONS

    @property
    def _drops(self) -> bool:
        return drops(self.model)

    def _of_dropout(self, numbers: Numbers) -> float:
        """Saved by dropout: a mask after each attention and each feed-forward part."""
        if not self._drops:
            return 0
        return self.tokens * (self._attentions + self.layers) * numbers.mask * self.model.hidden_size

    def _of_inputs(self, numbers: Numbers, trained: Trained) -> float:
        """Saved by linear: its input, where weights are trained; attention's output is SDPA's already."""
        if not trained.all_weights:
            return self._of_adapters(numbers, trained)
        read = {name: size for name, size in self.linear.items() if role_of(name) != "attention_out"}
        if numbers.residual > numbers.operand:  # each product casts its own
            return sum(self._tokens_of(name) * numbers.operand * inputs for name, (inputs, _) in read.items())
        return self._of_shared(read, numbers.residual)

    def _of_adapters(self, numbers: Numbers, trained: Trained) -> float:
        """Saved by adapters' linear layers: inputs and hidden states; by mul: what learned scales multiply."""
        adapted = self.adapted(trained)
        size: float = sum(
            numbers.operand * (self._tokens_of(name) * one.keeps + one.keeps_once + one.casts_once * numbers.casts)
            for name, one in adapted.items()
        )
        size += self._of_scaled(numbers, trained)
        read = {name: (one.inputs, one.outputs) for name, one in adapted.items() if one.keeps_input}
        dropped = numbers.mask if trained.dropout else 0
        if not (numbers.casts or trained.dropout):
            return size + self._of_shared(read, FP32)
        cast = {name: sizes for name, sizes in read.items() if trained.dropout or adapted[name].casts_input}
        size += sum(self._tokens_of(name) * numbers.operand * inputs for name, (inputs, _) in cast.items())
        size += self._of_shared({name: sizes for name, sizes in read.items() if name not in cast}, numbers.operand)
        return size + sum(self._tokens_of(name) * dropped * one.inputs for name, one in adapted.items())

    def _of_scaled(self, numbers: Numbers, trained: Trained) -> float:
        """Where an input is scaled, the input in the scales' float32; else what the linear layer gives."""
        size = 0.0
        for name, one in self.scaled(trained).items():
            scales_input = role_of(name) == "feed_forward_out"
            size += self._tokens_of(name) * (FP32 * one.inputs if scales_input else numbers.linear * one.outputs)
        return size

    def _of_shared(self, read: dict[str, tuple[int, int]], each: int) -> float:
        """Inputs of so many bytes an element that several layers read, counted once."""
        places = {(name.rpartition(".")[0], inputs, self._tokens_of(name)) for name, (inputs, _) in read.items()}
        return sum(each * inputs * tokens for _, inputs, tokens in places)

    def _tokens_of(self, name: str) -> int:
        return self.crossed if self.crossed and reads_encoder(name) else self.tokens


@remembered
def _has_relative_bias(model: ModelFacts) -> bool:
    return any("relative_attention_bias" in name for name in model.tensors)
