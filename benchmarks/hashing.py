"""Measures the digests of a model's files: ftc's, with nothing in its cache, beside `sha256sum` on the same files.

ftc's process starts an interpreter and imports what it needs, which stands beside, measured on an empty list of files.

    python benchmarks/hashing.py [FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from support.processes import Command, alternate, machine, median
from support.project import MODEL

WITH_FTC = """
import sys, tempfile
from pathlib import Path
from ftc.compiler.resolve.files.digests import DigestCache
with tempfile.TemporaryDirectory() as cache:
    for path, facts in DigestCache(Path(cache)).files(map(Path, sys.argv[1:])).items():
        print(facts.sha256, path)
"""


def commands(folder: Path) -> dict[str, Command]:
    """What is measured, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "sha256sum": ["sha256sum", *files],
        "ftc": [sys.executable, "-c", WITH_FTC, *files],
        "ftc, no files": [sys.executable, "-c", WITH_FTC],
    }


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=MODEL)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    size = sum(path.stat().st_size for path in arguments.folder.rglob("*") if path.is_file())
    print(f"{machine()}; {arguments.repeats} rounds over {size / 1e6:,.0f} MB")
    medians = {name: median(found) for name, found in alternate(commands(arguments.folder), arguments.repeats).items()}
    for name, cost in medians.items():
        print(f"{name:15}{cost.cpu:7.3f} CPU s{cost.wall:8.3f} s")
    hashing = medians["ftc"].cpu - medians["ftc, no files"].cpu
    print(f"without its start, ftc takes {hashing / medians['sha256sum'].cpu:.2f} of sha256sum's CPU seconds")


if __name__ == "__main__":
    main()
