"""Storage of large files as the hub has it, in a folder: what hf_xet put there is found by sha256, and read back by it.

hf_xet takes `local://FOLDER` for an address. It cuts files into chunks, keeps each once, and writes shards that say
which chunks are which file; nothing here knows the bytes of a file but from these.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["XetStore"]

_BLOCK = 48
"""Bytes of a shard's header and of each of its entries."""
_HAS_PROOFS, _HAS_SHA256 = 1 << 31, 1 << 30


@dataclass(frozen=True)
class XetStore:
    """The storage in a folder."""

    folder: Path

    @property
    def address(self) -> str:
        """The address that hf_xet takes."""
        return f"local://{self.folder}"

    def entry(self) -> dict[str, str | int]:
        """How a client is let in."""
        return {"casUrl": self.address, "accessToken": "of-the-storage", "exp": _in_an_hour()}

    def headers(self) -> dict[str, str]:
        """The same in an answer's headers."""
        known = {"Cas-Url": self.address, "Access-Token": "of-the-storage", "Token-Expiration": str(_in_an_hour())}
        return {f"X-Xet-{name}": value for name, value in known.items()}

    def hash_of(self, sha256: str) -> str | None:
        """The storage's own name of a file; None where it has none of these bytes."""
        return {known: name for name, known, _ in self._files()}.get(sha256)

    def content(self, sha256: str) -> bytes:
        """The bytes of a file, put together again by hf_xet."""
        import hf_xet as library

        hf_xet: Any = library  # compiled, and published without types of these
        name, size = next((name, size) for name, known, size in self._files() if known == sha256)
        with tempfile.TemporaryDirectory() as scratch:
            session = hf_xet.XetSession()
            with session.new_file_download_group(
                endpoint=self.address, token="of-the-storage", token_expiry_unix_secs=_in_an_hour()
            ) as group:
                group.start_download_file(hf_xet.XetFileInfo(name, size), f"{scratch}/file")
            found = Path(scratch, "file").read_bytes()
        assert hashlib.sha256(found).hexdigest() == sha256, "the storage holds what was sent"
        return found

    def _files(self) -> Iterator[tuple[str, str, int]]:
        """Own name, sha256 and size of each file, by the shards."""
        for file in sorted(self.folder.glob("xet/xorbs/shards/*.mdb")):
            data, place = file.read_bytes(), _BLOCK
            while (name := data[place : place + 32]) != b"\xff" * 32:
                flags, count = struct.unpack_from("<II", data, place + 32)
                sizes = [struct.unpack_from("<I", data, place + _BLOCK * (n + 1) + 36)[0] for n in range(count)]
                place += _BLOCK * (1 + count * (2 if flags & _HAS_PROOFS else 1))
                if flags & _HAS_SHA256:
                    yield _digits(name), _digits(data[place : place + 32]), sum(sizes)
                    place += _BLOCK


def _digits(digest: bytes) -> str:
    """A digest as hf_xet writes it: four numbers of 64 bits."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", digest))


def _in_an_hour() -> int:
    return int(time.time()) + 3600
