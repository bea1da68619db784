"""Pairs of tokens are counted as attention's kernels go through them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ftc.compiler.time.amounts import Attending, Kernel, kernel_of, window_of
from ftc.compiler.time.run_work import run_work
from ftc.spec.documents.streams import RowLengths
from tests.support.drafts import CARD, CPU, decided, draft_of, model_facts

FUSED: tuple[Kernel, ...] = ("processor", "efficient", "flash", "flash package")
LONG = 4096


@pytest.mark.parametrize("kernel", FUSED)
def test_fused_kernels_skip_nearly_half_of_long_causal_rows(kernel: Kernel) -> None:
    causal = Attending(kernel, causal=True)
    counts = [causal.pairs(length) for length in range(1, 1500, 7)]
    assert counts == sorted(counts)
    assert all(causal.pairs(length) >= length * (length + 1) / 2 for length in (1, 500, 1000, LONG))
    assert causal.pairs(16) == 16**2, "a block is computed as a whole"
    assert 0.5 < causal.pairs(LONG) / LONG**2 < 0.6
    assert Attending(kernel).pairs(LONG) == LONG**2, "an encoder looks both ways"


def test_what_computes_every_pair() -> None:
    assert Attending("formula", causal=True, window=100).near_pairs(LONG) == LONG**2
    masked = Attending("flash", causal=True, hides=True)
    assert masked.pairs(LONG, padded=True) == LONG**2 > masked.pairs(LONG)
    assert replace(masked, hides=False).pairs(LONG, padded=True) == masked.pairs(LONG)
    assert Attending("processor", causal=True).pairs(512) == 512**2


def test_a_window_saves_only_what_the_package_skips() -> None:
    for kernel in FUSED:
        near = Attending(kernel, causal=True, window=256)
        assert near.near_pairs(200) == near.pairs(200), "a row within the window"
        if kernel == "flash package":
            assert near.near_pairs(2 * LONG) == pytest.approx(2 * near.near_pairs(LONG), rel=0.05)
            assert near.near_pairs(LONG) < 0.2 * near.pairs(LONG)
        else:
            assert near.near_pairs(LONG) == LONG**2


@pytest.mark.parametrize(
    ("config", "window", "layers"),
    [
        ({}, None, []),
        ({"sliding_window": 128}, 128, [0, 1, 2, 3]),
        ({"sliding_window": 128, "use_sliding_window": False}, None, []),
        ({"sliding_window": 128, "use_sliding_window": True, "max_window_layers": 3}, 128, [3]),
        ({"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"] * 2}, 64, [0, 2]),
        ({"sliding_window": 64, "sliding_window_pattern": 4}, 64, [0, 1, 2]),
        ({"local_attention": 128, "global_attn_every_n_layers": 3}, 64, [1, 2]),
    ],
)
def test_layers_with_a_window(config: dict[str, Any], window: int | None, layers: list[int]) -> None:
    facts = model_facts(layers=4).model_copy(update={"config": config})
    assert window_of(facts) == (window, frozenset(layers))


def test_a_processor_drops_scores_by_the_formula_alone() -> None:
    dropping = model_facts(family="encoder").model_copy(update={"config": {"attention_probs_dropout_prob": 0.1}})
    kernels = {
        (device.kind, training): kernel_of(dropping, device, "sdpa", "bfloat16", training=training)
        for device in (CPU, CARD)
        for training in (True, False)
    }
    assert kernels["cpu", True] == "formula"
    assert kernels["cpu", False] == "processor"
    assert kernels["cuda", True] == kernels["cuda", False] == "flash"


def flops(rows: int, length: int, config: dict[str, Any] | None = None, **train: Any) -> dict[str, float]:
    """Operations of training by the plan's attention."""
    found, tokens = {}, np.full(rows, length)
    for kernel in ("eager", "sdpa", "flash_attention_2"):
        draft = draft_of(
            facts=model_facts(max_positions=LONG).model_copy(update={"config": config or {}}),
            device=CARD,
            task={"kind": "pretraining"},
            strategy={"kind": "full"},
            model={"base": "model", "attention": kernel},
            train=train,
        )
        draft = replace(draft, lengths=dict.fromkeys(draft.splits, RowLengths(tokens, tokens, tokens, tokens)))
        found[kernel] = run_work(decided(draft)).phases["train"][1].flops
    return found


def test_a_plan_counts_what_its_attention_computes() -> None:
    plain = flops(64, 2000)
    assert plain["eager"] > 1.2 * plain["sdpa"]
    assert plain["sdpa"] == plain["flash_attention_2"]
    near = flops(64, 2000, {"sliding_window": 100})
    assert near["flash_attention_2"] < plain["flash_attention_2"] < near["sdpa"]


def test_packed_rows_are_told_apart_by_the_package_alone() -> None:
    packed = flops(64, 200, packing=True, micro_batch_tokens=2000, batch_size=32)
    assert packed["flash_attention_2"] < 0.8 * packed["sdpa"]
