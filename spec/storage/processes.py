"""What the environment of a run's processes says: which of several this is, and what must hold before Python starts."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.launchers import Numbering, numbering_card

__all__ = ["PINNED", "contract", "is_follower", "is_one_of_several", "machine_name", "unpinned"]

_FIRST_HOST = re.compile(r"([^,\[\]]+)(?:\[([^\],-]+)[^\]]*\]([^,\[\]]*))?")
"""The first name of a Slurm node list, such as `gpu[003-004,7]` or `a1,b2`."""
_PORTS = range(20_000, 40_000)
"""Where the processes of a Slurm step meet: below the ports that systems hand out by themselves, mostly."""


def is_follower(environ: Mapping[str, str]) -> bool:
    """Whether another process of the same run is its first one, which alone writes and speaks."""
    return environ.get("RANK", "0") not in ("", "0")


def is_one_of_several(environ: Mapping[str, str]) -> bool:
    """Whether a launcher has started further processes of the same run."""
    return environ.get("WORLD_SIZE", "1") not in ("", "0", "1")


def machine_name(environ: Mapping[str, str]) -> str:
    """The machine of a process, as its launcher counts it: agents of several machines may share a host."""
    group = environ.get("GROUP_RANK")
    return platform.node() if group is None else f"machine {group}, {platform.node()}"


def contract(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of torchrun's contract that another launcher gives under its own names.

    A process of `srun` finds the others by the first host of its step. Inside an allocation but outside of a step, as
    in a batch script's own lines, there is one process.

    Returns:
        What to add to the environment; empty where nothing is missing.

    Raises:
        Refusal: A launcher started several processes and doesn't say which this one is or where they meet (FTC703).
    """
    added = _of_other_launchers(environ)
    if is_one_of_several(whole := {**environ, **added}) and (wrong := _misfit(whole)):
        raise Refusal([_unconnected(whole["WORLD_SIZE"], wrong)])
    return added


def _misfit(environ: Mapping[str, str]) -> str:
    """What torchrun's contract says of several processes and this environment doesn't; empty where it holds."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
        value = environ.get(name, "")
        if not (value.isascii() and value.isdecimal()):
            return f"`{name}` is `{value}`, which is no number" if value else f"`{name}` is not set"
    if int(environ["RANK"]) >= int(environ["WORLD_SIZE"]):
        return f"`RANK` is {environ['RANK']} of {environ['WORLD_SIZE']} processes, which are counted from 0"
    return "" if environ.get("MASTER_ADDR") else "`MASTER_ADDR` is not set"


def _of_other_launchers(environ: Mapping[str, str]) -> dict[str, str]:
    """What another launcher says of a process, by torchrun's names."""
    card = numbering_card(environ)
    if card is None or (by := card.numbering) is None:
        return {}
    count = environ[card.size]
    if by.rank not in environ:
        raise Refusal([_unconnected(count, f"`{by.rank}` is not set")])
    own = {"RANK": environ[by.rank], "WORLD_SIZE": count, "LOCAL_RANK": environ.get(by.local, environ[by.rank])}
    if by.group:
        own["GROUP_RANK"] = environ.get(by.group, "0")
    if by.nodes:
        own |= {name: value for name, value in _meeting(by, count, environ).items() if not environ.get(name)}
    return own


def _meeting(by: Numbering, count: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Where processes meet whose launcher says on which machines they are."""
    first = _FIRST_HOST.match(next((environ[name] for name in by.nodes if environ.get(name)), ""))
    if first is None:
        raise Refusal([_unconnected(count, "the list of its machines can't be read")])
    step = re.sub(r"\D", "", "".join(environ.get(name, "0") for name in by.step))
    port = _PORTS[int(step or "0") % len(_PORTS)]
    return {"MASTER_ADDR": f"{first[1]}{first[2] or ''}{first[3] or ''}", "MASTER_PORT": str(port)}


def _unconnected(count: str, why: str) -> Diagnostic:
    return diagnostic(
        "FTC703",
        f"a launcher started {count} processes, and doesn't say which this one is or where they meet",
        notes=why,
        help="start them through torchrun, or set `MASTER_ADDR` and `MASTER_PORT` for all of them, and `RANK` for each",
    )


PINNED = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "FLASH_ATTENTION_DETERMINISTIC": "1",
    "MKL_DYNAMIC": "FALSE",
    "NCCL_ALGO": "Ring",
    "NVIDIA_TF32_OVERRIDE": "0",
    "OMP_DYNAMIC": "FALSE",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Read once, when an interpreter, a pool of threads or a card starts; set later, they change nothing, in silence."""


def unpinned(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are not as they must be, with what they must be."""
    return {name: value for name, value in PINNED.items() if environ.get(name) != value}
