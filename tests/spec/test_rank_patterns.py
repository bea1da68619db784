"""Patterns of ranks come to a value for each module, under names that peft finds it by."""

from __future__ import annotations

import pytest

from ftc.spec.strategies.lora import Lora
from ftc.spec.strategies.patterns import by_kind_or_pattern, misnamed

LLAMA = [f"model.layers.{layer}.{name}" for layer in range(3) for name in ("self_attn.q_proj", "mlp.up_proj")]
T5 = [f"{stack}.block.{layer}.layer.0.SelfAttention.q" for stack in ("encoder", "decoder") for layer in range(2)]


def lora(*patterns: dict[str, object], **more: object) -> Lora:
    return Lora.model_validate({"kind": "lora", "patterns": list(patterns), **more}, strict=False)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (lora({"layers": [0], "rank": 4}), {"layers.0.self_attn.q_proj": 4, "layers.0.mlp.up_proj": 4}),
        (lora({"modules": ["q_proj"], "rank": 4}), {"q_proj": 4}),
        (lora({"layers": [0, 1, 2], "rank": 4}), {"q_proj": 4, "up_proj": 4}),
        (lora({"modules": ["layers.2.mlp.up_proj"], "rank": 4}), {"layers.2.mlp.up_proj": 4}),
        (
            lora({"layers": [0], "rank": 4}, {"modules": ["q_proj"], "rank": 8}),
            {
                **{"layers.0.mlp.up_proj": 4, "layers.0.self_attn.q_proj": 4},
                **{"layers.1.self_attn.q_proj": 8, "layers.2.self_attn.q_proj": 8},
            },
        ),
        (lora({"layers": [0], "alpha": 4}, {"modules": ["q_proj"], "rank": 8}), {"q_proj": 8}),
        (
            lora({"modules": ["q_proj"], "layers": [1], "rank": 4}, ranks={"q_proj": 2, "up_proj": 3}),
            {
                **{"layers.0.self_attn.q_proj": 2, "layers.1.self_attn.q_proj": 4, "layers.2.self_attn.q_proj": 2},
                "up_proj": 3,
            },
        ),
    ],
)
def test_the_first_pattern_that_tells_a_rank_decides(strategy: Lora, expected: dict[str, int]) -> None:
    assert by_kind_or_pattern("rank", strategy, strategy.ranks, LLAMA) == expected


def test_a_module_of_two_stacks_is_named_with_its_stack() -> None:
    strategy = lora({"modules": ["encoder.block.1.layer.0.SelfAttention.q"], "rank": 4})
    assert by_kind_or_pattern("rank", strategy, {}, T5) == {"encoder.block.1.layer.0.SelfAttention.q": 4}
    both = by_kind_or_pattern("rank", lora({"layers": [1], "rank": 4}), {}, T5)
    assert both == {f"{stack}.block.1.layer.0.SelfAttention.q": 4 for stack in ("encoder", "decoder")}


@pytest.mark.parametrize(
    ("strategy", "path", "help"),
    [
        (lora(ranks={"q_prj": 4}), "strategy.ranks", "did you mean `q_proj`? "),
        (
            lora({"modules": ["q_proj", "up_prj"], "rank": 4}),
            "strategy.patterns[0].modules[1]",
            "did you mean `up_proj`",
        ),
        (
            lora({"modules": ["layers.1.self_attn.q_prj"], "rank": 4}),
            "strategy.patterns[0].modules[0]",
            "did you mean `layers.1.self_attn.q_proj`",
        ),
        (lora({"layers": [2, 3], "rank": 4}), "strategy.patterns[0].layers[1]", "the last layer with adapters is 2"),
        (
            lora({"modules": ["layers.1.self_attn.q_proj"], "layers": [0], "rank": 4}),
            "strategy.patterns[0]",
            "remove `modules` or `layers`",
        ),
    ],
)
def test_what_means_no_module_is_told_with_what_is_near(strategy: Lora, path: str, help: str) -> None:
    (found,) = misnamed(strategy, LLAMA)
    assert f"strategy.{found.key}" == path
    assert help in found.help
