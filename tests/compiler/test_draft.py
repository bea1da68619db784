"""Sections of a draft: read once they are settled, whole, and with the origin of each value."""

from __future__ import annotations

import pytest

from ftc.spec.documents.seeds import Seeds
from tests.support.drafts import decided, draft_of, shaped


def test_a_section_that_is_read_too_early_is_said() -> None:
    with pytest.raises(LookupError, match="`train` is not settled yet"):
        _ = shaped(draft_of()).train


def test_a_value_without_an_origin_is_no_section() -> None:
    draft = draft_of()
    why = draft.reasons("seeds")
    seeds = Seeds(init=why.derive("init", 1, "chance"), order=why.derive("order", 2, "chance"), dropout=3)
    with pytest.raises(ValueError, match=r"`seeds`: \['dropout'\]"):
        draft.settle("seeds", seeds, why)


def test_an_origin_without_a_value_is_no_section() -> None:
    draft = draft_of()
    why = draft.reasons("seeds")
    names = ("init", "order", "dropout", "noise")
    values = {name: why.derive(name, 1, "chance") for name in names}
    with pytest.raises(ValueError, match=r"`seeds`: \['noise'\]"):
        draft.settle("seeds", Seeds(init=values["init"], order=values["order"], dropout=values["dropout"]), why)


def test_a_candidate_that_is_tried_changes_nothing_else() -> None:
    draft = decided(draft_of())
    other = draft.at(draft.candidate)
    assert other == draft
    assert other.settings() == draft.settings()
