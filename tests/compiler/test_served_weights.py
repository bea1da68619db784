"""What a server of answers holds of a base model in quantized files, and what it can't be asked for."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from ftc.spec.documents.facts import FileFacts, ModelFacts
from ftc.spec.documents.packed_weights import PackedWeights
from ftc.spec.quantized_files import QUANTIZED_FILES, QuantizedMethod
from ftc.spec.writers import WRITERS
from tests.support.drafts import CARD, decided, draft_of, model_facts

STORED = 100_000
"""Bytes of the file of weights; plain ones of 16 bits have 291,840."""
PACKED = PackedWeights(layout="gptq", bits=4, group_size=16, modules=("mlp.up_proj",))


def base_in(method: QuantizedMethod | None) -> ModelFacts:
    files = {"model.safetensors": FileFacts(size=STORED, sha256="0" * 64)}
    packed = PACKED if method == "gptq" else None
    return model_facts(files=files, quantized_files=method, packed=packed)


def found(
    method: QuantizedMethod | None,
    *,
    writer: str = "vllm",
    strategy: str = "lora",
    precision: str = "bfloat16",
    **more: Any,
) -> list[tuple[str, str]]:
    task = {"kind": "reinforcement", "rewards": [{"kind": "exact_match"}], "group_size": 4, "writer": writer, **more}
    train = {"precision": precision, "batch_size": 4}
    draft = draft_of(facts=base_in(method), device=CARD, task=task, strategy={"kind": strategy}, train=train)
    return [(one.code, one.path or "") for one in decided(draft).diagnostics if one.code in ("FTC464", "FTC465")]


@pytest.mark.parametrize("method", ["gptq", "fp8"])
def test_a_server_needs_room_for_the_files_as_they_are(method: QuantizedMethod) -> None:
    assert found(method, writer_memory=f"{STORED + 1}B") == []
    assert found(method, writer_memory=f"{STORED}B") == [("FTC464", "task.writer_memory")]
    assert found(None, writer_memory=f"{STORED + 1}B") == [("FTC464", "task.writer_memory")]


def test_a_server_that_the_run_starts_has_the_products_of_the_run() -> None:
    room = {"writer_memory": "1GiB"}
    for method, precision, refused in (
        ("gptq", "float32", True),
        ("gptq", "float16", False),
        ("mxfp4", "float16", True),
        ("mxfp4", "bfloat16", False),
        (None, "float32", False),
    ):
        said: Any = method
        assert found(said, precision=precision, **room) == [("FTC464", "train.precision")] * refused, (
            method,
            precision,
        )
    assert found("gptq", precision="float32") == [], "whoever starts it chooses"


def test_whole_weights_have_no_place_beside_quantized_files() -> None:
    assert found("fp8", writer="sglang", strategy="full") == [("FTC465", "strategy.kind")]
    assert found(None, writer="sglang", strategy="full") == []
    assert found("fp8", writer="sglang") == []


def test_a_server_that_is_never_started_has_no_products_of_its_own() -> None:
    assert found("gptq", writer="sglang", precision="float32", writer_memory="1GiB") == []


def test_what_ftc_loads_can_be_served() -> None:
    loaded = {card.method for card in QUANTIZED_FILES if card.keeps or card.dequantizer is not None}
    assert loaded == {*get_args(QuantizedMethod)}
    for writer in WRITERS:
        if writer.own is not None:
            assert {method for method, types in writer.own.products.items() if types} == loaded, writer.kind
