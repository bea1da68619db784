"""Prints the packages that locks pin, as constraints for pip: `python docs/constraints.py recipe.lock.json`.

Where a lock knows several platforms, this one's are taken, whatever build of a package they had (`+cpu`, `+cu128`): pip
chooses one for the machine. Two locks that pin a package differently can't share an
image, which is an error.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

TAG = f"{sysconfig.get_platform().replace('-', '_')}-cp{sys.version_info.major}{sys.version_info.minor}"


def constraints(paths: list[str]) -> dict[str, str]:
    """Version by package, over all locks.

    Raises:
        SystemExit: A lock has no packages for this platform, or two locks pin a package differently.
    """
    pinned: dict[str, tuple[str, str]] = {}
    for path in paths:
        platforms = json.loads(Path(path).read_text(encoding="utf-8"))["platforms"]
        of_system = {tag: one for tag, one in platforms.items() if _system(tag) == _system(TAG)}
        chosen = platforms.get(TAG) or next(iter(of_system.values()), None)
        if chosen is None:
            known = ", ".join(platforms) or "no platform"
            raise SystemExit(f"{path} pins nothing for {TAG}; it has {known}: run `ftc lock` here")
        for name, package in chosen["packages"].items():
            version = package["version"].partition("+")[0]
            before = pinned.setdefault(name, (version, path))
            if before[0] != version:
                raise SystemExit(f"{name} is {before[0]} in {before[1]} and {version} in {path}")
    return {name: version for name, (version, _) in sorted(pinned.items())}


def _system(tag: str) -> str:
    """The system and the machine of a platform's tag, without Python's version."""
    return tag.rpartition("-")[0].replace("-", "_")


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in constraints(sys.argv[1:]).items())
