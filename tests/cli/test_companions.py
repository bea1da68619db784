"""The processes that `ftc apply` starts beside itself."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftc.cli import companions as module
from ftc.cli.companions import companions, needs_companions
from ftc.runtime.execution.lost_processes import loss_of_companion
from ftc.spec.diagnostics import Refusal
from ftc.verbs.plan import refuse_other

TELLS = """
import json, os, pathlib, sys, time
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
told = {name: os.environ[name] for name in names} | {"words": sys.argv[1:], "pid": os.getpid()}
if "speak" in sys.argv:
    print(f"rank {os.environ['RANK']} was here", file=sys.stderr, flush=True)
pathlib.Path(os.environ["TOLD"], os.environ["RANK"]).write_text(json.dumps(told))
if "stay" in sys.argv:
    time.sleep(600)
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where each started process writes what it was told; it is a script in the place of ftc."""
    (tmp_path / "fake" / "ftc").mkdir(parents=True)
    (tmp_path / "fake" / "ftc" / "__main__.py").write_text(TELLS)
    (tmp_path / "fake" / "ftc" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    monkeypatch.setenv("TOLD", str(tmp_path))
    return tmp_path


def test_each_process_is_told_who_it_is(told: Path) -> None:
    before = dict(os.environ)
    with companions(3, ["apply", "job.plan.json"]):
        here = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")}
        assert (here["RANK"], here["WORLD_SIZE"]) == ("0", "3")
    assert dict(os.environ) == before
    others = [json.loads((told / str(rank)).read_text()) for rank in (1, 2)]
    for rank, other in enumerate(others, start=1):
        assert (other["RANK"], other["LOCAL_RANK"], other["WORLD_SIZE"]) == (str(rank), str(rank), "3")
        assert other["MASTER_PORT"] == here["MASTER_PORT"]
        assert other["words"] == ["apply", "job.plan.json"]


def test_they_end_where_the_first_one_fails(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[module._Companion] = []
    make = module._Companion
    monkeypatch.setattr(module, "_Companion", lambda *given: started.append(make(*given)) or started[-1])
    with pytest.raises(KeyError), companions(2, ["stay"]):
        raise KeyError("refused")
    (other,) = started
    assert other.process.returncode is not None


def test_one_that_was_killed_is_named_with_what_it_wrote_last(told: Path) -> None:
    with companions(3, ["speak", "stay"]):
        pids = {rank: _pid(told / str(rank)) for rank in (1, 2)}
        os.kill(pids[2], signal.SIGKILL)
        found = loss_of_companion(20.0)
        os.kill(pids[1], signal.SIGTERM)
    assert found is not None
    assert found.summary == f"process 2 on {platform.node()} was lost: killed by SIGKILL"
    assert found.notes == ("its output: rank 2 was here",)
    assert loss_of_companion(0.0) is None, "nobody is asked when the run is over"


def test_nobody_else_can_take_the_port_at_which_they_meet(told: Path) -> None:
    """D8: it was bound, closed, and bound again seconds later."""
    with companions(2, ["go"]), socket.socket() as other, pytest.raises(OSError, match=r"in use"):
        other.bind(("127.0.0.1", int(os.environ["MASTER_PORT"])))


def _pid(file: Path) -> int:
    """The process that wrote what it was told, once it has."""
    ends = time.monotonic() + 30
    while not (file.exists() and file.read_text().endswith("}")):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return int(json.loads(file.read_text())["pid"])


def test_a_launcher_is_left_to_its_work() -> None:
    pytest.importorskip("torch")
    assert needs_companions(2, {})
    assert not needs_companions(1, {})
    assert not needs_companions(2, {"RANK": "0"})


@pytest.mark.parametrize("expect", ["0123456789ab", "dead", ""])
def test_another_plan_than_the_expected_one_is_refused(expect: str) -> None:
    plan: Any = SimpleNamespace(name="tiny", sha256="beef" * 16, run_id="cafecafecafe", job_sha256=lambda: "cafe" * 16)
    with pytest.raises(Refusal) as refused:
        refuse_other(plan, expect)
    assert (refused.value.diagnostics[0].code, refused.value.exit_code) == ("FTC700", 5)
    for right in ("beefbeef", "cafecafecafe", "beef" * 16):
        refuse_other(plan, right)
