"""`devices: auto` takes the number of this machine's cards that is fastest, fits and keeps the budget's cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.compiler.candidate import Candidate
from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.host_memory import host_bytes
from ftc.compiler.memory.memory import by_closed_form, may_run
from ftc.compiler.passes import decide
from ftc.compiler.search.candidates import pace_of, training_candidates
from ftc.spec.checkpointing import Recomputing
from ftc.spec.devices import CARDS
from ftc.spec.documents.facts import DeviceFacts
from ftc.spec.documents.memory_trace import TraceJob
from tests.compiler.test_passes import answered
from tests.support.drafts import CARD, CPU, decided, draft_of, model_facts, shaped

FACTS = model_facts(hidden=4096, layers=4)
GIB = 2**30
MODES: tuple[Recomputing, ...] = (False, "selective", True)
LAYOUTS = (("ddp", "none"), ("fsdp", "none"), ("fsdp", "cpu"))


def cards(count: int, host: int = 64 * GIB, **changes: Any) -> DeviceFacts:
    """So many cards in this machine, which are joined."""
    a100 = {"name": "a100-80gb", "capability": (8, 0), "speed": CARDS["a100-80gb"].speed}
    return CARD.model_copy(update={**a100, "local": True, "count": count, "host_bytes": host, **changes})


def job(device: DeviceFacts, *, budget: dict[str, Any] | None = None, **sections: Any) -> ClosedDraft:
    """Chat, decided, of which everything is open but optimizer, packing, and how many devices share a row."""
    train = {"batch_size": 24, "packing": False, "context_parallel": 1, **sections.pop("train", {})}
    train |= {"optimizer": {"kind": "adamw"}, **train}
    draft = draft_of(
        facts=FACTS,
        device=device,
        task={"kind": "chat"},
        train=train,
        budget={"devices": "auto", **(budget or {})},
        **{"strategy": {"kind": "lora"}, **sections},
    )
    return decided(draft)


def every_way(draft: ClosedDraft) -> Iterator[Candidate]:
    """All ways to run such a job, by counting them up."""
    here, batch = draft.candidate, draft.recipe.train.batch_size
    for count in range(1, min(draft.device.count, batch) + 1):
        share = -(-batch // count)
        sizes = [size for size in range(1, share + 1) if share % size == 0]
        for size, mode, layout in product(sizes, MODES, LAYOUTS if count > 1 else (("none", "none"),)):
            shared: dict[str, Any] = {"devices": count, "sharding": layout[0], "offload": layout[1], "eval_batch": 1}
            yield replace(here, micro_batch=size, activation_checkpointing=mode, **shared)


def fits(draft: Draft, candidate: Candidate) -> bool:
    host = draft.device.host_bytes or 0
    return may_run(draft, by_closed_form(draft.at(candidate))) and host_bytes(draft.at(candidate)) <= host


@pytest.mark.slow
@given(
    mebibytes=st.integers(1000, 12000),
    count=st.integers(1, 5),
    batch=st.sampled_from((1, 7, 24)),
    host=st.sampled_from((GIB, 64 * GIB)),
    kind=st.sampled_from(("lora", "full")),
)
@settings(max_examples=15, deadline=None)
def test_the_number_is_the_fastest_that_fits(mebibytes: int, count: int, batch: int, host: int, kind: str) -> None:
    budget, train = {"vram": f"{mebibytes}MiB"}, {"batch_size": batch}
    draft = job(cards(count, host), budget=budget, train=train, strategy={"kind": kind})
    seconds, taken = pace_of(draft), draft.candidate
    fitting = [one for one in every_way(draft) if fits(draft, one)]
    assert bool(fitting) is not any(one.is_error for one in draft.diagnostics)
    if fitting:
        pace = seconds(draft.at(taken))
        assert replace(taken, eval_batch=1) in fitting
        assert pace <= 1.1 * min(seconds(draft.at(one)) for one in fitting)
        assert not [one for one in fitting if one.devices < taken.devices and seconds(draft.at(one)) <= pace]
        assert draft.settings().train.batch_size == batch


@pytest.mark.parametrize("mebibytes", [3000, 6000, 12000])
def test_it_is_the_plan_of_that_number_written_out(mebibytes: int) -> None:
    limit, full = {"vram": f"{mebibytes}MiB"}, {"kind": "full"}
    auto = job(cards(4), budget=limit, strategy=full)
    written = job(cards(4), budget={**limit, "devices": auto.candidate.devices}, strategy=full)
    assert auto.settings() == written.settings()
    assert auto.memory is not None
    assert written.memory is not None
    assert auto.memory.phases == written.memory.phases
    assert auto.time == written.time
    assert auto.memory.ways > written.memory.ways


def test_the_cost_is_kept_by_the_fastest_that_can() -> None:
    priced = {"price_per_hour": "4000 USD"}
    alone = {count: job(cards(4), budget={**priced, "devices": count}) for count in (1, 2, 3, 4)}
    costs = {count: one.time.cost_high.amount for count, one in alone.items() if one.time and one.time.cost_high}
    paces = {count: pace_of(one)(one) for count, one in alone.items()}
    assert len(costs) == 4
    assert costs[1] < costs[2] < costs[4]
    found = {}
    for limit in (0.5 * costs[1], 1.01 * costs[1], 1.01 * costs[2], 1.01 * costs[4]):
        draft = job(cards(4), budget={**priced, "cost": f"{limit:.2f} USD"})
        found[limit] = count = draft.candidate.devices
        kept = [one for one, cost in costs.items() if cost <= limit]
        assert count in (kept or [1])
        assert paces[count] <= 1.1 * min((paces[one] for one in kept), default=paces[count])
        assert ("cost" in draft.origins["device.count"].reason) is (len(kept) < 4)
    assert list(found.values())[:3] == [1, 1, 2]
    assert job(cards(4), budget=priced).candidate.devices == list(found.values())[3] > 2


def test_the_reason_is_told_with_the_time_it_saves() -> None:
    reason = job(cards(4)).origins["device.count"].reason
    assert "of 1 to 4 that fits" in reason
    assert "of the time of the fastest candidate on 1" in reason
    slow = cards(4, name="other", capability=(8, 0), speed=CARDS["rtx-4090"].speed)
    assert "more devices save less than a tenth" in job(slow, strategy={"kind": "full"}).origins["device.count"].reason


@pytest.mark.parametrize(
    ("device", "change", "count"),
    [
        (CPU, {}, 1),
        (cards(1), {}, 1),
        (cards(4), {"train": {"batch_size": 2, "sharding": "ddp"}}, 2),
        (cards(4), {"train": {"micro_batch": 12}}, 2),
        (cards(4), {"train": {"determinism": "bitwise"}}, 1),
        (cards(2), {"train": {"sharding": "fsdp"}}, 2),
    ],
    ids=["processor", "one card", "rows", "micro-batch", "proof", "something to share"],
)
def test_only_numbers_that_the_job_allows(device: DeviceFacts, change: dict[str, Any], count: int) -> None:
    draft = job(device, **change)
    assert draft.candidate.devices == draft.candidate.devices == count
    assert not [one.code for one in draft.diagnostics if one.is_error]


@pytest.mark.parametrize(
    ("device", "change", "code", "place"),
    [
        (cards(8, local=False), {}, "FTC295", "budget.devices"),
        (cards(1), {"train": {"sharding": "fsdp"}}, "FTC290", "train.sharding"),
        (CPU, {"train": {"sharding": "ddp"}}, "FTC290", "train.sharding"),
    ],
    ids=["elsewhere", "one card", "processor"],
)
def test_what_cannot_be_counted_is_asked_for(
    device: DeviceFacts, change: dict[str, Any], code: str, place: str
) -> None:
    (found,) = (one for one in job(device, **change).diagnostics if one.is_error)
    assert (found.code, found.path) == (code, place)
    assert "devices: " in found.help[0]


def test_nothing_is_traced_for_cards_that_cannot_be_counted() -> None:
    draft = draft_of(device=cards(8, local=False), budget={"devices": "auto"})
    asking = replace(shaped(draft), traces={})
    assert not decide(asking).questions


def test_each_device_has_pages_of_its_own() -> None:
    def kinds(host: int) -> set[tuple[int, str]]:
        draft = draft_of(
            facts=FACTS,
            device=cards(4, host),
            task={"kind": "chat"},
            strategy={"kind": "full"},
            budget={"devices": "auto"},
            train={"optimizer": {"kind": "auto"}, "batch_size": 4},
        )
        draft = replace(draft, packages=dict.fromkeys(("bitsandbytes",)))
        return {(one.devices, one.optimizer) for one in training_candidates(decided(draft))}

    pages = 8 * FACTS.num_parameters
    assert (4, "adamw_paged") in kinds(6 * pages)
    few = kinds(2 * pages)
    assert (1, "adamw_paged") in few
    assert (4, "adamw_paged") not in few
    assert (4, "adamw") in few


@pytest.mark.slow
def test_more_devices_take_few_more_traces() -> None:
    asked: list[TraceJob] = []
    draft = draft_of(
        facts=FACTS,
        device=cards(4),
        task={"kind": "chat"},
        strategy={"kind": "full"},
        train={"batch_size": 24},
        budget={"devices": "auto", "vram": "6000MiB"},
    )
    decided = answered(draft, factor=0.9, asked=asked)
    assert decided.memory is not None
    assert decided.memory.method == "trace"
    assert len(asked) <= 12 < decided.memory.ways / 20
