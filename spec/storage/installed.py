"""Packages of others as they are installed here: what they declare, read from their metadata without importing them."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

__all__ = ["InstalledPackage", "installed_package"]


class InstalledPackage(NamedTuple):
    """A package.

    Attributes:
        distribution: Its name in the normal form.
        version: Of the installed release.
        entries: Module and object, such as `courtesy:metric`, by group and name.
        requires: What it needs, as its metadata say.
        folder: Where it is installed.
        declared: The file that declares its entries; None where it declares none.
    """

    distribution: str
    version: str
    entries: Mapping[tuple[str, str], str]
    requires: tuple[str, ...]
    folder: Path
    declared: Path | None
    files: frozenset[str]

    @property
    def modules(self) -> tuple[str, ...]:
        """Top-level modules that ftc would import, in alphabetical order."""
        of_ftc = (value for (group, _), value in self.entries.items() if group.startswith("ftc."))
        return tuple(sorted({value.partition(":")[0].strip().partition(".")[0] for value in of_ftc}))

    def fault(self) -> str | None:
        """Why the files that an import would run aren't those of this package; None where they are."""
        for module in self.modules:
            if not any(file == f"{module}.py" or file.startswith(f"{module}/") for file in self.files):
                return f"its list of files has no module `{module}`, as that of an editable installation"
            try:
                spec = find_spec(module)
            except (ImportError, ValueError):
                spec = None
            if spec is None or spec.origin is None or not spec.has_location:
                return f"Python finds no module `{module}`, or one without `__init__.py`"
            found = Path(spec.origin).resolve()
            if found not in ((self.folder / name).resolve() for name in (f"{module}.py", f"{module}/__init__.py")):
                return f"Python would import `{module}` from {found.parent} and not from {self.folder}"
        return None


def installed_package(distribution: str) -> InstalledPackage | None:
    """What is installed under a name; None for nothing.

    The folder in which the program was started doesn't count, since a recipe's folder may be a stranger's.
    """
    here = Path.cwd().resolve()
    folders = [folder for folder in sys.path if folder and Path(folder).resolve() != here]
    found = next(iter(importlib.metadata.distributions(name=distribution, path=folders)), None)
    if found is None:
        return None
    files = frozenset(str(file).replace("\\", "/") for file in found.files or ())
    declared = next((name for name in sorted(files) if name.endswith(".dist-info/entry_points.txt")), None)
    return InstalledPackage(
        distribution=distribution,
        version=found.version,
        entries={(one.group, one.name): one.value for one in found.entry_points},
        requires=tuple(found.requires or ()),
        folder=Path(str(found.locate_file(""))),
        declared=Path(str(found.locate_file(declared))) if declared else None,
        files=files,
    )
