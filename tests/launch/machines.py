"""Two folders with caches of their own on one machine, as if they were two machines that share no more than asked."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.projects import make_project

__all__ = [
    "Ended",
    "Machine",
    "Proxy",
    "copied",
    "ended",
    "free_port",
    "plan_of",
    "site",
    "start",
    "together",
    "under_torchrun",
]

PLAN = "job.plan.json"


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams with white space folded."""
        return " ".join((self.out + self.err).split())


@dataclass
class Machine:
    """A folder with a project, a cache and an environment."""

    root: Path
    cache: Path
    environment: dict[str, str] = field(default_factory=dict)

    def popen(self, words: Sequence[str], **environment: str) -> subprocess.Popen[str]:
        """Starts Python in the project."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "TORCHELASTIC"))}
        own = {**kept, "FTC_CACHE": str(self.cache), "OMP_NUM_THREADS": "1", **self.environment, **environment}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, *words], cwd=self.root, env=own, **pipes)

    def ftc(self, *words: str, **environment: str) -> Ended:
        """Runs ftc in the project."""
        return ended(self.popen(["-m", "ftc", *words], **environment))

    def with_package(self, name: str, version: str) -> None:
        """Has the machine's Python find another version of an installed package."""
        facts = self.root.parent / f"site-{self.root.name}" / f"{name}-{version}.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (facts / "RECORD").write_text("")
        self.environment["PYTHONPATH"] = os.pathsep.join([str(facts.parent), os.environ.get("PYTHONPATH", "")])


def site(folder: Path, models: Path, *, task: str = "classification", steps: int = 6, sharding: str = "ddp") -> Machine:
    """A machine with a project and a saved plan for two processes."""
    root = make_project(folder / "a", models, task, steps=steps)
    recipe = root / "recipe.yaml"
    text = recipe.read_text().replace("budget: {device: cpu", "budget: {device: cpu, devices: 2")
    recipe.write_text(text.replace("train: {", f"train: {{sharding: {sharding}, "))
    machine = Machine(root, folder / "cache-a")
    plan_of(machine)
    return machine


def plan_of(machine: Machine, *words: str) -> dict[str, Any]:
    """Plans the project's recipe, and saves the plan."""
    planned = machine.ftc("plan", "recipe.yaml", "-o", PLAN, *words)
    assert planned.code == 0, planned.text
    plan: dict[str, Any] = json.loads((machine.root / PLAN).read_text())
    return plan


def copied(machine: Machine, name: str, *, shares_runs: bool = True) -> Machine:
    """Another machine with a copy of the project and of the cache; a folder of runs may be on a disk of both."""
    root, cache = machine.root.parent / name, machine.root.parent / f"cache-{name}"
    shutil.copytree(machine.root, root, ignore=shutil.ignore_patterns("runs") if shares_runs else None)
    shutil.copytree(machine.cache, cache)
    if shares_runs:
        (machine.root / "runs").mkdir(exist_ok=True)
        (root / "runs").symlink_to(machine.root / "runs")
    return Machine(root, cache)


def start(machines: Sequence[Machine], *words: str, each: int = 1, **environment: str) -> list[subprocess.Popen[str]]:
    """Starts so many processes on each machine, as a launcher does that speaks torchrun's variables."""
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(len(machines) * each)}
    return [
        machine.popen(
            ["-m", "ftc", *words],
            **world,
            RANK=str(number * each + local),
            LOCAL_RANK=str(local),
            LOCAL_WORLD_SIZE=str(each),
            GROUP_RANK=str(number),
            **environment,
        )
        for number, machine in enumerate(machines)
        for local in range(each)
    ]


def under_torchrun(
    machines: Sequence[Machine], *words: str, each: int = 1, **environment: str
) -> list[subprocess.Popen[str]]:
    """Starts one agent of torchrun on each machine, which starts so many processes."""
    launch = [
        *("-m", "torch.distributed.run", "--nnodes", str(len(machines)), "--nproc-per-node", str(each)),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "t"),
        *("--local-addr", "127.0.0.1", "-m", "ftc", *words),
    ]
    return [machine.popen(launch, **environment) for machine in machines]


class Proxy:
    """A port of the loopback whose connections lead to another one, until they are cut off without a word.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._forwards = threading.Event()
        self._forwards.set()
        self._listens = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listens.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Forwards nothing from now on; connections stay open, as where a network swallows what is sent."""
        self._forwards.clear()

    def _accept(self) -> None:
        while True:
            here, _ = self._listens.accept()
            there = self._reached()
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _reached(self) -> socket.socket:
        """The target, which may begin to listen later."""
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self._target))
            except ConnectionRefusedError:
                time.sleep(0.1)

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if not self._forwards.is_set():
                    threading.Event().wait()  # the connection stays open, and nothing comes
                sink.sendall(data)
        except OSError:
            pass
        source.close()
        sink.close()


def together(processes: Sequence[subprocess.Popen[str]]) -> list[Ended]:
    """Waits for all."""
    return [ended(one) for one in processes]


def ended(process: subprocess.Popen[str]) -> Ended:
    """Waits for one, and reads what it wrote."""
    try:
        out, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end: {out}{err}") from None
    return Ended(process.returncode, out, err)


def free_port() -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
