"""Digests of rows, one by one and together. Nothing in a row is normalized."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["canonical_text", "example_digests", "row_digests", "rows_digest", "unordered_digest"]

canonical_text: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":")
).encode
"""A row or value as compact JSON with sorted keys: equal values give equal text."""


def row_digests(rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """sha256 of each row as compact JSON with sorted keys. Nothing in a row is normalized."""
    return [hashlib.sha256(canonical_text(row).encode()).digest() for row in rows]


def rows_digest(digests: Iterable[bytes]) -> str:
    """sha256, in hexadecimal, over rows in their order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def unordered_digest(digests: Iterable[bytes]) -> str:
    """sha256, in hexadecimal, over the same rows in any order: a shuffled file has the same, a copied row another."""
    return rows_digest(sorted(digests))


def example_digests(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> list[bytes]:
    """sha256 of what the task reads of each row. Rows that differ only in other columns are the same example."""
    return [hashlib.sha256(canonical_text([row.get(column) for column in columns]).encode()).digest() for row in rows]
