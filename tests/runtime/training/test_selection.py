"""Which checkpoint is the best: the lowest loss, or the highest metric, and of equal metrics the later one."""

from __future__ import annotations

from ftc.spec.documents.selection import Selection
from tests.support.documents import plan


def _selected(values: list[float], *, higher: bool) -> Selection:
    train = plan().settings.train.model_copy(update={"select_higher": higher})
    selection = Selection()
    for step, value in enumerate(values, start=1):
        selection = selection.after(step, {"val_loss": value}, train)
    return selection


def test_of_equal_metrics_the_later_checkpoint_counts() -> None:
    assert _selected([0.5, 0.75, 0.6, 0.75, 0.7], higher=True).best_step == 4
    assert _selected([0.5, 0.75, 0.6, 0.75, 0.7], higher=True).best_value == 0.75


def test_of_equal_losses_the_earlier_one_stays() -> None:
    assert _selected([0.5, 0.4, 0.4], higher=False).best_step == 2
