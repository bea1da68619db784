"""Which adapters can be a file of two matrices a layer beside the base model, and what scales their updates."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.spec.strategies import STRATEGIES
from ftc.spec.strategies.adapter_settings import AdapterSettings
from ftc.spec.strategies.lora import LoraSettings, LowRankSettings
from ftc.spec.strategies.qlora import QLoraSettings


def adapter(**more: Any) -> AdapterSettings:
    usual = {"rank": 4, "alpha": 8, "dropout": 0.0, "targets": ("q_proj",), "num_modules": 2, "trained_modules": ()}
    return AdapterSettings(**{**usual, **more})


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, None),
        ({"rank_stabilized": True, "ranks": {"q_proj": 2}, "alphas": {"q_proj": 3}}, None),
        ({"init": "orthogonal"}, None),
        ({"init": "pissa"}, "taken out of the base"),
        ({"dora": True}, "length of each row"),
        ({"also_trained": ("norm",)}, "norm was trained whole"),
        ({"trained_modules": ("score",), "also_trained": ("norm",)}, "score, norm were trained whole"),
        ({"token_ids": (90, 91)}, "2 added tokens"),
    ],
    ids=str,
)
def test_an_adapter_is_two_matrices_a_layer_or_says_why_not(more: dict[str, Any], why: str | None) -> None:
    found = LoraSettings(kind="lora", adapter=adapter(**more)).no_lora_file()
    assert (found is None) if why is None else (found is not None and why in found)


def test_every_other_strategy_says_why_not() -> None:
    others = [card.settings for card in STRATEGIES if not issubclass(card.settings, LowRankSettings)]
    assert len(others) == len(STRATEGIES) - 2
    for settings in others:
        said = settings.model_construct().no_lora_file()
        assert said is not None
        assert "no LoRA" in said
    packed = QLoraSettings(kind="qlora", quantization="nf4", double_quantization=True, adapter=adapter())
    assert "4-bit or 8-bit weights" in (packed.no_lora_file() or "")


def test_a_layer_is_scaled_by_its_own_alpha_and_rank() -> None:
    unequal: dict[str, Any] = {"ranks": {"q_proj": 16}, "alphas": {"v_proj": 3}}
    plain, stabilized = adapter(**unequal), adapter(**unequal, rank_stabilized=True)
    names = ("layers.0.q_proj", "layers.0.v_proj", "layers.0.k_proj")
    assert [plain.scale_of(name) for name in names] == [8 / 16, 3 / 4, 8 / 4]
    assert [stabilized.scale_of(name) for name in names] == [8 / 4, 3 / 2, 8 / 2]
