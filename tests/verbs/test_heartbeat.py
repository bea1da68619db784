"""Files that are digested count as progress for those that wait for this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ftc.compiler.resolve.files.digests import DigestCache, digests_of
from ftc.runtime.execution import meeting_store
from ftc.verbs.heartbeat import with_heartbeat


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each heartbeat."""
    found: list[None] = []
    monkeypatch.setattr(meeting_store, "heartbeat", lambda: found.append(None))
    return found


@pytest.mark.parametrize(("processes", "least"), [("1", 0), ("2", 6)])
def test_each_part_of_a_digested_file_is_a_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beats: list[None], processes: str, least: int
) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for number, file in enumerate(files):
        save_file({"weight": np.full(3 << 20, number, np.uint8)}, file)
    expected = digests_of(files)
    assert not beats, "nobody waits yet"
    with with_heartbeat():
        found = DigestCache(tmp_path / "cache").files(files)
        assert (len(beats) > least) is (processes == "2")
        assert digests_of(files) == {file: facts.sha256 for file, facts in found.items()} == expected
        before = len(beats)
        tensors = DigestCache(tmp_path / "cache").tensors(files[:1])
        assert (len(beats) >= before + 3) is (processes == "2")
    assert tensors == DigestCache(tmp_path / "other").tensors(files[:1])
