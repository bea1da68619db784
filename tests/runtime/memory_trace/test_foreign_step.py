"""The benchmarks' stand-in for other tools' loops: weights in 32 and 16 bits, under autocast and without it."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from benchmarks.support.foreign_step import foreign_log
from benchmarks.support.measured_points import Unscored, job_of
from ftc.runtime.memory_trace.log import Log, Tag, peaks

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 384,
    "tie_word_embeddings": False,
}
POINT: dict[str, Any] = {
    "model": "a tiny one",
    "model_config": CONFIG,
    "method": "lora",
    "precision": "fp32",
    "lora_rank": 4,
    "batch_size": 4,
    "seq_len": 256,
    "grad_checkpoint": False,
    "optimizer": "adamw_torch",
    "gpu": "NVIDIA A100-SXM4-80GB",
    "torch": "2.13.0",
    "measured_gib": {},
}
WAYS = [("fp32", "bfloat16"), ("bf16", "bfloat16"), ("fp16", "float16")]
"""Types of weights, and what a forward pass is cast to where it is."""


@cache
def log_of(precision: str, autocast: str | None, *, checkpointing: bool) -> Log:
    return foreign_log(job_of(POINT | {"precision": precision, "autocast": autocast, "grad_checkpoint": checkpointing}))


def most(log: Log, tag: Tag) -> int:
    """Bytes of a kind that are there at once, at the most."""
    live = found = 0
    for _, event in log.events():
        storage = log.storages[event if event >= 0 else ~event]
        if storage.tag == tag:
            live += storage.size if event >= 0 else -storage.size
            found = max(found, live)
    return found


def highest(log: Log) -> int:
    return max(peak.size for peak in peaks(log).values())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("precision", "autocast"), WAYS)
def test_autocast_casts_what_is_computed_and_leaves_weights_as_they_are(
    precision: str, autocast: str, *, checkpointing: bool
) -> None:
    plain, cast = (log_of(precision, how, checkpointing=checkpointing) for how in (None, autocast))
    for tag in ("weights", "adapter", "optimiser state"):
        assert most(plain, tag) == most(cast, tag) > 0
    assert most(cast, "saved activations") < most(plain, "saved activations"), "an adapter computes in 16 bits, too"


@pytest.mark.parametrize("is_cast", [False, True])
@pytest.mark.parametrize(("precision", "half"), WAYS)
def test_recomputed_layers_take_less(precision: str, half: str, *, is_cast: bool) -> None:
    """They are cast as the first time, or checkpointing would refuse other types than it had saved."""
    kept, recomputed = (log_of(precision, half if is_cast else None, checkpointing=how) for how in (False, True))
    assert most(recomputed, "saved activations") < most(kept, "saved activations")
    assert highest(recomputed) < highest(kept)


def test_scores_that_are_kept_lie_beside_the_next_ones() -> None:
    """In 16 bits, which is what autocast makes of them."""
    job = job_of(POINT | {"autocast": "bfloat16"})
    gone, kept = (
        peaks(foreign_log(replace(job, keeps_outputs=how)))["forward: layers"].components.get("logits", 0)
        for how in (False, True)
    )
    assert (gone, kept) == (0, job.batch * job.length * job.config["vocab_size"] * 2)


def test_types_of_16_bits_take_the_same() -> None:
    bfloat16, float16 = (highest(log_of("fp32", half, checkpointing=True)) for half in ("bfloat16", "float16"))
    assert bfloat16 == float16


@pytest.mark.parametrize("autocast", ["fp8", "float32", True, ["bfloat16"]])
def test_another_autocast_is_refused(autocast: Any) -> None:
    with pytest.raises(Unscored, match=re.escape(f"`autocast` is {autocast!r}, which isn't null, bfloat16 or float16")):
        job_of(POINT | {"autocast": autocast})


def test_a_point_that_says_nothing_of_autocast_has_none() -> None:
    assert job_of(POINT).autocast is None
