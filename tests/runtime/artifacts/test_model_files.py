"""`config.json` of a model that is written means one model, whichever release of transformers reads it."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from ftc.runtime.artifacts.merged_weights import MergedWeights
from ftc.runtime.artifacts.model_files import config_for_all
from ftc.runtime.artifacts.tensor_files import read_tensors
from ftc.runtime.strategies import half_of
from ftc.spec.diagnostics import Refusal
from ftc.spec.strategies.full import FullSettings
from tests.support.tiny_architectures import tiny_config, tiny_model

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
BASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"rope_theta": 100000.0, "rope_scaling": None}),
    ("llama", {"rope_theta": 500000.0, "rope_scaling": LLAMA3}),
    ("llama", {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.0}}),
    ("gemma3_text", {"rope_theta": 1000000, "rope_local_base_freq": 20000, "rope_scaling": None}),
    ("modernbert", {"global_rope_theta": 170000.0, "local_rope_theta": 20000.0}),
    ("gpt_neox", {"rotary_emb_base": 20000, "rotary_pct": 0.5}),
    ("phi", {"rope_theta": 20000.0, "partial_rotary_factor": 0.5}),
    ("mt5", {"tie_word_embeddings": False}),
    ("bert", {"_name_or_path": "somebody/bert", "num_labels": 2, "max_length": 20, "gradient_checkpointing": False}),
]
"""Model types, and keys of their `config.json` as transformers 4 wrote it."""


def loaded(model_type: str, keys: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A configuration that was read from a file with such keys, and the file's content."""
    made = tiny_config(model_type)
    base = {**made.to_dict(), "torch_dtype": "float32", **keys}
    base.pop("rope_parameters", None)
    config = type(made).from_dict(json.loads(json.dumps(base)))
    config._name_or_path = "/home/somebody/models/base"
    config.dtype = "bfloat16"
    return config, base


@pytest.mark.parametrize(("model_type", "keys"), BASES, ids=lambda one: one if isinstance(one, str) else "-".join(one))
def test_every_key_of_the_base_is_still_there(model_type: str, keys: dict[str, Any]) -> None:
    config, base = loaded(model_type, keys)
    found = config_for_all(config, base)
    assert base.keys() <= found.keys()
    assert {name: found[name] for name in keys} == keys
    assert (found["dtype"], found["torch_dtype"]) == ("bfloat16", "bfloat16")
    assert "/home/somebody" not in json.dumps(found)
    read = type(config).from_dict(deepcopy(found)).to_dict()
    assert {name: read[name] for name in config.to_dict() if name[0] != "_"} == {
        name: value for name, value in config.to_dict().items() if name[0] != "_"
    }


@pytest.mark.parametrize(
    ("model_type", "keys"), BASES[:-2], ids=lambda one: one if isinstance(one, str) else "-".join(one)
)
def test_a_base_of_transformers_5_gets_the_words_of_4(model_type: str, keys: dict[str, Any]) -> None:
    config, _ = loaded(model_type, keys)
    found = config_for_all(config, json.loads(config.to_json_string()))
    said = {name: value for name, value in keys.items() if value is not None and name != "rope_scaling"}
    assert {name: found.get(name) for name in said} == said
    scaling = {name: value for name, value in (keys.get("rope_scaling") or {}).items() if name != "type"}
    assert found.get("rope_scaling", {}).items() >= scaling.items()
    assert ("rope_scaling" in found) == bool(scaling)


def test_weights_are_called_as_in_the_bases_own_file(tmp_path: Path) -> None:
    """transformers 5 renames some while it loads them; under the new name nobody else finds them."""
    model = tiny_model("gpt_neox")
    model.save_pretrained(tmp_path)
    base = set(read_tensors(tmp_path / "model.safetensors"))
    assert not base <= set(model.state_dict())
    model = type(model).from_pretrained(tmp_path)
    full = FullSettings(kind="full")
    saved = {name: one.clone() for name, one in half_of(full).saved(model, full).items()}
    assert saved.keys() == base
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    half_of(full).load(model, full, saved)
    assert model.get_output_embeddings().weight.abs().sum() > 0
    adapted = get_peft_model(model, LoraConfig(target_modules="all-linear", r=2))
    assert MergedWeights.of(adapted, torch.float32, {}).forms.keys() == base


def test_keys_that_disagree_are_refused() -> None:
    config, base = loaded("llama", {"rope_theta": 100000.0})
    with pytest.raises(Refusal) as refused:
        config_for_all(config, {**base, "rope_theta": 10000.0})
    (found,) = refused.value.diagnostics
    assert (found.code, "`rope_theta`" in found.summary) == ("FTC665", True)
