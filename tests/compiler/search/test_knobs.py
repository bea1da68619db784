"""Every knob of the solver has all that its users ask of it."""

from __future__ import annotations

import dataclasses
from functools import reduce

import pytest

from ftc.compiler.candidate import Candidate
from ftc.compiler.search.knobs import BESIDE, ORIGINS
from ftc.spec.knobs import KNOBS, Knob
from ftc.spec.language.section_tree import effect_of, section_at
from tests.support.drafts import decided, draft_of


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
