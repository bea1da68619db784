"""What a vision tower holds while it reads the images of a batch, and what its backward pass needs, from shapes alone.

Terms follow transformers' modules as the model's card describes them (`TowerLayers`). At the largest moment of a frozen
tower there are the text's embeddings, the pixels, the states that go into a layer, those of the first one where the
tower's own function still has them, and what the layer makes on its way: at its feed-forward part, at the rotation of
queries and keys in float32, or at its scores where attention holds them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ftc.compiler.remembered import remembered
from ftc.compiler.tower_rows import CHANNELS, Read, Rows, read_at_once
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.vision_facts import VisionFacts
from ftc.spec.module_names import part_of
from ftc.spec.vision_card import PixelForm

__all__ = [
    "Behind",
    "TowerNumbers",
    "behind_bytes",
    "idle_weights",
    "image_bytes",
    "kept_image_bytes",
    "merging_bytes",
    "vision_weights",
]

_FP32, _INT64 = 4, 8
_AROUND = 4
"""Entries of a table of places between which one is interpolated."""
_COMPOSED = "quick_gelu"
"""The activation that is written out: what goes in, its sigmoid and their product are there at once."""


@dataclass(frozen=True, slots=True)
class TowerNumbers:
    """Bytes of a number, by where it stands.

    Attributes:
        operand: Of a product's operands.
        weight: Of the tower's weights.
        embedding: Of a token's vector.
        on_card: Whether the run is on a CUDA device.
        eager: Whether attention holds its scores.
    """

    operand: int
    weight: int
    embedding: int
    on_card: bool
    eager: bool

    @property
    def widens(self) -> bool:
        """Whether torch's kernel for layer norms gives float32, as autocast has it on a card."""
        return self.on_card and self.operand < _FP32


class Behind(NamedTuple):
    """Bytes that images take behind the tower."""

    pixels: int
    """Of the batch, until it is done with."""
    outputs: int
    """Of what tower and projector gave, until the model has returned it."""
    joined: int
    """Of features as they took their places, until the layers of the language model are done."""


def behind_bytes(vision: VisionFacts, rows: Rows, hidden_size: int, numbers: TowerNumbers) -> Behind:
    """What stands of images behind the tower. For the arguments see `image_bytes`."""
    read, kept = read_at_once(vision, rows), vision.card.keeps_numbered == "features"
    features = _placed(read, rows) * hidden_size
    each = 1 + (vision.kept_numbers if kept else 0)
    # Joined features are copies, and so are those in another type than tokens' vectors.
    is_anew = vision.card.joins_features or numbers.embedding != numbers.operand
    joined = features * (numbers.embedding + (each - 1) * numbers.operand) if is_anew else 0
    return Behind(
        pixels=_of_batch(vision, read),
        outputs=_given(vision, read, numbers) + each * features * numbers.operand,
        joined=joined,
    )


def image_bytes(vision: VisionFacts, rows: Rows, hidden_size: int, numbers: TowerNumbers) -> int:
    """Bytes at the largest moment of reading images, beside weights and what a trained tower keeps.

    Args:
        vision: The tower.
        rows: With their images.
        hidden_size: Width of the language model.
        numbers: Bytes of numbers.
    """
    read, text = read_at_once(vision, rows), rows.tokens * hidden_size * numbers.embedding
    scaled = text if vision.card.scales_embeddings else 0
    passing = max(_beginning(vision, read, numbers), _within_layers(vision, read, hidden_size, numbers))
    return text + _pixels(vision, read, numbers) + max(scaled, passing)


