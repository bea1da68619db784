"""Packages that one nox session installs: skipped elsewhere, and required there."""

from __future__ import annotations

import os
from typing import Any

import pytest

__all__ = ["package_of"]


def package_of(session: str, name: str) -> Any:
    """The module of a package that a session brings. Elsewhere a missing one skips the test; there it fails it."""
    try:
        return pytest.importorskip(name, reason=f"nox -s {session}")
    except pytest.skip.Exception:
        if os.environ.get("FTC_SESSION") == session:
            pytest.fail(f"the session {session} has no {name}")
        raise
