"""Several files as one source: a folder, or a pattern such as `shards/*.jsonl`. Sorted by name, so that the same files
give the same rows on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ftc.compiler.resolve.files.safe_files import UnsafePath, refuse_odd_file, safe_path
from ftc.spec import canonical
from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.row_files import DOCUMENT_HELP, DOCUMENTS, SUFFIXES

__all__ = ["files_of", "is_pattern", "joint_facts"]

_MOST_FILES = 10_000
_WILD = re.compile(r"[*?\[]")


def is_pattern(path: str) -> bool:
    """Whether a path of a recipe stands for any number of files."""
    return _WILD.search(path) is not None


def files_of(
    root: Path, path: str, folder: Path, span: Span | None, recipe_path: str, any_kind: bool = False
) -> dict[str, Path]:
    """The files that a pattern or a folder stands for, by the name that rows have, in order.

    A folder stands for the data files in it, not for those of folders inside. Hidden files are passed over. Files of
    `any_kind` are data files where a package reads them.

    Raises:
        UnsafePath: The pattern, or a file that it finds, leads out of the project.
        Refusal: FTC398: there is no such file, there are too many, or they are of several kinds. FTC326: one is a pipe,
            a socket, a device or a link to what isn't there.
    """
    from ftc.compiler.resolve.rows.packed_files import inner_suffix

    fixed = path
    if is_pattern(path):
        steps = path.split("/")
        wild = next(number for number, step in enumerate(steps) if _WILD.search(step))
        fixed, pattern = "/".join(steps[:wild]) or ".", "/".join(steps[wild:])
    else:
        pattern = "*"
    if any(step == ".." for step in pattern.split("/")):
        raise UnsafePath(path, "has `..` behind a wildcard")
    start = safe_path(root, fixed, folder)
    prefix = "" if fixed in (".", "./") else f"{fixed.rstrip('/')}/"
    names = [file.relative_to(start).as_posix() for file in start.glob(pattern)] if start.is_dir() else []
    seen = [name for name in names if not any(step.startswith(".") for step in name.split("/"))]
    kept = sorted(
        name for name in seen if (any_kind or name.lower().endswith(SUFFIXES)) and not (start / name).is_dir()
    )
    for name in kept:
        refuse_odd_file(start / name, f"{prefix}{name}", span, recipe_path)  # left out, its rows would be missed
    if not kept:
        help_ = (
            f"the suffix decides how a file is read, such as {', '.join(SUFFIXES[:6])}"
            if seen
            else "paths are relative to the recipe's folder"
        )
        if any(name.lower().endswith(DOCUMENTS) for name in seen):
            help_ = f"{DOCUMENT_HELP}; {help_}"
        raise Refusal([diagnostic("FTC398", f"no data file is `{path}`", span, help=help_, path=recipe_path)])
    if len(kept) > _MOST_FILES:
        summary = f"`{path}` matches {len(kept):,} files; at most {_MOST_FILES:,} are allowed"
        help_ = "write them as fewer files, such as Parquet"
        raise Refusal([diagnostic("FTC398", summary, span, help=help_, path=recipe_path)])
    kinds = sorted({inner_suffix(name) or Path(name).suffix.lower() for name in kept})
    if len(kinds) > 1 and not any_kind:
        summary = f"`{path}` matches files of several kinds: {', '.join(kinds)}"
        help_ = f"name one kind, such as `{prefix}*{kinds[0]}`"
        raise Refusal([diagnostic("FTC398", summary, span, help=help_, path=recipe_path)])
    return {f"{prefix}{name}": safe_path(root, f"{prefix}{name}", folder) for name in kept}


def joint_facts(files: Mapping[str, FileFacts]) -> FileFacts:
    """Size of all files together, and a digest over their names and digests in order."""
    listed = [[name, facts.sha256] for name, facts in files.items()]
    return FileFacts(size=sum(facts.size for facts in files.values()), sha256=canonical.digest(listed))
