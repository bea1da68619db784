"""What reads images in a model: read off its config.json and its processor's file, and compared with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.model_form import form_of
from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.documents.facts import PatchGrid, TensorFacts, TileSizes, VisionFacts
from ftc.spec.vision_models import PROCESSOR_FILES, VisionModel, vision_model

__all__ = ["language_part", "processor_findings", "sized", "vision_facts", "without_vision"]

_TOWER_KEYS = (
    *("image_size", "num_channels", "patch_size", "projection_dim"),
    *("depth", "embed_dim", "in_channels", "mlp_ratio", "out_hidden_size"),
    *("spatial_merge_size", "temporal_patch_size", "tokens_per_second", "window_size"),
)
"""Keys of `vision_config` that decide what is built, beside those of every configuration."""
_MOST_PATCHES = 100_000
_LEAST_PIXELS, _MOST_PIXELS = 56 * 56, 28 * 28 * 1280
"""What a processor's file means that says neither, as transformers has it."""
_USUAL_TILES = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
_LARGEST_SIZE = 10**6
_MOST_NUMBERED = 1000
"""Layers of a tower that config.json names by number, at most."""


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
    return {**said, "model_type": known.text_as.get(str(said["model_type"]), said["model_type"])}


def vision_facts(config: Mapping[str, Any]) -> tuple[VisionFacts | None, list[str]]:
    """What reads images, and what is wrong with its sizes in words; nothing for a model that reads text alone."""
    known = vision_model(str(config.get("model_type")))
    if known is None:
        return None, []
    tower = config.get("vision_config")
    if not isinstance(tower, Mapping):
        return None, ["`vision_config` is missing"]
    faults = []

    def size(holder: Mapping[str, Any], keys: tuple[str, ...], least: int, where: str) -> int:
        value = next((holder[key] for key in keys if key in holder), None)
        if type(value) is not int or not least <= value <= _LARGEST_SIZE:
            faults.append(
                f"`{keys[0]}`{where} is {str(value)[:40]}, not a whole number from {least} to {_LARGEST_SIZE}"
            )
            return 1
        return value

    inside = " in `vision_config`"
    patch_size, grid, tiles, image_size = size(tower, ("patch_size",), 1, inside), None, None, 0
    if known.shapes == "patches":
        merge, frames = (size(tower, (f"{name}_size",), 1, inside) for name in ("spatial_merge", "temporal_patch"))
        grid = PatchGrid(merge=merge, frames=frames, least_pixels=_LEAST_PIXELS, most_pixels=_MOST_PIXELS)
        patches = grid.most_tokens(patch_size)
    else:
        image_size = size(tower, ("image_size",), 1, inside)
        patches = (image_size // patch_size) ** 2
        if not faults and not 0 < patches <= _MOST_PATCHES:
            faults.append(f"images of {image_size} pixels have {patches:,} patches of {patch_size}")
        if known.shapes == "tiles" and not faults:
            sizes_of_tiles = _tile_sizes(config.get("image_grid_pinpoints") or _USUAL_TILES, image_size)
            tiles = TileSizes(tile=image_size, sizes=sizes_of_tiles) if sizes_of_tiles else None
            patches = tiles.most_tokens(patch_size) if tiles else 0
            if not 0 < patches <= _MOST_PATCHES:
                faults.append(f"`image_grid_pinpoints` doesn't list sizes in tiles of {image_size} pixels")
    strategy = config.get("vision_feature_select_strategy", "default")
    if strategy not in (("default",) if tiles else ("default", "full")):
        other = "" if tiles else " or `full`"
        faults.append(f"`vision_feature_select_strategy` is {str(strategy)[:40]!r}, not `default`{other}")
    language = language_part(config)
    sizes = {key: tower[key] for key in _TOWER_KEYS if type(tower.get(key)) is int}
    sizes |= {key: tower[key] for key in known.numbered_layers if _are_numbers(tower.get(key))}
    kept = ("model_type", "tie_word_embeddings", *known.token_keys, *known.own_keys)
    form = {key: config[key] for key in kept if key in config}
    facts = VisionFacts(
        model_type=known.model_type,
        image_token_id=size(config, known.token_keys, 0, ""),
        image_size=image_size,
        patch_size=patch_size,
        tokens_per_image=patches + (strategy == "full"),
        grid=grid,
        tiles=tiles,
        hidden_size=size(tower, (known.width_key,), 1, inside),
        intermediate_size=_inner_size(known, tower, size),
        num_layers=size(tower, (known.layers_key,), 1, inside),
        config={**form, "text_config": form_of(language), "vision_config": {**form_of(tower), **sizes}},
    )
    return facts, faults


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_NUMBERED and all(type(one) is int for one in value)


def _tile_sizes(said: Any, tile: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of images in tiles; nothing where one of them isn't."""
    sizes = [tuple(one) for one in said if isinstance(one, list | tuple)] if isinstance(said, list | tuple) else []
    fits = [
        len(one) == 2 and all(type(n) is int and 0 < n <= _LARGEST_SIZE and not n % tile for n in one) for one in sizes
    ]
    return tuple((one[0], one[1]) for one in sizes) if sizes and len(sizes) == len(said) and all(fits) else ()


def _inner_size(known: VisionModel, tower: Mapping[str, Any], size: Callable[..., int]) -> int:
    """Width of the feed-forward part of the tower's layers."""
    inside = " in `vision_config`"
    if known.inner_ratio_key is None or known.inner_key in tower:
        return size(tower, (known.inner_key,), 1, inside)
    return size(tower, (known.width_key,), 1, inside) * size(tower, (known.inner_ratio_key,), 1, inside)


def sized(vision: VisionFacts | None, folder: Path) -> VisionFacts | None:
    """What reads images, with the sizes that the processor in the model's folder gives to those that keep their shape.

    Raises:
        Refusal: The file can't be read.
    """
    if vision is None or vision.grid is None or (file := _processor_file(folder)) is None:
        return vision
    said = _of_images(read_json_object(file, None))
    size = said.get("size")
    sizes: dict[str, Any] = size if isinstance(size, dict) else {}
    least, most = (
        next((one for one in (said.get(own), sizes.get(edge)) if type(one) is int and one > 0), usual)
        for own, edge, usual in (
            ("min_pixels", "shortest_edge", _LEAST_PIXELS),
            ("max_pixels", "longest_edge", _MOST_PIXELS),
        )
    )
    grid = vision.grid.model_copy(update={"least_pixels": least, "most_pixels": most})
    return vision.model_copy(update={"grid": grid, "tokens_per_image": grid.most_tokens(vision.patch_size)})


def _processor_file(folder: Path) -> Path | None:
    return next((folder / name for name in PROCESSOR_FILES if (folder / name).is_file()), None)


def _of_images(said: dict[str, Any]) -> dict[str, Any]:
    """What a processor's file says of images, of one for several kinds of inputs."""
    inner = said.get("image_processor")
    return inner if isinstance(inner, dict) else said


def without_vision(tensors: Mapping[str, TensorFacts], vision: VisionFacts | None) -> Mapping[str, TensorFacts]:
    """The tensors of the language model alone."""
    if vision is None:
        return tensors
    parts = set(vision.parts)
    return {name: one for name, one in tensors.items() if parts.isdisjoint(name.split("."))}


def processor_findings(folder: Path, vision: VisionFacts | None, span: Span | None) -> Iterator[Diagnostic]:
    """What is wrong with the files that say how images become numbers (FTC128)."""
    if vision is None:
        return
    if (file := _processor_file(folder)) is None:
        help = "copy it from the model's original folder"
        summary = f"the model reads images, but its folder has no `{PROCESSOR_FILES[0]}`"
        yield diagnostic("FTC128", summary, span, help=help, path="model.base")
        return
    said = _of_images(read_json_object(file, span))
    if vision.grid is not None:
        yield from _grid_findings(vision, vision.grid, said, file.name, span)
        return
    listed = said.get("image_grid_pinpoints", _USUAL_TILES)
    if vision.tiles is not None and _tile_sizes(listed, vision.tiles.tile) != vision.tiles.sizes:
        note, summary = f"it lists {str(listed)[:80]}", f"`{file.name}` makes other tiles than the model reads"
        help = "take both files from the model's original folder"
        yield diagnostic("FTC128", summary, span, notes=note, help=help, path="model.base")
    made = said.get("crop_size") if said.get("do_center_crop", True) else said.get("size")
    sides = [*made.values()] if isinstance(made, dict) else [made]
    if made is not None and (not sides or any(side != vision.image_size for side in sides)):
        yield diagnostic(
            "FTC128",
            f"`{file.name}` makes images of another size than the model reads",
            span,
            notes=f"it says {made}, and `image_size` in config.json is {vision.image_size}",
            help="take both files from the model's original folder",
            path="model.base",
        )


def _grid_findings(
    vision: VisionFacts, grid: PatchGrid, said: Mapping[str, Any], file: str, span: Span | None
) -> Iterator[Diagnostic]:
    """What a processor's file says otherwise than config.json about patches."""
    sizes = (("patch_size", 14, vision.patch_size), ("merge_size", 2, grid.merge))
    for name, usual, size in (*sizes, ("temporal_patch_size", 2, grid.frames)):
        if (found := said.get(name, usual)) != size:
            note = f"`{name}` is {str(found)[:40]} there, and config.json says {size}"
            summary, help = f"`{file}` makes other patches than the model reads", "take both files from one folder"
            yield diagnostic("FTC128", summary, span, notes=note, help=help, path="model.base")
    if not grid.least_pixels <= grid.most_pixels or not 0 < vision.tokens_per_image <= _MOST_PATCHES:
        note = f"images have {grid.least_pixels:,} to {grid.most_pixels:,} pixels there"
        summary, help = f"`{file}` has no usable sizes", "take it from the model's original folder"
        yield diagnostic("FTC128", summary, span, notes=note, help=help, path="model.base")