def merging_bytes(vision: VisionFacts, rows: Rows, hidden_size: int, numbers: TowerNumbers, masks: int = 0) -> int:
    """Bytes at the largest moment between tower and layers: in the projector, where images take their places among
    tokens, or where masks are made that let these see ahead.

    Args:
        vision: The tower.
        rows: With their images.
        hidden_size: Width of the language model.
        numbers: Bytes of numbers.
        masks: Bytes of masks while they are made.
    """
    read, text = read_at_once(vision, rows), rows.tokens * hidden_size * numbers.embedding
    stands = behind_bytes(vision, rows, hidden_size, numbers)
    projecting = _pixels(vision, read, numbers) + _given(vision, read, numbers)
    projecting += _within_projector(vision, read, hidden_size, numbers)
    # A card's masked_scatter has a place in 64 bits and a truth value for each number that it may write.
    places = (_INT64 + 1) * rows.tokens * hidden_size if numbers.on_card else 0
    return text + max(projecting, sum(stands) + text + places, sum(stands) + masks)


def kept_image_bytes(
    vision: VisionFacts,
    frozen: Collection[str],
    rows: Rows,
    hidden_size: int,
    numbers: TowerNumbers,
    *,
    recomputes: bool,
) -> int:
    """Bytes that the backward pass needs of parts that are trained; 0 where all of them are frozen.

    Args:
        vision: The tower.
        frozen: Names of modules that aren't trained.
        rows: With their images.
        hidden_size: Width of the language model.
        numbers: Bytes of numbers.
        recomputes: Whether layers are computed again in the backward pass.
    """
    read, card, kept = read_at_once(vision, rows), vision.card, 0
    if card.tower not in frozen:
        states = read.patches * vision.hidden_size * _states(vision, numbers)
        each = states if recomputes else _kept_of_a_layer(vision, read, numbers)
        kept += vision.num_layers * each + states + _turns(vision, read)
    if not {card.tower, card.projector} <= set(frozen):
        inner = 2 * _projected(vision, read, hidden_size) if card.projector_products > 1 else 0
        kept += numbers.operand * (read.patches * vision.hidden_size + inner)
    return kept


@remembered
def vision_weights(model: ModelFacts, frozen: Collection[str] = ()) -> int:
    """Weights in front of the language model, but for those of modules of these names; 0 where it reads text alone."""
    if model.vision is None:
        return 0
    card, found = model.vision.card, 0
    for name, one in model.tensors.items():
        part = card.part_of(name)
        if part != "language_model" and card.module_of(part) not in frozen:
            found += one.num_elements
    return found


@remembered
def idle_weights(model: ModelFacts, trained: Collection[str]) -> int:
    """Weights of a tower that are trained by name and get no gradient: of layers whose states nothing reads.

    Args:
        model: The model.
        trained: Names of trained weights.
    """
    if (vision := model.vision) is None:
        return 0
    last, found = vision.last_used_layer, 0
    for name in trained:
        place = part_of(name)
        is_behind = place.kind == "layer" and place.layer > last and name in model.tensors
        if is_behind and vision.card.part_of(name) == "vision_tower":
            found += model.tensors[name].num_elements
    return found


def _states(vision: VisionFacts, numbers: TowerNumbers) -> int:
    """Bytes of a number between layers: as wide as products give it, unless something wider was added or came first."""
    layers = vision.card.layers
    if layers.normed_first and numbers.widens:
        return _FP32
    return max(numbers.operand, numbers.weight) if layers.learned_places == "table" else numbers.operand


def _normed(vision: VisionFacts, numbers: TowerNumbers) -> int:
    """Bytes of a number behind a norm."""
    if vision.card.layers.norm == "fused":
        return _FP32 if numbers.widens else _states(vision, numbers)
    return max(numbers.weight, _states(vision, numbers))


def _given(vision: VisionFacts, read: Read, numbers: TowerNumbers) -> int:
    """What a tower gives: what comes out of its last layer, or of a norm behind it, and states that it kept."""
    wide, states = read.patches * vision.hidden_size, _states(vision, numbers)
    last = wide * (_normed(vision, numbers) if vision.card.layers.normed_last else states)
    if vision.card.keeps_numbered != "states":
        return last
    if vision.keeps_states:
        return last + vision.num_layers * wide * states
    ends = {vision.num_layers, -1}
    numbered = {one % (vision.num_layers + 1) for named in vision.numbered for one in named if one not in ends}
    return last + len(numbered) * wide * states


