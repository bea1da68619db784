"""What reading images takes: convolution over pixels, layers of the tower, and projector, each as a network of its own.

Patches attend to all patches of their image or square, or to those of their window. No image is padded to the size of
another one, so the work follows from the rows alone, however they meet in batches; only the number of batches with an
image is an expectation, for rows in random order.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple, get_args

import numpy as np

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.remembered import remembered
from ftc.compiler.row_images import RowImages
from ftc.compiler.time.amounts import Amounts
from ftc.compiler.time.network import Linear, Network, linear_part
from ftc.compiler.time.network_work import forward_work, step_work
from ftc.compiler.time.workload import activation_bytes, draft_kernel
from ftc.compiler.tower_rows import Rows, read_at_once
from ftc.spec.documents.estimates import Work
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.vision_facts import VisionFacts
from ftc.spec.module_names import part_of
from ftc.spec.precisions import precision_card

__all__ = ["DECODED", "image_work"]

_NOTHING = Work(flops=0.0, bytes=0.0, operations=0.0)
_TURN_OPERATIONS = 4
"""Kernels of an image or window in a layer that takes one after the other: queries, keys, values, and attention."""
DECODED = 1 / 8
"""Time of decoding a pixel by that of making one what a tower reads (`python benchmarks/image_preparing.py`)."""
_LARGEST_TABLE = 3
"""Dimensions of a table of places at the most; a convolution over pixels has more."""


def image_work(draft: ClosedDraft, split: str, *, rows: float, passes: float, training: bool) -> Work:
    """What it takes to read the images of rows; nothing where they have none.

    Args:
        draft: With a candidate.
        split: Whose rows are read.
        rows: How many, on one device; each stands for the split's mean.
        passes: Batches in which they are read.
        training: Whether trained parts get gradients.
    """
    images = draft.row_images.get(split)
    if images is None or not rows or not passes:
        return _NOTHING
    read, times = _read(images), rows / images.rows
    with_images = passes * (1 - (1 - images.share) ** (rows / passes))
    found = Work(flops=0.0, bytes=0.0, operations=0.0, pixels=times * read.pixels)
    for part in _parts(draft.model, images.vision, draft.trained.names):
        network = _network(draft, images.vision, part)
        amounts = read.fed[part.reads] * times + Amounts(passes=with_images)
        if training and part.has_gradients:
            again = draft.candidate.activation_checkpointing if part.layers else False
            found = found.plus(step_work(network, amounts, 0, activation_bytes(draft), checkpointing=again))
        else:
            found = found.plus(forward_work(network, amounts, activation_bytes(draft)))
    if draft.candidate.attention != "flash_attention_2":  # whose package takes all at once
        found = found.plus(Work(flops=0.0, bytes=0.0, operations=_TURN_OPERATIONS * times * read.turns))
    return found


_Reads = Literal["pixels", "patches", "features"]


class _Read(NamedTuple):
    """What the images of a split are for a model.

    Attributes:
        fed: What is read, by what reads it: squares of pixels, patches with tokens for all of an image, features.
        turns: Images and windows that attention takes one after the other, in all layers together.
        pixels: That are prepared, as `Work` counts them.
    """

    fed: Mapping[_Reads, Amounts]
    turns: float
    pixels: float


@remembered
def _read(images: RowImages) -> _Read:
    vision, turns = images.vision, 0.0
    fed = dict.fromkeys(get_args(_Reads), Amounts())
    num_near = len(vision.windows[1]) if vision.windows else 0
    for image, count in images.counted:
        one, (windows, near_pairs) = read_at_once(vision, Rows(0, 0, (image,))), _windows(vision, image)
        own = one.patches - image.squares * vision.card.layers.whole_token
        fed["pixels"] += Amounts(tokens=own) * count
        fed["patches"] += Amounts(tokens=one.patches, pairs=one.pairs, near_pairs=near_pairs) * count
        fed["features"] += Amounts(tokens=one.features) * count
        if vision.grid is not None:
            turns += count * (num_near * windows + vision.num_layers - num_near)
    sizes = images.sizes
    decoded = float((sizes.widths.astype(np.float64) * sizes.heights).sum())
    return _Read(fed, turns, fed["pixels"].tokens * vision.patch_size**2 + DECODED * decoded)


def _windows(vision: VisionFacts, image: ImageShape) -> tuple[int, int]:
    """Windows of an image, and pairs of patches within them."""
    if vision.windows is None:
        return 0, 0
    side, _ = vision.windows
    cuts = [_cut(length // vision.patch_size, side) for length in (image.height, image.width)]
    return math.prod(map(len, cuts)), math.prod(sum(one**2 for one in some) for some in cuts)


def _cut(length: int, size: int) -> list[int]:
    """Parts of a length, each of a size but for what is left over."""
    return [min(size, length - start) for start in range(0, length, size)]


class _Part(NamedTuple):
    """One network of those that read images.

    Attributes:
        reads: What it is fed.
        linears: Its products.
        layers: Its layers with attention.
        flows_in: Whether its input wants a gradient.
        flows_out: Whether its output gets one, if anything in it or before it is trained.
    """

    reads: _Reads
    linears: tuple[Linear, ...]
    layers: int = 0
    flows_in: bool = False
    flows_out: bool = True

    @property
    def has_gradients(self) -> bool:
        """Whether it has a backward pass."""
        return self.flows_out and (self.flows_in or any(one.trained for one in self.linears))


@remembered
def _parts(model: ModelFacts, vision: VisionFacts, trained: Collection[str]) -> tuple[_Part, ...]:
    """All that reads images: convolution, layers that the model uses and others, mergers in the tower, and projector.

    Args:
        model: With the sizes of its weights.
        vision: How it reads images.
        trained: Names of the weights that are trained.
    """
    products = {kind: list[Linear]() for kind in get_args(_Kind)}
    learned: list[tuple[_Kind | None, str]] = []
    for name, tensor in model.tensors.items():
        if vision.card.part_of(name) == "language_model":
            continue
        kind = _kind(vision, name, len(tensor.shape))
        if name in trained:
            learned.append((kind, name))
        if kind is not None and len(tensor.shape) > 1:
            # Products of a projector come one after the other, so that each is a layer of its own.
            layer = part_of(name).layer if kind == "layers" else len(products[kind])
            products[kind].append(_linear(vision, name, tensor, layer, is_trained=name in trained))
    in_tower = any(kind != "projector" for kind, _ in learned)
    starts = (None, "convolution")
    in_front = any(kind in starts or (kind == "layers" and not part_of(name).layer) for kind, name in learned)
    vectors = [name for kind, name in learned if kind == "projector" and len(model.tensors[name].shape) == 1]
    has_norm = any(name.endswith(".weight") for name in vectors)
    used = vision.last_used_layer
    behind = [one for one in products["layers"] if one.layer > used]
    layers = [one for one in products["layers"] if one.layer <= used]
    return (
        _Part("pixels", tuple(products["convolution"])),
        _Part("patches", tuple(layers), used + 1, flows_in=in_front),
        _Part("patches", tuple(behind), vision.num_layers - 1 - used, flows_out=False),
        _Part("features", tuple(products["mergers"]), flows_in=in_tower),
        _Part("features", tuple(products["projector"]), flows_in=in_tower or has_norm),
    )


_Kind = Literal["convolution", "layers", "mergers", "projector"]


def _kind(vision: VisionFacts, name: str, dimensions: int) -> _Kind | None:
    """Where a weight of what reads images belongs; None for tables of places and vectors beside the tower's layers."""
    if vision.card.part_of(name) == "projector":
        return "projector"
    if not set(vision.card.feature_modules).isdisjoint(name.split(".")):
        return "mergers"
    if part_of(name).kind == "layer":
        return "layers"
    return "convolution" if dimensions > _LARGEST_TABLE else None


