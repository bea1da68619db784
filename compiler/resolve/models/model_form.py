"""The form of a model: shape keys of `config.json`, attention kernels of its kind, and linear layers for adapters.

The memory trace builds a model of shapes by the keys. Their list is closed, and values are numbers, truth values, short
words and small collections of those, so that nothing else of a stranger's file gets to the libraries.

What the installed transformers knows of a kind is read off its text, and nothing is imported: the class whose name ends
in `PreTrainedModel`, from which its others inherit, says in plain assignments which attention kernels there are.

Linear layers come from the stored tensors alone: a two-dimensional `*.weight` that is no embedding, no norm, and lies
in no head or pooler. Names stay as they are stored. A task model may put the backbone under a prefix or take one away
(`encoder.layer.0...` in the file of a `BertModel` is `bert.encoder.layer.0...` in a classifier), so a stored name and
a loaded one mean the same module when they are equal or when one ends with a dot and the other.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftc.spec.architectures import architecture
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.module_names import head_parts
from ftc.spec.sections.model import AttentionKernel

__all__ = [
    "attention_kernels",
    "form_of",
    "input_embedding",
    "installed_release",
    "is_known",
    "kernels_in",
    "linear_modules",
    "output_head",
    "vocabulary_tensors",
]

_KEYS = frozenset(
    (
        # sizes
        "attention_head_dim attention_heads attention_hidden_size block_auto_adjust_ff_dim block_dim block_ff_dim "
        "block_ffn_dim_multiplier block_multiple_of conv_L_cache conv_bias d_ff d_kv d_model decoder_attention_heads "
        "decoder_ffn_dim decoder_layers decoder_vocab_size dim embedding_dim embedding_rank embedding_size "
        "encoder_attention_heads encoder_ffn_dim encoder_layers expansion_ratio ffn_dim ffn_hidden_size head_dim "
        "head_ratio hidden_dim hidden_size hidden_size_per_layer_input inner_group_num input_embedding_size "
        "intermediate_size intra_bottleneck_size kv_lora_rank linear_conv_kernel_dim linear_key_head_dim "
        "linear_num_key_heads linear_num_value_heads linear_value_head_dim lru_width mamba_conv_bias mamba_d_conv "
        "mamba_d_head mamba_d_ssm mamba_d_state mamba_dt_rank mamba_expand mamba_headdim mamba_n_groups "
        "mamba_n_heads mamba_ngroups mamba_proj_bias mamba_rms_norm n_ctx n_embd n_head n_heads n_inner n_layer "
        "n_layers n_positions num_attention_heads num_decoder_layers num_feedforward_networks num_groups num_heads "
        "num_hidden_groups num_hidden_layers num_key_value_heads num_kv_heads num_kv_shared_layers num_layers "
        "num_layers_per_stack num_mem_blocks output_embedding_size per_layer_config q_lora_rank qk_head_dim "
        "qk_nope_head_dim qk_rope_head_dim rotary_dim task_type_vocab_size true_hidden_size type_vocab_size "
        "use_double_wide_mlp v_head_dim vocab_size vocab_size_per_layer_input word_embed_proj_dim "
        # positions
        "alibi attention_type attention_window attention_window_size attn_layer_indices attn_layer_offset "
        "attn_layer_period block_size block_types full_attn_idxs global_attn_every_n_layers global_block_size "
        "hybrid_layer_ids layer_types layers_block_type learned_pos_emb local_attention local_radius "
        "max_decoder_position_embeddings max_encoder_position_embeddings max_position_embeddings "
        "max_relative_positions max_seq_len max_window_layers no_rope_layer_interval no_rope_layers "
        "original_max_position_embeddings partial_rotary_factor pos_att_type position_biased_input position_buckets "
        "position_embedding_type relative_attention relative_attention_max_distance relative_attention_num_buckets "
        "rope_local_base_freq rope_parameters rope_scaling rope_theta rotary_pct rotary_value share_att_key "
        "sinusoidal_pos_embds sliding_window sliding_window_pattern use_sliding_window window_size "
        # modules and their wiring
        "activation activation_function add_bias_linear afn apply_residual_connection_post_layernorm attention_bias "
        "attention_k_eq_v attention_multiplier attention_out_bias attention_softmax_in_fp32 attention_types "
        "attn_config attn_logit_softcapping attn_output_gate bias classifier_activation classifier_bias "
        "classifier_pooling clip_qkv conv_act conv_kernel_size decoder_bias do_layer_norm_before embedding_fraction "
        "embedding_multiplier enable_bias encoder_attention_type feed_forward_proj final_logit_softcapping "
        "hidden_act hidden_activation is_decoder is_encoder_decoder key_query_shared_bottleneck "
        "layer_norm_elementwise_affine layer_norm_eps layer_norm_epsilon legacy logit_scale logits_scaling mlp_bias "
        "multi_query new_decoder_architecture no_bias norm_bias norm_eps norm_epsilon norm_rel_ebd norm_type "
        "normalization_type num_ln_in_parallel_attn parallel_attn pooler_hidden_act pooler_hidden_size qk_layernorm "
        "query_pre_attn_scalar reorder_and_upcast_attn residual_multiplier rms_norm_eps "
        "scale_attention_softmax_in_fp32 scale_attn_by_inverse_layer_idx scale_attn_weights scale_embedding "
        "share_encoder_decoder_embeddings summary_activation summary_proj_to_labels summary_type summary_use_proj "
        "tie_word_embeddings trigram_input use_attention_gate use_bias use_bidirectional_attention use_bottleneck "
        "use_bottleneck_attention use_conv_bias use_mem_rope use_parallel_residual use_post_norm use_qk_norm "
        "use_qkv_bias use_sandwich_norm use_task_id "
        # experts
        "decoder_sparse_step first_k_dense_replace mlp_only_layers moe_intermediate_size moe_layer_freq n_group "
        "n_routed_experts n_shared_experts norm_topk_prob num_experts num_experts_per_tok num_local_experts qkv_bias "
        "routed_scaling_factor rope_interleave scoring_func shared_expert_intermediate_size swiglu_alpha swiglu_limit "
        "topk_group topk_method "
        # dropout, whose masks are kept for the backward pass
        "activation_dropout attention_dropout attention_probs_dropout_prob attn_pdrop classifier_dropout "
        "classifier_dropout_prob decoder_layerdrop dropout dropout_rate emb_pdrop embd_pdrop embed_dropout "
        "embedding_dropout encoder_layerdrop hidden_dropout hidden_dropout_prob layerdrop mlp_dropout pooler_dropout "
        "resid_dropout resid_pdrop residual_dropout seq_classif_dropout summary_first_dropout summary_last_dropout "
        # kinds and ids
        "architectures bos_token_id cls_token_id decoder_start_token_id eos_token_id model_type pad_token_id "
        "sep_token_id "
    ).split()
)
_LONGEST_TEXT = 100
_MOST_ITEMS = 10_000
_DEEPEST = 3
_LARGEST_NUMBER = 10**9


def form_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The listed keys of a configuration whose values are plain and small; everything else is left out."""
    return {key: value for key, value in sorted(config.items()) if key in _KEYS and _is_plain(value)}


