"""Models of the catalog as a planner sees models: their configuration, and every tensor, made of a few figures.

Names and shapes are those of the files on the hub, so that adapters, heads and memory are counted as for a model that
is here. A family that isn't laid out below has no row in the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.models.model_form import attention_kernels, linear_modules
from ftc.spec.base_models import BaseModel
from ftc.spec.documents.facts import ModelFacts, TensorFacts, TokenizerFacts

__all__ = ["config_of", "facts_of", "num_parameters"]

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def _linear(name: str, inputs: int, outputs: int, *, bias: bool = False) -> Shapes:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _norm(name: str, width: int, *, bias: bool = False) -> Shapes:
    yield f"{name}.weight", (width,)
    if bias:
        yield f"{name}.bias", (width,)


_USUAL_NORMS = ("input_layernorm", "post_attention_layernorm")


def _llama(
    model: BaseModel,
    *,
    norms: tuple[str, ...] = _USUAL_NORMS,
    is_fused: bool = False,
    has_biases: bool = False,
    normalizes: Literal["nothing", "each head", "all heads"] = "nothing",
) -> Shapes:
    """Llama and those that differ from it.

    Args:
        model: The model.
        norms: Those of a layer, by name.
        is_fused: Whether queries, keys and values are one matrix, and gate and the way up another.
        has_biases: Whether queries, keys and values have biases.
        normalizes: What of queries and keys has a norm.
    """
    width = model.hidden_size
    queries, keys = model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    yield "model.embed_tokens.weight", (model.vocab_size, width)
    for index in range(model.num_layers):
        layer = f"model.layers.{index}"
        if is_fused:
            yield from _linear(f"{layer}.self_attn.qkv_proj", width, queries + 2 * keys)
            yield from _linear(f"{layer}.mlp.gate_up_proj", width, 2 * model.intermediate_size)
        else:
            for name, outputs in (("q", queries), ("k", keys), ("v", keys)):
                yield from _linear(f"{layer}.self_attn.{name}_proj", width, outputs, bias=has_biases)
            yield from _linear(f"{layer}.mlp.gate_proj", width, model.intermediate_size)
            yield from _linear(f"{layer}.mlp.up_proj", width, model.intermediate_size)
        yield from _linear(f"{layer}.self_attn.o_proj", queries, width)
        yield from _linear(f"{layer}.mlp.down_proj", model.intermediate_size, width)
        if normalizes != "nothing":
            of_head = normalizes == "each head"
            yield from _norm(f"{layer}.self_attn.q_norm", model.head_dim if of_head else queries)
            yield from _norm(f"{layer}.self_attn.k_norm", model.head_dim if of_head else keys)
        for name in norms:
            yield from _norm(f"{layer}.{name}", width)
    yield from _norm("model.norm", width)
    if not model.tied:
        yield "lm_head.weight", (model.vocab_size, width)


def _gpt_neox(model: BaseModel) -> Shapes:
    width, inner = model.hidden_size, model.intermediate_size
    yield "gpt_neox.embed_in.weight", (model.vocab_size, width)
    for index in range(model.num_layers):
        layer = f"gpt_neox.layers.{index}"
        yield from _linear(f"{layer}.attention.query_key_value", width, 3 * width, bias=True)
        yield from _linear(f"{layer}.attention.dense", width, width, bias=True)
        yield from _linear(f"{layer}.mlp.dense_h_to_4h", width, inner, bias=True)
        yield from _linear(f"{layer}.mlp.dense_4h_to_h", inner, width, bias=True)
        for name in _USUAL_NORMS:
            yield from _norm(f"{layer}.{name}", width, bias=True)
    yield from _norm("gpt_neox.final_layer_norm", width, bias=True)
    yield "embed_out.weight", (model.vocab_size, width)


def _bert(model: BaseModel, *, top: str, token_types: int, has_pooler: bool = True) -> Shapes:
    """BERT, RoBERTa, XLM-R and ELECTRA.

    Args:
        model: The model.
        top: How names begin.
        token_types: Rows of the table of token types.
        has_pooler: Whether a layer of its own reads the first token.
    """
    width, inner = model.hidden_size, model.intermediate_size
    yield f"{top}.embeddings.word_embeddings.weight", (model.vocab_size, width)
    yield f"{top}.embeddings.position_embeddings.weight", (model.max_positions, width)
    yield f"{top}.embeddings.token_type_embeddings.weight", (token_types, width)
    yield from _norm(f"{top}.embeddings.LayerNorm", width, bias=True)
    for index in range(model.num_layers):
        layer = f"{top}.encoder.layer.{index}"
        for name in ("query", "key", "value"):
            yield from _linear(f"{layer}.attention.self.{name}", width, width, bias=True)
        yield from _block(layer, width, inner)
    if has_pooler:
        yield from _linear(f"{top}.pooler.dense", width, width, bias=True)


def _block(layer: str, width: int, inner: int) -> Shapes:
    """What follows attention's projections in BERT and DeBERTa."""
    yield from _linear(f"{layer}.attention.output.dense", width, width, bias=True)
    yield from _norm(f"{layer}.attention.output.LayerNorm", width, bias=True)
    yield from _linear(f"{layer}.intermediate.dense", width, inner, bias=True)
    yield from _linear(f"{layer}.output.dense", inner, width, bias=True)
    yield from _norm(f"{layer}.output.LayerNorm", width, bias=True)


