"""Answers that a model writes in training: how many steps train on them, and what counts then."""

from __future__ import annotations

import pytest

from ftc.compiler.rules.sampling_rules import some_steps_are_written
from ftc.spec.sections.distillation import Distillation, OnPolicy
from ftc.spec.writing import Writing
from tests.support.drafts import decided, draft_of


@pytest.mark.parametrize(("share", "told"), [(0.1, True), (0.34, False), (1, False)])
def test_a_share_below_one_step_is_told(share: float, told: bool) -> None:
    lesson = {"teacher": "./teacher", "on_policy": {"lmbda": share}}
    draft = decided(draft_of(task={"kind": "chat"}, train={"distillation": lesson, "max_steps": 3}))
    found = [*some_steps_are_written(draft)]
    assert [one.code for one in found] == (["FTC230"] if told else [])
    if told:
        assert "none of 3 steps trains on the model's own answers" in found[0].summary
        assert found[0].help == ("write at least 0.34, or train for 10 steps or more",)


@pytest.mark.parametrize("share", [1.0, 0.5, 1 / 3, 0.29, 0.1, 1e-5])
def test_steps_are_marked_as_each_is_asked_for(share: float) -> None:
    writing = Writing(
        by="model", answers=1, max_new_tokens=4, temperature=1.0, top_k=0, share=share, divides=True, here=True
    )
    assert writing.marks(50) == [writing.at(step) for step in range(50)]


def test_the_teacher_alone_counts_where_the_section_is_made_in_python_too() -> None:
    lesson = Distillation(teacher="./teacher", on_policy=OnPolicy())
    assert (lesson.weight, lesson.temperature) == (1.0, 1.0)
    assert lesson.model_fields_set == {"teacher", "on_policy"}, "nobody wrote them"
    assert Distillation(teacher="./teacher", on_policy=OnPolicy(), temperature=2.0).temperature == 2.0
