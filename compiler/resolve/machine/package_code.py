"""Digests of the files that an import of a package loads, as they are now: RECORD says only what was installed.

All files are hashed once; after that their stamps are compared, at some 40 ms for torch and transformers together. The
folder is the one that Python would import from, so that a package that lies in the way of the installed one counts.
Byte code is left out: Python makes it from the sources, and each installation has its own.
"""

from __future__ import annotations

import hashlib
import os
import time
from importlib.util import find_spec
from pathlib import Path

from ftc.spec import canonical
from ftc.spec.canonical import file_digest
from ftc.spec.storage.atomic_write import Stamp, is_settled
from ftc.spec.storage.cache import Cache
from ftc.spec.storage.cached import PACKAGES
from ftc.spec.storage.installed import InstalledPackage

__all__ = ["DECIDES_NUMBERS", "code_digest", "files_digest"]

DECIDES_NUMBERS = ("bitsandbytes", "liger-kernel", "peft", "tokenizers", "torch", "torchao", "transformers")
"""Packages whose code makes the numbers of a run; the others are known by their RECORD."""

_SUFFIXES = (".py", ".so", ".pyd", ".dll", ".dylib")
_BYTE_CODE = (".pyc", ".pyo")
_NO_CODE = frozenset({"__pycache__", "include", "share", "bin", "test", "tests", "testing", "benchmarks"})
"""Folders of headers, tools and tests."""

_known: dict[tuple[str, ...], tuple[str, str]] = {}
"""By the folders of a package: digest of its stamps, and of its code, for as long as this process lives."""


def files_digest(package: InstalledPackage) -> str:
    """Digest of every file below a package's modules, and of the one that declares what it offers; read each time.

    Byte code is left out. Empty where a file can't be read.
    """
    found = [package.declared] if package.declared else []
    for module in package.modules:
        file = package.folder / f"{module}.py"
        found += [file] if file.is_file() else sorted((package.folder / module).rglob("*"))
    try:
        named = {str(file.relative_to(package.folder)): file for file in found if file.suffix not in _BYTE_CODE}
        return canonical.digest([[name, file_digest(file)] for name, file in sorted(named.items()) if file.is_file()])
    except OSError:
        return ""


def code_digest(name: str, cache: Path) -> str:
    """Digest of a package's code; empty where it isn't installed, or can't be read.

    Args:
        name: What it is imported as.
        cache: ftc's cache.
    """
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return ""
    # Once it is imported, transformers has Paths there.
    roots = tuple(map(str, spec.submodule_search_locations or ())) if spec else ()
    if not roots:
        return ""
    try:
        entries = Cache(PACKAGES.under(cache))
        started_ns = time.time_ns()
        found = [file for root in roots for file in _files(root)]
        seen = hashlib.sha256(repr(found).encode("utf-8", "surrogateescape")).hexdigest()
        file = f"{name}-{canonical.digest(list(roots))[:16]}.json"
        key = {"kind": "package code", "name": name, "roots": list(roots)}
        kept = entries.recall(file, key)
        if isinstance(kept, dict) and kept.get("stamps") == seen:
            return str(kept.get("sha256", ""))
        in_memory, code = _known.get(roots, ("", ""))
        if in_memory != seen:
            code = _hashed(roots, [path for path, *_ in found])
        if all(is_settled(Stamp(*stamp), started_ns) for _, *stamp in found):
            _known[roots] = (seen, code)
            entries.keep(file, key, {"stamps": seen, "sha256": code})
        return code
    except OSError:
        return ""


def _hashed(roots: tuple[str, ...], paths: list[str]) -> str:
    """Digest over paths inside the package and contents, wherever the package lies."""
    inside = {
        path: next(Path(path).relative_to(one).as_posix() for one in roots if path.startswith(one)) for path in paths
    }
    return canonical.digest(sorted([inside[path], file_digest(Path(path))] for path in paths))


def _files(root: str) -> list[tuple[str, int, int, int, int, int]]:
    """Every file of code below a folder, with its stamp. Plain tuples: there are some five thousand at every plan."""
    found, folders = [], [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(_SUFFIXES) or ".so." in name:
                    at = entry.stat()
                    stamp = (at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino, at.st_dev)
                    found.append((entry.path, *stamp))
                elif "." not in name and name not in _NO_CODE and entry.is_dir():
                    folders.append(entry.path)
    return sorted(found)