def _is_plain(value: Any, depth: int = 0) -> bool:
    match value:
        case None | bool():
            return True
        case int():
            return abs(value) <= _LARGEST_NUMBER
        case float():
            return math.isfinite(value)
        case str():
            return len(value) <= _LONGEST_TEXT
        case list():
            return len(value) <= _MOST_ITEMS and depth < _DEEPEST and all(_is_plain(v, depth + 1) for v in value)
        case dict():
            names = all(isinstance(key, str) and len(key) <= _LONGEST_TEXT for key in value)
            return names and len(value) <= _MOST_ITEMS and depth < _DEEPEST and _is_plain([*value.values()], depth)
        case _:
            return False


_CLASS = re.compile(r"^class (?P<name>\w+)\((?P<bases>[^)]*)\):", re.MULTILINE)
_SAYS = re.compile(r"^    _supports_(?P<kernel>sdpa|flash_attn)\b(?:: bool)? = (?P<value>True|False)\b", re.MULTILINE)
_KERNELS: dict[str, AttentionKernel] = {"sdpa": "sdpa", "flash_attn": "flash_attention_2"}
_BASE = "PreTrainedModel"


@lru_cache(maxsize=64)
def attention_kernels(model_type: str) -> tuple[AttentionKernel, ...] | None:
    """What the class of a kind of model has in the installed transformers; None where that can't be told."""
    for folder in _folders():
        for name in (model_type.replace("-", "_"), model_type.removesuffix("_text").replace("-", "_")):
            file = Path(folder) / "models" / name / f"modeling_{name}.py"
            try:
                return kernels_in(file.read_text(encoding="utf-8"))
            except OSError:
                continue
    return None


