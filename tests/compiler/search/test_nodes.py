"""`nodes` multiplies the devices that share a step; each machine has its own memory, cores, price and link."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.memory import limit_of
from ftc.compiler.rules.check import check_recipe
from ftc.compiler.time.amounts import Amounts
from ftc.compiler.time.run_time import num_paid
from ftc.compiler.time.run_work import exchanged
from ftc.compiler.time.workload import draft_network
from ftc.spec.devices import CARDS
from ftc.spec.documents.estimates import DeviceTraffic
from ftc.spec.documents.facts import DeviceFacts
from ftc.spec.links import host_link, peer_link
from ftc.spec.precisions import precision_card
from tests.support.drafts import CARD, CPU, decided, draft_of, model_facts

FACTS = model_facts(hidden=4096, layers=4)


def _gpu(**changes: Any) -> DeviceFacts:
    h100 = {"name": "h100-80gb", "capability": (9, 0), "speed": CARDS["h100-80gb"].speed}
    return CARD.model_copy(update={**h100, "local": False, "count": 1, **changes})


def _job(budget: dict[str, Any], device: DeviceFacts | None = None, **train: Any) -> ClosedDraft:
    return decided(
        draft_of(
            facts=FACTS,
            device=device or _gpu(),
            task={"kind": "chat"},
            train={"batch_size": 32, "packing": False, **train},
            budget=budget,
            strategy={"kind": "full"},
        )
    )


def test_the_processes_of_all_machines_share_the_rows() -> None:
    draft = _job({"nodes": 2, "devices": 4}, sharding="fsdp")
    settings = draft.settings()
    assert (settings.train.world_size, settings.train.nodes, settings.device.count) == (8, 2, 4)
    assert draft.share_of_batch == 4
    assert draft.origins["train.nodes"] == draft.origins["device.count"]


def test_one_machine_has_the_plan_that_it_had() -> None:
    draft = _job({"devices": 4})
    assert "nodes" not in draft.settings().train.model_dump()
    assert "train.nodes" not in draft.origins


def test_a_model_is_divided_among_all_machines() -> None:
    one, two = (_job({"nodes": nodes, "devices": 4}, sharding="fsdp", micro_batch=1) for nodes in (1, 2))
    assert one.memory is not None
    assert two.memory is not None
    assert two.memory.peak_bytes < one.memory.peak_bytes


def test_a_machine_of_hsdp_holds_the_whole_model() -> None:
    budget = {"nodes": 2, "devices": 4}
    whole, inside, divided = (_job(budget, sharding=kind, micro_batch=1) for kind in ("ddp", "hsdp", "fsdp"))
    assert (whole.parts, inside.parts, divided.parts) == (1, 4, 8)
    peaks = [draft.memory.allocated_bytes for draft in (whole, inside, divided) if draft.memory]
    assert sorted(peaks, reverse=True) == peaks
    assert len({*peaks}) == 3
    of_one_machine = _job({"devices": 4}, sharding="fsdp", micro_batch=1, batch_size=16)
    assert of_one_machine.memory is not None
    assert of_one_machine.memory.allocated_bytes == peaks[1]


def test_hsdp_gathers_weights_inside_a_machine_and_sums_gradients_between_machines_once_per_step() -> None:
    budget = {"nodes": 2, "devices": 4, "link": "10 Gbit/s"}
    draft = _job(budget, sharding="hsdp", micro_batch=1)
    network, gradients = draft_network(draft), 4 * draft_network(draft).trainable
    whole = precision_card(draft.train.precision).products.size * FACTS.num_parameters
    link, peer = 10e9 / 8, peer_link("h100-80gb", (9, 0))
    for passes in (1, 4):
        inside = passes * (2 * whole + gradients) * (3 / 4) / peer
        between = 2 * gradients * (1 / 2) / link
        seconds = exchanged(draft, network, Amounts(passes=passes), 1).host_bytes / host_link((9, 0))
        assert seconds == pytest.approx(inside + between)


@pytest.mark.parametrize(
    ("link", "vram", "chosen"),
    [("4000 Gbit/s", "70GiB", "ddp"), ("400 Gbit/s", "9GiB", "hsdp"), ("4000 Gbit/s", "5GiB", "fsdp")],
)
def test_the_solver_takes_what_sends_least_over_the_network_and_fits(link: str, vram: str, chosen: str) -> None:
    draft = _job({"nodes": 2, "devices": 4, "link": link, "vram": vram})
    assert draft.candidate.sharding == chosen, draft.memory
    reason = draft.origins["train.sharding"].reason
    assert ("inside each machine" in str(reason)) is (chosen == "hsdp")


def test_time_needs_the_speed_of_the_network() -> None:
    unknown = _job({"nodes": 2, "devices": 4}, sharding="fsdp")
    assert unknown.time is None
    assert any("network between machines is unknown. Set `budget.link`" in line for line in unknown.not_checked)
    slow, fast = (
        _job({"nodes": 2, "devices": 4, "link": link}, sharding="fsdp", micro_batch=1)
        for link in ("10 Gbit/s", "400 Gbit/s")
    )
    assert slow.time is not None
    assert fast.time is not None
    assert slow.time.expected_seconds > fast.time.expected_seconds
    assert peer_link("h100-80gb", (9, 0)) > host_link((9, 0)), "inside a machine they have NVLink"


def test_each_machine_has_cores_memory_and_a_price_of_its_own() -> None:
    cpu = CPU.model_copy(update={"threads": 8})
    one, two = (_job({"nodes": nodes, "devices": 2}, cpu) for nodes in (1, 2))
    assert one.threads == two.threads == 4
    assert limit_of(one)[0] == limit_of(two)[0]
    assert (num_paid(one), num_paid(two)) == (1, 2)
    assert num_paid(_job({"nodes": 2, "devices": 4}, sharding="fsdp")) == 8


@pytest.mark.parametrize(
    ("budget", "lacks"),
    [
        ("devices: 4", "several machines"),
        ("nodes: 2", "several devices in each machine"),
        ("devices: auto", "several machines"),
        ("nodes: 2, devices: 2", ""),
        ("nodes: 2, devices: auto", ""),
    ],
)
def test_hsdp_has_machines_with_several_devices_each(budget: str, lacks: str) -> None:
    text = (
        "ftc: 1\nname: tiny\ntask: {kind: classification}\ndata: {source: {path: rows.csv}}\nmodel: {base: ./model}\n"
        f"strategy: {{kind: lora}}\ntrain: {{batch_size: 32, sharding: hsdp}}\nbudget: {{{budget}}}\n"
    )
    found = [one for one in check_recipe(text.encode(), "recipe.yaml").diagnostics if one.is_error]
    assert [one.code for one in found] == (["FTC290"] if lacks else [])
    assert all(f"`hsdp` needs {lacks}, and there is only one" in one.summary for one in found)


@pytest.mark.parametrize(("nodes", "code"), [(17, {"FTC292"}), (16, set())])
def test_a_step_has_a_row_for_each_process(nodes: int, code: set[str]) -> None:
    text = (
        "ftc: 1\nname: tiny\ntask: {kind: classification}\ndata: {source: {path: rows.csv}}\nmodel: {base: ./model}\n"
        f"strategy: {{kind: lora}}\ntrain: {{batch_size: 32}}\nbudget: {{device: cpu, devices: 2, nodes: {nodes}}}\n"
    )
    found = {one.code for one in check_recipe(text.encode(), "recipe.yaml").diagnostics if one.is_error}
    assert found == code


def test_a_plan_has_the_traffic_of_a_step() -> None:
    many, one = {"nodes": 2, "devices": 4}, {"devices": 4}
    cases: list[tuple[dict[str, Any], str]] = [(many, "hsdp"), (many, "ddp"), (one, "ddp"), ({}, "ddp")]
    jobs = [_job(budget, sharding=kind, micro_batch=4) for budget, kind in cases]
    assert all(job.work for job in jobs)
    hsdp, ddp, machine, single = (job.work.traffic if job.work else None for job in jobs)
    gradients = 4 * draft_network(jobs[0]).trainable
    whole = precision_card(jobs[0].train.precision).products.size * FACTS.num_parameters
    assert hsdp == DeviceTraffic(device_bytes=round((2 * whole + gradients) * 3 / 4), machine_bytes=gradients)
    assert ddp == DeviceTraffic(device_bytes=round(2 * gradients * 7 / 8), machine_bytes=round(2 * gradients * 7 / 8))
    assert machine == DeviceTraffic(device_bytes=round(2 * gradients * 3 / 4), machine_bytes=0)
    assert single is None, "one device sends nothing"
    halves = _job({"nodes": 2, "devices": 2}, sharding="fsdp", tensor_parallel=2, micro_batch=16)
    assert halves.work is not None
    assert halves.work.traffic is not None
    assert halves.work.traffic.machine_bytes == 8 * draft_network(halves).trainable
    assert halves.work.traffic.device_bytes == 98_304_000, "only sums of states stay in a machine"
    apart = _job({"nodes": 2, "devices": 1}, sharding="ddp", micro_batch=4).work
    assert apart is not None
    assert apart.traffic == DeviceTraffic(device_bytes=0, machine_bytes=gradients), (
        "a machine's only device sends all of it"
    )
