"""A log of five groups of layers, stretched, is the log of all layers."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ftc.runtime.memory_trace.allocator import replay
from ftc.runtime.memory_trace.log import TRACED_GROUPS, IrregularLayers, Log, Section, Storage, peaks, stretched
from ftc.runtime.memory_trace.whole import log_of, whole_groups, whole_log
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.memory_trace import BatchShape
from tests.support.trace_jobs import CARD, LLAMA, trace_job

LAYERS = 12
KINDS = ["sliding_attention", "full_attention"] * (LAYERS // 2)
GEMMA = {
    **LLAMA,
    "model_type": "gemma2",
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "sliding_window": 16,
    "tie_word_embeddings": True,
    "layer_types": KINDS,
}
BERT = {
    "model_type": "bert",
    "vocab_size": 1024,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
}
TWO_DEPTHS = (7, 6)
T5 = {
    "model_type": "t5",
    "vocab_size": 1024,
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 7,
    "num_decoder_layers": 6,
    "num_heads": 4,
}
BART = {
    "model_type": "bart",
    "vocab_size": 1024,
    "d_model": 64,
    "encoder_layers": 7,
    "decoder_layers": 6,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_hidden_layers": 7,
}
"""Two stacks of different depth; `num_hidden_layers` is another word for the first, as in published files."""


CONFIGS = {"llama": LLAMA, "bert": BERT, "t5": T5, "bart": BART}
CASES = [
    (kind, strategy, kept)
    for kind in CONFIGS
    for strategy in ("full", "lora", "qlora")
    for kept in (False, "selective", True)
]
USUAL = [("llama", "lora", "selective"), ("llama", "qlora", True), ("bert", "full", False), ("t5", "full", True)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "strategy", "checkpointing"), CASES if os.environ.get("FTC_TRACES") else USUAL)
def test_stretching_equals_tracing_all(kind: str, strategy: str, checkpointing: Recomputing) -> None:
    config = CONFIGS[kind]
    if strategy == "qlora":
        pytest.importorskip("bitsandbytes")
    job = trace_job(
        config,
        strategy,
        shape=BatchShape(length=48, supervised=20, padded=kind == "bert"),
        train__activation_checkpointing=checkpointing,
        train__precision="float32" if kind in ("bert", "bart") else "bfloat16",
    )
    depths = (LAYERS,) if config in (LLAMA, BERT) else TWO_DEPTHS
    whole = log_of(job, depths, whole_groups(depths))
    few, traced = whole_log(job)
    assert traced == TRACED_GROUPS * len(depths)
    found, expected = peaks(few), peaks(whole)
    norms = found.pop("clip").size, expected.pop("clip").size  # the list of all norms grows by 4 bytes a tensor
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    assert found == expected
    assert replay(few).reserved == replay(whole).reserved


@pytest.mark.slow
def test_layers_that_alternate_are_stretched_by_their_period() -> None:
    job = trace_job(
        GEMMA,
        device=CARD,
        shape=BatchShape(length=48, supervised=20, padded=True),
        model__attention="eager",
        train__activation_checkpointing=True,
    )
    config = {**GEMMA, "num_hidden_layers": 13, "layer_types": [*KINDS, "sliding_attention"]}
    job = job.model_copy(update={"config": config})
    few, traced = whole_log(job)
    assert traced == 11  # five pairs, and the one that is left over
    assert peaks(few) == peaks(log_of(job, (13,), whole_groups((13,))))


def test_a_shallow_model_is_traced_whole() -> None:
    job = trace_job({**LLAMA, "num_hidden_layers": 3})
    assert whole_log(job)[1] == 3


@pytest.mark.slow
def test_layers_with_ranks_of_their_own_are_all_traced() -> None:
    job = trace_job()
    strategy: Any = job.settings.strategy
    adapter = strategy.adapter.model_copy(update={"ranks": {"layers.11.self_attn.q_proj": 64}})
    strategy = strategy.model_copy(update={"adapter": adapter})
    settings = job.settings.model_copy(update={"strategy": strategy})
    log, traced = whole_log(job.model_copy(update={"settings": settings}))
    assert traced == LAYERS
    wider = 4 * (64 - 8) * (256 + 256)  # bytes of two matrices of 56 ranks more, in float32
    alike, _ = whole_log(job)
    assert peaks(log)["load"].components["adapter"] - peaks(alike)["load"].components["adapter"] == wider


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "layers", "traced", "changes"),
    [
        ("llama", 1, 5, {}),
        ("llama", 4, 9, {}),
        ("llama", 6, 10, {"activation_checkpointing": True}),
        ("llama", 6, 10, {"sharding": "fsdp", "world_size": 2}),
        ("llama", 10, 7, {"sharding": "ddp", "world_size": 2}),
        ("bert", 6, 10, {}),
        ("t5", 3, 13, {}),
        ("llama", 6, 10, {"embeddings": True}),
    ],
)
def test_the_last_layers_alone_are_trained(kind: str, layers: int, traced: int, changes: dict[str, Any]) -> None:
    made = {f"train__{name}": value for name, value in changes.items() if name != "embeddings"}
    job = trace_job(CONFIGS[kind], "partial", shape=BatchShape(length=48, supervised=20, padded=kind == "bert"), **made)
    chosen = {"layers": layers, "embeddings": changes.get("embeddings", False)}
    strategy = job.settings.strategy.model_copy(update=chosen)
    job = job.model_copy(update={"settings": job.settings.model_copy(update={"strategy": strategy})})
    depths = TWO_DEPTHS if kind == "t5" else (LAYERS,)
    (few, found), whole = whole_log(job), log_of(job, depths, whole_groups(depths))
    assert found == traced
    shown, expected = peaks(few), peaks(whole)
    norms = shown.pop("clip").size, expected.pop("clip").size
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    assert shown == expected
    assert replay(few).reserved == replay(whole).reserved


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["selective", True])
def test_frozen_layers_below_the_trained_ones_keep_nothing(kept: Recomputing) -> None:
    job = trace_job(LLAMA, "partial", train__activation_checkpointing=kept)
    found = peaks(whole_log(job)[0])["backward: loss and head"].components["saved activations"]
    every = peaks(whole_log(trace_job(LLAMA, "full", train__activation_checkpointing=kept))[0])
    assert found < every["backward: loss and head"].components["saved activations"] / 2


def hand_made(inner_sizes: tuple[int, int, int]) -> Log:
    """Five groups that each keep one storage from forward to backward."""
    sizes = [512, *inner_sizes, 512]
    log = Log([Storage(size, "saved activations", group) for group, size in enumerate(sizes)])
    log.sections = [Section("forward: layers", group, (0, 0), [group]) for group in range(5)]
    log.sections += [Section("backward: layers", group, (0, 0), [~group]) for group in reversed(range(5))]
    return log


def test_copies_live_as_long_as_their_pattern() -> None:
    long = stretched(hand_made((1024, 1024, 1024)), 10)
    assert [section.group for section in long.sections] == [*range(10), *reversed(range(10))]
    assert peaks(long)["forward: layers"].size == 2 * 512 + 8 * 1024
    assert {event for _, event in long.events() if event >= 0} == {~event for _, event in long.events() if event < 0}


def test_layers_that_differ_are_not_stretched() -> None:
    with pytest.raises(IrregularLayers):
        stretched(hand_made((1024, 2048, 1024)), 10)


def test_something_of_no_layer_that_ends_in_one_is_not_stretched() -> None:
    log = hand_made((1024, 1024, 1024))
    log.storages.append(Storage(512, "temporaries", None))
    log.sections.insert(0, Section("forward: embedding", None, (0, 0), [5]))
    log.sections[3].events.append(~5)
    with pytest.raises(IrregularLayers):
        stretched(log, 10)