def _deberta(model: BaseModel) -> Shapes:
    width, inner = model.hidden_size, model.intermediate_size
    yield "deberta.embeddings.word_embeddings.weight", (model.vocab_size, width)
    yield from _norm("deberta.embeddings.LayerNorm", width, bias=True)
    for index in range(model.num_layers):
        layer = f"deberta.encoder.layer.{index}"
        for name in ("query", "key", "value"):
            yield from _linear(f"{layer}.attention.self.{name}_proj", width, width, bias=True)
        yield from _block(layer, width, inner)
    yield "deberta.encoder.rel_embeddings.weight", (model.max_positions, width)
    yield from _norm("deberta.encoder.LayerNorm", width, bias=True)


def _distilbert(model: BaseModel) -> Shapes:
    width, inner = model.hidden_size, model.intermediate_size
    yield "distilbert.embeddings.word_embeddings.weight", (model.vocab_size, width)
    yield "distilbert.embeddings.position_embeddings.weight", (model.max_positions, width)
    yield from _norm("distilbert.embeddings.LayerNorm", width, bias=True)
    for index in range(model.num_layers):
        layer = f"distilbert.transformer.layer.{index}"
        for name in ("q", "k", "v", "out"):
            yield from _linear(f"{layer}.attention.{name}_lin", width, width, bias=True)
        yield from _norm(f"{layer}.sa_layer_norm", width, bias=True)
        yield from _linear(f"{layer}.ffn.lin1", width, inner, bias=True)
        yield from _linear(f"{layer}.ffn.lin2", inner, width, bias=True)
        yield from _norm(f"{layer}.output_layer_norm", width, bias=True)


_BEHIND = ("post_attention_layernorm", "post_feedforward_layernorm")
_ROBERTA = partial(_bert, top="roberta", token_types=1)
_RMS = {"rms_norm_eps": 1e-6, "hidden_act": "silu"}
_GELU = {"layer_norm_eps": 1e-12, "hidden_act": "gelu"}
_FAMILIES: Mapping[str, tuple[str, Callable[[BaseModel], Shapes], dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", _llama, _RMS),
    "mistral": ("MistralForCausalLM", _llama, _RMS),
    "qwen2": ("Qwen2ForCausalLM", partial(_llama, has_biases=True), _RMS),
    "qwen3": ("Qwen3ForCausalLM", partial(_llama, normalizes="each head"), _RMS),
    "olmo2": ("Olmo2ForCausalLM", partial(_llama, norms=_BEHIND, normalizes="all heads"), _RMS),
    "phi3": ("Phi3ForCausalLM", partial(_llama, is_fused=True), _RMS),
    "gemma": ("GemmaForCausalLM", _llama, {**_RMS, "hidden_act": "gelu_pytorch_tanh"}),
    "gemma2": (
        "Gemma2ForCausalLM",
        partial(_llama, norms=(*_USUAL_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")),
        {
            **_RMS,
            "hidden_act": "gelu_pytorch_tanh",
            "final_logit_softcapping": 30.0,
            "attn_logit_softcapping": 50.0,
            "sliding_window": 4096,
        },
    ),
    "gpt_neox": ("GPTNeoXForCausalLM", _gpt_neox, {**_GELU, "rotary_pct": 0.25, "use_parallel_residual": True}),
    "bert": ("BertForMaskedLM", partial(_bert, top="bert", token_types=2), _GELU),
    "roberta": ("RobertaForMaskedLM", _ROBERTA, {**_GELU, "pad_token_id": 1}),
    "xlm-roberta": ("XLMRobertaForMaskedLM", _ROBERTA, {**_GELU, "pad_token_id": 1}),
    "electra": ("ElectraForPreTraining", partial(_bert, top="electra", token_types=2, has_pooler=False), _GELU),
    "deberta-v2": (
        "DebertaV2ForMaskedLM",
        _deberta,
        {**_GELU, "position_buckets": 256, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    ),
    "distilbert": ("DistilBertForMaskedLM", _distilbert, _GELU),
}
"""Class, tensors and further keys of config.json, by model type."""


def config_of(model: BaseModel) -> dict[str, Any]:
    """What the model's config.json says of its form."""
    name, _, more = _FAMILIES[model.model_type]
    return {
        "architectures": [name],
        "model_type": model.model_type,
        "hidden_size": model.hidden_size,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "num_key_value_heads": model.num_kv_heads,
        "head_dim": model.head_dim,
        "intermediate_size": model.intermediate_size,
        "vocab_size": model.vocab_size,
        "max_position_embeddings": model.max_positions,
        "tie_word_embeddings": model.tied,
        **more,
    }


def num_parameters(model: BaseModel) -> int:
    """Stored parameters, a shared tensor counted once; of an encoder without the head that it was trained with."""
    total = 0
    for _, shape in _FAMILIES[model.model_type][1](model):
        count = 1
        for size in shape:
            count *= size
        total += count
    return total


def facts_of(model: BaseModel, tokenizer: TokenizerFacts) -> ModelFacts:
    """The model as the planner sees it.

    Args:
        model: A row of the catalog.
        tokenizer: The tokenizer that rows are counted with.
    """
    config = read_config(config_of(model))
    dtype = "F32" if config.family == "encoder" else "BF16"
    tensors = {name: TensorFacts(dtype=dtype, shape=shape) for name, shape in _FAMILIES[model.model_type][1](model)}
    return ModelFacts(
        name=model.name,
        source="hub",
        commit=None,
        files={},
        architecture=config.architecture,
        model_type=config.model_type,
        config=config.form,
        family=config.family,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        vocab_size=config.vocab_size,
        max_positions=config.max_positions,
        tied_embeddings=model.tied,
        tensors=tensors,
        linear_modules=linear_modules(tensors, model.model_type),
        attention=attention_kernels(model.model_type),
        license=model.license,
        tokenizer=tokenizer,
    )
