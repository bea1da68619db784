"""NCCL's buffers are a part of the memory of each of several GPUs, by how the GPUs are linked."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft
from ftc.spec.collectives import channels_of, communicator_bytes
from ftc.spec.devices import CARDS
from ftc.spec.documents.estimates import NCCL_BUFFERS
from ftc.views.estimates import memory_lines
from ftc.views.page import Page
from tests.support.drafts import CARD, CPU, decided, draft_of

MIB = 2**20


def _job(budget: dict[str, Any], name: str = "h100-80gb", **train: Any) -> ClosedDraft:
    device = CPU
    if name != "cpu":
        speed = {"capability": (9, 0), "speed": CARDS["h100-80gb"].speed}
        device = CARD.model_copy(update={"name": name, "local": False, "count": 1, **speed})
    return decided(draft_of(device=device, train={"batch_size": 32, **train}, budget=budget))


@pytest.mark.parametrize(
    ("budget", "sharding", "tensor", "communicators"),
    [
        ({"devices": 2}, "ddp", 1, 1),
        ({"devices": 2}, "fsdp", 1, 1),
        ({"nodes": 2, "devices": 4}, "fsdp", 1, 1),
        ({"nodes": 2, "devices": 4}, "hsdp", 1, 3),
        ({"devices": 2}, "fsdp", 2, 2),
        ({"nodes": 2, "devices": 4}, "fsdp", 2, 3),
        ({"nodes": 2, "devices": 4}, "hsdp", 2, 4),
        ({"nodes": 2, "devices": 4}, "hsdp", 4, 3),  # a machine is one group, whose parts are whole
    ],
)
def test_each_communicator_has_a_ring_of_channels(
    budget: dict[str, Any], sharding: str, tensor: int, communicators: int
) -> None:
    """Where devices divide layers: all of them, those of a layer, and those that divide the model among groups."""
    job = _job(budget, sharding=sharding, tensor_parallel=tensor)
    assert job.candidate.tensor_parallel == tensor
    memory = job.memory
    assert memory is not None
    assert memory.exchange_buffers is not None
    assert memory.exchange_buffers.expected == communicators * 24 * 12 * MIB
    assert memory.components[NCCL_BUFFERS] == memory.exchange_buffers.expected
    assert sum(memory.components.values()) == memory.peak_bytes
    beside = memory.process.high - memory.reserved.high
    alone = _job({"devices": 1}).memory
    assert alone is not None
    assert beside - (alone.process.high - alone.reserved.high) == memory.exchange_buffers.high


def test_published_measurements_are_within_the_range() -> None:
    """Four A100 SXM: 544 MiB for a communicator of two, 688 for one of more (NVIDIA/nccl issues/964)."""
    size = communicator_bytes(channels_of("a100-80gb"))
    assert size.low < 544 * MIB < 688 * MIB < size.high


def test_how_gpus_are_linked_decides_and_unknown_is_said() -> None:
    sizes = {name: communicator_bytes(channels_of(name)) for name in ("h100-80gb", "rtx-4090", "v100-32gb", "mine")}
    assert sizes["rtx-4090"].high <= sizes["h100-80gb"].low * 2
    assert sizes["v100-32gb"] == sizes["mine"]
    assert (sizes["mine"].low, sizes["mine"].high) == (sizes["rtx-4090"].low, sizes["h100-80gb"].high)
    for name, is_unknown in {"h100-80gb": False, "rtx-4090": False, "v100-32gb": True}.items():
        told = [line for line in _job({"devices": 2}, name).not_checked if "NCCL's buffers" in line]
        assert bool(told) is is_unknown


@pytest.mark.parametrize(("budget", "name"), [({"devices": 1}, "h100-80gb"), ({"devices": 2}, "cpu")])
def test_one_gpu_and_processes_on_a_cpu_have_none(budget: dict[str, Any], name: str) -> None:
    memory = _job(budget, name).memory
    assert memory is not None
    assert NCCL_BUFFERS not in memory.components
    assert "exchange_buffers" not in memory.to_json()


def test_the_plan_shows_them_with_their_range() -> None:
    memory = _job({"devices": 2}, sharding="ddp").memory
    assert memory is not None
    assert "NCCL buffers 0.28 (0.19 to 0.84)" in "\n".join(memory_lines(memory, Page(columns=200), devices=2))
