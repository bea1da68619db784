"""What kernels hold beside their results comes and goes in a card's own order, on which reserved memory depends."""

from __future__ import annotations

import pytest
import torch

from ftc.runtime.memory_trace.log import Log
from ftc.runtime.memory_trace.torch_internals import run_backward
from ftc.runtime.memory_trace.tracker import StorageTracker, card_buffers, workspace_bytes


def sizes(log: Log, section: str) -> list[int]:
    """Births of a section by size; ends by size below zero."""
    events = [event for one in log.sections if one.name == section for event in one.events]
    return [log.storages[event].size if event >= 0 else -log.storages[~event].size for event in events]


def test_each_thread_makes_its_workspace_at_its_first_product() -> None:
    tracker, space = StorageTracker(buffers=card_buffers((8, 0))), workspace_bytes((8, 0))
    weight = torch.empty(32, 32, device="meta", requires_grad=True)
    with tracker:
        tracker.section("forward: layers")
        first = weight + 1
        second = first @ weight
        third = second @ weight
        tracker.section("backward: layers")
        run_backward(third)
    log = tracker.close()
    assert sizes(log, "forward: layers") == [4096, 4096, space, 4096]
    assert sizes(log, "backward: layers").count(space) == 1


def test_a_card_counts_places_where_images_are_put_among_words() -> None:
    """One of 64 bits for each element, and the mask in the same shape, for a moment."""
    tracker = StorageTracker(buffers=card_buffers((8, 0)))
    words, mask = torch.empty(2, 64, 32, device="meta"), torch.empty(2, 64, 1, dtype=torch.bool, device="meta")
    images = torch.empty(20, 32, device="meta")
    with tracker:
        tracker.section("forward: embedding")
        words.masked_scatter(mask, images)
    count = 2 * 64 * 32
    assert sizes(tracker.close(), "forward: embedding") == [4 * count, 8 * count, count, -8 * count, -count, -4 * count]


def test_a_quantized_weight_is_unpacked_before_its_product_is_there() -> None:
    pytest.importorskip("bitsandbytes")
    tracker = StorageTracker(buffers=card_buffers((8, 0)))
    inputs = torch.empty(64, 128, dtype=torch.bfloat16, device="meta")
    packed = torch.empty(256 * 128 // 2, 1, dtype=torch.uint8, device="meta")
    scales = torch.empty(256 * 128 // 64, device="meta")
    with tracker:
        tracker.section("forward: layers")
        torch.ops.bitsandbytes.gemm_4bit.default(inputs, packed, [256, 128], scales, 64, "nf4")
    unpacked, result = 2 * 256 * 128, 2 * 64 * 256
    births = [size for size in sizes(tracker.close(), "forward: layers") if size > 0]
    assert births == [4 * 256 * 128 // 64, unpacked, result, workspace_bytes((8, 0))]
