"""A tiny model of any model type that transformers has, by its own configuration class."""

from __future__ import annotations

from typing import Any

__all__ = ["INNER", "tiny_config", "tiny_model"]

INNER = 56
"""Width between the two halves of a feed-forward part."""

_SIZES: dict[str, Any] = {
    "vocab_size": 48,
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("true_hidden_size", "intra_bottleneck_size"), 32),
    **dict.fromkeys(
        ("intermediate_size", "d_ff", "hidden_dim", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim"), INNER
    ),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers"), 2),
    "num_decoder_layers": 2,
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads", "num_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "d_kv"), 16),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 64),
    **dict.fromkeys(("max_encoder_position_embeddings", "max_decoder_position_embeddings"), 64),
    "rotary_dim": 8,
    "attention_window": 8,
    "window_size": 4,
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "first_k_dense_replace": 1,
    **dict.fromkeys(("n_group", "topk_group"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 16),
    "attention_types": [[["global", "local"], 1]],
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0},
}
_RATES = (
    *("hidden_dropout_prob", "hidden_dropout", "resid_pdrop", "dropout_rate", "dropout", "resid_dropout"),
    *("residual_dropout", "embd_pdrop", "embed_dropout", "attn_pdrop", "attention_dropout"),
    "attention_probs_dropout_prob",
)


def tiny_config(model_type: str, *, rate: float = 0.0, inner: bool = True, **changes: Any) -> Any:
    """Two layers of width 32.

    Args:
        model_type: As config.json calls it.
        rate: Of every dropout.
        inner: Whether the width of the feed-forward part is given.
        changes: Further values.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    default = kind()
    keys = {*default.to_dict(), *kind.attribute_map}
    if getattr(default, "is_encoder_decoder", False):
        keys.add("decoder_start_token_id")  # config.json has it, whatever the class says
    values = {**_SIZES, **dict.fromkeys(_RATES, rate)}
    values = {key: value for key, value in values.items() if key in keys and (inner or value != INNER)}
    if layers := getattr(default, "layer_types", None):
        values["layer_types"] = list(layers[:2])
    return kind(**{**values, **changes})


def tiny_model(model_type: str, **changes: Any) -> Any:
    """A model of such a configuration that has an output over words, if its family has one; without it an encoder."""
    import transformers

    from ftc.spec.architectures import architecture

    kinds = {"decoder": transformers.AutoModelForCausalLM, "encoder_decoder": transformers.AutoModelForSeq2SeqLM}
    family = architecture(model_type).family
    assert family is not None
    return kinds.get(family, transformers.AutoModel).from_config(tiny_config(model_type, **changes))
