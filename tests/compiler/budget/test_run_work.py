"""What a run has to do and leaves behind, as the plan counts it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.budget.amounts import decode_amounts
from ftc.compiler.budget.run_work import draft_network
from ftc.compiler.budget.traffic import traffic_rates
from ftc.compiler.draft import Draft
from ftc.compiler.passes import PASSES, SHAPING, run_passes
from ftc.compiler.passes.estimate_cost import estimate_cost
from ftc.compiler.resolve.device import resolve_device
from tests.support.drafts import draft_of

CARD = resolve_device("rtx-4090", cards=list)


def compiled(**recipe: Any) -> Draft:
    return run_passes(SHAPING + PASSES, draft_of(device=CARD, **recipe))


def test_the_whole_model_is_written_however_little_of_it_was_trained() -> None:
    whole = compiled(strategy={"kind": "full"})
    for strategy in ({"kind": "bitfit"}, {"kind": "partial", "layers": 1}):
        disk = compiled(strategy=strategy).disk
        assert disk["model"] == whole.disk["model"]
        assert sum(disk.values()) < sum(whole.disk.values())
    assert compiled(strategy={"kind": "lora"}).disk["adapter"] < whole.disk["model"]


def test_energy_is_that_of_all_cards() -> None:
    draft = compiled()
    two = estimate_cost(replace(draft, values={**draft.values, "train.world_size": 2})).time
    assert two is not None
    assert two.energy_high_joules == pytest.approx(2 * 450 * two.high_seconds)


def test_the_prompt_gives_a_decoder_its_first_token() -> None:
    prompt, third = (decode_amounts(2, 5, tokens, has_encoder=False) for tokens in (1, 3))
    assert (prompt.passes, prompt.tokens, prompt.scored, prompt.pairs) == (1, 10, 2, 50)
    assert (third.passes, third.tokens, third.scored, third.pairs) == (3, 14, 6, 50 + 2 * (6 + 7))
    encoder = decode_amounts(2, 5, 3, has_encoder=True)
    assert (encoder.passes, encoder.target_tokens, encoder.scored) == (4, 6, 6)


def test_weights_are_read_in_as_many_bytes_as_they_are_packed_in() -> None:
    def read(strategy: dict[str, Any]) -> float:
        network = draft_network(compiled(strategy=strategy))
        return traffic_rates(network, 2, checkpointing=False).forward.passes / network.linear_weights

    eight = read({"kind": "qlora", "quantization": "int8"})
    four = read({"kind": "qlora", "quantization": "nf4", "double_quantization": False})
    assert eight - four == pytest.approx(1 - (0.5 + 4 / 64))
