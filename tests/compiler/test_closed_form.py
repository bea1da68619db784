"""The closed form of memory: laws that hold for every job, whatever the constants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.compiler.memory.evaluation_formula import EvaluationInputs, TeacherInputs
from ftc.compiler.memory.memory_formula import MemoryInputs, estimate
from ftc.compiler.memory.sharded_formula import on_one_of
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.shardings import sharding_card
from ftc.spec.strategies.common import low_rank
from tests.support.drafts import model_facts

GROWTH = st.integers(2, 4)
COUNT, LENGTH = st.integers(1, 64), st.integers(1, 4096)


@st.composite
def jobs(draw: st.DrawFn) -> MemoryInputs:
    """A job of any size, adapter or full."""
    model = model_facts(layers=draw(st.integers(1, 4)), hidden=64 * draw(st.integers(1, 4)))
    rank = draw(st.sampled_from([0, 4, 16]))
    adapted = model.linear_modules if rank else {}
    trainable = sum(rank * (i + o) for i, o in adapted.values()) or model.num_parameters
    narrow = draw(st.booleans())
    tokens = draw(st.integers(1, 20_000))
    return MemoryInputs(
        model=model,
        beside={name: low_rank(rank, *size) for name, size in adapted.items()},
        is_adapter=bool(rank),
        num_trainable=trainable,
        trained_bytes=4,
        state_bytes=8 * trainable,
        step_bytes=0,
        head_width=draw(st.sampled_from([2, 1000, 50_000])),
        head_rows=draw(st.integers(1, tokens)),
        tokens=tokens,
        length=min(tokens, 128),
        weight_bytes=2.0 if narrow and rank else 4.0,
        activation_bytes=2 if narrow else 4,
        checkpointing=draw(st.booleans()),
        masked=draw(st.booleans()),
        measuring=draw(st.none() | st.builds(EvaluationInputs, COUNT, LENGTH, st.just(0), LENGTH, st.integers(0, 500))),
    )


def peak(job: MemoryInputs) -> int:
    return max(phase.peak_bytes for phase in estimate(job))


laws = settings(max_examples=80, deadline=None)


@given(jobs())
@laws
def test_components_sum_to_every_peak(job: MemoryInputs) -> None:
    for phase in estimate(job):
        assert sum(phase.components.values()) == phase.peak_bytes
        assert all(size > 0 for size in phase.components.values())
    assert peak(job) >= round(job.model.num_parameters * job.weight_bytes)


@given(jobs())
@laws
def test_what_stands_outside_the_layers_is_whole_while_a_teacher_is_compared(job: MemoryInputs) -> None:
    job = replace(job, in_parts=True, taught=TeacherInputs(weights=1000, scores=100))
    phases = {one.phase: one.components for one in on_one_of(estimate(job), job, sharding_card("fsdp"), 4, "none")}
    assert phases["loss"]["gathered weights"] == phases["backward: loss and head"]["gathered weights"]


@given(jobs(), GROWTH)
@laws
def test_more_tokens_never_need_less(job: MemoryInputs, factor: int) -> None:
    assert peak(replace(job, tokens=job.tokens * factor)) >= peak(job)
    assert peak(replace(job, head_rows=job.head_rows * factor)) >= peak(job)


@given(jobs(), GROWTH)
@laws
def test_more_rank_never_needs_less(job: MemoryInputs, factor: int) -> None:
    if job.beside:
        beside = {name: low_rank(one.width * factor, one.inputs, one.outputs) for name, one in job.beside.items()}
        larger = replace(job, beside=beside, num_trainable=job.num_trainable * factor)
        assert peak(larger) > peak(job)


@given(jobs(), GROWTH)
@laws
def test_more_layers_never_need_less(job: MemoryInputs, factor: int) -> None:
    layers = job.model.num_layers * factor
    model = model_facts(layers=layers, hidden=job.model.hidden_size)
    ranks = {one.width for one in job.beside.values()}
    beside = {name: low_rank(rank, *size) for rank in ranks for name, size in model.linear_modules.items()}
    trainable = job.num_trainable * factor
    assert peak(replace(job, model=model, beside=beside, num_trainable=trainable)) > peak(job)


@given(jobs())
@laws
def test_checkpointing_never_needs_more(job: MemoryInputs) -> None:
    """With one layer there is nothing to save: its input is kept beside what is recomputed."""
    if job.model.num_layers > 1:
        assert peak(replace(job, checkpointing=True)) <= peak(replace(job, checkpointing=False))


@given(jobs())
@laws
def test_narrower_weights_need_less(job: MemoryInputs) -> None:
    assert peak(replace(job, weight_bytes=0.5)) < peak(replace(job, weight_bytes=4.0))


@given(jobs(), GROWTH, st.sampled_from(["rows", "length", "scored", "new_tokens"]))
@laws
def test_measuring_more_never_needs_less(job: MemoryInputs, factor: int, what: str) -> None:
    if job.measuring is not None:
        more = replace(job.measuring, **{what: factor * getattr(job.measuring, what)})
        assert peak(replace(job, measuring=more)) >= peak(job)


@given(jobs())
@laws
def test_an_output_layer_of_its_own_is_exchanged_with_the_embeddings(job: MemoryInputs) -> None:
    waiting = []
    for tied in (True, False):
        model = job.model.model_copy(update={"tied_embeddings": tied})
        one = replace(job, model=model, head_width=model.vocab_size, is_adapter=False, in_parts=True)
        phases = {phase.phase: phase.components for phase in estimate(one)}
        waiting.append(phases["backward: embedding"]["temporaries"])
    assert waiting[1] == 2 * waiting[0] > 0


def kept(job: MemoryInputs) -> int:
    return next(one.components["saved activations"] for one in estimate(job) if one.phase == "forward: layers")


def windowed(length: int, **changes: Any) -> MemoryInputs:
    """Two rows for a model of four layers, two of which look back through a window of 256 tokens."""
    config = {"sliding_window": 256, "layer_types": ["sliding_attention", "full_attention"] * 2}
    model = model_facts(layers=4, config=config)
    values: dict[str, Any] = {
        "beside": {},
        "is_adapter": True,
        "num_trainable": 1000,
        "trained_bytes": 4,
        "state_bytes": 8000,
        "step_bytes": 0,
        "head_width": 1000,
        "head_rows": 2,
        "weight_bytes": 2.0,
        "activation_bytes": 2,
        "checkpointing": False,
    }
    return MemoryInputs(model=model, tokens=2 * length, length=length, **{**values, **changes})


def test_rows_longer_than_a_window_need_a_mask_in_its_layers_alone() -> None:
    beyond = kept(windowed(512)) - 2 * kept(windowed(256))
    assert beyond == 2 * (2 * 512 * 512 * 2) + 512 * 512  # numbers of each row in two layers, truth values for all
    assert kept(windowed(512, unpadded=True)) == 2 * kept(windowed(256))
    hidden = kept(windowed(512, masked=True)) - kept(windowed(512))
    assert hidden == 2 * (2 * 512 * 512 * 2) + 512 * 512  # in two layers more, and truth values of each row


def test_cublas_has_larger_workspaces_since_hopper() -> None:
    sizes = [estimate(windowed(64, capability=one))[1].components["workspace"] for one in ((8, 9), (9, 0))]
    assert sizes == [2 * int(8.125 * 2**20), 2 * 32 * 2**20]
    assert "workspace" not in estimate(windowed(64, on_card=False))[1].components


def test_what_is_scaled_is_kept_and_no_adapter_beside_it() -> None:
    job = windowed(64)
    names = [name for name in job.model.linear_modules if name.endswith(("v_proj", "down_proj"))]
    scaled = {name: replace(low_rank(0, *job.model.linear_modules[name]), scales=True) for name in names}
    more = kept(replace(job, beside=scaled)) - kept(job)
    assert more == 4 * job.tokens * (4 * 256 + 2 * 64)  # inputs of down_proj in float32, what v_proj gives


def test_trained_norms_keep_what_they_multiply() -> None:
    tensors = {
        f"model.layers.{layer}.input_layernorm.weight": TensorFacts(dtype="F32", shape=(64,)) for layer in (0, 1)
    }
    plain = model_facts()
    model = plain.model_copy(update={"tensors": {**plain.tensors, **tensors}})
    job = replace(windowed(64), model=model)
    assert kept(replace(job, trains_norms=True)) - kept(job) == 2 * job.tokens * 2 * 64
