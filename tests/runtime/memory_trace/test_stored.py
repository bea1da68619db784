"""The trace is of the model whose weights are stored, and repeats only layers that are stored alike."""

from __future__ import annotations

import pytest

from ftc.runtime.memory_trace.meta_model import repeats_after, require_stored_layers
from ftc.runtime.memory_trace.whole import whole_log
from tests.support.trace_jobs import LLAMA, trace_job

EACH = 256 * 256 * 2 + 256 * 64 * 2 + 3 * 256 * 512
"""Weights in the matrices of one layer of `LLAMA`."""


@pytest.mark.parametrize(
    ("weights", "after"),
    [
        ([7] * 30, 1),
        ([9, *[7] * 30, 8], 1),  # as where the first layer has the distances that all use
        ([7, 7, 8] * 10, 3),
        ([7, 7, 7, 8, 7, 7, 8, 7, 7, 7, 7, 8], 12),
        ([7], 1),
        ([], 1),
    ],
)
def test_layers_repeat_as_they_are_stored(weights: list[int], after: int) -> None:
    found = repeats_after(weights)
    assert found == after or len(weights) // found < 5  # so few groups are traced one by one


@pytest.mark.slow
def test_what_is_stored_as_it_is_built_is_traced() -> None:
    job = trace_job(LLAMA).model_copy(update={"layer_weights": ((EACH,) * 12,)})
    assert whole_log(job)[1] == 5


def test_what_is_stored_otherwise_is_not_traced() -> None:
    job = trace_job(LLAMA).model_copy(update={"layer_weights": ((EACH, EACH, EACH + 256, *[EACH] * 9),)})
    with pytest.raises(LookupError, match=r"layers\.2` with \d+ weights in matrices, but the file has"):
        require_stored_layers(job, (12,))


def test_layers_of_two_kinds_are_all_traced_where_they_follow_no_pattern() -> None:
    mixed = ((EACH, EACH, EACH, 5, EACH, 5, EACH, EACH, 5, EACH, EACH, EACH),)
    with pytest.raises(LookupError):  # layer 3 is reached, though a few layers would do for a model of one kind
        whole_log(trace_job(LLAMA).model_copy(update={"layer_weights": mixed}))
