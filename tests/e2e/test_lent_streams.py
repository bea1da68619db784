"""Token streams at a site's storage: whole and those of the plan, or not used at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.documents.plan import Plan
from ftc.spec.storage.paths import streams_folder
from ftc.verbs import storage
from ftc.verbs.lent_streams import fetch_streams, store_streams
from tests.e2e.conftest import MakeProject

pytest.importorskip("fsspec")
EVIL = "../evil"


@pytest.fixture
def planned(project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Path]:
    """A plan, and a machine's project that has it, whose cache nobody else uses."""
    monkeypatch.setattr(storage, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    root = project(steps=2)
    return api.plan(root / "recipe.yaml").plan, root


def address_of(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store"


def place_of(tmp_path: Path) -> Path:
    (place,) = (tmp_path / "store" / "streams").iterdir()
    return place


def test_streams_come_back_with_the_same_bytes(planned: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, root = planned
    folder = streams_folder(plan.stream_key)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    absent = fetch_streams(plan, address_of(tmp_path), root)
    assert absent is None, "nothing is fetched where nothing lacks"
    shutil.rmtree(folder)
    assert "has no such token streams" in (fetch_streams(plan, address_of(tmp_path), root) or "")
    assert not folder.exists()

    api.plan(root / "recipe.yaml")
    store_streams(plan, address_of(tmp_path))
    shutil.rmtree(folder)
    assert fetch_streams(plan, address_of(tmp_path), root) is None
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert after.keys() ^ before.keys() == {"manifest.json", "unpacked.json"}
    assert all(after[name] == before[name] for name in after.keys() & before.keys())
    store_streams(plan, address_of(tmp_path))  # what was fetched may be lent as well
    assert api.plan(root / "recipe.yaml").plan.stream_key == plan.stream_key


def test_a_cache_that_takes_nothing_is_a_reason_and_no_error(
    planned: tuple[Plan, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, root = planned
    store_streams(plan, address_of(tmp_path))
    (tmp_path / "full").write_text("a file where the cache's folder belongs")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "full"))
    assert "could not be fetched" in (fetch_streams(plan, address_of(tmp_path), root) or "")


def _swap(place: Path) -> None:
    file = max((place / "objects").iterdir(), key=lambda one: one.stat().st_size)
    file.write_bytes(bytes(reversed(file.read_bytes())))


def _remove(place: Path) -> None:
    next((place / "objects").iterdir()).unlink()


def _tear(place: Path) -> None:
    (place / "streams.json").write_bytes((place / "streams.json").read_bytes()[:200])


def _changed(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    listed = json.loads((place / "streams.json").read_text())
    change(listed)
    (place / "streams.json").write_text(json.dumps(listed))


def _lead_out(place: Path) -> None:
    def change(listed: dict[str, Any]) -> None:
        listed["manifest"]["files"][EVIL] = next(iter(listed["manifest"]["files"].values()))

    _changed(place, change)


def _exchange(place: Path) -> None:
    def change(listed: dict[str, Any]) -> None:
        files = listed["manifest"]["files"]
        files["train.arrow"], files["test.arrow"] = files["test.arrow"], files["train.arrow"]

    _changed(place, change)


def _rename(place: Path) -> None:
    _changed(place, lambda listed: listed["made_from"].update(ftc="0.0.0"))


@pytest.mark.parametrize("damage", [_swap, _remove, _tear, _lead_out, _exchange, _rename])
def test_damaged_streams_leave_nothing(
    planned: tuple[Plan, Path], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    plan, root = planned
    folder = streams_folder(plan.stream_key)
    store_streams(plan, address_of(tmp_path))
    shutil.copytree(folder, tmp_path / "own")
    shutil.rmtree(folder)
    damage(place_of(tmp_path))
    assert "are damaged" in (fetch_streams(plan, address_of(tmp_path), root) or "")
    assert not folder.exists()
    assert not [*folder.parent.glob(".making-*")]
    assert not [*tmp_path.glob("**/evil")]

    shutil.copytree(tmp_path / "own", folder)
    store_streams(plan, address_of(tmp_path))
    shutil.rmtree(folder)
    assert fetch_streams(plan, address_of(tmp_path), root) is None, "what was damaged was stored again"
