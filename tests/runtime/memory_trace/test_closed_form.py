"""The closed form of memory comes close to the trace on models that people train."""

from __future__ import annotations

import os

import pytest

from ftc.spec.checkpointing import Recomputing
from ftc.spec.shardings import Offload, Sharding
from tests.support.grid import (
    GRID,
    Packed,
    by_both,
    by_form,
    by_trace,
    grid_facts,
    measuring_by_form,
    measuring_by_trace,
    shared_by_form,
    shared_by_trace,
)

WAYS: tuple[Recomputing, ...] = (True, "selective", False)
CASES = [(name, strategy, way) for name in GRID for strategy in ("lora", "qlora", "full") for way in WAYS]
USUAL = [
    ("Qwen2.5-1.5B", "lora", False),
    ("GPT-2", "full", True),
    ("T5-base", "qlora", False),
    ("EuroBERT-210M", "lora", True),
    ("Qwen2.5-1.5B", "full", "selective"),
    ("GPT-2", "lora", "selective"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "strategy", "checkpointing"), CASES if os.environ.get("FTC_TRACES") else USUAL)
def test_both_methods_agree_within_a_twentieth(name: str, strategy: str, checkpointing: Recomputing) -> None:
    if strategy == "qlora":
        pytest.importorskip("bitsandbytes")
    facts = grid_facts(GRID[name])
    form, traced = by_form(facts, strategy, checkpointing), by_trace(facts, strategy, checkpointing)
    assert form.peak_bytes == pytest.approx(traced.peak_bytes, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "strategy"),
    [(name, strategy) for name in GRID for strategy in ("lora", "qlora", "full")]
    if os.environ.get("FTC_TRACES")
    else [("Qwen3-1.7B", "full"), ("T5-base", "lora")],
)
def test_both_methods_agree_about_measuring(name: str, strategy: str) -> None:
    if strategy == "qlora":
        pytest.importorskip("bitsandbytes")
    facts = grid_facts(GRID[name])
    form, traced = measuring_by_form(facts, strategy), measuring_by_trace(facts, strategy)
    assert form == pytest.approx(traced, rel=0.05)


PLANNED = [
    (name, strategy)
    for name in ("SmolLM2-360M", "GPT-2", "BERT-base", "T5-base", "Mistral-7B-v0.3")
    for strategy in (
        {"kind": "lora", "targets": "all-linear"},
        {"kind": "ia3"},
        {"kind": "ln_tuning"},
        {"kind": "bottleneck"},
        {"kind": "lora", "dora": True},
        {"kind": "prompt_tuning"},
    )
] + [
    (name, {"kind": kind})
    for name in ("SmolLM2-360M", "Qwen2.5-1.5B", "T5-base")
    for kind in ("vera", "oft", "loha", "lokr", "randlora")
]


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("name", "strategy"),
    PLANNED
    if os.environ.get("FTC_TRACES")
    else [("BERT-base", {"kind": "ia3"}), ("BERT-base", {"kind": "lora", "dora": True})],
)
def test_both_methods_agree_about_planned_jobs_with_padding(name: str, strategy: dict[str, str]) -> None:
    form, traced = by_both(grid_facts(GRID[name]), strategy)
    assert form == pytest.approx(traced, rel=0.05)


TAUGHT = [
    (name, teacher, strategy, kept, packed)
    for name, teacher in (
        ("Qwen2.5-1.5B", "Qwen3-1.7B"),
        ("SmolLM2-360M", "SmolLM2-360M"),
        ("Llama-3.1-8B", "Llama-3.1-8B"),
        ("BERT-base", "BERT-base"),
        ("T5-base", "T5-base"),
        ("GPT-2", "GPT-2"),
    )
    for strategy in ("lora", "qlora", "full")
    for kept in (True, False)
    for packed in (None, "nf4", "int8")
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "teacher", "strategy", "checkpointing", "packed"),
    TAUGHT
    if os.environ.get("FTC_TRACES")
    else [("GPT-2", "GPT-2", "full", False, "nf4"), ("BERT-base", "BERT-base", "lora", False, None)],
)
def test_both_methods_agree_about_a_teacher(
    name: str, teacher: str, strategy: str, checkpointing: bool, packed: Packed
) -> None:
    if strategy == "qlora" or packed:
        pytest.importorskip("bitsandbytes")
    facts, taught = grid_facts(GRID[name]), grid_facts(GRID[teacher])
    form = by_form(facts, strategy, checkpointing, taught, packed)
    traced = by_trace(facts, strategy, checkpointing, taught, packed)
    assert form.peak_bytes == pytest.approx(traced.peak_bytes, rel=0.05)
    assert form.components["teacher"] == pytest.approx(traced.components["teacher"], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [True, False] if os.environ.get("FTC_TRACES") else [True])
@pytest.mark.parametrize(
    ("strategy", "sharding", "offload"),
    [("lora", "fsdp", "none"), ("full", "fsdp", "none"), ("full", "ddp", "none"), ("full", "fsdp", "cpu")]
    if os.environ.get("FTC_TRACES")
    else [("full", "fsdp", "none")],
)
@pytest.mark.parametrize(
    "name",
    ["Llama-3.1-8B", "Mistral-7B-v0.3", "Qwen2.5-1.5B", "GPT-2", "BERT-base", "T5-base"]
    if os.environ.get("FTC_TRACES")
    else ["GPT-2"],
)
def test_both_methods_agree_about_one_of_several_devices(
    name: str, strategy: str, sharding: Sharding, offload: Offload, checkpointing: bool
) -> None:
    facts = grid_facts(GRID[name])
    shared = (facts, strategy, checkpointing, 4, sharding, offload)
    form, traced = shared_by_form(*shared).peak_bytes, shared_by_trace(*shared).peak_bytes
    assert 0.95 * traced <= form <= 1.15 * traced
