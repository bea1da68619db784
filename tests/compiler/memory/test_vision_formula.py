"""What a tower holds, frozen or trained, by the analytical estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.memory.vision_formula import (
    TowerNumbers,
    behind_bytes,
    image_bytes,
    kept_image_bytes,
    merging_bytes,
)
from ftc.compiler.resolve.models import vision_config
from ftc.compiler.resolve.models.vision_config import vision_facts
from ftc.compiler.tower_rows import Rows
from ftc.spec.documents.vision_facts import PatchGrid, TileSizes, VisionFacts

WIDTH, INNER, HIDDEN = 320, 1280, 64
SIZES: dict[str, Any] = {
    **{"image_token_id": 9, "hidden_size": WIDTH, "intermediate_size": INNER, "num_layers": 2, "num_heads": 4},
    **{"image_size": 224, "patch_size": 14, "tokens_per_image": 256},
}
GRID = PatchGrid(merge=2, frames=2, least_pixels=28 * 28, most_pixels=28 * 28 * 256)
PATCHES: dict[str, Any] = {**SIZES, "image_size": 0, "grid": GRID}
TILES = TileSizes(tile=224, sizes=((224, 448), (448, 448)))
PALIGEMMA = VisionFacts(model_type="paligemma", **SIZES)
LLAVA = VisionFacts(model_type="llava", **SIZES)
QWEN = VisionFacts(model_type="qwen2_vl", **PATCHES)
NARROW = QWEN.model_copy(update={"hidden_size": 32, "intermediate_size": 64})
"""Of which scores are nearly all."""
FROZEN = TowerNumbers(operand=2, weight=2, embedding=2, on_card=True, eager=False)
EXACT = TowerNumbers(operand=4, weight=4, embedding=4, on_card=True, eager=False)
ROWS = Rows(3 * 300, 300, ())
CONFIG: dict[str, Any] = {
    "model_type": "llava",
    "image_token_index": 4,
    "vision_config": {
        **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 8, "num_attention_heads": 4},
        **{"image_size": 28, "patch_size": 7},
    },
    "text_config": {"model_type": "llama"},
}
PIXELS = 4 * 3 * 224**2


def of_images(vision: VisionFacts, count: int) -> Rows:
    return Rows(2048, 2048, [vision.shape(1024, 768)] * count)


def beside_text(vision: VisionFacts, rows: Rows, numbers: TowerNumbers = FROZEN) -> int:
    """What the tower itself takes where the text's embeddings stand already."""
    return image_bytes(vision, rows, HIDDEN, numbers) - rows.tokens * HIDDEN * numbers.embedding


def test_a_frozen_tower_is_largest_at_its_feed_forward_part() -> None:
    """Of a SigLIP in 16 bits: what went into the first layer, into this one and behind its attention; a norm in
    float32; and what stands between two products, as it came and behind the activation.
    """
    rows = of_images(PALIGEMMA, 3)
    assert beside_text(PALIGEMMA, rows) == 3 * (PIXELS + 256 * (3 * 2 * WIDTH + 4 * WIDTH + 2 * 2 * INNER))


def test_a_norm_before_the_first_layer_and_an_activation_in_parts_take_more() -> None:
    """A CLIP's states are in float32, its token for the whole image is one more, and its activation has three parts."""
    rows = of_images(LLAVA, 1)
    assert beside_text(LLAVA, rows) == PIXELS + 257 * (3 * 4 * WIDTH + 4 * WIDTH + 3 * 2 * INNER)
    fused = LLAVA.model_copy(update={"config": {"vision_config": {"hidden_act": "gelu"}}})
    assert beside_text(LLAVA, rows) - beside_text(fused, rows) == 257 * 2 * INNER


@pytest.mark.parametrize(("numbers", "turned"), [(FROZEN, 6), (EXACT, 4)])
def test_queries_and_keys_are_rotated_in_float32(numbers: TowerNumbers, turned: int) -> None:
    """Beside the product that gives them there are both in float32 where they come in 16 bits, and four more."""
    vision, rows = QWEN.model_copy(update={"intermediate_size": WIDTH}), of_images(QWEN, 1)
    patches = rows.images[0].height * rows.images[0].width // 14**2
    wide, e = patches * WIDTH, numbers.operand
    numbers_of_pixels = patches * 2 * 3 * 14**2
    pixels = numbers_of_pixels * (4 + (2 if e == 2 else 0))
    cosines = 2 * patches * WIDTH // 4 * 4
    assert beside_text(vision, rows, numbers) == pixels + cosines + wide * (e + 4 + 3 * e + turned * 4)


def test_gated_layers_have_three_tensors_between_their_products() -> None:
    sizes = {**PATCHES, "intermediate_size": 8 * INNER}  # wide enough to be the largest moment
    rows = of_images(QWEN, 1)
    plain, gated = (VisionFacts(model_type=kind, **sizes) for kind in ("qwen3_vl", "qwen2_5_vl"))
    patches = rows.images[0].height * rows.images[0].width // 14**2
    wide = patches * WIDTH
    # A norm in several operators gives 16 bits; places that are interpolated stand in float32.
    apart = 8 * INNER * 2 * patches - wide * (4 - 2) - wide * 4
    assert beside_text(gated, rows) - beside_text(plain, rows) == apart


