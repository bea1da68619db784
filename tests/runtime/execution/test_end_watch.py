"""How a process ended is known to the others, in small processes that a test starts as a launcher would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes")

ACTS = """
import os, pathlib, signal, sys, time
from ftc.runtime.execution.end_watch import know_others, let_others_know, seen_by_others
from ftc.runtime.execution.lost_processes import loss_of_companion
from ftc.spec.diagnostics import Refusal, diagnostic

class Store:
    place = pathlib.Path(sys.argv[1])
    def set(self, key, value):
        (self.place / "new").write_text(value)
        (self.place / "new").rename(self.place / key)
    def check(self, keys):
        return all((self.place / key).exists() for key in keys)
    def get(self, key):
        return (self.place / key).read_bytes()

store, rank, act = Store(), os.environ["RANK"], sys.argv[2]
with seen_by_others():
    let_others_know(store)
    while not store.check(["end-watch"]):
        time.sleep(0.01)
    know_others(store)
    print(f"rank {rank} writes its last line", file=sys.stderr, flush=True)
    pathlib.Path(sys.argv[1], rank).touch()
    if act == "refuses":
        raise Refusal([diagnostic("FTC647", "the disk is full")])
    if act == "waits":
        found = loss_of_companion(60.0)
        print("\\n".join([found.summary, *found.notes]) if found else "nobody was lost")
    if act == "sleeps":
        time.sleep(600)
"""
Start = Callable[..., list["subprocess.Popen[str]"]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("waits", "sleeps")` starts one process for each act, and waits until they know each other."""
    started: list[subprocess.Popen[str]] = []

    def run(*acts: str) -> list[subprocess.Popen[str]]:
        world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "WORLD_SIZE": str(len(acts))}
        for rank, act in enumerate(acts):
            command = [sys.executable, "-c", ACTS, str(tmp_path), act]
            environment = {**os.environ, **world, "RANK": str(rank)}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            started.append(subprocess.Popen(command, env=environment, text=True, **pipes))  # type: ignore[call-overload]
        ends = time.monotonic() + 60
        while not all((tmp_path / str(rank)).exists() for rank in range(len(acts))):
            assert time.monotonic() < ends, [one.poll() for one in started]
            time.sleep(0.02)
        return started

    yield run
    for one in started:
        one.kill()
        one.communicate()


@pytest.mark.parametrize("lost", [0, 1])
def test_one_that_was_killed_is_named_to_all_others_with_what_it_wrote_last(start: Start, lost: int) -> None:
    acts = ["waits"] * 3
    acts[lost] = "sleeps"
    processes = start(*acts)
    processes[lost].send_signal(signal.SIGKILL)
    for rank in {0, 1, 2} - {lost}:
        out, _ = processes[rank].communicate(timeout=60)
        assert out.splitlines() == [
            f"process {lost} on {socket.gethostname()} was lost: killed by SIGKILL",
            f"its output: rank {lost} writes its last line",
        ]


def test_a_fault_is_told_with_the_line_in_which_python_met_it(start: Start) -> None:
    processes = start("waits", "sleeps")
    processes[1].send_signal(signal.SIGSEGV)
    out, _ = processes[0].communicate(timeout=60)
    summary, fault, place, *_ = out.splitlines()
    assert summary.endswith("was lost: killed by SIGSEGV")
    assert fault == "its output: Fatal Python error: Segmentation fault"
    assert 'File "<string>", line' in place


def test_one_that_refused_is_told_with_its_exit_code_and_its_own_words_still_arrive(start: Start) -> None:
    processes = start("waits", "refuses")
    out, _ = processes[0].communicate(timeout=60)
    assert "was lost: it ended with exit code 1" in out
    assert "the disk is full" in out
    assert "rank 1 writes its last line" in processes[1].communicate(timeout=60)[1]


def test_who_does_not_know_the_secret_is_told_nothing(start: Start, tmp_path: Path) -> None:
    processes = start("sleeps", "sleeps")
    place = json.loads((tmp_path / "end-watch").read_text())
    with socket.create_connection(("127.0.0.1", place["port"]), timeout=60) as stranger:
        stranger.sendall(b'{"token": "0"}\n{"rank": 1, "host": "x", "status": 0, "lines": []}\n')
        assert stranger.recv(100) == b""
    with socket.create_connection(("127.0.0.1", place["port"]), timeout=60) as known:
        known.sendall(json.dumps({"token": place["token"]}).encode() + b"\n")
        processes[1].kill()
        assert json.loads(known.makefile().readline())["status"] == -signal.SIGKILL


def test_an_orderly_end_is_no_loss(start: Start) -> None:
    processes = start("ends", "ends")
    for one in processes:
        _, err = one.communicate(timeout=60)
        assert (one.returncode, "last line" in err) == (0, True)
