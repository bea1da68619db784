"""Fused kernels are planned where they can be had, explained where they can't, and make a step cheaper."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft
from tests.support.drafts import CARD, CPU, decided, draft_of, model_facts

LIGER = frozenset(("liger-kernel", "torch"))


def planned(*, packages: frozenset[str] = LIGER, **recipe: Any) -> ClosedDraft:
    draft = draft_of(**{"device": CARD, "facts": model_facts(model_type="llama"), **recipe})
    return decided(replace(draft, packages=dict.fromkeys(packages)))


def kernels(draft: ClosedDraft) -> tuple[str, ...]:
    return draft.settings().train.kernels


def test_a_card_with_the_package_takes_all_that_its_model_type_has() -> None:
    assert kernels(planned()) == ("norm", "rotation", "gate")
    assert "is installed" in planned().origins["train.kernels"].reason
    assert kernels(planned(facts=model_facts(model_type="glm4"))) == ("norm", "gate")
    asked = planned(train={"kernels": "liger"})
    assert kernels(asked) == kernels(planned())
    assert asked.origins["train.kernels"].kind == "written"


def test_another_activation_has_no_kernel() -> None:
    facts = model_facts(model_type="gemma")
    other = facts.model_copy(update={"config": {**facts.config, "hidden_act": "gelu"}})
    assert kernels(planned(facts=facts)) == ("norm", "rotation", "gate")
    assert kernels(planned(facts=other)) == ("norm", "rotation")


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ({"device": CPU}, "need a CUDA GPU"),
        ({"packages": frozenset()}, "pip install 'ftc[kernels]'"),
        ({"facts": model_facts(model_type="gpt_neox")}, "has none for `gpt_neox`"),
        ({"train": {"compile": True}}, "layers are compiled"),
        ({"train": {"determinism": "bitwise"}}, "equal bits are asked for"),
        ({"budget": {"devices": 2}, "device": CARD.model_copy(update={"count": 2})}, "on one device alone"),
    ],
)
def test_where_there_are_none_only_who_asked_by_name_is_told(recipe: dict[str, Any], reason: str) -> None:
    usual = planned(**recipe)
    assert kernels(usual) == ()
    assert "train.kernels" not in usual.origins
    assert "FTC674" not in {one.code for one in usual.diagnostics}
    asked = planned(**{**recipe, "train": {**recipe.get("train", {}), "kernels": "liger"}})
    assert kernels(asked) == ()
    assert reason in asked.origins["train.kernels"].reason
    (told,) = [one for one in asked.diagnostics if one.code == "FTC674"]
    assert reason in told.summary
    assert told.span is not None


def test_torch_alone_may_be_asked_for() -> None:
    assert kernels(planned(train={"kernels": "torch"})) == ()


def test_a_step_moves_less_and_launches_fewer_kernels() -> None:
    (fused, plain) = (planned(train={"kernels": kind}).work for kind in ("liger", "torch"))
    assert fused is not None
    assert plain is not None
    (one, other) = (work.phases["train"] for work in (fused, plain))
    assert one.flops == other.flops
    assert one.bytes < other.bytes
    assert one.operations < 0.7 * other.operations
