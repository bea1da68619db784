"""The files that say how images become numbers: the sizes that they give, and whether they fit the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.vision_config import (
    LEAST_PIXELS,
    MOST_PATCHES,
    MOST_PIXELS,
    USUAL_CROPS,
    USUAL_LONGEST,
    USUAL_TILES,
    tile_sizes,
)
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.vision_facts import CropCuts, PanCuts, PatchGrid, SquareCuts, VisionFacts
from ftc.spec.documents.vision_settings import VisionSettings
from ftc.spec.sections.model import PanAndScan
from ftc.spec.vision_models import PROCESSOR_FILES

__all__ = ["processor_findings", "sized", "with_pan_and_scan"]

_USUAL_SIDE, _USUAL_SQUARE, _USUAL_CROP = 224, 364, 384
"""Pixels of the side of an image, and of a square of either kind, where a processor's file doesn't say."""
_LARGEST_SIDE = 10**6
_FROM_ONE_FOLDER = "take both files from the model's original folder"


def sized(vision: VisionFacts | None, folder: Path, planned: VisionSettings | None = None) -> VisionFacts | None:
    """What reads images, with the sizes that the processor in the model's folder gives to images.

    Args:
        vision: As config.json has it.
        folder: The model's.
        planned: What a plan says of crops; None where there is no plan yet.

    Raises:
        Refusal: The file can't be read.
    """
    if vision is None or (read := _read_by_transformers(folder, None)) is None:
        return vision
    said = read.said
    if planned is not None and planned.pans is not None:
        return vision.panned(planned.pans)
    if vision.squares is not None:
        return _in_squares(vision, vision.squares, said)
    if vision.crops is not None:
        return _in_crops(vision, vision.crops, said)
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


def with_pan_and_scan(model: ModelFacts, folder: Path, asked: PanAndScan | None, span: Span | None) -> ModelFacts:
    """The model as it reads images where a recipe asks for crops of them, or doesn't.

    Args:
        model: As its files are.
        folder: Where these lie.
        asked: What the recipe asks for.
        span: Place of the setting, or of the model.

    Raises:
        Refusal: The model has no such crops (FTC127), or its processor's file asks for them alone (FTC128).
    """
    vision = model.vision
    keys = vision.card.crop_keys if vision is not None else None
    if asked is None:
        read = _read_by_transformers(folder, span) if keys is not None else None
        if keys is None or read is None or not read.said.get(keys.switch):
            return model
        summary = f"`{read.file}` asks for pan and scan, and the recipe doesn't"
        note = "transformers takes crops where its caller asks for them, so models are usually trained without"
        ways = ("write `model: {pan_and_scan: {}}`", f"or set `{keys.switch}` to false")
        raise Refusal([diagnostic("FTC128", summary, span, notes=note, help=ways, path="model.base")])
    if vision is None:
        return model  # where the setting has no effect
    if keys is None:
        summary, help = f"`pan_and_scan` isn't available for a `{vision.model_type}` model", "remove `pan_and_scan`"
        raise Refusal([diagnostic("FTC127", summary, span, help=help, path="model.pan_and_scan")])
    each = vision.tokens_per_image
    pans = PanCuts(least=asked.min_crop_size, cuts=asked.max_crops, ratio=asked.min_ratio, each=each)
    return model.model_copy(update={"vision": vision.panned(pans)})


def _in_squares(vision: VisionFacts, squares: SquareCuts, said: Mapping[str, Any]) -> VisionFacts:
    """What reads images, with the size that images have before they are cut into squares."""
    longest, splits = _longest_edge(said.get("size"), USUAL_LONGEST), said.get("do_image_splitting", True)
    squares = squares.model_copy(update={"longest": longest or squares.longest, "splits": splits is not False})
    return vision.model_copy(
        update={"squares": squares, "tokens_per_image": squares.most * squares.each(vision.patch_size)}
    )


def _in_crops(vision: VisionFacts, crops: CropCuts, said: Mapping[str, Any]) -> VisionFacts:
    """What reads images, with the numbers of squares that the processor's file allows."""
    found = (said.get("min_patches"), 1), (said.get("max_patches"), USUAL_CROPS)
    least, most = (one if type(one) is int and one > 0 else usual for one, usual in found)
    crops = crops.model_copy(update={"least": least, "cuts": most})
    return vision.model_copy(update={"crops": crops, "tokens_per_image": crops.most * crops.each})


def _longest_edge(said: Any, usual: int) -> int | None:
    """The longer side that a size gives; None where it gives none."""
    found = said.get("longest_edge") if isinstance(said, dict) else usual if said is None else None
    return found if type(found) is int and 0 < found <= _LARGEST_SIDE else None


class _Read(NamedTuple):
    """What the files say of images.

    Attributes:
        file: Name of the file that counts.
        said: What it says.
        other: Name of the file that says it otherwise and doesn't count; None where they agree.
    """

    file: str
    said: dict[str, Any]
    other: str | None


