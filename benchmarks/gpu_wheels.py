"""Collects the wheels that a GPU machine without a network may lack: `python benchmarks/gpu_wheels.py FOLDER`.

Such a machine has torch and its family. This builds ftc's own wheel, and takes what ftc needs beside them and what a
4-bit run needs, for another Python and system than this one. There, `pip install --no-index --no-deps FOLDER/*.whl`
installs them, and `FTC_COMMIT` names the commit for the results. It ends with the size of each and of all; with a limit
it fails where that is passed, since what may be carried is often limited too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

_ROOT = Path(__file__).resolve().parents[1]
_THERE = frozenset({"numpy", "packaging", "tokenizers", "safetensors", "huggingface-hub", "pyarrow", "jinja2", "rich"})
"""What comes with transformers, datasets and accelerate."""
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_24_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""Pip takes each for itself alone, and not for the older ones that it includes."""


def main() -> None:
    """Builds, downloads and tells sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="version of Python over there")
    parser.add_argument("--platform", nargs="+", default=_PLATFORMS, help="platforms of wheels that work over there")
    parser.add_argument("--has", nargs="*", default=[], help="packages that are over there, such as scipy, the largest")
    parser.add_argument("--also", nargs="*", default=["bitsandbytes", "liger-kernel"], help="more, without their own")
    parser.add_argument("--most-mib", type=float, help="fail where all of it is larger")
    asked = parser.parse_args()
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(asked.folder), str(_ROOT)], check=True)
    own = [Requirement(line) for line in requires("ftc") or ()]
    needed = [str(one) for one in own if one.marker is None and one.name.lower() not in _THERE]
    target = ["--python-version", asked.python, "--only-binary=:all:"]
    target += [word for platform in asked.platform for word in ("--platform", platform)]
    for packages, alone in ((needed, []), (asked.also, ["--no-deps"])):
        if packages:
            command = [*pip, "download", "--dest", str(asked.folder), *target, *alone, *packages]
            subprocess.run(command, check=True)
    for file in asked.folder.glob("*.whl"):
        if file.name.partition("-")[0].replace("_", "-").lower() in {*_THERE, *asked.has}:
            file.unlink()
    sizes = {file.name: file.stat().st_size / 2**20 for file in sorted(asked.folder.glob("*.whl"))}
    for name, size in sizes.items():
        print(f"{size:8.1f} MiB  {name}")
    print(f"{sum(sizes.values()):8.1f} MiB  in all")
    if asked.most_mib and sum(sizes.values()) > asked.most_mib:
        sys.exit(f"more than {asked.most_mib:.0f} MiB")


if __name__ == "__main__":
    main()
