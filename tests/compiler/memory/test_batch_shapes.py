"""The longest micro-batch: no batch that the rows can give is larger, whichever of them meet."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.batch_shapes import accumulates, rows_at_once, train_shape
from ftc.compiler.memory.context import context_of
from ftc.compiler.passes.choose_model import choose_model
from ftc.compiler.row_images import images_of_splits
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.calibration import Calibration, Measurement
from ftc.spec.documents.stream_images import ImageSizes
from ftc.spec.documents.streams import RowLengths
from ftc.spec.documents.vision_facts import PatchGrid, VisionFacts
from tests.support.drafts import CARD, CPU, decided, draft_of, model_facts, shaped, split_report

TRANSLATOR = model_facts(family="encoder_decoder", num_decoder_layers=2, decoder_start_id=0, model_type="t5")


def with_rows(draft: Draft, prompt: list[int], scored: list[int], first: list[int] | None = None) -> Draft:
    """The draft with training rows of these lengths."""
    tokens = np.array(prompt) + np.array(scored)
    rows = RowLengths(tokens, np.array(prompt), np.array(scored), np.array(first or prompt))
    report = split_report(len(tokens), length_max=int(tokens.max()), supervised_max=max(scored))
    return replace(draft, splits={**draft.splits, "train": report}, lengths={"train": rows})


def settled(draft: Draft, micro_batch: int = 2, tokens: int | None = None) -> ClosedDraft:
    """The draft with rows of their own sequences, so many at once."""
    candidate = replace(decided(draft).candidate, packing=False, devices=1)
    return choose_model(shaped(draft)).at(replace(candidate, micro_batch=micro_batch, micro_batch_tokens=tokens))


def test_the_longest_source_and_the_longest_target_can_meet() -> None:
    draft = with_rows(draft_of(facts=TRANSLATOR, task={"kind": "summarization"}), [300, 20, 50], [5, 120, 60])
    shape = train_shape(settled(draft))
    assert (shape.length - shape.supervised, shape.supervised) == (300, 120)


def test_both_answers_of_a_preference_are_as_long_as_the_longer() -> None:
    draft = with_rows(draft_of(task={"kind": "preference"}), [40, 90], [60, 20], first=[80, 30])
    padded = [max(2 * max(f, t - f) for f, t in pair) for pair in combinations([(80, 100), (30, 110)], 2)]
    assert train_shape(settled(draft)).length == max(padded) == 160


def test_each_answer_of_a_preference_attends_to_itself_alone() -> None:
    kept = []
    for task, size, first in (("chat", 8, None), ("preference", 4, [300] * 40)):
        train = {"micro_batch": size, "packing": False, "activation_checkpointing": False}
        draft = draft_of(task={"kind": task}, train=train, model={"base": "model", "attention": "eager"}, device=CARD)
        whole = 300 * (8 // size)
        draft = with_rows(draft, [whole - 20] * 40, [20] * 40, first)
        memory = decided(draft).memory
        assert memory is not None
        peaks = {one.phase: one.components for one in memory.phases}
        kept.append(peaks["backward: layers"]["saved activations"])
    assert kept[0] == kept[1]


SHORT_AND_LONG = {
    "chat": ([900] + [5, 60] * 8, [100] + [115, 20] * 8, None),
    "preference": ([10] * 17, [290] + [90] * 16, [150] + [10] * 16),
    "summarization": ([300] + [110, 5] * 8, [300] + [5, 110] * 8, None),
}
"""Sources, what is scored, and where the second answer begins: short rows that outdo the longest where many meet."""


@pytest.mark.parametrize("task", SHORT_AND_LONG)
def test_short_rows_that_are_many_are_planned_for(task: str) -> None:
    is_pair, is_split = task == "preference", task == "summarization"
    facts = TRANSLATOR if is_split else model_facts()
    prompt, scored, first = SHORT_AND_LONG[task]
    draft = settled(with_rows(draft_of(facts=facts, task={"kind": task}), prompt, scored, first), 8, 1000)
    shape, rows, lengths = train_shape(draft), rows_at_once(draft), draft.lengths["train"]
    width = np.maximum(lengths.first_target, lengths.tokens - lengths.first_target)
    for piece in BatchOrder(lengths.tokens, 17, 1, 0, most_tokens=1000).micro_batches(0, 8, 0, 1):
        if is_split:
            assert len(piece) * lengths.prompt[piece].max() <= rows * (shape.length - shape.supervised)
            assert len(piece) * lengths.scored[piece].max() <= rows * shape.supervised
        else:
            padded = 2 * width[piece].max() if is_pair else lengths.tokens[piece].max()
            assert len(piece) * padded <= rows * shape.length
            assert lengths.scored[piece].sum() <= rows * shape.supervised


def test_gradients_wait_where_the_longest_rows_need_two_micro_batches() -> None:
    assert accumulates(settled(with_rows(draft_of(train={"batch_size": 4}), [290] * 4, [10] * 4), 4, 1000))


@pytest.mark.parametrize("measured", [None, 333 * 2**20])
def test_a_measured_context_takes_the_place_of_the_usual_one(measured: int | None) -> None:
    found = Calibration(
        device="rtx-4090",
        label="a card",
        threads=1,
        measured_at="2026-05-04T03:02:01Z",
        measured=Measurement(
            torch="2",
            flops={},
            bandwidth=1,
            operation_seconds=1.0,
            import_seconds=1.0,
            context_bytes=measured,
            steps=(),
        ),
    )
    usual = decided(draft_of(device=CARD)).memory
    memory = decided(replace(draft_of(device=CARD), calibration=found)).memory
    assert usual is not None
    assert memory is not None
    assert memory.components["context"] == (measured or context_of(CARD).size.expected)
    assert memory.peak_bytes - usual.peak_bytes == (measured - usual.components["context"] if measured else 0)
    assert memory.context_source == ("by calibration of 2026-05-04" if measured else "")
    assert context_of(CPU, found).source == ""


def test_a_build_of_torch_for_cards_takes_more_of_a_processor() -> None:
    usual, wide = (
        decided(replace(draft_of(device=CPU), packages=dict.fromkeys(packages))).memory
        for packages in ({"torch"}, {"torch", "nvidia-cudnn-cu13"})
    )
    assert usual is not None
    assert wide is not None
    assert usual.reserved == wide.reserved
    assert wide.components["libraries"] > 1.5 * usual.components["libraries"]


QWEN = VisionFacts(
    model_type="qwen2_vl",
    image_token_id=9,
    image_size=0,
    patch_size=14,
    tokens_per_image=1280,
    grid=PatchGrid(merge=2, frames=2, least_pixels=56 * 56, most_pixels=28 * 28 * 1280),
    hidden_size=64,
    intermediate_size=128,
    num_layers=2,
    num_heads=2,
)


def with_pictures(draft: Draft, sides: list[tuple[int, ...]]) -> Draft:
    """The draft with square images of such sides in each training row, whose text has 40 tokens and an answer of 10."""
    shapes = [[QWEN.shape(side, side) for side in row] for row in sides]
    draft = with_rows(draft, [40 + sum(one.tokens for one in row) for row in shapes], [10] * len(sides))
    rows = np.repeat(np.arange(len(sides)), [len(row) for row in sides])
    flat = np.array([side for row in sides for side in row], dtype=np.int64)
    facts = draft.model.model_copy(update={"vision": QWEN})
    return replace(
        draft, model=facts, row_images=images_of_splits({"train": ImageSizes(rows, flat, flat)}, QWEN, draft.splits)
    )


@pytest.mark.parametrize("tokens", [None, 700])
def test_no_micro_batch_has_larger_images_than_the_one_that_is_traced(tokens: int | None) -> None:
    sides: list[tuple[int, ...]] = [(56,), (), (224, 224), (112,), (448,), (280, 56), (), (224,)] * 3
    draft = settled(with_pictures(draft_of(), sides), micro_batch=3, tokens=tokens)
    shape, traced = train_shape(draft), 0
    for images in shape.images:
        assert sum(one.tokens + 1 for one in images) < shape.length, "they have room in their row"
        traced += sum(one.weight for one in images)
    assert len(shape.images) == rows_at_once(draft)
    weights = [sum(QWEN.shape(side, side).weight for side in row) for row in sides]
    for seed in range(50):
        order = BatchOrder(draft.lengths["train"].tokens, 8, 3, seed, most_tokens=tokens)
        for step in range(3):
            for rows in order.micro_batches(step, 3, 0, 1):
                assert sum(weights[row] for row in rows) <= traced
    if tokens is None:
        assert traced == sum(sorted(weights)[-3:]), "the three rows with most can meet"


def test_the_images_of_a_split_are_weighed_once_for_all_candidates() -> None:
    draft = with_pictures(draft_of(), [(56,), (112, 224), (), (448,)])
    weights = draft.row_images["train"].weights
    candidates = [settled(draft, micro_batch=rows) for rows in (1, 2, 3)]
    assert [len(train_shape(one).images) for one in candidates] == [1, 2, 3]
    assert all(one.row_images["train"].weights is weights for one in candidates)


def test_rows_without_images_have_none() -> None:
    draft = settled(with_pictures(draft_of(), [(), ()]))
    assert train_shape(draft).images == ()


@pytest.mark.parametrize("count", [6, 3_000])
def test_a_sequence_of_packed_rows_learns_no_more_than_the_densest_of_them(count: int) -> None:
    drawn = np.random.default_rng(4)
    prompt, scored = drawn.integers(2, 30, count), drawn.integers(1, 12, count)
    draft = settled(with_rows(draft_of(), prompt.tolist(), scored.tolist()))
    packed = draft.at(replace(draft.candidate, packing=True, micro_batch_tokens=64))
    shape = train_shape(packed)
    by_density = sorted(range(count), key=lambda row: -scored[row] / (prompt[row] + scored[row]))
    most, tokens = 0, 0
    for row in by_density:
        most, tokens = most + int(scored[row]), tokens + int(prompt[row] + scored[row])
        if tokens > shape.length:
            break
    largest = int(np.sort(scored)[-packed.share_of_batch :].sum())
    assert shape.supervised == min(shape.length, largest, most)
