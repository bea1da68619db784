"""The images of rows: found beside their data file or inside of it, decoded within limits, and named by their bytes.

In each row the digest of an image takes the place of its path, so that rows are compared by what they show. A file goes
through the one door for files: no link leads out of the project, and no pipe is opened.
"""

from __future__ import annotations

import base64
import hashlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from ftc.compiler.resolve.files.safe_files import UnsafePath, not_regular, safe_path, why_unreadable
from ftc.compiler.resolve.rows.columns import Columns, value_of
from ftc.compiler.resolve.rows.in_processes import found_in
from ftc.compiler.resolve.rows.row_store import Row, rewrite
from ftc.compiler.resolve.rows.table import Home, Table
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.vision_facts import VisionFacts
from ftc.spec.language.safe_repr import quoted
from ftc.spec.sections.data import Data
from ftc.spec.storage.images import MOST_BYTES, BadImage, Fault, decode_image
from ftc.spec.tasks.parts import IMAGE
from ftc.spec.tasks.rows import IMAGELESS_MARK

__all__ = [
    "DATA_URI",
    "ImageFault",
    "ImageStore",
    "Picture",
    "image_columns",
    "image_faults",
    "image_parts",
    "read_images",
    "without_reader",
]

DATA_URI = "data:"
"""How a value begins that holds an image itself, as base64."""
_CODES: Mapping[Fault, str] = {
    "broken": "FTC121",
    "large": "FTC122",
    "deep": "FTC123",
    "frames": "FTC124",
    "shape": "FTC128",
}
_HELPS: Mapping[Fault, str] = {
    "broken": "open the file with another program; write it again, or remove the row",
    "large": "make the image smaller; models read a few thousand pixels at most",
    "deep": "convert the image to 8 bits a channel, in the range that matters",
    "frames": "save the frame that matters as a PNG or JPEG file",
    "shape": "cut the image, or remove the row",
}


class Picture(NamedTuple):
    """An image by its size in pixels, upright."""

    width: int
    height: int


