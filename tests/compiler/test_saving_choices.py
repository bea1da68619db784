"""Checkpoints in the background: asked for, or chosen where host RAM is known to hold the copy; planned with it."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.host_memory import copied_checkpoint, host_bytes
from ftc.compiler.memory.memory import by_closed_form
from ftc.compiler.time.run_time import run_time
from ftc.compiler.time.run_work import run_work
from ftc.spec.devices import CARDS
from ftc.spec.documents.expected import phase_groups
from tests.support.drafts import CARD, CPU, decided, draft_of, model_facts

GIB = 2**30
LARGE = model_facts(hidden=2048, layers=8)
ROOMY = CARD.model_copy(update={"host_bytes": 64 * GIB, "memory_bytes": 64 * GIB, "speed": CARDS["rtx-4090"].speed})


def planned(background: Any = "auto", **job: Any) -> ClosedDraft:
    train = {"save_in_background": background, **job.pop("train", {})}
    return decided(draft_of(**{"device": ROOMY, "facts": LARGE, "strategy": {"kind": "full"}, **job, "train": train}))


def is_chosen(draft: ClosedDraft) -> bool:
    return draft.settings().train.save_in_background


def test_a_large_checkpoint_is_written_in_the_background_where_the_host_has_room() -> None:
    draft = planned()
    assert is_chosen(draft)
    assert draft.origins["train.save_in_background"].kind == "derived"
    assert copied_checkpoint(draft) > GIB
    (check,) = [one for one in draft.checks if one.name == "host RAM"]
    assert "for a checkpoint while it is written" in check.result


@pytest.mark.parametrize(
    "job",
    [
        {"strategy": {"kind": "lora"}},
        {"device": ROOMY.model_copy(update={"host_bytes": GIB})},
        {"device": ROOMY.model_copy(update={"host_bytes": None})},
        {"device": CPU},
    ],
    ids=["small", "no room", "unknown", "a CPU"],
)
def test_elsewhere_training_waits_and_the_plan_is_as_before(job: dict[str, Any]) -> None:
    draft = planned(**job)
    assert not is_chosen(draft)
    assert "train.save_in_background" not in draft.origins
    assert "save_in_background" not in draft.settings().train.to_json()


def test_who_asks_for_it_without_room_is_told() -> None:
    draft = planned(True, device=ROOMY.model_copy(update={"host_bytes": GIB}))
    (told,) = [one for one in draft.diagnostics if one.code == "FTC294"]
    assert (told.path, told.help) == ("train.save_in_background", ("write `save_in_background: false`",))
    assert not is_chosen(planned(False))


def test_machines_that_divide_a_model_hold_as_much_of_the_copy_each() -> None:
    def copied(sharding: str, nodes: int) -> int:
        card = ROOMY.model_copy(update={"count": 2})
        shared = {"device": card, "budget": {"devices": 2, "nodes": nodes}, "train": {"sharding": sharding}}
        return copied_checkpoint(planned(True, **shared))

    assert copied("ddp", 2) == copied("hsdp", 2) == copied("fsdp", 1) == 2 * copied("fsdp", 2)


def test_on_a_processor_the_copy_is_part_of_its_memory() -> None:
    cpu = CPU.model_copy(update={"memory_bytes": 64 * GIB})
    with_copy, without = (phase_groups(by_closed_form(planned(one, device=cpu)).phases) for one in (True, False))
    copy = copied_checkpoint(planned(True, device=cpu))
    grown = {name for name, one in with_copy.items() if one.peak_bytes - without[name].peak_bytes == copy}
    assert grown >= {"forward", "backward", "optimizer step", "evaluation", "save"}
    assert {name for name, one in with_copy.items() if one == without[name]} == {"load", "resume", "export"}
    assert host_bytes(planned(True, device=cpu)) == copy


def test_training_waits_for_the_last_checkpoint_alone() -> None:
    def saving(background: bool) -> tuple[float, float]:
        draft = planned(background, train={"evaluate_every": 10})
        time = run_time(draft, run_work(draft))
        assert time is not None
        found = next(one.seconds for one in time.phases if one.phase == "save")
        return found.expected, found.high

    (beside, most), (waiting, before) = saving(True), saving(False)
    assert beside < waiting / 2
    assert most >= before, "where the disk is slower than steps"
