"""What is measured beside the test split counts in memory, time and words of a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ftc.compiler.budget.devices import CARDS
from ftc.compiler.budget.looks import evaluation_batch
from ftc.compiler.draft import Draft
from ftc.compiler.passes import PASSES, SHAPING, run_passes
from ftc.spec.settings import ClassifierSettings
from ftc.spec.streams import RowLengths
from tests.support.drafts import CARD, draft_of, model_facts

ADA = CARD.model_copy(update={"capability": (8, 9), "speed": CARDS["rtx-4090"].speed})
JUDGE = {"url": "http://localhost:8000/v1", "model": "judge"}
CLASSIFIER = ClassifierSettings(
    base="toxicity",
    commit=None,
    files={},
    label="toxic",
    label_id=1,
    num_labels=2,
    single=True,
    max_length=512,
    pad_id=0,
)
GRADER = model_facts(family="encoder", hidden=768, layers=12, architecture="BertForSequenceClassification")


def rows(count: int, length: int, scored: int) -> RowLengths:
    tokens = np.full(count, length)
    return RowLengths(tokens, tokens - scored, np.full(count, scored), tokens)


def job(*, lengths: dict[str, RowLengths] | None = None, graded: bool = False, **sections: Any) -> Draft:
    """Generation on a card, decided."""
    evaluated = {"metrics": ["exact_match"], **sections.pop("eval", {})}
    draft = draft_of(device=ADA, task={"kind": "generation"}, eval=evaluated, **sections)
    draft = replace(draft, lengths=lengths or {})
    if graded:
        draft = replace(draft, classifier=CLASSIFIER, grader=GRADER)
    return run_passes(PASSES, run_passes(SHAPING, draft).derive("text.labels", (), "none"))


def seconds(draft: Draft, phase: str) -> float:
    assert draft.time is not None
    return sum(one.seconds.expected for one in draft.time.phases if one.phase == phase)


def test_a_classifier_is_a_phase_of_its_own_without_the_model() -> None:
    plain, graded = job(), job(graded=True)
    assert plain.memory is not None
    assert graded.memory is not None
    assert "grade" not in [one.phase for one in plain.memory.phases]
    phase = graded.memory.phases[-1]
    assert phase.phase == "grade" == graded.memory.peak_phase  # the model that is tuned here is far smaller
    assert phase.components["weights"] == 4 * GRADER.num_parameters
    assert graded.memory.allocated_bytes == phase.peak_bytes
    assert seconds(graded, "grade") > 0 == seconds(plain, "grade")


def test_a_classifier_too_large_for_the_budget_is_refused_and_answers_are_fewer_at_once_first() -> None:
    fitting = job(graded=True, budget={"vram": "1100MiB"})
    assert fitting.memory is not None
    assert fitting.memory.verdict == "fits"
    assert fitting.values["eval.batch_size"] < 32
    (refused,) = (one for one in job(graded=True, budget={"vram": "500MiB"}).diagnostics if one.is_error)
    assert refused.code == "FTC402"
    assert "grade" in refused.notes[0]


@pytest.mark.parametrize("name", ["retention", "swaps"])
def test_rows_beside_the_test_split_count(name: str) -> None:
    usual = {"test": rows(10, 100, 20)}
    plain, more = job(lengths=usual), job(lengths={**usual, name: rows(1000, 480, 479)})
    phase = "evaluate" if name == "retention" else "generate"
    assert seconds(more, phase) > 2 * seconds(plain, phase)
    batches = [evaluation_batch(one) for one in (plain, more)]
    assert [(one.length, one.supervised) for _, one in filter(None, batches)] == [(100, 20), (480, 479)]


def test_calls_to_a_judge_are_told_and_not_guessed() -> None:
    (words,) = (one for one in job(eval={"judge": JUDGE}).not_checked if "judge" in one)
    assert "20 calls to localhost" in words
    assert seconds(job(eval={"judge": JUDGE}), "generate") == seconds(job(), "generate")
