"""What in a model's text files is another by now: the token whose id changed, a key, a place in the chat template.

The files are kept in ftc's cache when a model is resolved, compressed and under their own checksum, which is compared
on reading. Emptying the cache costs the names and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftc.spec.documents.facts import FileFacts, ModelFacts
from ftc.spec.documents.lockfile import Lock
from ftc.spec.storage.atomic_write import write_file
from ftc.spec.storage.cache import named_content
from ftc.spec.storage.cached import TEXTS

__all__ = ["remember_texts", "text_part", "texts_that_differ"]

_SUFFIXES = (".json", ".jinja", ".txt")
_MOST_BYTES = 64 * 2**20
_SHOWN = 24


def remember_texts(cache: Path, folder: Path, files: Mapping[str, FileFacts]) -> None:
    """Keeps a model's text files in ftc's cache; one that can't be read or written is not kept."""
    for name, facts in files.items():
        kept = _file(cache, facts.sha256)
        if not name.endswith(_SUFFIXES) or facts.size > _MOST_BYTES or kept.exists():
            continue
        try:
            data = (folder / name).read_bytes()
            if hashlib.sha256(data).hexdigest() == facts.sha256:
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_file(kept, zlib.compress(data, 1))
        except OSError:
            continue


def text_part(file: Path, sha256: str, cache: Path) -> str:
    """The first thing that differs from the file with a checksum; nothing where the cache doesn't have that one."""
    before = _recalled(cache, sha256)
    if before is None or not file.name.endswith(_SUFFIXES):
        return ""
    try:
        after = file.read_bytes()[:_MOST_BYTES]
        if not file.name.endswith(".json"):
            return _in_text("", before.decode(), after.decode())
        old, new = json.loads(before), json.loads(after)
    except (OSError, ValueError, RecursionError):
        return "it can't be read any longer"
    return _difference("", old, new) or "only its formatting"


def texts_that_differ(model: ModelFacts, folder: Path, lock: Lock, cache: Path) -> list[str]:
    """What of a model's chat template and tokenizer is not what a lock pins, in words."""
    template = model.tokenizer.chat_template
    digest = None if template is None else hashlib.sha256(template.encode()).hexdigest()
    found = ["the model's chat template is not the locked one"] if digest != lock.text.chat_template_sha256 else []
    for name, sha256 in lock.text.tokenizer_files.items():
        if name not in model.files or model.files[name].sha256 != sha256:
            part = text_part(folder / name, sha256, cache)
            found.append(f"`{name}` is not the locked file{f': {part}' if part else ''}")
    return found


def _recalled(cache: Path, sha256: str) -> bytes | None:

    def text(packed: bytes) -> bytes:
        try:
            return zlib.decompressobj().decompress(packed, _MOST_BYTES)
        except zlib.error:
            return b""

    packed = named_content(_file(cache, sha256), lambda packed: hashlib.sha256(text(packed)).hexdigest() == sha256)
    return text(packed) if packed is not None else None


def _difference(path: str, old: Any, new: Any) -> str:
    """The first place at which two JSON values differ, with both values; empty where they are equal."""
    if type(old) is type(new) and old == new and not isinstance(old, dict | list):
        return ""
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted({*old, *new}, key=lambda name: (name in old and name in new, name))
        token = f" of token {_shown(old['content'])}" if "content" in old and "id" in old else ""
        for name in names:
            if name not in old or name not in new:
                return f"`{path}{name}` {'is new' if name in new else 'is gone'}"
            if found := _difference(f"{path}{name}.", old[name], new[name]):
                return f"{found}{token}"
        return ""
    if isinstance(old, list) and isinstance(new, list):
        pairs = zip(old, new, strict=False)
        found = next((one for n, pair in enumerate(pairs) if (one := _difference(f"{path}{n}.", *pair))), "")
        if found or len(old) == len(new):
            return found
        return f"`{path.rstrip('.')}` has {len(new):,} entries instead of {len(old):,}"
    if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > _SHOWN:
        return _in_text(path, old, new)
    return f"`{path.rstrip('.')}` {_shown(old)} -> {_shown(new)}"


def _in_text(path: str, old: str, new: str) -> str:
    pairs = enumerate(zip(old, new, strict=False))
    place = next((number for number, (a, b) in pairs if a != b), min(len(old), len(new)))
    line = old.count("\n", 0, place) + 1
    where = f"`{path.rstrip('.')}`, " if path else ""
    before, after = old[place : place + _SHOWN], new[place : place + _SHOWN]
    return f"{where}character {place + 1:,} (line {line:,}): {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}…"


def _file(cache: Path, sha256: str) -> Path:
    return TEXTS.under(cache) / sha256