def _placed(read: Read, rows: Rows) -> int:
    """Features that take places in rows: of an image in tiles they are fewer than the projector gives."""
    return sum(image.tokens for image in rows.images) if rows.images else read.features


def _within_projector(vision: VisionFacts, read: Read, hidden_size: int, numbers: TowerNumbers) -> int:
    """What a projector makes on its way: states put together or in another order, a norm, and its products."""
    card, operand = vision.card, numbers.operand
    count = max([1, *map(len, vision.numbered)]) if card.keeps_numbered == "states" else 1
    wide, each = count * read.patches * vision.hidden_size, _states(vision, numbers)
    each = _normed(vision, numbers) if card.layers.normed_last else each
    normed = wide * (_FP32 if numbers.widens else each) if card.projector_normed else 0
    cast = wide * operand if each > operand or (normed and numbers.widens) else 0
    inner = _projected(vision, read, hidden_size) * operand
    ordered = wide * each if card.projector_copies else 0
    products = ordered + max(normed + cast + inner, card.projector_products * inner)
    return (wide * each if count > 1 else 0) + max(card.projector_copies * wide * each, products)


def _activation(vision: VisionFacts) -> str:
    said: Mapping[str, object] = vision.config.get("vision_config") or {}
    return str(said.get("hidden_act") or vision.card.layers.activation)


def _inner_tensors(vision: VisionFacts) -> int:
    """Tensors between the two halves of a feed-forward part that are there at once."""
    return 3 if vision.card.layers.gated or _activation(vision) == _COMPOSED else 2


def _held(vision: VisionFacts, read: Read, hidden_size: int, numbers: TowerNumbers) -> int:
    """What stands beside every layer: what went into the first one, places, and what is kept of layers by number."""
    layers, width = vision.card.layers, vision.hidden_size
    states = read.patches * width * _states(vision, numbers)
    held = states if layers.holds_first else 0
    if layers.learned_places == "interpolated":
        held += read.patches * width * _FP32
    held += _turns(vision, read)
    if vision.keeps_states:  # the first and the last are counted as such
        held += max(0, vision.num_layers - 2) * states
    elif vision.card.keeps_numbered == "states":
        held += vision.kept_numbers * states
    elif vision.card.keeps_numbered == "features":
        held += vision.kept_numbers * read.features * hidden_size * numbers.operand
    return held


def _turns(vision: VisionFacts, read: Read) -> int:
    """Cosines and sines by which all layers rotate queries and keys."""
    return 2 * read.patches * vision.hidden_size // vision.num_heads * _FP32 if vision.card.layers.rotates else 0


def _within_layers(vision: VisionFacts, read: Read, hidden_size: int, numbers: TowerNumbers) -> int:
    """What is there at the largest moment of a layer, with what stands beside it."""
    layers, operand = vision.card.layers, numbers.operand
    wide = read.patches * vision.hidden_size
    states, normed, products = wide * _states(vision, numbers), wide * _normed(vision, numbers), wide * operand
    scores = vision.num_heads * read.pairs if numbers.eager else 0
    # into softmax and out of it, and as the product gave them
    each = 2 * _FP32 + (operand if operand < _FP32 else 0)
    if layers.rotates:
        # Queries and keys as they were and turned: a product with cosines, one with sines, and their sum.
        turned = (6 if operand < _FP32 else 4) * wide * _FP32
        attending = 3 * products + max(turned, 3 * products + scores * each)
        left = 0
    else:
        attending = max(5 * products, 3 * products + scores * each)
        left = scores * operand  # what softmax gave is returned, and stands until a layer ends
    inner = _inner_tensors(vision) * read.patches * vision.intermediate_size * operand
    feeding = states * (2 if layers.scales else 1) + inner + left
    return _held(vision, read, hidden_size, numbers) + states + normed + max(attending, feeding)


