"""What a tower holds, frozen or trained, by the analytical estimate."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.memory.vision_formula import image_bytes, kept_image_bytes
from ftc.spec.documents.vision_facts import PatchGrid, VisionFacts

SIZES: dict[str, Any] = {
    **{"image_token_id": 9, "hidden_size": 32, "intermediate_size": 64, "num_layers": 2, "num_heads": 4},
    **{"image_size": 224, "patch_size": 14, "tokens_per_image": 256},
}
SQUARES = VisionFacts(model_type="paligemma", **SIZES)
GRID = PatchGrid(merge=2, frames=2, least_pixels=28 * 28, most_pixels=28 * 28 * 256)
PATCHES = VisionFacts(model_type="qwen2_vl", **{**SIZES, "image_size": 0, "grid": GRID})


@pytest.mark.parametrize(("operand", "each"), [(4, 8), (2, 10)])
def test_an_eager_tower_holds_its_scores(operand: int, each: int) -> None:
    """In float32 into softmax and out of it, and in 16 bits as the product gave them."""
    held: dict[str, Any] = {"hidden_size": 64, "operand": operand}
    rows, length = 3, 300
    whole = image_bytes(SQUARES, (), rows * length, length, eager=True, **held)
    without = image_bytes(SQUARES, (), rows * length, length, eager=False, **held)
    scores = 3 * 4 * 257**2
    assert 0 < each * scores - (whole - without) <= rows * 257 * operand * 32 * 5, (
        "no more than other moments were larger"
    )


def test_images_that_keep_their_shape_hold_scores_one_after_the_other() -> None:
    found = [image_bytes(PATCHES, (), 4 * 256, 256, hidden_size=64, operand=4, eager=eager) for eager in (False, True)]
    assert 0.9 < (found[1] - found[0]) / (8 * 4 * 1024**2) <= 1, "1,024 patches of the largest image"


def test_trained_parts_keep_what_their_backward_pass_needs() -> None:
    """Nothing of frozen ones; of a projector its inputs; of a tower its layers, or what goes into them."""
    ways: dict[str, Any] = {"hidden_size": 64, "operand": 2, "residual": 4}
    patches = 3 * 257

    def kept(*frozen: str, recomputes: bool = False) -> int:
        return kept_image_bytes(SQUARES, frozen, (), 3 * 300, 300, **ways, recomputes=recomputes)

    projector = patches * 2 * (32 + 2 * 64)
    assert kept("vision_tower", "multi_modal_projector") == 0
    assert kept("vision_tower") == projector
    assert kept(recomputes=True) == projector + patches * 3 * 4 * 32, "what goes into two layers, and what comes out"
    assert kept() > 4 * kept(recomputes=True)


def test_images_that_are_known_count_in_place_of_those_that_rows_have_room_for() -> None:
    held: dict[str, Any] = {"tokens": 32 * 2048, "length": 2048, "hidden_size": 64, "operand": 2, "eager": False}
    image = SQUARES.shape(1024, 768)
    one, three = (image_bytes(SQUARES, [image] * count, **held) for count in (1, 3))
    assert three == 3 * one
    assert image_bytes(SQUARES, (), **held) == 32 * 8 * one, "eight in each row"
    wide, small = PATCHES.shape(1024, 768), PATCHES.shape(28, 28)
    patches = [wide.height * wide.width // 14**2, 4]
    found = [image_bytes(PATCHES, [wide, small], **{**held, "eager": eager}) for eager in (False, True)]
    assert 0.9 < (found[1] - found[0]) / (10 * 4 * patches[0] ** 2) <= 1, "scores of the largest alone"
