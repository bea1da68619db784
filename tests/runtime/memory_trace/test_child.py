"""What a job is told: components that sum up, ranges in order, and more memory for more work."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.runtime.memory_trace.child import trace
from ftc.spec.documents.memory_trace import BatchShape, TraceJob
from tests.support.trace_jobs import LLAMA, PROCESSOR, trace_job


def shape(length: int = 48, supervised: int = 20) -> BatchShape:
    return BatchShape(length=length, supervised=supervised, padded=False)


@pytest.mark.sample(1)
@pytest.mark.parametrize("strategy", ["full", "lora", "qlora"])
def test_components_sum_to_every_peak(strategy: str) -> None:
    if strategy == "qlora":
        pytest.importorskip("bitsandbytes")
    result = trace(trace_job(strategy=strategy))
    for phase in result.phases:
        assert sum(phase.components.values()) == phase.peak_bytes
        assert all(size > 0 for size in phase.components.values())
    assert result.allocated_bytes == result.peak.peak_bytes
    assert result.reserved_bytes >= result.allocated_bytes


def test_phases_come_in_the_order_of_a_run() -> None:
    names = [phase.phase for phase in trace(trace_job(strategy="full")).phases]
    assert names == [
        "load",
        "forward: embedding",
        "forward: layers",
        "forward: head",
        "loss",
        "backward: loss and head",
        "backward: layers",
        "backward: embedding",
        "clip",
        "optimiser step",
        "evaluation: embedding",
        "evaluation: layers",
        "evaluation: head",
        "save",
        "resume",
        "export",
        "evaluation: result",
    ]


def test_full_training_holds_gradients_and_two_moments_of_all_weights() -> None:
    phases = {phase.phase: phase.components for phase in trace(trace_job(strategy="full")).phases}
    step = phases["optimiser step"]
    assert step["gradients"] == step["weights"] - 2 * 512  # the two tables of the rotation have none
    assert 2 * step["gradients"] <= step["optimiser state"] <= 2.01 * step["gradients"] + 512 * 200


@pytest.mark.slow
def test_the_way_back_holds_scores_three_times_and_no_more() -> None:
    """Log-probabilities, their gradient and that of the scores; the scores themselves are let go of before."""
    job = trace_job(train__precision="bfloat16")  # 2 rows of 20 targets, 1,024 words
    head = next(phase for phase in trace(job).phases if phase.phase == "backward: loss and head")
    assert head.components["logits"] == 3 * 4 * 2 * 20 * 1024


def test_a_processor_reserves_what_it_allocates() -> None:
    result = trace(trace_job(device=PROCESSOR))
    assert result.reserved_bytes == result.allocated_bytes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ({"shape": shape(48)}, {"shape": shape(96)}),
        ({"shape": shape(48, 20)}, {"shape": shape(48, 40)}),
        ({"train__micro_batch": 2}, {"train__micro_batch": 4}),
        ({"rank": 4}, {"rank": 16}),
        ({"config": LLAMA}, {"config": {**LLAMA, "num_hidden_layers": 24}}),
        ({"train__activation_checkpointing": True}, {"train__activation_checkpointing": False}),
    ],
    ids=["length", "supervised", "rows", "rank", "depth", "recomputing"],
)
def test_more_work_takes_more_memory(smaller: dict[str, Any], larger: dict[str, Any]) -> None:
    small, large = (trace(trace_job(strategy="lora", **changes)) for changes in (smaller, larger))
    assert small.allocated_bytes < large.allocated_bytes


@pytest.mark.slow
def test_accumulation_holds_gradients_through_the_next_forward_pass() -> None:
    once, twice = (trace(trace_job(strategy="full", train__batch_size=size)) for size in (2, 4))
    during = [{phase.phase: phase for phase in result.phases}["forward: layers"] for result in (once, twice)]
    assert "gradients" not in during[0].components
    assert during[1].components["gradients"] > 0


@pytest.mark.slow
def test_an_optimizer_that_is_not_fused_makes_copies() -> None:
    fused, plain = (trace(trace_job(strategy="full", train__fused=fused)) for fused in (True, False))
    sizes = [{phase.phase: phase for phase in result.phases}["optimiser step"] for result in (fused, plain)]
    weights = sizes[0].components["weights"]
    assert 0.9 * weights < sizes[1].peak_bytes - sizes[0].peak_bytes < 2.1 * weights


@pytest.mark.slow
def test_several_devices_hold_a_second_copy_of_gradients() -> None:
    alone = trace(trace_job(train__batch_size=2))
    shared = trace(trace_job(train__batch_size=4, train__world_size=2, train__sharding="ddp"))
    adapter = alone.peak.components["adapter"]
    assert shared.allocated_bytes - alone.allocated_bytes == adapter


@pytest.mark.slow
def test_what_does_not_matter_has_the_same_answer() -> None:
    one, other = trace_job(), trace_job(train__learning_rate=0.5, train__num_steps=7, seeds__init=9)
    assert one.decisive() == other.decisive()
    assert trace(one) == trace(other)


def test_a_job_survives_its_way_to_the_child() -> None:
    job = trace_job({**LLAMA, "rms_norm_eps": 1e-6})
    assert TraceJob.model_validate_json(job.model_dump_json(by_alias=True)) == job


def test_an_unknown_kind_of_model_is_told() -> None:
    with pytest.raises(LookupError, match="does not know the model type"):
        trace(trace_job({**LLAMA, "model_type": "nothing"}))
