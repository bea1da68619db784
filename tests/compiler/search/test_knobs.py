"""Every knob of the solver has all that its users ask of it."""

from __future__ import annotations

import dataclasses
from functools import reduce

import pytest

from ftc.compiler.candidate import Candidate
from ftc.compiler.search.knobs import BESIDE, ORIGINS
from ftc.spec.knobs import KNOBS, Knob
from ftc.spec.language.section_tree import effect_of, section_at
from tests.compiler.search.test_device_counts import cards
from tests.support.drafts import decided, draft_of, model_facts


def test_a_candidate_has_a_value_for_each_knob() -> None:
    names = [knob.name for knob in KNOBS]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(Candidate))
    assert sorted(names) == sorted(ORIGINS)


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_a_knob_is_settled_with_its_origin(knob: Knob) -> None:
    draft = decided(draft_of())
    for path in knob.settings:
        assert reduce(getattr, path.split("."), draft.settings()) == getattr(draft.candidate, knob.name)
        assert draft.origins[path].reason
    assert knob.settings[0] not in BESIDE


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_a_written_knob_has_its_effect(knob: Knob) -> None:
    *outer, name = knob.recipe.split(".")
    section = section_at(tuple(outer), {})
    assert section is not None
    assert effect_of(section, name) == knob.effect


@pytest.mark.parametrize(
    ("tensor_parallel", "rows", "words"),
    [
        (1, 6, "the rows to evaluate are divided into 4 shares of at most 6"),
        (2, 12, "the rows to evaluate are divided into 2 shares of at most 12"),
        (4, 24, "no more than 24 rows are evaluated"),
    ],
)
def test_devices_that_divide_layers_evaluate_the_same_rows(tensor_parallel: int, rows: int, words: str) -> None:
    train = {"batch_size": 8, "packing": False, "micro_batch": 1, "tensor_parallel": tensor_parallel}
    draft = draft_of(
        facts=model_facts(hidden=512, layers=2),
        device=cards(4),
        splits={"train": 400, "validation": 24, "test": 24},
        task={"kind": "chat"},
        strategy={"kind": "full"},
        train=train,
        budget={"devices": 4},
    )
    found = decided(draft)
    assert found.candidate.eval_batch == rows
    assert found.origins["eval.batch_size"].reason == words