def _read_by_transformers(folder: Path, span: Span | None) -> _Read | None:
    """The file that transformers takes: that of several kinds of inputs, where it speaks of images, before the other.

    Raises:
        Refusal: A file can't be read.
    """
    alone, several = PROCESSOR_FILES
    known = {name: read_json_object(folder / name, span) for name in PROCESSOR_FILES if (folder / name).is_file()}
    inner = known.get(several, {}).get("image_processor")
    if isinstance(inner, dict):
        differs = alone in known and _decisive(_of_images(known[alone])) != _decisive(inner)
        return _Read(several, inner, alone if differs else None)
    # transformers takes the first file alone where the second one speaks of other inputs
    return _Read(alone, _of_images(known[alone]), None) if alone in known else None


def _decisive(said: Mapping[str, Any]) -> dict[str, Any]:
    """What decides how images become numbers, without names of classes, which name one in several ways."""
    named = ("auto_map", "feature_extractor_type", "image_processor_type", "processor_class")
    return {key: value for key, value in said.items() if key not in named and value is not None}


def _of_images(said: dict[str, Any]) -> dict[str, Any]:
    """What a processor's file says of images, of one for several kinds of inputs."""
    inner = said.get("image_processor")
    return inner if isinstance(inner, dict) else said


def processor_findings(folder: Path, vision: VisionFacts | None, span: Span | None) -> Iterator[Diagnostic]:
    """What is wrong with the files that say how images become numbers (FTC128)."""
    if vision is None:
        return
    if (read := _read_by_transformers(folder, span)) is None:
        help = "copy it from the model's original folder"
        summary = f"the model reads images, but its folder has no `{PROCESSOR_FILES[0]}`"
        yield diagnostic("FTC128", summary, span, help=help, path="model.base")
        return
    file, said = read.file, read.said
    if read.other is not None:
        summary = f"`{file}` and `{read.other}` say different things of images"
        note, help = "transformers reads the first", f"remove `{read.other}`, or copy both from one folder"
        yield diagnostic("FTC128", summary, span, notes=note, help=help, path="model.base")
    yield from _count_findings(vision, folder, span)
    if vision.squares is not None:
        yield from _square_findings(vision, said, file, span)
    elif vision.grid is not None:
        yield from _grid_findings(vision, vision.grid, said, file, span)
    elif vision.crops is not None:
        yield from _crop_findings(vision, vision.crops, said, file, span)
    else:
        yield from _size_findings(vision, said, file, span)


def _size_findings(vision: VisionFacts, said: Mapping[str, Any], file: str, span: Span | None) -> Iterator[Diagnostic]:
    """What a processor's file says otherwise than config.json about images, or tiles, of one size."""
    listed = said.get("image_grid_pinpoints", USUAL_TILES)
    if vision.tiles is not None and tile_sizes(listed, vision.tiles.tile) != vision.tiles.sizes:
        note, summary = f"it lists {str(listed)[:80]}", f"`{file}` makes other tiles than the model reads"
        yield diagnostic("FTC128", summary, span, notes=note, help=_FROM_ONE_FOLDER, path="model.base")
    crops = vision.card.crops and said.get("do_center_crop", True)
    made = said.get("crop_size") if crops else said.get("size")
    if made is None and not vision.card.crops:
        made = {"height": _USUAL_SIDE, "width": _USUAL_SIDE}
    if not vision.card.crops and said.get("do_resize", True) is not True:
        summary, help = f"`{file}` leaves images as large as they are", "set `do_resize` to true"
        yield diagnostic("FTC128", summary, span, help=help, path="model.base")
    sides = [*made.values()] if isinstance(made, dict) else [made]
    is_square = vision.card.crops or (isinstance(made, dict) and made.keys() == {"height", "width"})
    if made is not None and (not is_square or not sides or any(side != vision.image_size for side in sides)):
        yield _other_size(vision, file, made, span)


def _other_size(vision: VisionFacts, file: str, made: Any, span: Span | None) -> Diagnostic:
    summary = f"`{file}` makes images of another size than the model reads"
    note = f"it says {str(made)[:80]}, and `image_size` in config.json is {vision.image_size}"
    return diagnostic("FTC128", summary, span, notes=note, help=_FROM_ONE_FOLDER, path="model.base")


def _count_findings(vision: VisionFacts, folder: Path, span: Span | None) -> Iterator[Diagnostic]:
    """What the files say otherwise than config.json about the features of an image."""
    each = vision.tokens_per_image if vision.squares is None else vision.squares.each(vision.patch_size)
    each = each if vision.crops is None else vision.crops.each
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


def _crop_findings(
    vision: VisionFacts, crops: CropCuts, said: Mapping[str, Any], file: str, span: Span | None
) -> Iterator[Diagnostic]:
    """What a processor's file says otherwise than config.json about squares of one size."""
    made = said.get("size", {"height": _USUAL_CROP, "width": _USUAL_CROP})
    if made != {"height": crops.side, "width": crops.side} or said.get("do_resize", True) is not True:
        yield _other_size(vision, file, made, span)
    if crops.least > crops.cuts or vision.tokens_per_image > MOST_PATCHES:
        note = f"`min_patches` is {crops.least}, and `max_patches` is {crops.cuts}"
        summary, help = f"`{file}` cuts images into too many squares, or too few", "take it from the original folder"
        yield diagnostic("FTC128", summary, span, notes=note, help=help, path="model.base")


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
