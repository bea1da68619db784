"""Quantization-aware training of Axolotl and torchtune becomes a recipe's, or is named."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML

from ftc.spec.documents.imported import Fate
from tests.compiler.importers.examples import AXOLOTL, FACTORY, TUNE, import_text

QUANTIZERS = "torchtune.training.quantization"
TRAINED = f"{TUNE}dataset: {{_component_: torchtune.datasets.alpaca_dataset}}\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"{AXOLOTL}qat: {{weight_dtype: int4, group_size: 64}}\n", {"weights": "int4", "group_size": 64}),
        (f"{AXOLOTL}qat: {{weight_dtype: int4}}\n", {"weights": "int4", "group_size": 32}),
        (f"{AXOLOTL}qat: {{group_size: 32}}\n", {"weights": "int8"}),
        (
            f"{TRAINED}quantizer: {{_component_: {QUANTIZERS}.Int4WeightOnlyQATQuantizer}}\n",
            {"weights": "int4", "group_size": 256},
        ),
        (
            f"{TRAINED}quantizer: {{_component_: {QUANTIZERS}.Int8DynActInt4WeightQATQuantizer, groupsize: 128}}\n",
            {"weights": "int4", "group_size": 128},
        ),
    ],
)
def test_what_is_rounded_is_carried(text: str, wanted: dict[str, Any]) -> None:
    found = import_text(text, data="x.jsonl", task="chat")
    assert found.recipe is not None
    assert YAML(typ="safe").load(found.recipe)["train"]["quantize_aware"] == wanted


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        (f"{AXOLOTL}qat: {{weight_dtype: int4, activation_dtype: int8}}\n", "qat.activation_dtype"),
        (f"{AXOLOTL}qat: {{weight_dtype: int4, quantize_embedding: true}}\n", "qat.quantize_embedding"),
        (f"{AXOLOTL}qat: {{weight_dtype: int4, fake_quant_after_n_steps: 9}}\n", "qat.fake_quant_after_n_steps"),
        (f"{AXOLOTL}qat: {{group_size: 64}}\n", "qat.group_size"),
    ],
)
def test_what_a_recipe_cannot_say_is_named(text: str, dropped: str) -> None:
    found = import_text(text, data="x.jsonl", task="chat")
    (fate,) = [one.fate for one in found.keys if one.key == dropped]
    assert fate is Fate.NOT_CARRIED


def test_beside_an_adapter_the_recipe_says_how_it_differs() -> None:
    adapter = ", lora_attn_modules: [q_proj], lora_rank: 8, lora_alpha: 16, lora_dropout: 0.1}"
    adapted = TRAINED.replace("qwen3.qwen3_4b_instruct}", f"qwen3.lora_qwen3_4b_instruct{adapter}")
    found = import_text(f"{adapted}quantizer: {{_component_: {QUANTIZERS}.Int8DynActInt4WeightQATQuantizer}}\n")
    assert found.recipe is not None
    recipe = YAML(typ="safe").load(found.recipe)
    assert recipe["strategy"]["kind"] == "lora"
    assert "dropout" not in recipe["strategy"], "a sum of weights has none"
    fates = {one.key: one for one in found.keys}
    assert fates["model.lora_dropout"].fate is Fate.NOT_CARRIED
    assert "the sum of weights and adapter is rounded" in fates["quantizer._component_"].reason
    assert "not what goes into a layer" in fates["quantizer._component_"].reason


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("qat: {weight_dtype: mxfp4}\n", "with such weights is not supported"),
        ("adapter: qlora\nlora_r: 8\nload_in_4bit: true\nqat: {weight_dtype: int4}\n", "beside such an adapter"),
    ],
)
def test_what_is_not_possible_is_refused(more: str, words: str) -> None:
    found = import_text(f"{AXOLOTL}{more}", data="x.jsonl", task="chat")
    assert found.recipe is None
    assert any(words in one.summary for one in found.reasons)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"{AXOLOTL}fp8: true\nbf16: true\n", "float8"),
        (f"{AXOLOTL}fp8: false\nbf16: true\n", "bfloat16"),
        (f"{FACTORY}finetuning_type: full\nfp8: true\nfp8_backend: torchao\n", "float8"),
        (f"{TRAINED}dtype: bf16\nenable_fp8_training: true\n", "float8"),
        (f"{TRAINED}enable_fp8_training: true\nfp8_recipe_name: rowwise\n", "float8_rowwise"),
        (
            f"{TRAINED}enable_fp8_training: true\nfp8_recipe_name: rowwise_with_gw_hp\n",
            "float8_rowwise_with_gw_hp",
        ),
    ],
)
def test_products_in_8_bits_are_carried(text: str, wanted: str) -> None:
    found = import_text(text, data="x.jsonl", task="chat")
    assert found.recipe is not None
    assert YAML(typ="safe").load(found.recipe)["train"]["precision"] == wanted
    assert not [one.key for one in found.keys if "fp8" in one.key and one.fate is Fate.NOT_CARRIED]


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        (f"{AXOLOTL}adapter: lora\nlora_r: 8\nbf16: true\nfp8: true\n", "fp8"),
        (f"{AXOLOTL}fp8: true\nfp8_enable_fsdp_float8_all_gather: true\n", "fp8_enable_fsdp_float8_all_gather"),
        (f"{TRAINED}enable_fp8_training: true\nfp8_recipe_name: mine\n", "fp8_recipe_name"),
    ],
)
def test_products_in_8_bits_that_are_not_possible_are_named(text: str, dropped: str) -> None:
    found = import_text(text, data="x.jsonl", task="chat")
    (fate,) = [one.fate for one in found.keys if one.key == dropped]
    assert fate is Fate.NOT_CARRIED
