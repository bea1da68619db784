"""A projector gives vectors as wide as those of tokens; a configuration that says otherwise is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.resolve.models.model_config import read_config
from ftc.spec.diagnostics import Refusal
from tests.support.vision_towers import TOWERS


def config_of(kind: str, inside: str | None, **changes: Any) -> dict[str, Any]:
    """A configuration of this kind with other values, in the inner one of this name."""
    whole = {**TOWERS[kind], "architectures": ["GridForConditionalGeneration"]}
    return {**whole, inside: {**whole[inside], **changes}} if inside else {**whole, **changes}


@pytest.mark.parametrize(
    ("kind", "inside", "key"),
    [
        ("paligemma", None, "projection_dim"),
        ("qwen2_vl", "vision_config", "hidden_size"),
        ("qwen2_5_vl", "vision_config", "out_hidden_size"),
        ("qwen3_vl", "vision_config", "out_hidden_size"),
    ],
)
def test_a_width_that_the_language_model_cannot_take_is_refused_with_both(
    kind: str, inside: str | None, key: str
) -> None:
    """FTC309."""
    assert read_config(config_of(kind, inside, **{key: 256})).hidden_size == 256
    with pytest.raises(Refusal) as refused:
        read_config(config_of(kind, inside, **{key: 128}))
    (found,) = refused.value.diagnostics
    assert found.code == "FTC309"
    where = f"`{key}`" if inside is None else f"`{key}` in `{inside}`"
    assert f"{where}, the width of what the projector gives, is 128" in found.summary
    assert "config.json" in found.summary
    assert "`hidden_size` in `text_config`, that of the language model, is 256" in found.summary


def test_a_width_that_is_left_out_is_the_one_of_transformers() -> None:
    config = config_of("qwen3_vl", "vision_config")
    del config["vision_config"]["out_hidden_size"]
    with pytest.raises(Refusal, match="is 3584, which transformers takes where it is left out"):
        read_config(config)


@pytest.mark.parametrize("kind", sorted(TOWERS.keys() - {"paligemma", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"}))
def test_other_projectors_have_the_width_of_the_language_model(kind: str) -> None:
    text = {**TOWERS[kind]["text_config"], "hidden_size": 128, "head_dim": 64}
    assert read_config(config_of(kind, None, text_config=text)).hidden_size == 128
