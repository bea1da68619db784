"""What reads images in a model: read off its config.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ftc.compiler.resolve.models.model_form import form_of, installed_release
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.documents.vision_facts import CropCuts, PatchGrid, SquareCuts, TileSizes, VisionFacts
from ftc.spec.vision_card import VisionModel
from ftc.spec.vision_models import vision_model

__all__ = [
    "LEAST_PIXELS",
    "MOST_PATCHES",
    "MOST_PIXELS",
    "USUAL_CROPS",
    "USUAL_LONGEST",
    "USUAL_TILES",
    "language_part",
    "tile_sizes",
    "vision_facts",
    "without_vision",
]

_TOWER_KEYS = (
    *("image_size", "num_channels", "patch_size", "projection_dim"),
    *("depth", "embed_dim", "in_channels", "mlp_ratio", "out_hidden_size"),
    *("num_position_embeddings", "spatial_merge_size", "temporal_patch_size", "tokens_per_second", "window_size"),
)
"""Keys of `vision_config` that decide what is built, beside those of every configuration."""
_TOWER_PARTS = (
    *("vision_use_head", "use_absolute_position_embeddings", "use_mask_token", "use_mean_pooling", "use_qk_norm"),
    "attention_bias",
)
"""Those that say whether a part is built."""
MOST_PATCHES = 100_000
LEAST_PIXELS, MOST_PIXELS = 56 * 56, 28 * 28 * 1280
"""What a processor's file means that says neither, as transformers has it."""
USUAL_LONGEST = 4 * 364
"""The longer side of an image that is cut into squares, where a processor's file doesn't say."""
USUAL_CROPS = 12
"""Squares that an image is cut into at the most, where a processor's file doesn't say."""
USUAL_TILES = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
_LARGEST_SIZE = 10**6
_MOST_NUMBERED = 1000
"""Layers of a tower that config.json names by number, at most."""
_INSIDE = " in `vision_config`"


