"""sha256 of files and of the tensors in them, and what else is made of one file, remembered between calls under a rule
that a restored time can't fool.

A remembered digest is trusted only if size, modification time, change time, inode and device are all what they were,
and both times are older than the moment the file was read by a margin. `touch -r` and archive tools restore the
modification time, never the change time. The margin covers coarse clocks: a file that was written in the same tick
as it was read could be written once more without any stamp changing.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Generic, TypeVar

from ftc.compiler.resolve.models.weights import TensorRange, read_ranges
from ftc.compiler.stages import read_listener
from ftc.spec.canonical import file_digest, opened_digest
from ftc.spec.documents.facts import FileFacts
from ftc.spec.storage.atomic_write import Stamp, is_settled, stamp_of, write_file
from ftc.spec.storage.cache import Cache, named_content
from ftc.spec.storage.cached import TENSORS
from ftc.spec.storage.model_files import TensorDigest, content_digest
from ftc.spec.storage.reading import parse_json

__all__ = ["DigestCache", "digests_of", "recall_tensors", "remember_tensors", "tensor_digests"]

_MAX_WORKERS = 8
_CHUNK_BYTES = 1 << 20
_MIN_THREADED_BYTES = 1 << 18  # below, handing a tensor to another thread costs more than hashing it

Item = TypeVar("Item")
Result = TypeVar("Result")


class DigestCache:
    """Digests of files by content, with one small file per hashed path in `folder`.

    A folder that can't be written makes every call hash, and fails nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._cache = Cache(folder)

    def file(self, path: Path) -> FileFacts:
        """Size and sha256 of one file, following links.

        Raises:
            OSError: The file can't be read.
        """
        path = path.resolve()
        return self._known(path) or self._hashed(path)

    def _known(self, path: Path) -> FileFacts | None:
        stamp = stamp_of(path.stat())
        remembered = self._recall(path, "json", stamp)
        return FileFacts(size=stamp.size, sha256=remembered) if isinstance(remembered, str) else None

    def _hashed(self, path: Path) -> FileFacts:
        read = _read(path, lambda file: opened_digest(file, read_listener()))
        self._remember(path, "json", read, read.value)
        return FileFacts(size=read.stamp.size, sha256=read.value)

    def files(self, paths: Iterable[Path]) -> dict[Path, FileFacts]:
        """The same for several files at once; hashing releases the interpreter lock, so threads help."""
        sizes = {path: path.stat().st_size if path.is_file() else 0 for path in paths}  # reading tells what is wrong
        known = {path: facts for path in sizes if path.is_file() and (facts := self._known(path.resolve()))}
        wanted = [path for path in sizes if path not in known]
        wanted.sort(key=lambda path: sizes[path], reverse=True)  # the largest first, so none is left over
        return known | dict(zip(wanted, _in_threads(self.file, wanted), strict=True))

    def tensors(self, paths: Iterable[Path]) -> dict[str, TensorDigest]:
        """Digest of every tensor of safetensors files by its name.

        Raises:
            BrokenSafetensors: A file is none.
            OSError: A file can't be read.
        """
        found: dict[str, TensorDigest] = {}
        for path in sorted({path.resolve() for path in paths}):
            found |= self._tensors(path)
        return found

    def _tensors(self, path: Path) -> dict[str, TensorDigest]:
        def digests() -> dict[str, Any]:
            return {name: [one.dtype, list(one.shape), one.sha256] for name, one in tensor_digests(path).items()}

        return {name: TensorDigest(*entry) for name, entry in self.made_of(path, "tensors", digests).items()}

    def made_of(self, path: Path, kind: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What is made of a file's content, remembered as its digest is.

        Args:
            path: The file.
            kind: What it is; a new word for another meaning.
            make: Reads the file and gives JSON values; whatever it raises goes on.

        Raises:
            OSError: The file can't be read.
        """
        path = path.resolve()
        remembered = self._recall(path, f"{kind}.json", stamp_of(path.stat()))
        if isinstance(remembered, dict):
            return remembered
        read = _read(path, lambda _: make())
        self._remember(path, f"{kind}.json", read, read.value)
        return read.value

    def _recall(self, path: Path, kind: str, stamp: Stamp) -> object:
        kept = self._cache.recall(*_entry(path, kind))
        return kept["sha256"] if isinstance(kept, dict) and kept.get("stamp") == list(stamp) else None

    def _remember(self, path: Path, kind: str, read: _Read[Result], value: object) -> None:
        if read.is_settled:
            self._cache.keep(*_entry(path, kind), {"stamp": list(read.stamp), "sha256": value})


def _entry(path: Path, kind: str) -> tuple[str, dict[str, str]]:
    """Name and key of what is remembered of a file."""
    name = hashlib.sha256(os.fsencode(path)).hexdigest()
    return f"{name}.{kind}", {"kind": f"digests, {kind}", "path": name}


def digests_of(paths: Sequence[Path]) -> dict[Path, str]:
    """sha256 of several files at once, hashed now whatever is remembered of them.

    Raises:
        OSError: One can't be read.
    """
    by_size = sorted(paths, key=lambda path: -path.stat().st_size)
    return dict(zip(by_size, _in_threads(lambda path: file_digest(path, read_listener()), by_size), strict=True))


def tensor_digests(path: Path) -> dict[str, TensorDigest]:
    """Digest of every tensor of a safetensors file, hashed now whatever is remembered of it.

    Raises:
        BrokenSafetensors: The file is none.
        OSError: It can't be read.
    """
    ranges = read_ranges(path)
    by_size = sorted(ranges, key=lambda name: ranges[name].begin - ranges[name].end)
    large = [name for name in by_size if ranges[name].end - ranges[name].begin >= _MIN_THREADED_BYTES]
    digests = dict(zip(large, _in_threads(lambda name: _hash_stretch(path, ranges[name]), large), strict=True))
    digests |= {name: _hash_stretch(path, ranges[name]) for name in by_size[len(large) :]}
    return {name: TensorDigest(one.facts.dtype, one.facts.shape, digests[name]) for name, one in ranges.items()}


@dataclass(frozen=True, slots=True)
class _Read(Generic[Result]):
    """What was made of a file, its stamp, and whether that stamp can vouch for it."""

    value: Result
    stamp: Stamp
    is_settled: bool


def _read(path: Path, use: Callable[[FileIO], Result]) -> _Read[Result]:
    started_ns = time.time_ns()
    with path.open("rb", buffering=0) as file:
        before = stamp_of(os.fstat(file.fileno()))
        value = use(file)
        after = stamp_of(os.fstat(file.fileno()))
    return _Read(value, after, before == after and is_settled(before, started_ns))


def _hash_stretch(path: Path, stretch: TensorRange) -> str:
    sha256, left, listener = hashlib.sha256(), stretch.end - stretch.begin, read_listener()
    with path.open("rb", buffering=0) as file:
        file.seek(stretch.begin)
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            sha256.update(chunk)
            left -= len(chunk)
            if listener is not None:
                listener()
    return sha256.hexdigest()


def _in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    workers = min(_MAX_WORKERS, len(items), os.cpu_count() or 1)
    if workers <= 1:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # a warm plan hashes nothing, and needs no threads

    with ThreadPoolExecutor(workers) as pool:
        here = [copy_context() for _ in items]  # a thread has no listener by itself
        return list(pool.map(lambda context, item: context.run(work, item), here, items))


def remember_tensors(cache: Path, tensors: Mapping[str, TensorDigest]) -> None:
    """Keeps an index in ftc's cache; one that can't be written is not kept."""
    file = _index_file(cache, content_digest(tensors))
    plain = {name: [one.dtype, list(one.shape), one.sha256] for name, one in tensors.items()}
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file, json.dumps(plain, ensure_ascii=False, sort_keys=True).encode())
    except OSError:
        return


def recall_tensors(cache: Path, content_sha256: str) -> dict[str, str] | None:
    """sha256 of each tensor's bytes by name, or None where the cache doesn't have them, or has others."""

    def read(data: bytes) -> dict[str, TensorDigest]:
        return {name: TensorDigest(*entry) for name, entry in parse_json(data).items()}

    def is_named(data: bytes) -> bool:
        try:
            return content_digest(read(data)) == content_sha256
        except (ValueError, TypeError, AttributeError):
            return False

    data = named_content(_index_file(cache, content_sha256), is_named)
    return {name: one.sha256 for name, one in read(data).items()} if data is not None else None


def _index_file(cache: Path, content_sha256: str) -> Path:
    return TENSORS.under(cache) / f"{content_sha256}.json"
