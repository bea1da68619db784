"""No cache is believed by its name: a foreign, poisoned or copied one costs time and changes nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.exit_codes import ExitCode
from tests.e2e.conftest import Ftc, MakeProject


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is old enough for its stamp to prove something."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600 * 10**9)


def codes(planned: api.Planned) -> list[str]:
    return [found.code for found in planned.diagnostics if found.code == "FTC655"]


def entries() -> list[Path]:
    """Every entry of the cache that says what it was made from."""
    files = (file for file in Path(os.environ["FTC_CACHE"]).rglob("*.json") if file.is_file())
    return [file for file in files if "mac" in json.loads(file.read_bytes())]


def poison(value: Any) -> Any:
    """The same form with other numbers and texts."""
    match value:
        case dict():
            return {key: poison(one) for key, one in value.items()}
        case list():
            return [poison(one) for one in value]
        case bool() | None:
            return value
        case int():
            return value + 1
        case str() if len(value) == 64:
            return "0" * 64
        case _:
            return value


def with_entries(change: Callable[[dict[str, Any]], object]) -> None:
    for file in entries():
        entry = json.loads(file.read_bytes())
        change(entry)
        file.write_text(json.dumps(entry))


def edit_streams(_: Path) -> None:
    """Other tokens in a stream of the same size."""
    for file in Path(os.environ["FTC_CACHE"]).glob("streams/*/train*"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


POISONS: dict[str, Callable[[Path], object]] = {
    "values": lambda _: with_entries(lambda entry: entry.update(value=poison(entry["value"]))),
    "keys": lambda _: with_entries(lambda entry: entry["key"].update(kind="other")),
    "streams": edit_streams,
    "another user's": lambda root: os.environ.update(FTC_CACHE_KEY=str(root / "another.key")),
    "torn": lambda _: [file.write_bytes(file.read_bytes()[:40]) for file in entries()],
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("how", POISONS)
def test_a_poisoned_cache_costs_time_and_changes_nothing(
    project: MakeProject, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    root = project()
    monkeypatch.setenv("FTC_CACHE_KEY", os.environ["FTC_CACHE_KEY"])
    first = api.plan("recipe.yaml")
    kinds = {json.loads(file.read_bytes())["key"]["kind"].partition(",")[0] for file in entries()}
    assert kinds >= {"token streams", "digests", "environment"}
    assert codes(api.plan("recipe.yaml")) == []
    POISONS[how](root)
    again = api.plan("recipe.yaml", locked=True)
    assert again.plan.sha256 == first.plan.sha256
    assert codes(again) == ([] if how == "torn" else ["FTC655"])
    api.plan("recipe.yaml")  # the first to read what the cache knew of files that were made again
    assert codes(api.plan("recipe.yaml", locked=True)) == [], "it is made again once"


def test_streams_under_the_key_of_others_are_not_trained_on(project: MakeProject) -> None:
    root = project()
    recipe = root / "recipe.yaml"
    longer = api.plan(recipe, overrides=["data.max_length=24"])
    shorter = api.plan(recipe, overrides=["data.max_length=16"])
    streams = Path(os.environ["FTC_CACHE"]) / "streams"
    for file in (streams / longer.plan.stream_key).iterdir():
        shutil.copy2(file, streams / shorter.plan.stream_key)
    again = api.plan(recipe, overrides=["data.max_length=16"])
    assert again.plan.sha256 == shorter.plan.sha256
    assert codes(again) == ["FTC655"]


@pytest.mark.slow
def test_a_library_that_was_edited_after_it_was_installed_is_another_one(project: MakeProject, tmp_path: Path) -> None:
    """Same version, same RECORD, in a process of its own with a warm cache; only the files tell."""
    project()
    import tokenizers

    stub = tmp_path / "stub" / "tokenizers"
    shutil.copytree(Path(tokenizers.__file__).parent, stub, ignore=shutil.ignore_patterns("__pycache__"))

    def ftc(*words: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(stub.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "ftc", *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
        )

    assert ftc("lock", "recipe.yaml").returncode == 0
    with (stub / "__init__.py").open("a") as file:
        file.write("# one line more\n")
    checked = ftc("lock", "recipe.yaml", "--check")
    assert checked.returncode == 2, checked.stderr
    assert "packages.tokenizers.code_sha256" in checked.stderr


def test_a_lock_without_digests_of_code_is_no_stale_one(project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project()
    api.lock("recipe.yaml")
    monkeypatch.setattr("ftc.compiler.resolve.machine.environment.code_digest", lambda name, cache: "c" * 64)
    planned = api.plan("recipe.yaml", locked=True)
    assert planned.lock_state == "up to date"
    assert any("the lock has no digest of them" in one for one in planned.plan.not_checked)
    checked = api.lock("recipe.yaml", check=True)
    assert any("the lock has no digest of them" in one for one in checked.not_checked)
    api.lock("recipe.yaml")
    assert "c" * 64 in (root / "recipe.lock.json").read_text()
    assert api.plan("recipe.yaml", locked=True).plan.not_checked == tuple(
        one for one in planned.plan.not_checked if "the lock has no digest" not in one
    )


def test_a_cache_that_cannot_be_written_to_is_named_with_what_to_set(
    project: MakeProject, ftc: Ftc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project()
    (tmp_path / "note.txt").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "note.txt"))
    refused = ftc("plan", "recipe.yaml", "--no-trace")
    assert refused.code == ExitCode.COULD_NOT_WORK
    assert "FTC648" in refused.err
    assert f"`{tmp_path / 'note.txt'}` is not writable" in " ".join(refused.err.split())
    assert "set `FTC_CACHE`" in refused.err
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "no folder"


def test_a_full_disk_below_the_cache_is_named_with_what_to_set(
    project: MakeProject, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    project()

    def refuse(**place: Any) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{place['dir']}/.making")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    refused = ftc("plan", "recipe.yaml", "--no-trace")
    assert refused.code == ExitCode.COULD_NOT_WORK
    assert "FTC647" in refused.err
    assert "or set `FTC_CACHE` to a folder on a larger disk" in " ".join(refused.err.split())
