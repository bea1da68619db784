"""Locks that are shipped beside recipes: this release reads them, and no line of them was edited by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.compiler.lock.lockfile import parse_lock

ROOT = Path(__file__).parents[2] / "recipes"
LOCKS = sorted(path for path in ROOT.rglob("*.lock.json") if ".cache" not in path.parts and "runs" not in path.parts)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_shipped_lock_is_whole_and_has_its_recipe(path: Path) -> None:
    lock = parse_lock(path.read_bytes(), path.name)
    assert lock.broken_seals() == ()
    assert path.with_name(path.name.replace(".lock.json", ".yaml")).is_file()
