"""Everything that ftc keeps in its cache, one card for each kind: where it lies, and why it can be believed.

Nothing is written below the cache but by a card, so that each has a row in SECURITY.md and a test that poisons it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = [
    "CACHED",
    "CALIBRATIONS",
    "CONVERTERS",
    "DIGESTS",
    "ENVIRONMENTS",
    "JUDGED_TOKENS",
    "PACKAGES",
    "PAGES",
    "PIECES",
    "REMOTE",
    "ROWS",
    "STREAMS",
    "TENSORS",
    "TEXTS",
    "TRACES",
    "Cached",
]


class Cached(NamedTuple):
    """One kind of thing in the cache.

    Attributes:
        files: Its files by pattern, relative to the cache.
        made_from: What it is made from, in words.
        compared: What is compared on reading beside the authentication code of `Cache`, in words; empty for nothing.
        folder: The folder of the kind, relative to the cache; empty for the cache itself.
    """

    files: tuple[str, ...]
    made_from: str
    compared: str
    folder: str

    def under(self, cache: Path) -> Path:
        """The kind's folder in a cache."""
        return cache / self.folder


STREAMS = Cached(
    files=(
        "streams/*/manifest.json",
        "streams/*/unpacked.json",
        "streams/*/*.arrow",
        "streams/*/*.npy",
        "streams/*/groups.json",
        "streams/*/swaps.json",
        "streams/*/frames-*.json",
        "streams/*/test-rows.sha256",
    ),
    made_from="recipe sections, digests of rows and tokenizer files, the tokenizers library's own files; "
    "the tokenizer probe is part of it",
    compared="digest of each file in the folder, by stamp",
    folder="streams",
)
JUDGED_TOKENS = Cached(
    files=("streams/*/judge-*.json",), made_from="the judge's messages, the rows' digest", compared="", folder="streams"
)
PIECES = Cached(
    files=("pieces/*/*.json",),
    made_from="some rows; for tokens how they are written, files of tokenizer and template, the tokenizers library's "
    "own files; for checks of texts the columns, rules and releases",
    compared="",
    folder="pieces",
)
DIGESTS = Cached(
    files=("digests/*.json",),
    made_from="one path",
    compared="size, times, inode and device of the file",
    folder="digests",
)
PACKAGES = Cached(
    files=("packages/*.json",),
    made_from="folders that Python imports a package from",
    compared="size, times, inode and device of every file of code",
    folder="packages",
)
ENVIRONMENTS = Cached(
    files=("environment-*.json",), made_from="stamps of all installed metadata", compared="", folder=""
)
TRACES = Cached(
    files=("traces/*.json",),
    made_from="the job, versions and files of the traced libraries, ftc's own code",
    compared="",
    folder="traces",
)
CALIBRATIONS = Cached(
    files=("calibrations/*.json",), made_from="device, label, threads", compared="", folder="calibrations"
)
ROWS = Cached(files=("rows/*",), made_from="their own content", compared="the digest that is their name", folder="rows")
TENSORS = Cached(
    files=("tensors/*.json",), made_from="their own content", compared="the digest that is their name", folder="tensors"
)
TEXTS = Cached(
    files=("texts/*",), made_from="their own content", compared="the digest that is their name", folder="texts"
)
REMOTE = Cached(
    files=("remote/*.json", "remote/*/*"),
    made_from="the address of a data file, or of a folder or a pattern of them",
    compared="the digest that the lock pins, of the file in the cache, by stamp",
    folder="remote",
)
CONVERTERS = Cached(
    files=("converters/**/*",),
    made_from="one archive of a package",
    compared="the digest of all files that is in ftc's code; byte code is deleted before anything runs",
    folder="converters",
)
PAGES = Cached(
    files=("errors/*.md",),
    made_from="the explanation of a code in ftc's own code",
    compared="nothing: no program reads it, and an editor's session writes it again before it is shown",
    folder="errors",
)
CACHED = (
    STREAMS,
    JUDGED_TOKENS,
    PIECES,
    DIGESTS,
    PACKAGES,
    ENVIRONMENTS,
    TRACES,
    CALIBRATIONS,
    ROWS,
    TENSORS,
    TEXTS,
    REMOTE,
    CONVERTERS,
    PAGES,
)
"""Every kind."""