def language_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of the language model: the inner one of a model that reads images, else the whole."""
    known, inner = vision_model(str(config.get("model_type"))), config.get("text_config")
    if known is None:
        return config
    own = {name: config[name] for name in ("architectures", "tie_word_embeddings") if name in config}
    # A file of before transformers 4.52 has the sizes of a Qwen beside `vision_config`.
    flat = {} if known.text_defaults else {name: one for name, one in config.items() if name != "model_type"}
    # An empty `text_config` means transformers' own, a Llama.
    said = {
        "model_type": known.text_types[0],
        **known.text_defaults,
        **(inner if isinstance(inner, dict) else flat),
        **own,
    }
    if known.ties is not None and "tie_word_embeddings" not in own:
        said["tie_word_embeddings"] = known.ties
    return {**said, "model_type": known.text_as.get(str(said["model_type"]), said["model_type"])}


def vision_facts(config: Mapping[str, Any]) -> tuple[VisionFacts | None, list[str]]:
    """What reads images, and what is wrong with its sizes in words; nothing for a model that reads text alone."""
    known = vision_model(str(config.get("model_type")))
    if known is None:
        return None, []
    said = config.get("vision_config")
    if not isinstance(said, Mapping):
        return None, ["`vision_config` is missing"]
    tower, faults = {**known.tower_defaults, **said, **_one_side(said)}, list[str]()

    def size(holder: Mapping[str, Any], keys: tuple[str, ...], least: int, where: str) -> int:
        value = next((holder[key] for key in keys if key in holder), None)
        if type(value) is not int or not least <= value <= _LARGEST_SIZE:
            faults.append(
                f"`{keys[0]}`{where} is {str(value)[:40]}, not a whole number from {least} to {_LARGEST_SIZE}"
            )
            return 1
        return value

    shape = _Shape()
    patch_size = size(tower, ("patch_size",), 1, _INSIDE)
    if known.shapes == "patches":
        merge, frames = (size(tower, (f"{name}_size",), 1, _INSIDE) for name in ("spatial_merge", "temporal_patch"))
        grid = PatchGrid(merge=merge, frames=frames, least_pixels=LEAST_PIXELS, most_pixels=MOST_PIXELS)
        shape = _Shape(tokens=grid.most_tokens(patch_size), grid=grid)
    elif not faults:
        shape = _of_squares(known, config, tower, size, faults)
    strategy = config.get("vision_feature_select_strategy", "default")
    is_cut = shape.tiles is not None or shape.crops is not None
    if strategy not in (("default",) if is_cut else ("default", "full")):
        other = "" if is_cut else " or `full`"
        faults.append(f"`vision_feature_select_strategy` is {str(strategy)[:40]!r}, not `default`{other}")
    num_layers = size(tower, (known.layers_key,), 1, _INSIDE)
    faults += [*_numbering_faults(known, config, tower, num_layers), *_projector_faults(known, config, tower)]
    language = language_part(config)
    sizes = {key: tower[key] for key in _TOWER_KEYS if type(tower.get(key)) is int}
    sizes |= {key: tower[key] for key in _TOWER_PARTS if type(tower.get(key)) is bool}
    sizes |= {key: tower[key] for key in known.numbered_layers if key in tower}
    kept = ("model_type", "tie_word_embeddings", *known.token_keys, *known.own_keys)
    form = {key: config[key] for key in kept if key in config}
    edges = [size({key: usual, **config}, (key,), 0, "") for key, usual in known.edge_keys]
    facts = VisionFacts(
        model_type=known.model_type,
        image_token_id=size(config, known.token_keys, 0, ""),
        image_size=shape.image_size,
        patch_size=patch_size,
        tokens_per_image=shape.tokens + (strategy == "full"),
        grid=shape.grid,
        tiles=shape.tiles,
        squares=shape.squares,
        crops=shape.crops,
        edges=(edges[0], edges[1]) if edges else None,
        hidden_size=size(tower, (known.width_key,), 1, _INSIDE),
        intermediate_size=_inner_size(known, tower, size),
        num_layers=num_layers,
        num_heads=size(tower, (known.heads_key,), 1, _INSIDE),
        keeps_states=_keeps_states(known),
        config={**form, "text_config": form_of(language), "vision_config": {**form_of(tower), **sizes}},
    )
    return facts, faults


def _keeps_states(known: VisionModel) -> bool:
    """Whether states behind all layers of a tower stand until it is done; where no release is installed, it may be."""
    until, installed = known.all_states_until, installed_release()
    return until is not None and (installed is None or installed < until)


def _numbering_faults(
    known: VisionModel, config: Mapping[str, Any], tower: Mapping[str, Any], num_layers: int
) -> Iterator[str]:
    """What is wrong with the numbers of layers that a configuration names.

    Where features are made of states, one of them has to be there for each number. Elsewhere a number without a layer
    names none, and transformers' own numbers are those of a tower that is deep enough.
    """
    for key in known.numbered_layers:
        holder, where = (config, "") if key in known.own_keys else (tower, _INSIDE)
        if key not in holder:
            continue
        said, of_states = holder[key], known.keeps_numbered == "states"
        named = said if isinstance(said, list) else [said]
        is_form = isinstance(said, list) or of_states
        least, most = (-num_layers - 1, num_layers) if of_states else (0, _LARGEST_SIZE)
        fits = all(type(one) is int and least <= one <= most for one in named)
        if not (is_form and fits and len(named) <= _MOST_NUMBERED and (named or not of_states)):
            form = "a whole number" if of_states else "a list of whole numbers"
            more = ", or a list of such" if of_states else ""
            yield f"`{key}`{where} is {str(said)[:40]}, not {form} from {least} to {most}{more}"


def _projector_faults(known: VisionModel, config: Mapping[str, Any], tower: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the width of what a projector gives, where a configuration says it: it is that of tokens."""
    if known.projected_key is None:
        return
    key, usual = known.projected_key
    holder, where = (config, "") if key in known.own_keys else (tower, _INSIDE)
    width, taken = holder.get(key, usual), language_part(config).get("hidden_size")
    if type(taken) is int and width != taken:
        left_out = "" if key in holder else ", which transformers takes where it is left out"
        inner = " in `text_config`" if isinstance(config.get("text_config"), Mapping) else ""
        yield (
            f"`{key}`{where}, the width of what the projector gives, is {str(width)[:40]}{left_out}, "
            f"and `hidden_size`{inner}, that of the language model, is {taken}"
        )


