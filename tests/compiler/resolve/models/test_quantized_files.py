"""Weights of files that hold them quantized, as they are once dequantized; and files that can't be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.models import quantized_files as subject
from ftc.compiler.resolve.models.quantized_files import Unreadable, dequantized, quantized_findings
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.quantized_files import QUANTIZED_FILES, QuantizedMethod

NORM = "model.layers.0.input_layernorm.weight"
LAYER = "model.layers.0.mlp.down_proj.weight"
EXPERTS = "model.layers.0.mlp.experts.gate_up_proj"


def tensors(**stored: tuple[str, tuple[int, ...]]) -> dict[str, TensorFacts]:
    """Tensors by the ends of a layer's name, beside a norm."""
    found = {f"{LAYER}{end}": TensorFacts(dtype=kind, shape=shape) for end, (kind, shape) in stored.items()}
    return {NORM: TensorFacts(dtype="BF16", shape=(2880,)), **found}


def said(method: str, **more: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": method, **more}}


def compressed(form: str, bits: int, **more: Any) -> dict[str, Any]:
    groups = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": bits, "type": "int"}}}
    return said("compressed-tensors", format=form, **{"config_groups": groups, **more})


@pytest.mark.parametrize(
    ("method", "stored", "config"),
    [
        (
            "fp8",
            {"": ("F8_E4M3", (2560, 9728)), "_scale_inv": ("F32", (20, 76))},
            said("fp8", weight_block_size=[128, 128]),
        ),
        (
            "compressed-tensors",
            {"": ("F8_E4M3", (2560, 9728)), "_scale": ("BF16", (2560, 1))},
            compressed("float-quantized", 8),
        ),
        (
            "compressed-tensors",
            {"_packed": ("I32", (2560, 1216)), "_scale": ("BF16", (2560, 76)), "_shape": ("I64", (2,))},
            compressed("pack-quantized", 4),
        ),
        (
            "compressed-tensors",
            {"_packed": ("I32", (2560, 2432)), "_scale": ("BF16", (2560, 76)), "_zero_point": ("I32", (640, 76))},
            compressed("pack-quantized", 8),
        ),
    ],
    ids=["FP8 in blocks", "FP8 in rows", "4 bits in words", "8 bits in words"],
)
def test_a_layer_has_the_shape_that_it_is_multiplied_with(
    method: QuantizedMethod, stored: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    assert not list(quantized_findings(config, has_experts=False, span=None)) or method == "compressed-tensors"
    assert dequantized(tensors(**stored), config, method) == {
        NORM: TensorFacts(dtype="BF16", shape=(2880,)),
        LAYER: TensorFacts(dtype="BF16", shape=(2560, 9728)),
    }


def test_experts_of_gpt_oss_are_turned_to_inputs_and_outputs() -> None:
    """Sizes of gpt-oss-20b."""
    stored = {
        f"{EXPERTS}_blocks": TensorFacts(dtype="U8", shape=(32, 5760, 90, 16)),
        f"{EXPERTS}_scales": TensorFacts(dtype="U8", shape=(32, 5760, 90)),
        f"{EXPERTS}_bias": TensorFacts(dtype="BF16", shape=(32, 5760)),
    }
    assert dequantized(stored, said("mxfp4"), "mxfp4") == {
        EXPERTS: TensorFacts(dtype="BF16", shape=(32, 2880, 5760)),
        f"{EXPERTS}_bias": TensorFacts(dtype="BF16", shape=(32, 5760)),
    }


@pytest.mark.parametrize(
    ("method", "stored", "reason"),
    [
        ("fp8", {"": ("F8_E4M3", (256, 128))}, "no `weight` with a scale `weight_scale_inv`"),
        ("fp8", {"": ("F8_E4M3", (576, 7168)), "_scale_inv": ("F32", (5, 56))}, "equal blocks alone"),
        ("fp8", {"": ("F8_E4M3", (192, 256)), "_scale_inv": ("F32", (2, 2))}, "equal blocks alone"),
        ("fp8", {"": ("BF16", (256, 128))}, "no tensor is stored so"),
        ("mxfp4", {"_blocks": ("U8", (4, 8, 2, 16)), "_scales": ("U8", (4, 8, 3))}, "one scale for each of its blocks"),
        ("mxfp4", {"_blocks": ("U8", (4, 8, 16))}, "one scale for each of its blocks"),
        ("compressed-tensors", {"_packed": ("I32", (8, 2))}, "has no scale `weight_scale`"),
        ("compressed-tensors", {"_packed": ("I32", (8,)), "_scale": ("F32", (8, 1))}, "no matrix of packed words"),
    ],
)
def test_tensors_that_contradict_what_config_json_says(
    method: QuantizedMethod, stored: Mapping[str, Any], reason: str
) -> None:
    others = {"weight_block_size": [128, 128]} if method == "fp8" else {}
    config = compressed("pack-quantized", 4) if method == "compressed-tensors" else said(method, **others)
    with pytest.raises(Unreadable, match=reason):
        dequantized(tensors(**stored), config, method)


@pytest.mark.parametrize("method", [*(card.method for card in QUANTIZED_FILES), "new"])
def test_what_a_part_of_the_model_says_of_itself_is_not_overlooked(method: str) -> None:
    """Models with images may say it of their language model alone."""
    (found,) = quantized_findings({"text_config": said(method)}, has_experts=False, span=None)
    assert found.code == "FTC313"
    assert "inside `text_config`" in found.summary


def test_what_a_part_repeats_of_the_whole_is_no_finding() -> None:
    assert not list(quantized_findings({**said("fp8"), "text_config": said("fp8")}, has_experts=False, span=None))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (said("compressed-tensors"), "one scheme"),
        (compressed("pack-quantized", 4, config_groups={"a": {}, "b": {}}), "one scheme"),
        (compressed("pack-quantized", 4, config_groups={"a": "Linear"}), "neither 4 nor 8 bits"),
        (compressed("pack-quantized", 3), "neither 4 nor 8 bits"),
        (compressed("nvfp4-pack-quantized", 4), "`nvfp4-pack-quantized`"),
        (compressed("pack-quantized", 4, sparsity_config={"format": "sparse-bitmask"}), "sparse"),
    ],
)
def test_forms_of_compressed_tensors_that_are_not_loaded(config: Mapping[str, Any], reason: str) -> None:
    (found,) = quantized_findings(config, has_experts=False, span=None)
    assert found.code == "FTC313"
    assert reason in found.summary


def test_what_loading_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: dict[str, tuple[int, int] | None] = {"transformers": (5, 20), "compressed-tensors": None}
    monkeypatch.setattr(subject, "installed_release", lambda name="transformers": installed[name])
    (found,) = quantized_findings(said("fp8"), has_experts=False, span=None)
    assert (found.code, "5.23" in found.summary) == ("FTC308", True)
    installed["transformers"] = (5, 24)
    (found,) = quantized_findings(compressed("pack-quantized", 4), has_experts=False, span=None)
    assert found.help == ("`pip install 'ftc[compressed-tensors]'` installs it",)
    installed["compressed-tensors"] = (0, 14)
    (found,) = quantized_findings(compressed("pack-quantized", 4), has_experts=False, span=None)
    assert "0.14 is installed" in found.summary
    installed["transformers"] = None
    assert not list(quantized_findings(compressed("pack-quantized", 4), has_experts=False, span=None))


def test_every_package_is_an_extra() -> None:
    text = (Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8")
    for card in QUANTIZED_FILES:
        if card.dequantizer is not None and card.dequantizer.package is not None:
            name, least = card.dequantizer.package
            assert f'\n{name} = ["ftc[train]", "{name}>={".".join(map(str, least))}"' in text