@lru_cache(maxsize=64)
def is_known(model_type: str) -> bool | None:
    """Whether the installed transformers has models of this kind; None where that can't be told."""
    for folder in _folders():
        try:
            text = (Path(folder) / "models" / "auto" / "modeling_auto.py").read_text(encoding="utf-8")
        except OSError:
            continue
        return f'("{model_type}",' in text
    return None


def installed_release(package: str = "transformers") -> tuple[int, int] | None:
    """(major, minor) of an installed package; None where there is none, or it has another kind of version."""
    try:
        found = re.match(r"(\d+)\.(\d+)", importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return None
    return (int(found[1]), int(found[2])) if found else None


def _folders() -> Iterable[str]:
    found = importlib.util.find_spec("transformers")
    return (found.submodule_search_locations or ()) if found else ()


def kernels_in(text: str) -> tuple[AttentionKernel, ...] | None:
    """What the text of a model's module says; None where its first class of all inherits from another kind's."""
    classes = list(_CLASS.finditer(text))
    first = next((number for number, one in enumerate(classes) if one["name"].endswith(_BASE)), None)
    if first is None or _BASE not in [base.strip() for base in classes[first]["bases"].split(",")]:
        return None
    end = classes[first + 1].start() if first + 1 < len(classes) else len(text)
    body = text[classes[first].end() : end]
    has = {_KERNELS[said["kernel"]] for said in _SAYS.finditer(body) if said["value"] == "True"}
    kernels: tuple[AttentionKernel, ...] = ("eager", "sdpa", "flash_attention_2")
    return tuple(kernel for kernel in kernels if kernel == "eager" or kernel in has)


# Last part of the name of a module that looks numbers up instead of multiplying.
_EMBEDDING = re.compile(r"(embed|embedding|embeddings|embed_\w+|\w+_embed|\w+_embeddings?|wte|wpe|shared|\w+_bias)")
_INPUT_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "shared", "embed_in", "tok_embeddings")
_OUTPUT_HEADS = ("lm_head", "embed_out", "output_projection", "cls.predictions.decoder", "vocab_projector")


def linear_modules(tensors: Mapping[str, TensorFacts], model_type: str) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of each linear layer of the backbone, by the name under which it is stored.

    Experts and their routers are none: transformers holds all experts of a layer in one tensor, and routes by a module
    of its own.
    """
    kind = architecture(model_type)
    found, transposed, mixture = {}, kind.transposed, kind.experts
    for name in sorted(tensors):
        module, _, last = name.rpartition(".")
        shape = tensors[name].shape
        if mixture and (mixture.is_expert(name) or mixture.is_router(name)):
            continue
        is_embedding = _EMBEDDING.fullmatch(module.rpartition(".")[2])
        if last == "weight" and len(shape) == 2 and not is_embedding and not head_parts(module):
            inputs, outputs = shape if transposed else reversed(shape)
            found[module] = (inputs, outputs)
    return found


def input_embedding(tensors: Mapping[str, TensorFacts]) -> TensorFacts | None:
    """The table that turns token ids into vectors, or None where no name is known for it."""
    return next(
        (
            tensors[name]
            for table in _INPUT_EMBEDDINGS
            for name in sorted(tensors)
            if name == f"{table}.weight" or name.endswith(f".{table}.weight")
        ),
        None,
    )


def output_head(tensors: Mapping[str, TensorFacts]) -> TensorFacts | None:
    """The stored layer that turns vectors into logits over the vocabulary, or None where none is stored."""
    places = [f"{prefix}{name}.weight" for prefix in ("", "language_model.") for name in _OUTPUT_HEADS]
    return next((tensors[name] for name in places if name in tensors), None)


def vocabulary_tensors(tensors: Mapping[str, TensorFacts], rows: int) -> tuple[str, ...]:
    """Names of the stored tensors with a row, or a number, for each token: embeddings, output layers, their biases."""
    return tuple(
        name
        for name, one in tensors.items()
        if (head_parts(name) or any(f".{table}." in f".{name}" for table in _INPUT_EMBEDDINGS))
        and (one.shape[:1] == (rows,) or one.shape == (1, rows))
    )