def _linear(vision: VisionFacts, name: str, tensor: TensorFacts, layer: int, *, is_trained: bool) -> Linear:
    inputs, outputs = math.prod(tensor.shape[1:]), tensor.shape[0]
    part = linear_part(name.rpartition(".")[0], inputs, outputs, vision.hidden_size)
    return Linear(
        name, layer, in_decoder=False, part=part, inputs=inputs, outputs=outputs, beside=None, trained=is_trained
    )


def _network(draft: ClosedDraft, vision: VisionFacts, part: _Part) -> Network:
    """A part as the counting of its work sees it.

    Gradients and optimizer states of trained weights are counted with the language model's.
    """
    order, layers = ("attention in", "attention out", "feed in", "feed out"), vision.card.layers
    return Network(
        family="encoder",
        linears=tuple(sorted(part.linears, key=lambda one: (one.layer, order.index(one.part)))),
        layers=part.layers,
        decoder_layers=0,
        repeats=1.0,
        hidden=vision.hidden_size,
        queries=vision.hidden_size,
        keys=vision.hidden_size,
        heads=vision.num_heads,
        head_width=0,
        pooled=0,
        trainable=0,
        trained_bytes=precision_card(draft.train.precision).trained.size,
        is_full=all(one.trained for one in part.linears),
        flows_from_start=part.flows_in,
        trains_head=False,
        packed_bytes=0.0,
        attention=draft_kernel(draft, draft.model, training=False),  # towers drop nothing
        near_layers=vision.windows[1] if vision.windows and part.layers else frozenset(),
        ends_with_product=not layers.scales,
        composes_norms=layers.norm != "fused",
        rotates=layers.rotates,
    )
