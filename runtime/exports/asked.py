"""What an export makes; it costs no heavy import to say it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from ftc.spec.documents.exported import TemplateKept

__all__ = ["AskedFile"]


@dataclass(frozen=True, slots=True)
class AskedFile:
    """What an export makes.

    Attributes:
        target: The folder, which isn't there yet.
        format: Name of the format.
        weight_type: Name of the type of its weights.
        model: Folder of the whole model in float32, or of the base model beside which an adapter goes.
        converter: Folder with the converter's files; None for a format that needs none.
        pre_tokenizer: llama.cpp's name of how the tokenizer splits texts; None where the converter knows it.
        rows: Most rows on which gates are checked.
        waived: Metrics of gates that may fail.
        beside: Writes what belongs beside the file into the folder, by the file's name and whether llama.cpp puts the
            first token before each text.
    """

    target: Path
    format: str
    weight_type: str
    model: Path
    converter: Path | None
    pre_tokenizer: str | None
    rows: int
    waived: Collection[str]
    beside: Callable[[Path, str, bool], TemplateKept | None]