def _beginning(vision: VisionFacts, read: Read, numbers: TowerNumbers) -> int:
    """What is there as pixels become patches: their cast, and what the convolution gives, with its place."""
    wide, is_cast = read.patches * vision.hidden_size, numbers.operand < _FP32
    patches = read.pixels * numbers.operand * is_cast + wide * numbers.operand
    if vision.card.layers.learned_places != "interpolated":
        return patches
    around = wide * (_AROUND * (numbers.weight + _FP32) + _FP32)
    return max(patches, wide * numbers.operand + around)


def _pixels(vision: VisionFacts, read: Read, numbers: TowerNumbers) -> int:
    """Bytes of pixels and their masks while the tower reads them, with copies that stand beside them."""
    form: PixelForm = vision.card.inputs["pixel_values"]
    narrower = numbers.weight if numbers.weight < _FP32 else 0
    copies = 0
    match form:
        case "tiles":  # those of all images one behind the other
            copies = _FP32
        case "cuts":  # without squares of padding
            copies = numbers.weight
        case "patches" | "pieces":
            copies = narrower
        case "squares" | "masks" | "grids" | "sizes":
            pass
    return _of_batch(vision, read) + copies * read.pixels + _masks_of_pixels(vision, read)


def _of_batch(vision: VisionFacts, read: Read) -> int:
    """Bytes of pixels and their masks as a batch has them."""
    return _FP32 * read.given + _masks_of_pixels(vision, read)


def _masks_of_pixels(vision: VisionFacts, read: Read) -> int:
    return _INT64 * read.pixels // CHANNELS if "pixel_attention_mask" in vision.card.inputs else 0


def _projected(vision: VisionFacts, read: Read, hidden_size: int) -> int:
    """Numbers between the two products of a projector: patches that it joins have their own width, or the model's."""
    if vision.grid is not None:
        return read.patches * vision.hidden_size
    return read.features * hidden_size


def _kept_of_a_layer(vision: VisionFacts, read: Read, numbers: TowerNumbers) -> int:
    """What autograd keeps of a layer whose weights are trained."""
    layers, operand, width = vision.card.layers, numbers.operand, vision.hidden_size
    states, normed = _states(vision, numbers), _normed(vision, numbers)
    if layers.norm == "fused":  # saved by layer_norm: its input as the kernel takes it, mean, rstd
        of_norms = 2 * (max(states, _FP32 if numbers.widens else 0) * width + 2 * _FP32)
    else:  # saved by pow and mul: x in float32; by mul with weights: x * rsqrt
        of_norms = 2 * (_FP32 + states) * width + 2 * _FP32
    casts = normed > operand  # saved by linear: its input; each casts its own
    # saved by SDPA: q, k, v, out. Rotated q and k stand by themselves, v keeps all of its product, and linear saves out
    if layers.rotates:
        attending = (1 + 2 + 3 + 2) * operand * width
    else:
        attending = ((3 if casts else 1) + 4) * operand * width
    attending += _FP32 * vision.num_heads
    if layers.gated:  # saved by silu and mul: gate, silu(gate), up; by linear: their product
        feeding = (2 if casts else 1) * operand * width + 4 * operand * vision.intermediate_size
    else:  # saved by the activation: its input, and a sigmoid where it is written out; by linear: what it gives
        feeding = operand * (width + (3 if _activation(vision) == _COMPOSED else 2) * vision.intermediate_size)
    scaled = 2 * operand * width if layers.scales else 0  # saved by mul with a learned vector
    # saved by softmax, and by matmul in the operands' type
    scores = read.pairs * vision.num_heads * (_FP32 + (operand if operand < _FP32 else 0)) if numbers.eager else 0
    return read.patches * (of_norms + attending + feeding + scaled) + scores
