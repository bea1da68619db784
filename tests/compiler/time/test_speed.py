"""How long work takes by a roofline, and by earlier runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftc.compiler.draft import PastRun
from ftc.compiler.time.run_time import _narrowed
from ftc.compiler.time.speed import DeviceSpeed, by_data_sheet, scale_only, seconds_for
from ftc.spec.devices import CARDS
from ftc.spec.documents.estimates import Work
from tests.support.drafts import CARD

COMPUTED = Work(flops=1e15, bytes=1e12, operations=1e4)


def card() -> DeviceSpeed:
    found = by_data_sheet(CARD.model_copy(update={"speed": CARDS["rtx-4090"].speed}), "bfloat16")
    assert found is not None
    return found


def test_images_are_prepared_beside_training_on_a_card_and_nowhere_else() -> None:
    pixels = Work(flops=0, bytes=0, operations=0, pixels=10**12)
    both = COMPUTED.model_copy(update={"pixels": pixels.pixels})
    for speed, is_sum in ((scale_only(), True), (card(), False), (replace(card(), prepares_ahead=False), True)):
        alone = [seconds_for(one, speed).expected for one in (COMPUTED, pixels)]
        assert min(alone) > 0
        assert seconds_for(both, speed).expected == pytest.approx(sum(alone) if is_sum else max(alone), rel=0.01)


@pytest.mark.parametrize("seconds", [0.5, 100.0, 1e6])
@pytest.mark.parametrize("pixels", [0, 10**9, 10**12])
def test_an_earlier_run_of_the_same_work_gives_its_own_time(seconds: float, pixels: int) -> None:
    """Whether the images or the card took longest."""
    work = COMPUTED.model_copy(update={"pixels": pixels})
    past = PastRun("card", 1, "model", "lora", "bfloat16", {"train": work}, {"train": seconds})
    for base in (card(), scale_only()):
        speed = _narrowed(base, base, [past], [], "train")
        found = seconds_for(work, speed)
        assert found.expected == pytest.approx(seconds)
        assert found.low < seconds < found.high


def test_runs_of_other_models_say_nothing_of_images() -> None:
    past = PastRun("card", 1, "other", "lora", "bfloat16", {"train": COMPUTED}, {"train": 100.0})
    speed = _narrowed(card(), card(), [], [past], "train")
    assert speed.pixel == card().pixel
