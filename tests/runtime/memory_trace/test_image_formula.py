"""The closed form says of a tower what the trace finds, for each model type that reads images, frozen and trained."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ftc.compiler.memory.memory import by_closed_form, question
from ftc.runtime.memory_trace.child import trace
from ftc.spec.vision_models import vision_model
from tests.support.vision_grid import in_passing, job_with_images, largest, vision_grid_facts
from tests.support.vision_towers import PALIGEMMA_2, TOWERS

_LORA = {"kind": "lora", "targets": ["q_proj", "v_proj"]}
_QLORA = {**_LORA, "kind": "qlora"}
_FULL = {"kind": "full", "train_parts": ["vision_tower", "projector", "language_model"]}
_LONGEST = {"smolvlm": 448, "idefics3": 448}
_FROZEN = [
    *[(kind, "sdpa", "bfloat16") for kind in TOWERS],
    *[(kind, "eager", "bfloat16") for kind in TOWERS],
    *[(kind, "sdpa", "float32") for kind in TOWERS],
]


def both(kind: str, rows: int = 1, **ways: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes by the closed form and by the trace: in passing, of the phases in which images are read, and of all that
    is there, of those behind the tower and of the largest.

    Args:
        kind: The model.
        rows: Of validation and of test.
        ways: What the recipe says.
    """
    facts = vision_grid_facts({**TOWERS, "paligemma 2": PALIGEMMA_2}[kind], _LONGEST.get(kind))
    splits = {"train": 100, "validation": rows, "test": rows}
    draft = job_with_images(facts, 1600, 64, (448, 336), splits, **ways)
    estimate, found = by_closed_form(draft), trace(question(draft)).phases
    form, traced = {"largest": estimate.allocated_bytes}, {"largest": max(one.peak_bytes for one in found)}
    named, of_trace = ({one.phase: one for one in phases} for phases in (estimate.phases, found))
    for name in ("forward", "evaluation"):
        images = f"{name}: images"
        form[images], traced[images] = in_passing(named[images]), largest(found, images, f"{name}: image layers")
        for part in (f"{name}: embedding", f"{name}: layers", *([f"{name}: head"] if name == "evaluation" else [])):
            form[part], traced[part] = named[part].peak_bytes, of_trace[part].peak_bytes
    return form, traced


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "attention", "precision"), _FROZEN)
def test_a_frozen_tower_takes_what_the_closed_form_says(kind: str, attention: str, precision: str) -> None:
    form, traced = both(kind, attention=attention, strategy=_LORA, precision=precision, activation_checkpointing=True)
    del traced["largest"]  # of one row that is the language model's backward pass, which test_closed_form.py compares
    if attention == "eager":  # scores count in full in the backward pass, which is larger
        del traced["forward: layers"]
    for name, size in traced.items():
        assert form[name] == pytest.approx(size, rel=0.1), (name, form[name] / size)


@pytest.mark.slow
@pytest.mark.parametrize("recomputes", [False, True])
@pytest.mark.parametrize("kind", list(TOWERS))
def test_of_a_trained_tower_the_closed_form_is_hardly_low(kind: str, recomputes: bool) -> None:
    form, traced = both(kind, strategy=_FULL, activation_checkpointing=recomputes)
    for name, size in traced.items():
        assert 0.95 * size <= form[name] <= 1.25 * size, (name, form[name] / size)


_WAYS = {"lora": _LORA, "qlora": _QLORA, "full": _FULL}
_MOST = [
    (kind, way, rows, recomputes)
    for kind in (*TOWERS, "paligemma 2")
    for way in _WAYS
    for rows in (1, 64)
    for recomputes in (False, True)
    if way != "qlora" or not (card := vision_model(kind)) or not card.features_as_tower  # a plan refuses that
]
_USUAL = [case for case in _MOST if case[2:] == (64, True) or case[0] in ("gemma3", "qwen3_vl", "paligemma 2")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "way", "rows", "recomputes"), _MOST if os.environ.get("FTC_TRACES") else _USUAL)
def test_the_most_of_a_run_is_the_traces_within_a_twentieth(kind: str, way: str, rows: int, recomputes: bool) -> None:
    """With one row that is evaluated training is largest, and with 64 of them evaluation or its answers."""
    if way == "qlora":
        pytest.importorskip("bitsandbytes")
    attention = "eager" if kind == "paligemma 2" else "sdpa"  # transformers' Gemma 2 has no other kernel
    form, traced = both(kind, rows, strategy=_WAYS[way], activation_checkpointing=recomputes, attention=attention)
    assert form["largest"] == pytest.approx(traced["largest"], rel=0.05)
    for name, size in traced.items():
        if name.startswith("evaluation"):
            assert form[name] == pytest.approx(size, rel=0.1), (name, form[name] / size)
