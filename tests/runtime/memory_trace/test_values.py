"""Values of tensors without memory: what is computed from a batch's whole numbers, and what would take too much."""

from __future__ import annotations

import pytest
import torch

from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.memory_trace.values import Values


@pytest.fixture
def values() -> Values:
    return Values()


def test_a_mask_of_all_pixels_is_one_element(values: Values) -> None:
    ones = torch.ones(1, dtype=torch.int64).expand(3, 5000, 5000)
    with StorageTracker(values=values):
        mask = ones.to("meta")
        chosen = mask[torch.tensor([True, False, True]).to("meta")].contiguous()
        counts = chosen.unfold(1, 1000, 1000).sum(dim=(1, 2, 3))
        says_all = bool((chosen > 0).all())
    assert chosen.shape == (2, 5000, 5000)
    assert says_all
    found = values.of(counts)
    assert found is not None
    assert found.tolist() == [25_000_000] * 2


def test_no_pixel_is_padding(values: Values) -> None:
    with StorageTracker(values=values):
        pixels = torch.empty(2, 3, 4, 4, device="meta")
        real = (pixels == 0.0).sum(dim=(1, 2, 3)) != 48
        counts = real.view(1, 2).sum(dim=1).tolist()
    assert counts == [2]


def test_a_mask_of_many_tokens_has_none(values: Values) -> None:
    with StorageTracker(values=values):
        few, many = torch.arange(64, device="meta"), torch.arange(100_000, device="meta")
        small, vast = few[:, None] >= few[None], many[:, None] >= many[None]
    assert vast.shape == (100_000, 100_000)
    assert values.of(vast) is None
    found = values.of(small)
    assert found is not None
    assert int(found.sum()) == 64 * 65 // 2


def test_one_element_in_all_places_that_is_overwritten_is_forgotten(values: Values) -> None:
    ones = torch.ones(1, dtype=torch.int64).expand(4, 4)
    with StorageTracker(values=values):
        mask = ones.to("meta")
        mask[0] = 0
    assert values.of(mask) is None


def test_a_place_of_one_repeated_element_that_is_overwritten_changes_no_other(values: Values) -> None:
    zeros = torch.zeros(1, dtype=torch.bool).expand(4, 4)
    with StorageTracker(values=values):
        mask = zeros.to("meta")
        mask[0, 0].fill_(True)
    assert values.of(mask) is None
    with StorageTracker(values=values):
        alone = torch.zeros(1, dtype=torch.int64).to("meta")
        alone.fill_(3)
    found = values.of(alone)
    assert found is not None
    assert found.tolist() == [3]
