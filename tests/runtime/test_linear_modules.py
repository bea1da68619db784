"""The layers that the compiler names from stored tensors are those that peft's `all-linear` finds in the loaded model.

peft also takes the pooler and task heads, which are trained in full or not at all; those lie outside the backbone,
whose name `base_model_prefix` gives, and are taken out of the comparison.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.models.model_form import input_embedding, linear_modules, output_head
from ftc.compiler.resolve.models.weights import read_header

# GPT-2 stores its layers transposed; peft notices, and says so each time.
pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out is set:UserWarning")

SIZES: dict[str, dict[str, Any]] = {
    "Llama": {"num_key_value_heads": 2},
    "Mistral": {"num_key_value_heads": 2},
    "Qwen2": {"num_key_value_heads": 2},
    "Qwen3": {"num_key_value_heads": 2, "head_dim": 8},
    "Gemma2": {"num_key_value_heads": 2, "head_dim": 8},
    "Phi3": {"pad_token_id": 0},
    "GPTNeoX": {},
    "OPT": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "Bert": {},
    "Roberta": {},
    "Electra": {"embedding_size": 16},
    "ModernBert": {"pad_token_id": 0},
}
COMMON = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
OWN_SIZES: dict[str, dict[str, Any]] = {
    "GPT2": {"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "DistilBert": {"vocab_size": 50, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
    "T5": {"vocab_size": 50, "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4},
    "Bart": {
        **{"vocab_size": 50, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 64},
        **{"decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4},
    },
}
CONFIGS = {**{name: {**COMMON, **more} for name, more in SIZES.items()}, **OWN_SIZES}
ENCODERS = ("Bert", "Roberta", "Electra", "ModernBert", "DistilBert")


def config_of(name: str) -> Any:
    return getattr(transformers, f"{name}Config")(**CONFIGS[name])


def language_model(name: str) -> Any:
    config = config_of(name)
    if name in ("T5", "Bart"):
        return transformers.AutoModelForSeq2SeqLM.from_config(config)
    if name in ENCODERS:
        return transformers.AutoModelForMaskedLM.from_config(config)
    return transformers.AutoModelForCausalLM.from_config(config)


def all_linear(model: Any) -> set[str]:
    """What peft targets in the model's backbone, by full module name."""
    config = LoraConfig(target_modules="all-linear", r=2)
    tuned = get_peft_model(model, config)
    prefix = "base_model.model."
    names = {name.removeprefix(prefix) for name, module in tuned.named_modules() if hasattr(module, "lora_A")}
    backbone = model.base_model_prefix
    has_backbone = hasattr(model, backbone)
    return {name for name in names if (not has_backbone or name.startswith(f"{backbone}.")) and "pooler" not in name}


def stored(model: Any, folder: Path) -> dict[str, tuple[int, int]]:
    model.save_pretrained(folder)
    return linear_modules(read_header(folder / "model.safetensors"), model.config.model_type)


def is_same(stored_name: str, loaded: str) -> bool:
    """The rule that `ModelFacts.linear_modules` states."""
    return stored_name == loaded or loaded.endswith(f".{stored_name}") or stored_name.endswith(f".{loaded}")


@pytest.mark.parametrize("name", CONFIGS)
def test_language_models(name: str, tmp_path: Path) -> None:
    found = stored(language_model(name), tmp_path)
    assert set(found) == all_linear(language_model(name))


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_are_inputs_and_outputs(name: str, tmp_path: Path) -> None:
    model = language_model(name)
    for module, (inputs, outputs) in stored(model, tmp_path).items():
        layer = model.get_submodule(module)
        assert layer(torch.zeros(1, inputs)).shape == (1, outputs)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in ("T5", "Bart")])
def test_names_of_a_bare_model_map_onto_a_classifier_by_suffix(name: str, tmp_path: Path) -> None:
    config = config_of(name)
    found = stored(transformers.AutoModel.from_config(config), tmp_path)
    config.pad_token_id, config.num_labels = 0, 3
    loaded = all_linear(transformers.AutoModelForSequenceClassification.from_config(config))
    assert len(found) == len(loaded)
    assert all(sum(is_same(stored_name, name) for stored_name in found) == 1 for name in loaded)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_configuration_is_read_as_transformers_means_it(name: str, tmp_path: Path) -> None:
    model = language_model(name)
    model.save_pretrained(tmp_path)
    tensors = read_header(tmp_path / "model.safetensors")
    config = read_config(transformers.PretrainedConfig.get_config_dict(tmp_path)[0])
    assert config.architecture == type(model).__name__
    assert config.family == (
        "encoder" if name in ENCODERS else "encoder_decoder" if name in ("T5", "Bart") else "decoder"
    )
    assert (config.hidden_size, config.num_layers, config.num_heads, config.head_dim) == (32, 2, 4, 8)
    assert config.intermediate_size == (128 if name == "GPT2" else 64)
    embedding = input_embedding(tensors)
    assert embedding is not None
    assert embedding.shape[0] == config.vocab_size == 50
    if name not in ENCODERS:
        is_tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
        assert (config.tied if config.tied is not None else output_head(tensors) is None) == is_tied
