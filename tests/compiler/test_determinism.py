"""What `train.determinism` asks of a plan, and when it can't have it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.spec.documents.facts import TeacherFacts
from ftc.spec.documents.plan import ProveStep
from tests.support.drafts import CARD, decided, draft_of, model_facts


def compiled(determinism: str, **changes: Any) -> ClosedDraft:
    draft = draft_of(train={"determinism": determinism, **changes.pop("train", {})}, **changes)
    return decided(draft)


def proofs(draft: Draft) -> list[int]:
    return [step.steps for step in draft.steps if isinstance(step, ProveStep)]


@pytest.mark.parametrize(("asked", "kernels"), [("off", "any"), ("auto", "deterministic")])
def test_less_than_bitwise_proves_nothing(asked: str, kernels: str) -> None:
    draft = compiled(asked)
    assert draft.determinism.kernels == kernels
    assert proofs(draft) == []


@pytest.mark.parametrize(("steps", "proven"), [(1, 1), (2, 2), (39, 2), (80, 4), (160, 8), (1000, 8)])
def test_a_twentieth_of_the_steps_is_proven_and_eight_at_most(steps: int, proven: int) -> None:
    draft = compiled("bitwise", train={"epochs": 1000, "max_steps": steps})
    assert draft.train.num_steps == steps
    assert draft.determinism.kernels == "exact"
    assert proofs(draft) == [proven]
    assert not draft.diagnostics


def test_four_bits_on_a_card_are_refused_and_with_best_effort_told() -> None:
    def told(asked: str) -> list[tuple[str, bool]]:
        draft = compiled(asked, device=CARD, strategy={"kind": "qlora"})
        assert proofs(draft) == []
        return [(finding.code, finding.is_error) for finding in draft.diagnostics]

    assert told("bitwise") == [("FTC640", True)]
    assert told("best_effort") == [("FTC643", False)]
    assert told("auto") == []


def test_attention_whose_backward_pass_varies_is_refused() -> None:
    draft = compiled(
        "bitwise",
        device=CARD,
        model={"base": "./tiny", "attention": "flash_attention_2"},
        train={"precision": "bfloat16"},
    )
    (found,) = draft.diagnostics
    assert (found.code, found.is_error) == ("FTC640", True)
    assert "attention `flash_attention_2` on a GPU" in found.summary


def test_on_a_processor_four_bits_are_known() -> None:
    assert len(proofs(compiled("bitwise", strategy={"kind": "qlora"}))) == 1


@pytest.mark.parametrize(("packed", "codes"), [("nf4", ["FTC640"]), (None, [])])
def test_a_packed_teacher_counts_like_a_packed_model(packed: str | None, codes: list[str]) -> None:
    lesson = {"teacher": "large", "quantization": packed}
    task = {"kind": "generation", "prompt": "{{ text }}"}
    facts = TeacherFacts(model=model_facts(hidden=128), labels=(), problem=None, other_tokens=None)
    draft = draft_of(device=CARD, task=task, train={"determinism": "bitwise", "distillation": lesson})
    found = decided(replace(draft, teacher=facts)).diagnostics
    assert [one.code for one in found if one.code == "FTC640"] == codes
    assert all("of the teacher on a GPU" in one.summary for one in found if one.code == "FTC640")
