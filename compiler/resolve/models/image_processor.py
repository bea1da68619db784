"""The files that say how images become numbers: the sizes that they give, and whether they fit the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.vision_config import (
    LEAST_PIXELS,
    MOST_PATCHES,
    MOST_PIXELS,
    USUAL_LONGEST,
    USUAL_TILES,
    tile_sizes,
)
from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.documents.vision_facts import PatchGrid, SquareCuts, VisionFacts
from ftc.spec.vision_models import PROCESSOR_FILES

__all__ = ["processor_findings", "sized"]

_USUAL_SIDE, _USUAL_SQUARE = 224, 364
"""Pixels of the side of an image, and of a square, where a processor's file doesn't say."""
_LARGEST_SIDE = 10**6
_FROM_ONE_FOLDER = "take both files from the model's original folder"


def sized(vision: VisionFacts | None, folder: Path) -> VisionFacts | None:
    """What reads images, with the sizes that the processor in the model's folder gives to images.

    Raises:
        Refusal: The file can't be read.
    """
    if vision is None or (file := _processor_file(folder)) is None:
        return vision
    said = _of_images(read_json_object(file, None))
    if vision.squares is not None:
        return _in_squares(vision, vision.squares, said)
    if vision.grid is None:
        return vision
    size = said.get("size")
    sizes: dict[str, Any] = size if isinstance(size, dict) else {}
    least, most = (
        next((one for one in (said.get(own), sizes.get(edge)) if type(one) is int and one > 0), usual)
        for own, edge, usual in (
            ("min_pixels", "shortest_edge", LEAST_PIXELS),
            ("max_pixels", "longest_edge", MOST_PIXELS),
        )
    )
    grid = vision.grid.model_copy(update={"least_pixels": least, "most_pixels": most})
    return vision.model_copy(update={"grid": grid, "tokens_per_image": grid.most_tokens(vision.patch_size)})


def _in_squares(vision: VisionFacts, squares: SquareCuts, said: Mapping[str, Any]) -> VisionFacts:
    """What reads images, with the size that images have before they are cut into squares."""
    longest, splits = _longest_edge(said.get("size"), USUAL_LONGEST), said.get("do_image_splitting", True)
    squares = squares.model_copy(update={"longest": longest or squares.longest, "splits": splits is not False})
    return vision.model_copy(
        update={"squares": squares, "tokens_per_image": squares.most * squares.each(vision.patch_size)}
    )


def _longest_edge(said: Any, usual: int) -> int | None:
    """The longer side that a size gives; None where it gives none."""
    found = said.get("longest_edge") if isinstance(said, dict) else usual if said is None else None
    return found if type(found) is int and 0 < found <= _LARGEST_SIDE else None


def _processor_file(folder: Path) -> Path | None:
    return next((folder / name for name in PROCESSOR_FILES if (folder / name).is_file()), None)


def _of_images(said: dict[str, Any]) -> dict[str, Any]:
    """What a processor's file says of images, of one for several kinds of inputs."""
    inner = said.get("image_processor")
    return inner if isinstance(inner, dict) else said


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
    yield from _count_findings(vision, folder, span)
    if vision.squares is not None:
        yield from _square_findings(vision, said, file.name, span)
        return
    if vision.grid is not None:
        yield from _grid_findings(vision, vision.grid, said, file.name, span)
        return
    listed = said.get("image_grid_pinpoints", USUAL_TILES)
    if vision.tiles is not None and tile_sizes(listed, vision.tiles.tile) != vision.tiles.sizes:
        note, summary = f"it lists {str(listed)[:80]}", f"`{file.name}` makes other tiles than the model reads"
        yield diagnostic("FTC128", summary, span, notes=note, help=_FROM_ONE_FOLDER, path="model.base")
    if said.get("do_pan_and_scan"):
        summary, help = f"`{file.name}` asks for pan and scan, which isn't available", "set `do_pan_and_scan` to false"
        yield diagnostic("FTC128", summary, span, help=help, path="model.base")
    crops = vision.card.crops and said.get("do_center_crop", True)
    made = said.get("crop_size") if crops else said.get("size")
    if made is None and not vision.card.crops:
        made = _USUAL_SIDE
    sides = [*made.values()] if isinstance(made, dict) else [made]
    if made is not None and (not sides or any(side != vision.image_size for side in sides)):
        yield _other_size(vision, file.name, made, span)


def _other_size(vision: VisionFacts, file: str, made: Any, span: Span | None) -> Diagnostic:
    summary = f"`{file}` makes images of another size than the model reads"
    note = f"it says {str(made)[:80]}, and `image_size` in config.json is {vision.image_size}"
    return diagnostic("FTC128", summary, span, notes=note, help=_FROM_ONE_FOLDER, path="model.base")


def _count_findings(vision: VisionFacts, folder: Path, span: Span | None) -> Iterator[Diagnostic]:
    """What the files say otherwise than config.json about the features of an image."""
    each = vision.tokens_per_image if vision.squares is None else vision.squares.each(vision.patch_size)
    for file in (one for name in PROCESSOR_FILES if (one := folder / name).is_file()):
        whole = read_json_object(file, span)
        for key in vision.card.count_keys:
            if any((found := said.get(key, each)) != each for said in (whole, _of_images(whole))):
                note = f"`{key}` is {str(found)[:40]} there, and config.json says {each}"
                summary = f"`{file.name}` gives an image another number of tokens than the model"
                yield diagnostic("FTC128", summary, span, notes=note, help=_FROM_ONE_FOLDER, path="model.base")


def _square_findings(
    vision: VisionFacts, said: Mapping[str, Any], file: str, span: Span | None
) -> Iterator[Diagnostic]:
    """What a processor's file says otherwise than config.json about squares."""
    made = said.get("max_image_size")
    if _longest_edge(made, _USUAL_SQUARE) != vision.image_size:
        yield _other_size(vision, file, made or {"longest_edge": _USUAL_SQUARE}, span)
    if _longest_edge(said.get("size"), USUAL_LONGEST) is None or said.get("do_resize", True) is not True:
        note = f"`size` is {str(said.get('size'))[:80]}, and `do_resize` is {str(said.get('do_resize', True))[:20]}"
        summary, help = f"`{file}` doesn't give the longer side of images", "write `size: {longest_edge: PIXELS}`"
        yield diagnostic("FTC128", summary, span, notes=note, help=help, path="model.base")
    if vision.tokens_per_image > MOST_PATCHES:
        summary, help = f"`{file}` cuts images into too many squares", "make `longest_edge` in `size` smaller"
        yield diagnostic("FTC128", summary, span, help=help, path="model.base")


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
    if not grid.least_pixels <= grid.most_pixels or not 0 < vision.tokens_per_image <= MOST_PATCHES:
        note = f"images have {grid.least_pixels:,} to {grid.most_pixels:,} pixels there"
        summary, help = f"`{file}` has no usable sizes", "take it from the model's original folder"
        yield diagnostic("FTC128", summary, span, notes=note, help=help, path="model.base")
