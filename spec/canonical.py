"""Canonical JSON and digests: the same bytes on every system, locale and hash seed.

Files are UTF-8 with sorted keys, a two-space indent and a final newline; numbers that are not integers are decimal
strings, so that no two readers can disagree about a float. Digests are sha256 over the RFC 8785 form, which for
documents without floats is compact JSON with keys sorted by UTF-16 code units.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from io import BufferedIOBase, RawIOBase
from pathlib import Path
from typing import Any

from ftc.spec.storage.reading import open_regular, parse_json, read_regular

__all__ = [
    "canonical",
    "decimal_text",
    "digest",
    "file_digest",
    "is_as_sealed",
    "opened_digest",
    "own_digest",
    "to_bytes",
    "to_text",
]


def decimal_text(value: float) -> str:
    """The shortest decimal text that reads back as the same float; `1e-05` rather than `1e-5`, as Python writes it."""
    return repr(float(value))


def canonical(value: Any) -> Any:
    """A copy of a JSON value with floats turned into decimal strings and tuples into lists.

    Raises:
        TypeError: Something in it is no JSON value.
    """
    match value:
        case str() | None | bool() | int():
            return value
        case float():
            return decimal_text(value)
        case dict():
            return {str(key): canonical(item) for key, item in value.items()}
        case list() | tuple():
            return [canonical(item) for item in value]
        case _:
            raise TypeError(f"not a JSON value: {type(value).__name__}")


def to_text(value: Any) -> str:
    """The form for files: sorted keys, two-space indent, final newline."""
    return json.dumps(canonical(value), ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False) + "\n"


def to_bytes(value: Any) -> bytes:
    """The form that is digested: RFC 8785 for values without floats."""
    plain = canonical(value)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    # Python sorts keys by code point, RFC 8785 by UTF-16 code unit: the same where no character needs two units.
    return (text if text.isascii() or max(text) <= "\uffff" else _rfc8785(plain)).encode()


def digest(value: Any) -> str:
    """sha256, in hexadecimal, of a JSON value's canonical form."""
    return hashlib.sha256(to_bytes(value)).hexdigest()


def own_digest(path: Path) -> str:
    """Digest of a sealed document as it stands in its file, in which the digest's own field counts as empty.

    It asks no model, so that a document of an older release, which lacks fields that have come since, keeps its digest.

    Raises:
        ValueError: The file holds no JSON object.
        OSError: It can't be read.
    """
    return digest({**_object(path), "sha256": ""})


def is_as_sealed(path: Path) -> bool:
    """Whether a document's file holds what the digest in it says; False where it can't be read."""
    try:
        plain = _object(path)
    except (OSError, ValueError):
        return False
    return plain.get("sha256") == digest({**plain, "sha256": ""})


def _object(path: Path) -> dict[str, Any]:
    plain = parse_json(read_regular(path))
    if not isinstance(plain, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    return plain


_AT_ONCE = 1 << 20
"""Bytes that are read between two signs of progress."""


def file_digest(path: Path, read: Callable[[], object] | None = None) -> str:
    """sha256, in hexadecimal, of a file's bytes.

    Args:
        path: The file.
        read: Is called each time that a MiB was digested, for those that wait.

    Raises:
        OSError: It is no regular file, or can't be read.
    """
    with open_regular(path) as file:
        return opened_digest(file, read)


def opened_digest(file: RawIOBase | BufferedIOBase, read: Callable[[], object] | None = None) -> str:
    """The same of an open file, from where it is read next."""
    if read is None:
        return hashlib.file_digest(file, "sha256").hexdigest()
    state, part = hashlib.sha256(), memoryview(bytearray(_AT_ONCE))
    while size := file.readinto(part):
        state.update(part[:size])
        read()
    return state.hexdigest()


def _rfc8785(value: Any) -> str:
    match value:
        case dict():
            keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
            return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_rfc8785(value[k])}" for k in keys) + "}"
        case list():
            return "[" + ",".join(map(_rfc8785, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)
