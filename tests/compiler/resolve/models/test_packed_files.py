"""Layers of GPTQ's and AWQ's files, by the shapes of their parts; and files whose parts don't fit."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.resolve.models.packed_files import Packing, Unreadable, packed_layers, packing_of
from ftc.spec.documents.facts import TensorFacts

LAYER = "model.layers.0.mlp.down_proj"
GPTQ = Packing("gptq", 4, 128)
Stored = dict[str, tuple[str, tuple[int, ...]]]
PARTS: Stored = {
    "qweight": ("I32", (1216, 2560)),
    "qzeros": ("I32", (76, 320)),
    "scales": ("F16", (76, 2560)),
    "g_idx": ("I32", (9728,)),
}


def tensors(stored: Stored, layer: str = LAYER) -> dict[str, TensorFacts]:
    return {f"{layer}.{part}": TensorFacts(dtype=kind, shape=shape) for part, (kind, shape) in stored.items()}


AWQ: Stored = {"qweight": ("I32", (9728, 320)), "qzeros": PARTS["qzeros"], "scales": PARTS["scales"]}
WIDE: Stored = {
    "qweight": ("I32", (2432, 2560)),
    "qzeros": ("I32", (1, 640)),
    "scales": ("F16", (1, 2560)),
    "g_idx": ("I32", (9728,)),
}


@pytest.mark.parametrize(
    ("packing", "stored"), [(GPTQ, PARTS), (Packing("awq", 4, 128), AWQ), (Packing("gptq_v2", 8, None), WIDE)]
)
def test_a_layer_is_counted_whole_and_held_packed(packing: Packing, stored: Stored) -> None:
    whole, packed = packed_layers(tensors(stored), packing)
    assert {name: one.shape for name, one in whole.items()} == {f"{LAYER}.weight": (2560, 9728)}
    assert packed.modules == ("mlp.down_proj",)
    assert packed.holds("base_model.model.layers.17.mlp.down_proj")
    assert not packed.holds("model.layers.17.mlp.up_proj")
    sizes = {"I32": 4, "F16": 2}
    held = sum(sizes[one.dtype] * one.num_elements for one in tensors(stored).values())
    assert packed.layer_bytes(9728, 2560) == held


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"scales": None}, "has no `scales`"),
        ({"qzeros": ("I32", (75, 320))}, "75 x 320, and its `qweight` calls for 76 x 320"),
        ({"g_idx": ("I64", (9728,))}, "stored as I64"),
        ({"qweight": ("F16", (1216, 2560))}, "no matrix of words"),
        ({"qweight": None}, "belongs to no `qweight`"),
        ({"weight": ("F16", (2560, 9728))}, "isn't packed"),
    ],
)
def test_parts_that_do_not_fit(changed: dict[str, Any], why: str) -> None:
    stored = {part: one for part, one in {**PARTS, **changed}.items() if one is not None}
    with pytest.raises(Unreadable, match=why):
        packed_layers(tensors(stored), GPTQ)


def test_an_output_layer_is_never_packed() -> None:
    with pytest.raises(Unreadable, match="no layer of a block"):
        packed_layers(tensors(PARTS, "lm_head"), GPTQ)


@pytest.mark.parametrize(
    ("method", "said", "why"),
    [
        ("gptq", {"bits": 3, "group_size": 128}, "3"),
        ("gptq", {"bits": 4}, "group_size"),
        ("gptq", {"bits": 4, "group_size": 0}, "group_size"),
        ("gptq", {"bits": 4, "group_size": 128, "checkpoint_format": "marlin"}, "marlin"),
        ("gptq", {"bits": 4, "group_size": 128, "dynamic": {"mlp": {"bits": 8}}}, "dynamic"),
        ("awq", {"bits": 8, "group_size": 128}, "8"),
        ("awq", {"w_bit": 4, "q_group_size": 128, "version": "gemv"}, "gemv"),
        ("awq", {"w_bit": 4, "q_group_size": 128, "zero_point": False}, "zero points"),
    ],
)
def test_what_config_json_says_of_other_forms(method: str, said: dict[str, Any], why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        packing_of(said, method)


def test_usual_configurations() -> None:
    assert packing_of({"bits": 4, "group_size": -1, "desc_act": True}, "gptq") == Packing("gptq", 4, None)
    assert packing_of({"w_bit": 4, "q_group_size": 128, "version": "GEMM"}, "awq") == Packing("awq", 4, 128)
