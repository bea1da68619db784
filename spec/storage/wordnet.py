"""WordNet's files on this machine, which METEOR takes synonyms from. They are looked for, and never downloaded."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from ftc.spec import canonical
from ftc.spec.documents.settings import OpenEval
from ftc.spec.metrics import WORDNET, Need

__all__ = ["WORDNET_FILES", "WordNet", "find_wordnet", "lacking_data", "wordnet_places", "wordnets"]

WORDNET_FILES = tuple(
    name.format(part) for part in ("adj", "adv", "noun", "verb") for name in ("data.{}", "index.{}", "{}.exc")
)
"""The files that METEOR's synonyms come from. The others tell counts, senses and frames of sentences."""
_DEBIAN = Path("/usr/share/wordnet")
_MOST_BYTES = 128 * 2**20
"""A file's largest size; the largest of WordNet 3.1 has 16 MB. A damaged archive may claim anything."""
_RELEASE = re.compile(rb"Word[nN]et (\d+(?:\.\d+)?\+?) Copyright")
_HEADER_BYTES = 4096
T = TypeVar("T")


class WordNet(NamedTuple):
    """A WordNet database, read.

    Attributes:
        place: Its folder, or the zip file that it lies in.
        files: What each of `WORDNET_FILES` holds.
        sha256: Digest of the files.
        release: WordNet's release as the files state it, such as `3.0`; empty where they don't.
    """

    place: Path
    files: Mapping[str, bytes]
    sha256: str
    release: str


def wordnet_places() -> tuple[Path, ...]:
    """Where WordNet may lie, the first that has it counts: what `NLTK_DATA` names, the other places in which nltk looks
    for its data, each as a folder and as a zip file, and Debian's package `wordnet-base`.
    """
    named = [Path(one).expanduser() for one in os.environ.get("NLTK_DATA", "").split(os.pathsep) if one]
    prefix = Path(sys.prefix)
    of_python = [prefix / "nltk_data", prefix / "share" / "nltk_data", prefix / "lib" / "nltk_data"]
    roots = [*named, _home() / "nltk_data", *of_python, *_of_the_system()]
    return (*(root / "corpora" / name for root in roots for name in ("wordnet", "wordnet.zip")), _DEBIAN)


def wordnets() -> Iterator[WordNet]:
    """Every WordNet that is complete, in the order of the places."""
    for place in wordnet_places():
        try:
            files = (
                _in_zip(place)
                if place.suffix == ".zip"
                else {name: _capped((place / name).stat().st_size, place / name).read_bytes() for name in WORDNET_FILES}
            )
        except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
            continue  # it isn't there, lacks a file, is damaged, or closed by a password
        digest = canonical.digest({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
        release = _RELEASE.search(files["data.adj"][:_HEADER_BYTES])
        yield WordNet(place, files, digest, release[1].decode() if release else "")


def find_wordnet(sha256: str | None = None) -> WordNet | None:
    """The first WordNet, or the first with this digest; None where there is none."""
    return next((one for one in wordnets() if sha256 in (None, one.sha256)), None)


def lacking_data(asked: OpenEval) -> tuple[Need, ...]:
    """Data that a plan's metrics need and that isn't on this machine as the plan pins it."""
    pinned = asked.wordnet
    return () if pinned is None or find_wordnet(pinned.sha256) else (WORDNET,)


def _home() -> Path:
    return Path("~").expanduser()


def _of_the_system() -> list[Path]:
    if sys.platform == "win32":
        return [Path(os.environ.get("APPDATA", "C:\\")) / "nltk_data", *(Path(f"{c}:\\nltk_data") for c in "CDE")]
    usr = Path("/usr")
    return [usr / part / "nltk_data" for part in ("share", "local/share", "lib", "local/lib")]


def _in_zip(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.getinfo(f"wordnet/{name}") for name in WORDNET_FILES}
        return {name: archive.read(_capped(entry.file_size, entry)) for name, entry in entries.items()}


def _capped(size: int, what: T) -> T:
    if size > _MOST_BYTES:
        raise OSError(f"no file of WordNet has {size:,} bytes")
    return what
