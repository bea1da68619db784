"""Of `qlora` on a mixture of experts: why it is refused, how little it would save, and what works."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks.experts import CASES
from ftc.spec.diagnostics import Diagnostic
from tests.support.drafts import CARD, CPU, H200, decided, draft_of
from tests.support.grid import grid_facts

GIB = 2**30
PUBLISHED = {case.name: case for case in CASES}
QWEN = PUBLISHED["Qwen3-30B-A3B"]
LINEAR = 48 * (2 * 2048 * 4096 + 2 * 2048 * 512)
"""Weights of Qwen3-30B-A3B's attention, its only linear layers."""
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)


def found(name: str = QWEN.name, facts: dict[str, Any] | None = None, **sections: Any) -> tuple[Diagnostic, ...]:
    """What is said of a recipe with a published model as base."""
    model = grid_facts(PUBLISHED[name].config).model_copy(update=facts or {})
    job: dict[str, Any] = {"task": {"kind": "pretraining"}, "strategy": {"kind": "qlora"}, "device": CARD, **sections}
    return decided(draft_of(facts=model, **job)).diagnostics


@pytest.mark.parametrize("device", [CARD, H200, CPU], ids=["too small", "large", "a CPU"])
@pytest.mark.parametrize("files", [None, "mxfp4"])
def test_one_finding_says_why_and_what_works(device: Any, files: str | None) -> None:
    (one,) = found(device=device, facts={"quantized_files": files})
    assert (one.code, one.path, one.is_error) == ("FTC268", "strategy.kind", True)
    assert one.span is not None
    assert "all experts of a layer in one tensor" in one.notes[0]
    assert "loading dequantizes" in one.notes[2]
    assert any("`kind: lora`" in line and "target_parameters: all-experts" in line for line in one.help)


@pytest.mark.parametrize(
    ("device", "strategy", "type_name", "size", "bits", "packed"),
    [
        (H200, {}, "bfloat16", 2, 4, NF4),
        (H200, {"double_quantization": False}, "bfloat16", 2, 4, 0.5 + 4 / 64),
        (H200, {"quantization": "int8"}, "bfloat16", 2, 8, 1.0),
        (CPU, {}, "float32", 4, 4, NF4),
    ],
)
def test_it_says_how_many_bytes_stay_and_how_many_are_saved(
    device: Any, strategy: dict[str, Any], type_name: str, size: int, bits: int, packed: float
) -> None:
    (one,) = found(device=device, strategy={"kind": "qlora", **strategy})
    stay, whole = 48 * 128 * 3 * 2048 * 768 * size / GIB, QWEN.parameters * size / GIB
    saved = LINEAR * (size - packed) / GIB
    assert one.notes[1] == (
        f"{stay:.2f} of {whole:.2f} GiB would stay in {type_name}; {bits} bits for the rest save {saved:.2f} GiB"
    )
    assert saved < whole / 25


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_mixture_is_refused_so(name: str) -> None:
    (one,) = found(name)
    assert one.code == "FTC268"
    assert f"a `{PUBLISHED[name].config['model_type']}` model" in one.summary


def test_what_it_points_to_is_planned() -> None:
    assert not [one for one in found(strategy={"kind": "lora"}, device=H200) if one.code == "FTC268"]
    lora = {"kind": "lora", "target_parameters": "all-experts"}
    assert not [one for one in found(strategy=lora, device=H200) if one.is_error]