@pytest.mark.parametrize(("numbers", "each"), [(EXACT, 8), (FROZEN, 10)])
def test_an_eager_tower_holds_its_scores(numbers: TowerNumbers, each: int) -> None:
    """In float32 into softmax and out of it, and in 16 bits as the product gave them."""
    eager = replace(numbers, eager=True)
    whole, without = (image_bytes(PALIGEMMA, ROWS, HIDDEN, ways) for ways in (eager, numbers))
    scores = 3 * 4 * 256**2
    assert 0 < each * scores - (whole - without) <= 3 * 256 * 2 * numbers.operand * INNER, (
        "no more than other moments were larger"
    )


def test_images_that_keep_their_shape_hold_scores_one_after_the_other() -> None:
    rows = Rows(4 * 256, 256, ())
    found = [image_bytes(NARROW, rows, HIDDEN, replace(EXACT, eager=eager)) for eager in (False, True)]
    assert 0.9 < (found[1] - found[0]) / (8 * 4 * 1024**2) <= 1, "1,024 patches of the largest image"


def test_tiles_stand_twice_and_their_tensor_has_room_for_the_most_of_an_image() -> None:
    vision = VisionFacts(model_type="llava_next", **SIZES, tiles=TILES)
    wide, square = vision.shape(448, 224), vision.shape(448, 448)
    assert (wide.squares, square.squares) == (3, 5)
    one, both = (beside_text(vision, Rows(4096, 4096, images)) for images in ([square], [square, wide]))
    layers = 257 * (3 * 4 * WIDTH + 4 * WIDTH + 3 * 2 * INNER)
    assert one == 5 * (2 * PIXELS + layers)
    assert both == (10 + 8) * PIXELS + 8 * layers


def test_scaled_embeddings_stand_twice_before_a_small_tower() -> None:
    long = Rows(4096, 4096, [PALIGEMMA.shape(224, 224)])
    text = 4096 * 2048 * 2
    assert image_bytes(PALIGEMMA, long, 2048, FROZEN) == 2 * text + PIXELS
    assert image_bytes(LLAVA, long, 2048, FROZEN) < 2 * text


def test_states_of_all_layers_stand_where_the_release_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = {**SIZES, "num_layers": 24}
    rows, state = of_images(LLAVA, 1), 257 * WIDTH * 4
    few, all_ = (VisionFacts(model_type="llava", **deep, keeps_states=keeps) for keeps in (False, True))
    assert beside_text(all_, rows) - beside_text(few, rows) == 22 * state, "the first and the last stand anyway"
    named = few.model_copy(update={"config": {"vision_feature_layer": [3, 7, -2]}})
    assert beside_text(named, rows) - beside_text(few, rows) == 2 * state
    for installed, keeps in (((5, 10), True), (None, True), ((5, 24), False)):
        monkeypatch.setattr(vision_config, "installed_release", lambda installed=installed: installed)
        facts, faults = vision_facts(CONFIG)
        assert not faults
        assert facts is not None
        assert facts.keeps_states is keeps


def test_trained_parts_keep_what_their_backward_pass_needs() -> None:
    """Nothing of frozen ones; of a projector its input; of a tower its layers, or what goes into them."""
    numbers = TowerNumbers(operand=2, weight=4, embedding=4, on_card=True, eager=False)
    patches = 3 * 256

    def kept(*frozen: str, recomputes: bool = False) -> int:
        return kept_image_bytes(PALIGEMMA, frozen, ROWS, HIDDEN, numbers, recomputes=recomputes)

    projector = patches * 2 * WIDTH
    assert kept("vision_tower", "multi_modal_projector") == 0
    assert kept("vision_tower") == projector, "one product"
    assert kept(recomputes=True) == projector + patches * 3 * 4 * WIDTH, "what goes into two layers, and what comes out"
    # Two norms' inputs with two numbers each; inputs of three products, q, k, v and out, a number for each head; the
    # input of the first half, and what comes into the activation and out of it.
    layer = 2 * (4 * WIDTH + 8) + 7 * 2 * WIDTH + 4 * 4 + 2 * WIDTH + 2 * 2 * INNER
    assert kept() == projector + patches * (2 * layer + 4 * WIDTH)
    of_two = kept_image_bytes(LLAVA, ("vision_tower",), ROWS, HIDDEN, numbers, recomputes=False)
    assert of_two == 3 * 257 * 2 * WIDTH + 900 * 2 * 2 * HIDDEN, "two products with an activation between them"


