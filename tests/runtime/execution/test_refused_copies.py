"""What a disk of one process refuses of a copy ends all processes alike, and none waits for another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no full disk")]

_PROCESSES = 3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the processes have left; one that waited for another would have run into the time limit."""
    folder = tmp_path_factory.mktemp("machines")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(_PROCESSES)),
        *("--rdzv-backend", "c10d", "--rdzv-id", "t", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
        *("-m", "tests.runtime.execution.copying_child", str(folder)),
    ]
    ended = subprocess.run(
        command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def _told(root: Path, case: str) -> list[str]:
    """What each process was told, by rank."""
    return [json.loads((root / f"{rank}.json").read_text()).get(case, "") for rank in range(_PROCESSES)]


@pytest.mark.parametrize(
    ("case", "code", "who", "file"),
    [
        ("full", "FTC647", "process 1", "1/full/tiny/full/checkpoints/9/"),
        ("closed", "FTC648", "process 1", "1/closed/tiny/closed/checkpoints"),
        ("neighbour", "FTC648", "process 2", "2/neighbour/tiny/neighbour/checkpoints/9/weights.safetensors"),
        ("collected", "FTC647", "process 0", "runs/tiny/collected/parts/part"),
    ],
)
def test_all_processes_name_the_disk_that_refused(root: Path, case: str, code: str, who: str, file: str) -> None:
    (told,) = set(_told(root, case))
    assert told.startswith(f"{code}: ")
    assert f"({who} on " in told
    assert file in told
    assert "apply the plan again" in told


def test_what_the_first_process_can_not_look_at_ends_all(root: Path) -> None:
    first, *others = _told(root, "looked")
    assert "No such file" in first
    assert all("No such file or directory (process 0 on " in one for one in others)


def test_a_machine_gets_a_copy_once_for_all_its_processes(root: Path) -> None:
    assert _told(root, "shared") == [""] * _PROCESSES
    sent = {one.name: one.read_bytes() for one in (root / "a/runs/tiny/shared/checkpoints/9").iterdir()}
    for rank in (1, 2):
        folder = root / "b" / ".ftc" / "copies" / str(rank) / "shared" / "tiny" / "shared" / "checkpoints" / "9"
        assert {one.name: one.read_bytes() for one in folder.iterdir()} == sent
        assert {one.stat().st_nlink for one in folder.iterdir()} == {2}, "one file under two names"
