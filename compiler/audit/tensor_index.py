"""Digests of a base model's single tensors, kept in ftc's cache under that of them all, so that a changed one is named.

Emptying the cache costs the name and nothing else: the lock still tells that the weights changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ftc.spec.storage.atomic_write import write_file
from ftc.spec.storage.model_files import TensorDigest, content_digest

__all__ = ["recall_tensors", "remember_tensors"]


def remember_tensors(cache: Path, tensors: Mapping[str, TensorDigest]) -> None:
    """Keeps an index in ftc's cache; one that can't be written is not kept."""
    file = _file(cache, content_digest(tensors))
    plain = {name: [one.dtype, list(one.shape), one.sha256] for name, one in tensors.items()}
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file, json.dumps(plain, ensure_ascii=False, sort_keys=True).encode())
    except OSError:
        return


def recall_tensors(cache: Path, content_sha256: str) -> dict[str, str] | None:
    """sha256 of each tensor's bytes by name, or None where the cache doesn't have them, or has others."""
    try:
        plain = json.loads(_file(cache, content_sha256).read_bytes())
        tensors = {name: TensorDigest(*entry) for name, entry in plain.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return {name: one.sha256 for name, one in tensors.items()} if content_digest(tensors) == content_sha256 else None


def _file(cache: Path, content_sha256: str) -> Path:
    return cache / "tensors" / f"{content_sha256}.json"
