"""A real Slurm of two nodes on this machine, whose daemons and files are the test's own."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["cluster", "obstacle"]

_CONF = """\
ClusterName=ftc
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/slurm
CredType=cred/slurm
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=2000
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
_KEY = Path("/etc/slurm/slurm.key")


def obstacle() -> str:
    """Why no Slurm can be started here; empty where one can."""
    missing = [name for name in ("slurmctld", "slurmd", "sbatch", "srun") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install slurmctld slurmd slurm-client)"
    return "" if os.geteuid() == 0 else "its daemons need root"


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Runs the daemons while the block runs; gives the variables with which Slurm's commands find them."""
    (folder / "state").mkdir(parents=True)
    conf = folder / "slurm.conf"
    conf.write_text(_CONF.format(host=platform.node(), folder=folder, ports=_ports(3)))
    (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    environment = {"SLURM_CONF": str(conf)}
    with ExitStack() as stack:
        _place_key(folder, stack)
        stack.enter_context(_daemon(["slurmctld", "-D", "-f", str(conf)], folder / "slurmctld.log", environment))
        # One after the other: each replaces a socket that all on a machine share, and two at once end one of them.
        for count, node in enumerate(("n1", "n2"), start=1):
            words = ["slurmd", "-D", "-N", node, "-f", str(conf)]
            stack.enter_context(_daemon(words, folder / f"{node}.log", environment))
            ends = time.monotonic() + 180
            while _idle(environment) != count:
                output = "".join(log.read_text()[-2000:] for log in sorted(folder.glob("*.log")))
                assert time.monotonic() < ends, output
                time.sleep(0.5)
        yield environment


def _place_key(folder: Path, stack: ExitStack) -> None:
    """The secret of the daemons and commands, which look for it in two places."""
    secret = os.urandom(1024)
    for place in (folder / "slurm.key", _KEY):
        if place == _KEY and place.exists():
            before = place.read_bytes()
            stack.callback(place.write_bytes, before)
        elif place == _KEY:
            place.parent.mkdir(exist_ok=True)
            stack.callback(place.unlink)
        place.touch(mode=0o600)
        place.chmod(0o600)
        place.write_bytes(secret)


@contextmanager
def _daemon(words: list[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _idle(environment: dict[str, str]) -> int:
    words = ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"]
    found = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return len(found.stdout.split())


def _ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
