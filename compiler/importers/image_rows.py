"""Rows with images as LLaMA-Factory has them: `<image>` in their texts, and a column with as many images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from ftc.compiler.importers import words
from ftc.compiler.importers.translation import Key, Translation

__all__ = ["MARK", "image_key", "images_are_beside", "marks_lead", "named_images", "trained_parts"]

MARK = "<image>"
"""Where an image stands in a text."""
_COLUMN = "data.fields.image"
_SHRINKS = "LLaMA-Factory shrinks images of more than 589,824 pixels first, ftc leaves that to the image processor"
_UNREAD = f"rows not read: images come before each prompt, wherever it has `{MARK}`"
_PARTS = {"freeze_vision_tower": "vision_tower", "freeze_multi_modal_projector": "projector"}
"""What LLaMA-Factory leaves as it was, unless a key says otherwise."""
_ADAPTED = "adapters change the language model alone"


def named_images(t: Translation, key: str | Key, column: str, *, unread: bool = False) -> None:
    """The column with a row's images; of rows that were not read nobody knows whether these come first."""
    t.carry(key, _COLUMN, column, f"{_UNREAD}; {_SHRINKS}" if unread else _SHRINKS)


def images_are_beside(t: Translation, key: str | Key, folder: str, file: str) -> bool:
    """Whether the images' paths, which are those of a folder of media, lead from the rows' own folder as well.

    Args:
        t: The sheet, where the reason is noted if they don't.
        key: What names the rows.
        folder: Of the data sets.
        file: Of the rows, in that folder.
    """
    media = PurePosixPath(t.text("media_dir") or folder)
    rows = PurePosixPath(folder, file).parent
    if t.options.data or media == rows:
        return True
    summary = f"paths of images begin in `{str(media)[:60]}`, and ftc reads them from the rows' folder"
    help = f"move the rows' file to `{str(media)[:60]}`, or write the paths from its own folder"
    t.block("media_dir" if t.has("media_dir") else key, summary, help)
    return False


def marks_lead(t: Translation, key: str | Key, path: str | None, prompt: Sequence[str]) -> bool | None:
    """Whether every prompt has its images in front, where rows of prompts and answers have them in ftc.

    None where that isn't known: the rows aren't here, are too large to look through, or no JSON.

    Args:
        t: The sheet, where the reason is noted if one hasn't.
        key: What names the rows.
        path: Of the rows; None where they are not here.
        prompt: Columns that make up the prompt.
    """
    data = t.around.read(path) if path is not None else None
    if data is None or (found := _rows(data)) is None:
        return None
    for row in found:
        text = "\n".join(str(row.get(column, "")) for column in prompt) if isinstance(row, dict) else ""
        if MARK in text.replace(MARK, "", _leading(text)):
            help = "rewrite the rows as conversations (`formatting: sharegpt`), where each image keeps its place"
            t.block(key, f"rows with `{MARK}` inside of a prompt, or behind it", help)
            return False
    return True


def _leading(text: str) -> int:
    """Marks at the beginning of a text."""
    count, rest = 0, text.lstrip()
    while rest.startswith(MARK):
        count, rest = count + 1, rest.removeprefix(MARK).lstrip()
    return count


def _rows(data: bytes) -> list[Any] | None:
    """The rows of a JSON file, or of one with a row a line; None where they can't be read."""
    for texts in ([data], filter(bytes.strip, data.splitlines())):
        try:
            read = [json.loads(text) for text in texts]
        except (ValueError, RecursionError):
            continue
        return read[0] if len(read) == 1 and isinstance(read[0], list) else read
    return None


def trained_parts(t: Translation) -> None:
    """What of a model that reads images is trained: LLaMA-Factory freezes tower and projector, unless keys say not."""
    kind = t.values.get("strategy.kind")
    if _COLUMN not in t.values or kind is None or "train_parts" not in words.FIELDS[kind.value]:
        return
    keys: list[str | Key] = [key for key in _PARTS if t.has(key)]
    thawed = [part for key, part in _PARTS.items() if t.has(key) and not t.flag(key)]
    t.carry(keys, "strategy.train_parts", (*thawed, "language_model"))


def image_key(t: Translation, key: Key) -> None:
    """A key that only matters to rows with images."""
    name = str(key[-1])
    if _COLUMN not in t.values:
        t.needless(key, "no rows have images")
    elif name in _PARTS:
        if t.flag(key):
            t.needless(key, _ADAPTED)
        else:
            t.drop(key, _ADAPTED, "choose `finetuning_type: full`")
    elif name == "image_do_pan_and_scan":
        if t.flag(key):
            t.carry(key, "model.pan_and_scan.max_crops", 4, "the numbers that LLaMA-Factory takes")
        else:
            t.needless(key, "off, as in ftc")
    elif name == "crop_to_patches":
        if t.flag(key):
            t.needless(key, "InternVL's images are cut in ftc, as in transformers")
        else:
            t.drop(key, "InternVL's images are cut in ftc, as in transformers")
    else:
        t.drop(key, _SHRINKS, "set the largest size in the model's `preprocessor_config.json`")
