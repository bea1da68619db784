"""Which of a teacher's outputs stand for which labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftc.spec.documents.facts import TeacherFacts
from tests.support.drafts import decided, draft_of, model_facts


@pytest.mark.parametrize(
    ("mode", "outputs"), [({}, (1, 0)), ({"mode": "generative", "prompt": "{{ text }}"}, ())], ids=["head", "written"]
)
def test_labels_that_are_written_are_no_outputs(mode: dict[str, str], outputs: tuple[int, ...]) -> None:
    """A language model's configuration may name them all the same, in an order of its own."""
    draft = draft_of(
        task={"kind": "classification", **mode}, train={"distillation": {"teacher": "large"}}, labels=("cold", "warm")
    )
    facts = TeacherFacts(model=model_facts(hidden=128), labels=("warm", "cold"), problem=None, other_tokens=None)
    found = decided(replace(draft, teacher=facts))
    assert found.distillation is not None
    assert found.distillation.teacher.outputs == outputs