def _one_side(tower: Mapping[str, Any]) -> dict[str, int]:
    """Sizes that stand there as two equal sides, as one."""
    found = {key: tower.get(key) for key in ("image_size", "patch_size")}
    pairs = {key: one for key, one in found.items() if isinstance(one, list) and len(one) == 2}
    return {key: one[0] for key, one in pairs.items() if type(one[0]) is int and one[0] == one[1]}


class _Shape(NamedTuple):
    """What becomes of images; fields as in `VisionFacts`."""

    tokens: int = 0
    image_size: int = 0
    grid: PatchGrid | None = None
    tiles: TileSizes | None = None
    squares: SquareCuts | None = None
    crops: CropCuts | None = None


def _of_squares(
    known: VisionModel, config: Mapping[str, Any], tower: Mapping[str, Any], size: Callable[..., int], faults: list[str]
) -> _Shape:
    """What becomes of images that a tower reads in one size, whole or in parts."""
    image_size, patch_size = (size(tower, (key,), 1, _INSIDE) for key in ("image_size", "patch_size"))
    across = image_size // patch_size
    if not faults and not 0 < across**2 <= MOST_PATCHES:
        faults.append(f"images of {image_size} pixels have {across**2:,} patches of {patch_size}")
    if faults:
        return _Shape()
    if known.shapes == "tiles":
        sizes = tile_sizes(config.get("image_grid_pinpoints") or USUAL_TILES, image_size)
        tiles = TileSizes(tile=image_size, sizes=sizes) if sizes else None
        tokens = tiles.most_tokens(patch_size) if tiles else 0
        if not 0 < tokens <= MOST_PATCHES:
            faults.append(f"`image_grid_pinpoints` doesn't list sizes in tiles of {image_size} pixels")
        return _Shape(tokens=tokens, image_size=image_size, tiles=tiles)
    if known.merge_key is not None:
        (key, usual) = known.merge_key
        merge = size({key: usual, **config}, (key,), 1, "")
        if across % merge:
            faults.append(f"`{key}` is {merge}, which doesn't divide the {across} patches of an image's side")
        squares = SquareCuts(side=image_size, longest=USUAL_LONGEST, splits=True, merge=merge)
        return _Shape(tokens=squares.most * squares.each(patch_size), image_size=image_size, squares=squares)
    tokens = across**2
    if known.tokens_key is not None:
        (key, usual) = known.tokens_key
        tokens = size({key: usual, **config}, (key,), 1, "")
        if math.isqrt(tokens) ** 2 != tokens or across % math.isqrt(tokens):
            faults.append(f"`{key}` is {tokens}, which can't be pooled from {across} x {across} patches")
    if known.shapes == "crops":
        ratio = config.get("downsample_ratio", 0.5)
        if not isinstance(ratio, float) or int(across * ratio) ** 2 != tokens:
            faults.append(f"`downsample_ratio` is {str(ratio)[:40]}, which leaves no {tokens} features of a square")
        crops = CropCuts(side=image_size, least=1, cuts=USUAL_CROPS, each=tokens)
        return _Shape(tokens=crops.most * tokens, image_size=image_size, crops=crops)
    return _Shape(tokens=tokens, image_size=image_size)


def tile_sizes(said: Any, tile: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of images in tiles; nothing where one of them isn't."""
    sizes = [tuple(one) for one in said if isinstance(one, list | tuple)] if isinstance(said, list | tuple) else []
    fits = [
        len(one) == 2 and all(type(n) is int and 0 < n <= _LARGEST_SIZE and not n % tile for n in one) for one in sizes
    ]
    return tuple((one[0], one[1]) for one in sizes) if sizes and len(sizes) == len(said) and all(fits) else ()


def _inner_size(known: VisionModel, tower: Mapping[str, Any], size: Callable[..., int]) -> int:
    """Width of the feed-forward part of the tower's layers."""
    if known.inner_ratio_key is None or known.inner_key in tower:
        return size(tower, (known.inner_key,), 1, _INSIDE)
    return size(tower, (known.width_key,), 1, _INSIDE) * size(tower, (known.inner_ratio_key,), 1, _INSIDE)


def without_vision(tensors: Mapping[str, TensorFacts], vision: VisionFacts | None) -> Mapping[str, TensorFacts]:
    """The tensors of the language model alone."""
    if vision is None:
        return tensors
    parts = set(vision.parts)
    return {name: one for name, one in tensors.items() if parts.isdisjoint(name.split("."))}
