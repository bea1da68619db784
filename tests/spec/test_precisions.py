"""Cards of precisions: which one a device gets."""

from __future__ import annotations

import pytest

from ftc.spec.devices import CARDS, has_bfloat16
from ftc.spec.documents.facts import DeviceFacts
from ftc.spec.optimizer_choice import candidates
from ftc.spec.precisions import NUMBER_TYPES, PRECISIONS, trained_type, usual_precision, usual_precisions
from tests.support.drafts import CPU


def device_of(name: str) -> DeviceFacts:
    """A card of the catalog."""
    card = CARDS[name]
    half = has_bfloat16(card.capability)
    known = {"name": name, "label": card.label, "capability": card.capability, "has_bfloat16": half}
    return CPU.model_copy(update={**known, "kind": "cuda", "speed": card.speed})


def test_kinds_are_told_apart() -> None:
    assert len({card.kind for card in PRECISIONS}) == len(PRECISIONS)
    assert len({one.stored for one in NUMBER_TYPES}) == len(NUMBER_TYPES)
    assert [one.size for one in NUMBER_TYPES] == sorted((one.size for one in NUMBER_TYPES), reverse=True)


def test_what_auto_chooses_among_trains_weights_of_one_type() -> None:
    """So an optimizer can be chosen before the device is known."""
    assert {card.trained.name for card in PRECISIONS if card.auto is not None} == {trained_type("auto").name}


def test_each_precision_has_an_optimizer_for_its_weights() -> None:
    for card in PRECISIONS:
        assert {one.weights for one in candidates("auto", card.kind)} == {card.trained}


@pytest.mark.parametrize("name", CARDS)
def test_a_gpu_with_bfloat16_gets_it(name: str) -> None:
    device = device_of(name)
    assert (usual_precision(device).kind == "bfloat16") is device.has_bfloat16


@pytest.mark.parametrize(
    ("name", "model_type", "kinds"),
    [
        ("t4", "llama", ["float16", "float32"]),
        ("t4", "gemma2", ["float32"]),
        ("a100-80gb", "llama", ["bfloat16", "float16", "float32"]),
        ("a100-80gb", "gemma2", ["bfloat16", "float32"]),
    ],
)
def test_a_model_that_overflows_never_gets_float16(name: str, model_type: str, kinds: list[str]) -> None:
    """Neither as the default nor as what a refusal suggests, which takes the same list."""
    assert [card.kind for card in usual_precisions(device_of(name), model_type)] == kinds


def test_a_cpu_is_exact() -> None:
    assert not usual_precision(CPU.model_copy(update={"has_bfloat16": True})).is_mixed
