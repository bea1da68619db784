"""Counts what an installed package costs an environment: what nothing else of the named requirements would bring.

    python benchmarks/package_weight.py PACKAGE [--extra train]

The environment has all of them installed; sizes are those in each package's own list of files.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def main() -> None:
    """Prints each package that an environment has only for the sake of one, and how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package")
    parser.add_argument("--extra", default="train", choices=PROJECT["optional-dependencies"])
    asked = parser.parse_args()
    own = Requirement(f"ftc[{asked.extra}]")
    without, with_it = installed([own]), installed([own, Requirement(asked.package)])
    added = {name: megabytes(with_it[name]) for name in sorted(with_it.keys() - without.keys())}
    for name, size in added.items():
        print(f"{name:<24}{size:8.1f} MB")
    print(f"{len(added)} packages more than {len(without)}: {sum(added.values()):.1f} MB")


def installed(wanted: Iterable[Requirement]) -> dict[str, Distribution]:
    """The installed packages that these need, and they themselves; ftc's own needs are those of this checkout."""
    found: dict[str, Distribution] = {}
    pending, seen = [*wanted], set[tuple[str, frozenset[str]]]()
    while pending:
        one = pending.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if (name, frozenset(one.extras)) in seen:
            continue
        seen.add((name, frozenset(one.extras)))
        if name == "ftc":
            pending += map(Requirement, PROJECT["dependencies"])
            pending += [Requirement(line) for extra in one.extras for line in PROJECT["optional-dependencies"][extra]]
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # of another system
            continue
        needs = map(Requirement, found[name].requires or ())
        pending += [need for need in needs if holds(need, one.extras)]
    return found


def holds(need: Requirement, extras: Iterable[str]) -> bool:
    """Whether a package that was asked for with these extras has this need here."""
    return need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in {*extras, ""})


def megabytes(package: Distribution) -> float:
    """Size of a package's files."""
    return sum(file.size or 0 for file in package.files or ()) / 1e6


if __name__ == "__main__":
    main()