def test_images_that_are_known_count_in_place_of_those_that_rows_have_room_for() -> None:
    one, three = (beside_text(PALIGEMMA, of_images(PALIGEMMA, count)) for count in (1, 3))
    assert three == 3 * one
    assert beside_text(PALIGEMMA, Rows(2 * 2048, 2048, ())) == 2 * 8 * one, "eight in each row"
    wide, small = QWEN.shape(1024, 768), QWEN.shape(28, 28)
    patches = [wide.height * wide.width // 14**2, 4]
    rows = Rows(2048, 2048, [wide, small])
    found = [image_bytes(NARROW, rows, HIDDEN, replace(FROZEN, eager=eager)) for eager in (False, True)]
    assert 0.9 < (found[1] - found[0]) / (10 * 4 * patches[0] ** 2) <= 1, "scores of the largest alone"


def test_images_take_their_places_among_the_embeddings() -> None:
    """There the text's embeddings stand twice, beside the tower's last states and what the projector made of them; and
    on a card a place and a truth value for each number that may be written.
    """
    rows = Rows(4096, 4096, [PALIGEMMA.shape(224, 224)])
    text, features = 4096 * 2048 * 2, 256 * 2048 * 2
    held = 2 * text + PIXELS + 256 * WIDTH * 4 + features
    assert merging_bytes(PALIGEMMA, rows, 2048, FROZEN) == held + 9 * 4096 * 2048
    narrow = 256 * WIDTH * 2  # a CPU's norms give the type of their input
    assert merging_bytes(PALIGEMMA, rows, 2048, replace(FROZEN, on_card=False)) == held - narrow


def test_pixels_and_what_was_made_of_them_stand_behind_the_tower() -> None:
    """A LLaVA gives its last states and those that its projector read; features are joined in a tensor of their own."""
    rows, state, features = of_images(LLAVA, 2), 2 * 257 * WIDTH * 4, 2 * 256 * HIDDEN * 2
    assert behind_bytes(LLAVA, rows, HIDDEN, FROZEN) == (2 * PIXELS, 2 * state + features, features)
    whole = behind_bytes(PALIGEMMA, of_images(PALIGEMMA, 2), HIDDEN, FROZEN)
    assert whole == (2 * PIXELS, 2 * 256 * WIDTH * 4 + features, 0), "a norm's result; features as they came"
    wide = behind_bytes(PALIGEMMA, of_images(PALIGEMMA, 2), HIDDEN, replace(FROZEN, embedding=4))
    assert wide.joined == 2 * features, "in the type of tokens' vectors"
    for named, count in (([0, 1, 2, -1], 3), (-1, 1), ([-2, 1], 2)):
        one = LLAVA.model_copy(update={"config": {"vision_feature_layer": named}})
        assert behind_bytes(one, rows, HIDDEN, FROZEN).outputs == count * state + features
    deep = {**PATCHES, "num_layers": 27}
    plain, stacked = (VisionFacts(model_type=kind, **deep) for kind in ("qwen2_vl", "qwen3_vl"))
    few, more = (behind_bytes(one, of_images(one, 1), HIDDEN, FROZEN) for one in (plain, stacked))
    each = plain.shape(1024, 768).tokens * HIDDEN * 2
    assert (more.outputs - few.outputs, more.joined - few.joined) == (3 * each, 3 * each)


@pytest.mark.parametrize(
    ("named", "count"), [(-2, 0), ([3, -6], 1), ([0, 8, 7, -1, -9], 0), ([1, 3, -6, -3], 3), (5, 1)]
)
def test_states_that_are_named_twice_count_once(named: Any, count: int) -> None:
    """Of 8 layers 0 is what goes into the first one and 8 what comes out of the last."""
    facts, faults = vision_facts({**CONFIG, "vision_feature_layer": named})
    assert not faults
    assert facts is not None
    assert facts.kept_numbers == count


def test_layers_that_no_configuration_names_are_those_of_transformers() -> None:
    deep = {**PATCHES, "num_layers": 27}
    assert VisionFacts(model_type="qwen3_vl", **deep).kept_numbers == 3
    assert VisionFacts(model_type="qwen3_vl", **{**deep, "num_layers": 20}).kept_numbers == 2
    said = {"vision_config": {"deepstack_visual_indexes": [5]}}
    assert VisionFacts(model_type="qwen3_vl", **deep, config=said).kept_numbers == 1
    assert VisionFacts(model_type="qwen2_5_vl", **deep).numbered == ((7, 15, 23, 31),)


@pytest.mark.parametrize("named", ["x", 99, -10, [[1]], ["1"], [], None, True, [1.0], {"a": 1}, [1] * 1001])
def test_numbers_of_layers_that_a_tower_hasnt_are_a_fault(named: Any) -> None:
    _, faults = vision_facts({**CONFIG, "vision_feature_layer": named})
    assert len(faults) == 1
    assert "`vision_feature_layer` is" in faults[0]
    assert "not a whole number from -9 to 8, or a list of such" in faults[0]


@pytest.mark.parametrize(("named", "is_fault"), [([0], False), ([], False), ([99], False), ("x", True), (3, True)])
def test_numbers_of_a_towers_features_are_a_list(named: Any, is_fault: bool) -> None:
    tower = {**CONFIG["vision_config"], "depth": 8, "num_heads": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    config = {**CONFIG, "model_type": "qwen3_vl", "image_token_id": 4}
    _, faults = vision_facts({**config, "vision_config": {**tower, "deepstack_visual_indexes": named}})
    assert [one for one in faults if "deepstack_visual_indexes` in `vision_config`" in one] == faults
    assert len(faults) == is_fault
