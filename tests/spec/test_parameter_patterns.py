"""Patterns fit whole parts of parameters' names, wherever those stand."""

from __future__ import annotations

import pytest

from ftc.spec.parameter_patterns import close_names, fits

NAME = "base_model.model.model.layers.20.mlp.up_proj.lora_A.default.weight"


@pytest.mark.parametrize("pattern", ["mlp", "layers.20", "layers.2?.mlp", "layers.[12]*", "up_*", "*", "layers.*.mlp"])
def test_parts_fit(pattern: str) -> None:
    assert fits(pattern, NAME)


@pytest.mark.parametrize("pattern", ["layers.2", "layer", "proj", "layers.mlp", "mlp.*.*.*.*.*", "Layers.20"])
def test_less_than_a_part_does_not_fit(pattern: str) -> None:
    assert not fits(pattern, NAME)


def test_a_pattern_that_fits_nothing_gets_the_nearest_names() -> None:
    names = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"]
    assert close_names("self_atn.q_proj", names) == "did you mean `self_attn.q_proj`?"
    assert "`embed_tokens`" in close_names("embed", names)
    assert close_names("norm", []) == "nothing that is trained has a name of its own"
