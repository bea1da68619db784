"""Plans of rows of up to 128k tokens: what grows with the length, what with its square, and what fits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.memory import by_closed_form, by_trace, question
from ftc.runtime.memory_trace.child import trace
from ftc.spec.documents.estimates import MemoryEstimate, PhasePeak
from ftc.spec.documents.facts import ModelFacts
from tests.support.drafts import H200, decided, draft_of, split_report
from tests.support.grid import GRID, grid_facts

LONG, LONGEST = 32 * 1024, 128 * 1024


@pytest.fixture(scope="module")
def facts() -> ModelFacts:
    """Llama 3.1 8B."""
    return grid_facts({**GRID["Llama-3.1-8B"], "max_position_embeddings": LONGEST})


def plan(
    facts: ModelFacts,
    length: int,
    *,
    attention: str = "sdpa",
    chunks: str = "auto",
    evaluated: int = 1,
    kind: str = "lora",
) -> ClosedDraft:
    """Rows of one length, one at a time and recomputed, for an H200; so many are evaluated at once."""
    draft = draft_of(
        facts=facts,
        device=H200,
        model={"base": "models/tiny", "attention": attention},
        task={"kind": "pretraining"},
        strategy={"kind": kind},
        train={
            "precision": "bfloat16",
            "packing": False,
            "micro_batch": 1,
            "batch_size": 8,
            "activation_checkpointing": True,
            "loss_chunk_size": chunks,
        },
        eval={"batch_size": evaluated},
    )
    report = split_report(100, length_max=length, supervised_max=length - 1)
    return decided(replace(draft, splits=dict.fromkeys(draft.splits, report), platform="linux_x86_64"))


def training(estimate: MemoryEstimate) -> PhasePeak:
    """The largest moment of a step."""
    steps = (one for one in estimate.phases if one.phase.startswith(("forward", "backward")))
    return max(steps, key=lambda one: one.peak_bytes)


def evaluation(estimate: MemoryEstimate) -> PhasePeak:
    """The largest moment of an evaluation."""
    passes = (one for one in estimate.phases if one.phase.startswith("evaluation: "))
    return max(passes, key=lambda one: one.peak_bytes)


def growing(peak: PhasePeak) -> int:
    """What of a moment depends on the row."""
    return peak.components.get("saved activations", 0) + peak.components.get("temporaries", 0)


def test_without_a_matrix_of_scores_activations_grow_with_the_length(facts: ModelFacts) -> None:
    long, longest = (by_closed_form(plan(facts, length)) for length in (LONG, LONGEST))
    assert growing(training(longest)) == pytest.approx(4 * growing(training(long)), rel=0.01)
    assert (long.verdict, longest.verdict) == ("fits", "fits")


def test_with_it_they_grow_with_the_square_and_are_refused(facts: ModelFacts) -> None:
    long, longest = (by_closed_form(plan(facts, length, attention="eager")) for length in (LONG, LONGEST))
    scores = GRID["Llama-3.1-8B"]["num_attention_heads"] * LONG**2  # of one layer
    assert growing(training(long)) > 2 * scores
    assert 15 < growing(training(longest)) / growing(training(long)) < 16  # a part grows with the length
    assert (long.verdict, longest.verdict) == ("does not fit", "does not fit")


def test_the_loss_is_in_chunks_and_fits_only_so(facts: ModelFacts) -> None:
    whole, chunked = (plan(facts, LONGEST, chunks=chunks) for chunks in ("none", "auto"))
    assert chunked.candidate.loss_chunk_size is not None
    assert training(by_closed_form(chunked)).phase == "backward: layers"
    assert by_closed_form(whole).verdict == "does not fit"


@pytest.mark.slow
def test_the_trace_agrees_with_the_estimate(facts: ModelFacts) -> None:
    drafts = [plan(facts, length) for length in (LONG, LONGEST)]
    forms = [training(by_closed_form(draft)) for draft in drafts]
    traced = [training(by_trace(draft, trace(question(draft)))) for draft in drafts]
    for form, found in zip(forms, traced, strict=True):
        assert form.phase == found.phase
        assert form.peak_bytes == pytest.approx(found.peak_bytes, rel=0.05)
    assert growing(traced[1]) == pytest.approx(4 * growing(traced[0]), rel=0.01)


@pytest.mark.slow
def test_the_trace_holds_scores_where_attention_does(facts: ModelFacts) -> None:
    draft = plan(facts, LONG, attention="eager")
    form, found = by_closed_form(draft), by_trace(draft, trace(question(draft)))
    assert training(form).peak_bytes == pytest.approx(training(found).peak_bytes, rel=0.05)
    assert found.verdict == "does not fit"


def test_an_evaluation_holds_what_an_adapter_adds_with_what_it_reads(facts: ModelFacts) -> None:
    one, four = (evaluation(by_closed_form(plan(facts, LONG, evaluated=rows))) for rows in (1, 4))
    inner, hidden = GRID["Llama-3.1-8B"]["intermediate_size"], GRID["Llama-3.1-8B"]["hidden_size"]
    # Activation, product, what is added and the sum; embeddings, input, states and norm, and that in float32.
    each = 4 * 2 * inner + 4 * 2 * hidden + 4 * hidden
    assert growing(four) - growing(one) == 3 * LONG * each


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("Llama-3.1-8B", "lora"), ("Phi-3-mini", "lora"), ("Qwen3-1.7B", "full")])
def test_the_trace_agrees_about_an_evaluation_that_is_the_largest_moment(name: str, kind: str) -> None:
    draft = plan(grid_facts({**GRID[name], "max_position_embeddings": LONG}), LONG, evaluated=16, kind=kind)
    form, found = by_closed_form(draft), by_trace(draft, trace(question(draft)))
    assert evaluation(form).phase == evaluation(found).phase == found.peak_phase
    assert evaluation(form).peak_bytes == pytest.approx(evaluation(found).peak_bytes, rel=0.01)