@dataclass(slots=True)
class ImageStore:
    """The images of all rows, each once.

    Attributes:
        vision: What will read them, which may take no image of some shapes; None where any will do.
        pictures: Each image by the sha256 of its bytes.
        files: Where each image file lies, and its sha256, by its path in the project.
    """

    vision: VisionFacts | None = None
    pictures: dict[str, Picture] = field(default_factory=dict)
    files: dict[str, tuple[Path, str]] = field(default_factory=dict)
    _places: dict[str, Path | str] = field(default_factory=dict)

    def add(self, reference: str, home: Home | None) -> str:
        """Looks at an image and returns its sha256.

        Args:
            reference: Path beside the data file, or a data URI.
            home: Where the data file lies; None for rows that were never in a file.

        Raises:
            UnsafePath: The path leads out of the project.
            OSError: The file can't be read.
            BadImage: It can't be used.
        """
        if reference.startswith(DATA_URI):
            return self._keep(_bytes_of(reference), reference)
        if home is None:
            raise UnsafePath(reference, "has no data file that it could lie beside", "give the image as a data URI")
        path = safe_path(home.root, reference, home.folder)
        name = path.relative_to(home.root.resolve()).as_posix()
        known = self.files.get(name)
        if known is not None and known[0] == path:
            return known[1]
        if kind := not_regular(path):
            raise BadImage("broken", f"is {kind}")
        if path.stat().st_size > MOST_BYTES:
            raise BadImage("large", f"has {path.stat().st_size:,} bytes; {MOST_BYTES:,} are allowed")
        digest = self._keep(path.read_bytes(), path)
        self.files[name] = path, digest
        return digest

    def _keep(self, data: bytes, place: Path | str) -> str:
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.pictures:
            self.pictures[digest] = self._fitting(Picture(*decode_image(data).size))
            self._places[digest] = place
        return digest

    def _fitting(self, picture: Picture) -> Picture:
        """An image by its size.

        Raises:
            BadImage: The model's processor takes none of that shape.
        """
        try:
            if self.vision is not None:
                self.vision.features(*picture)
        except ValueError as error:
            sides = f"{picture.width:,} x {picture.height:,} pixels"
            raise BadImage("shape", f"has {sides}, which the model doesn't take: {error}") from error
        return picture

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Digest and bytes of each image, in the order of the digests; files are read once more.

        Raises:
            Refusal: One changed meanwhile, or is gone (FTC120).
        """
        for digest, place in sorted(self._places.items()):
            try:
                data = place.read_bytes() if isinstance(place, Path) else _bytes_of(place)
            except OSError:
                data = b""
            if hashlib.sha256(data).hexdigest() != digest:
                name = place.name if isinstance(place, Path) else "an image"
                help = "plan again when nothing writes to the images"
                raise Refusal([diagnostic("FTC120", f"`{name}` changed while it was read", help=help)])
            yield digest, data


def _bytes_of(reference: str) -> bytes:
    header, _, body = reference.partition(",")
    if not header.endswith(";base64"):
        raise BadImage("broken", "is a data URI without base64")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:  # binascii.Error, and its base where a character is none of ASCII's
        raise BadImage("broken", "is not valid base64") from error


class ImageFault(NamedTuple):
    """What is wrong with an image of a row."""

    code: str
    summary: str
    help: str


def read_images(
    columns: Columns, tables: Mapping[str, Table], vision: VisionFacts | None = None
) -> tuple[ImageStore, list[Diagnostic]]:
    """Looks at every image of rows in their one form, and puts digests in the place of references.

    Args:
        columns: Where rows have images.
        tables: The rows.
        vision: What will read them; None where any shape will do.

    Returns:
        The images, and a finding for each kind of fault with the rows that have it, or for rows without an image.

    Raises:
        Refusal: Pillow isn't installed (FTC129).
    """
    store = ImageStore(vision)
    found: list[Diagnostic] = []
    for table in tables.values():
        by_code: dict[str, dict[int, ImageFault]] = {}
        for number, fault in image_faults(columns, table, store).items():
            by_code.setdefault(fault.code, {})[number] = fault
        found += [_finding(table, code, faults) for code, faults in by_code.items()]
        found += _imageless(columns, table)
    return store, found


def _imageless(columns: Columns, table: Table) -> Iterator[Diagnostic]:
    """A warning where cells are empty that have an image in other rows (FTC492)."""
    if "image" not in columns.by_part:
        return
    rows = array("q", (row for row, _ in found_in(table.rows, lambda row: row.get(IMAGELESS_MARK))))
    if rows:
        where = f"{len(rows):,} of {len(table.rows):,} rows"
        yield diagnostic(
            "FTC492",
            f"column {quoted(columns.by_part['image'])} is empty in {where}, which are read as text alone",
            table.span(rows[0]),
            help="fill in the images, or remove the rows; rows that have none on purpose say so by `[]`",
            notes=table.places(rows),
            path="data.source",
            rows=map(table.where, rows),
        )


def image_faults(columns: Columns, table: Table, store: ImageStore) -> dict[int, ImageFault]:
    """Puts digests in the place of a table's references to images; the first fault of each row that has one.

    Raises:
        Refusal: Pillow isn't installed (FTC129).
    """
    faults: dict[int, ImageFault] = {}
    numbers = count()

    def change(row: Row) -> None:
        number = next(numbers)
        for holder, key in _slots(columns, row):
            fault = _put_digest(holder, key, table.home_of(number), store)
            if fault is not None:
                faults.setdefault(number, fault)

    rewrite(table.rows, change)
    return faults


def _put_digest(holder: Any, key: Any, home: Home | None, store: ImageStore) -> ImageFault | None:
    reference = holder[key]
    name = "in the row" if reference.startswith(DATA_URI) else quoted(reference)
    try:
        holder[key] = store.add(reference, home)
    except UnsafePath as error:
        return ImageFault("FTC300", error.summary, error.help)
    except OSError as error:
        reason, help = why_unreadable(error)
        if isinstance(error, FileNotFoundError):
            help = "check the path, which is relative to the data file"
        return ImageFault("FTC120", f"the image {name} can't be read: {reason}", help)
    except BadImage as error:
        return ImageFault(_CODES[error.fault], f"the image {name} {error}", _HELPS[error.fault])
    except ModuleNotFoundError as error:
        help = "`pip install 'ftc[vision]'` installs Pillow"
        raise Refusal([diagnostic("FTC129", "images can't be read here", help=help, notes=str(error))]) from error
    return None


def image_columns(data: Data) -> tuple[str, ...]:
    """Names of columns that hold images, as the recipe or their usual name has them."""
    sources = data.source if isinstance(data.source, tuple) else ()
    fields = [data.fields, *(source.fields or {} for source in sources)]
    return (*IMAGE.columns, *(one["image"] for one in fields if "image" in one))


def without_reader(columns: Columns, tables: Mapping[str, Table]) -> Iterator[Diagnostic]:
    """A finding where rows have images, for a model that reads none (FTC125)."""
    for table in tables.values():
        rows = array("q", (row for row, _ in found_in(table.rows, lambda row: any(_slots(columns, row)) or None)))
        if rows:
            yield diagnostic(
                "FTC125",
                f"{len(rows):,} of {len(table.rows):,} rows have images, which the model doesn't read",
                table.span(rows[0]),
                help="choose a model that reads images, or leave the images out of the rows",
                notes=table.places(rows),
                path="model.base",
                rows=map(table.where, rows),
            )


def _finding(table: Table, code: str, faults: Mapping[int, ImageFault]) -> Diagnostic:
    first, fault = next(iter(faults.items()))
    return diagnostic(
        code,
        fault.summary,
        table.span(first),
        help=fault.help,
        notes=table.places([*faults]),
        path="data.source",
        rows=map(table.where, faults),
    )


def _slots(columns: Columns, row: Row) -> Iterator[tuple[Any, Any]]:
    """Where a row refers to an image: a list or an object, and the place in it."""
    images = value_of(row, columns.by_part, "image")
    if isinstance(images, list):
        yield from ((images, place) for place in range(len(images)))
    for part in image_parts(value_of(row, columns.by_part, "messages")):
        yield part, "image"


def image_parts(messages: Any) -> Iterator[dict[str, Any]]:
    """The parts of a conversation's messages that are images, in their order."""
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") == "image":
                yield part
