"""The one door to ftc's cache: what is remembered is believed only where this user, on this machine, wrote it.

An entry holds what it was made from, as its key, and an authentication code over key and value. The secret of the code
lies outside the cache, readable by its owner alone. So an entry under another entry's name, an edited one, and one that
came with somebody else's cache are no more than absent ones: they cost the time to make them again, and are counted, so
that the user is told once. What an entry says of other files is still compared with these by the caller.

`FTC_CACHE_KEY` names the secret's file, for machines that share a cache and trust each other.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Cache", "distrust", "named_content", "take_distrusted"]

_SCHEMA = "ftc.cached/1"
_LEAST_BYTES = 16
"""A shorter secret could be guessed."""
_UNFINISHED = ".entry-"
_ABANDONED_SECONDS = 3600
_distrusted: dict[str, str] = {}


class Cache:
    """Entries in a folder, each a JSON file. A folder that can't be used remembers nothing, and fails nothing.

    Processes may share the folder: entries are replaced whole, and one that a crash tore counts as absent.

    Args:
        folder: Where the entries lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def recall(self, name: str, key: Mapping[str, Any]) -> Any | None:
        """The value of an entry, or None where there is none that can be believed.

        Args:
            name: The entry's file.
            key: What the value is made from, as JSON values; another one makes the entry a stranger's.
        """
        file = self.folder / name
        try:
            entry = json.loads(file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(entry, dict) or entry.get("schema") != _SCHEMA:
            return None  # of an earlier release
        if entry.get("key") != key:
            distrust(file, "it was made from something else than its name says")
            return None
        value, code = entry.get("value"), entry.get("mac")
        if not isinstance(code, str) or not _is_code(code, key, value):
            distrust(file, "another user or machine wrote it, or somebody changed it")
            return None
        return value

    def keep(self, name: str, key: Mapping[str, Any], value: Any) -> None:
        """Writes an entry whole. No fsync: one that a crash tears can't be read, and is made again."""
        made_from, written = _text(key), _text(value)  # a value may be of megabytes, and is written as JSON once
        parts = {"key": made_from, "mac": _text(_code(made_from, written)), "schema": _text(_SCHEMA), "value": written}
        content = ",".join(f'"{part}":{text}' for part, text in parts.items())
        file = self.folder / name
        import tempfile  # whoever finds everything writes nothing

        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=_UNFINISHED)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(f"{{{content}}}".encode("utf-8", "surrogatepass"))
            os.replace(temporary, file)
        except BaseException as error:
            with suppress(OSError):
                Path(temporary).unlink()
            if not isinstance(error, OSError):
                raise

    def sweep(self) -> None:
        """Removes what processes that were killed left half written; what is young may still be written."""
        for file in self.folder.glob(f"{_UNFINISHED}*"):
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > _ABANDONED_SECONDS:
                    file.unlink()


def named_content(file: Path, is_named: Callable[[bytes], bool]) -> bytes | None:
    """The content of a file that is named after it, or None; one with other content is deleted, to be made again.

    Args:
        file: In the cache.
        is_named: Whether content has the digest that is the file's name.
    """
    try:
        data = file.read_bytes()
    except OSError:
        return None
    if is_named(data):
        return data
    distrust(file, "it has other content than its name says")
    with suppress(OSError):
        file.unlink()
    return None


def distrust(file: Path, why: str) -> None:
    """Counts an entry that is not believed, for the one finding about all of them."""
    _distrusted[str(file)] = why


def take_distrusted() -> dict[str, str]:
    """Why entries were not believed since the last call, by their file."""
    taken = dict(_distrusted)
    _distrusted.clear()
    return taken


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _is_code(code: str, key: Mapping[str, Any], value: Any) -> bool:
    return hmac.compare_digest(code.encode(), _code(_text(key), _text(value)).encode())


def _code(key: str, value: str) -> str:
    """The authentication code of a key and a value as JSON."""
    return hmac.digest(_secret(_secret_file()), f"[{key},{value}]".encode("utf-8", "surrogatepass"), "sha256").hex()


def _secret_file() -> Path:
    if named := os.environ.get("FTC_CACHE_KEY"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_state_dir("ftc", appauthor=False)) / "cache.key"


@functools.cache
def _secret(file: Path) -> bytes:
    """The secret in a file, which is made where it is missing; one for this process alone where that can't be."""
    for _ in range(2):
        try:
            content = file.read_bytes()
            if len(content) >= _LEAST_BYTES:
                return hashlib.sha256(content).digest()
            distrust(file, f"a secret of less than {_LEAST_BYTES} bytes could be guessed, so the cache starts empty")
            break
        except FileNotFoundError:
            pass
        except OSError:
            break
        try:
            _make_secret(file)
        except OSError:
            break
    return secrets.token_bytes(32)


def _make_secret(file: Path) -> None:
    """Writes a new secret whole, for its owner alone; another process or thread may be first, whose secret counts."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    import tempfile

    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".key-")  # 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_hex(32).encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, file)
    except FileExistsError:
        return
    finally:
        Path(temporary).unlink(missing_ok=True)
