"""The hosted jobs of a project, as their notes tell."""

from __future__ import annotations

import os
from pathlib import Path

from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.hosted import HOSTED_FILE, HostedJob
from ftc.spec.storage.run_folders import read_document

__all__ = ["hosted_folder", "hosted_jobs"]


def hosted_folder(text: str, folder: Path | str) -> Path | None:
    """A hosted job's folder by itself, by its name or the beginning of that; None where there is none, or several.

    Args:
        text: What somebody calls it; what is a file is no job.
        folder: Any folder of the project.
    """
    from ftc.compiler.resolve.files.safe_files import project_root

    if os.path.isfile(os.path.join(text, HOSTED_FILE)):  # noqa: PTH113, PTH118 - a path refuses names that are too long
        return Path(text)
    if not text or os.path.isfile(text):  # noqa: PTH113
        return None
    root = project_root(Path(folder) / "recipe")
    found = [file.parent for file in root.glob(f"runs/*/*/{HOSTED_FILE}") if file.parent.name.startswith(text)]
    # A recipe's name stands for its newest run.
    is_recipe = bool(found) and (root / "runs" / text).is_dir()
    return found[0] if len(found) == 1 and not is_recipe else None


def hosted_jobs(folder: Path | str = ".") -> tuple[HostedJob, ...]:
    """The hosted jobs of a project that can be read, by recipe and name."""
    from ftc.compiler.resolve.files.safe_files import project_root

    found = list[HostedJob]()
    for file in sorted(project_root(Path(folder) / "recipe").glob(f"runs/*/*/{HOSTED_FILE}")):
        try:
            found.append(read_document(file, HostedJob))
        except Refusal:
            continue
    return tuple(found)
