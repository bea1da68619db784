"""Reads a stranger's JSON file: size and depth are bounded, and what is wrong becomes a finding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc.spec.diagnostics import Refusal, Span, diagnostic

__all__ = ["read_json_object"]

_MAX_BYTES = 256 * 2**20  # the largest tokenizer.json in use are about 35 MB


def read_json_object(file: Path, span: Span | None, path: str = "model.base") -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        Refusal: FTC311, the file can't be read, is too large or too deep, or holds no object.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES // 2**20} MiB")
        value = json.loads(file.read_bytes())
    except RecursionError:
        raise _unreadable(file, "nested too deeply", span, path) from None
    except (OSError, ValueError) as error:
        raise _unreadable(file, str(error), span, path) from error
    if not isinstance(value, dict):
        raise _unreadable(file, f"an object is expected, found {type(value).__name__}", span, path)
    return value


def _unreadable(file: Path, reason: str, span: Span | None, path: str) -> Refusal:
    found = diagnostic(
        "FTC311",
        f"`{file.name}` of the model can't be read",
        span,
        notes=reason,
        help="fetch the file again, or take it from the model's original folder",
        path=path,
    )
    return Refusal([found])
