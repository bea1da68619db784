"""Which jobs compute the loss in chunks, what the plan says of it, and that memory and time know of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.memory import by_closed_form
from ftc.compiler.time.run_work import run_work
from ftc.spec.documents.estimates import PhasePeak
from tests.support.drafts import CARD, decided, draft_of, model_facts, split_report


def planned(
    *, vocab: int = 1000, length: int = 400, task: str = "pretraining", model_type: str = "llama", **train: Any
) -> ClosedDraft:
    """A job of one row of so many tokens at a time."""
    facts = model_facts(vocab_size=vocab, model_type=model_type)
    settled = {"micro_batch": 1, "packing": False, "activation_checkpointing": False, **train}
    tasks = {"preference": {"kind": "preference"}, "classification": {"kind": "classification"}}
    draft = draft_of(facts=facts, device=CARD, task=tasks.get(task, {"kind": task}), train=settled)
    report = split_report(100, length_max=length, supervised_max=length - 1)
    return decided(replace(draft, splits=dict.fromkeys(draft.splits, report)))


def phase(draft: ClosedDraft, name: str) -> PhasePeak:
    return next(one for one in by_closed_form(draft).phases if one.phase == name)


def test_small_jobs_stay_as_they_are() -> None:
    draft = planned()
    assert draft.candidate.loss_chunk_size is None
    assert "loss_chunk_size" not in draft.settings().train.to_json(), "plans of before keep their bytes"
    assert draft.origins["train.loss_chunk_size"].reason == "all logits of a per-device batch take little memory"


def test_many_logits_are_computed_in_chunks() -> None:
    draft = planned(vocab=200_000, length=2000)
    size = draft.candidate.loss_chunk_size
    assert size is not None
    assert draft.settings().train.loss_chunk_size == size
    assert draft.origins["train.loss_chunk_size"].kind == "derived"
    whole = planned(vocab=200_000, length=2000, loss_chunk_size="none")
    assert whole.candidate.loss_chunk_size is None
    assert whole.origins["train.loss_chunk_size"].kind == "written"
    at_once = 32  # whose losses are computed at a time, beside the scores of the chunk in two bytes each
    scores = (2 * size + 12 * at_once) * 200_000
    assert phase(draft, "forward: head").components["logits"] == scores
    assert "logits" not in phase(draft, "backward: loss and head").components
    assert phase(whole, "backward: loss and head").components["logits"] == 12 * 1999 * 200_000
    assert run_work(draft).phases["train"][1].flops == run_work(whole).phases["train"][1].flops


def test_a_size_that_is_written_is_taken() -> None:
    draft = planned(loss_chunk_size=64)
    assert draft.candidate.loss_chunk_size == 64
    assert draft.origins["train.loss_chunk_size"].kind == "written"


def test_pairs_compute_their_scores_twice() -> None:
    draft, whole = (planned(task="preference", loss_chunk_size=size) for size in (64, "none"))
    again = run_work(draft).phases["train"][1].flops - run_work(whole).phases["train"][1].flops
    assert again > 0
    assert phase(draft, "backward: loss and head").components["logits"] == 12 * 64 * 1000


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"task": "classification"}, "its output layer has no vocabulary"),
        ({"model_type": "of-tomorrow"}, "ftc does not know what `of-tomorrow` does behind its output layer"),
    ],
)
def test_where_chunks_are_not_possible_the_plan_says_why(case: dict[str, Any], words: str) -> None:
    draft = planned(vocab=200_000, length=2000, **case)
    assert draft.candidate.loss_chunk_size is None
    assert draft.origins["train.loss_chunk_size"].reason == words
    refused = planned(**case, loss_chunk_size=64)
    assert {one.code: one.path for one in refused.diagnostics}["FTC265"] == "train.loss_chunk_size"
