"""Several files as one source: a folder, or a pattern such as `shards/*.jsonl`. Sorted by name, so that the same files
give the same rows on every machine.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ftc.compiler.resolve.files.safe_files import UnsafePath, refuse_odd_file, safe_path
from ftc.spec import canonical
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.row_files import BESIDE_ROWS, DOCUMENT_HELP, DOCUMENTS, IMAGE_FILES, SUFFIXES, suffix_of

__all__ = ["FileSet", "files_of", "is_pattern", "joint_facts", "passed_over"]

_MOST_FILES = 10_000
_MOST_LOOKED_AT = 20_000
"""Files of folders inside that are looked through for data files that nobody reads."""
_MOST_NAMED = 5
_WILD = re.compile(r"[*?\[]")


def is_pattern(path: str) -> bool:
    """Whether a path of a recipe stands for any number of files."""
    return _WILD.search(path) is not None


class FileSet(NamedTuple):
    """The files that a pattern or a folder stands for.

    Attributes:
        members: Where each lies, by the name that rows have, in order.
        skipped: The same of files that lie there too and are no part of it, though somebody may take them for one.
    """

    members: dict[str, Path]
    skipped: dict[str, Path]


def files_of(
    root: Path, path: str, folder: Path, span: Span | None, recipe_path: str, any_kind: bool = False
) -> FileSet:
    """The files that a pattern or a folder stands for.

    A folder stands for the data files in it, not for those of folders inside. Hidden files are passed over. Files of
    `any_kind` are data files where a package reads them.

    Raises:
        UnsafePath: The pattern, or a file that it finds, leads out of the project.
        Refusal: FTC398: there is no such file, there are too many, or they are of several kinds. FTC326: one is a pipe,
            a socket, a device or a link to what isn't there.
    """
    from ftc.compiler.resolve.rows.packed_files import inner_suffix

    fixed, pattern = _divided(path)
    start = safe_path(root, fixed, folder)
    prefix = "" if fixed in (".", "./") else f"{fixed.rstrip('/')}/"
    names = [file.relative_to(start).as_posix() for file in start.glob(pattern)] if start.is_dir() else []
    seen = sorted(name for name in names if not any(step.startswith(".") for step in name.split("/")))
    readable = [name for name in seen if any_kind or name.lower().endswith(SUFFIXES)]
    kept = [name for name in readable if not (start / name).is_dir()]
    for name in kept:
        refuse_odd_file(start / name, f"{prefix}{name}", span, recipe_path)  # left out, its rows would be missed
    inside = [] if is_pattern(path) else _data_inside(start, seen, any_kind)
    if not kept:
        help_ = _help_without_files(prefix, seen, inside)
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
    members = {f"{prefix}{name}": safe_path(root, f"{prefix}{name}", folder) for name in kept}
    others = sorted({*seen} - {*readable})
    beside = [name for name in others if _may_hold_rows(name) and (start / name).is_file()]
    return FileSet(members, {f"{prefix}{name}": start / name for name in (*beside, *inside)})


def _divided(path: str) -> tuple[str, str]:
    """The folder that a path begins with, and the pattern behind it.

    Raises:
        UnsafePath: The pattern leads upwards.
    """
    if not is_pattern(path):
        return path, "*"
    steps = path.split("/")
    wild = next(number for number, step in enumerate(steps) if _WILD.search(step))
    if ".." in steps[wild:]:
        raise UnsafePath(path, "has `..` behind a wildcard")
    return "/".join(steps[:wild]) or ".", "/".join(steps[wild:])


def _may_hold_rows(name: str) -> bool:
    """Whether somebody may expect rows of a file that isn't read: not of a README or a license, nor of an image."""
    file = name.rpartition("/")[2].lower()
    return not file.endswith(IMAGE_FILES) and not file.startswith(BESIDE_ROWS)


def _data_inside(start: Path, names: Collection[str], any_kind: bool) -> list[str]:
    """Data files below the folders among `names`, of the first thousands of files there; no link is followed."""
    folders = [start / name for name in names if (start / name).is_dir() and not (start / name).is_symlink()]
    files = islice((file for folder in folders for file in _files_below(folder)), _MOST_LOOKED_AT)
    found = (file.relative_to(start).as_posix() for file in files)
    return sorted(name for name in found if any_kind or name.lower().endswith(SUFFIXES))


def _files_below(start: Path) -> Iterator[Path]:
    """Files in a folder and in those inside of it, hidden ones left out, in the same order on every disk."""
    for folder, inside, files in os.walk(start):
        inside[:] = sorted(one for one in inside if not one.startswith("."))
        yield from (Path(folder, file) for file in sorted(files) if not file.startswith("."))


def _help_without_files(prefix: str, seen: Collection[str], inside: Collection[str]) -> str:
    if inside:
        return f"folders inside are read by a pattern: {_pattern_of(prefix, inside)}"
    help_ = f"the suffix decides how a file is read, such as {', '.join(SUFFIXES[:6])}"
    if any(name.lower().endswith(DOCUMENTS) for name in seen):
        return f"{DOCUMENT_HELP}; {help_}"
    return help_ if seen else "paths are relative to the recipe's folder"


def _pattern_of(prefix: str, names: Collection[str]) -> str:
    """The pattern that matches files of folders inside a folder."""
    ((suffix, _),) = Counter(suffix_of(name) or Path(name).suffix for name in names).most_common(1)
    return f"`{prefix}**/*{suffix}`"


def passed_over(
    source: str, members: Collection[str], skipped: Collection[str], span: Span | None, recipe_path: str
) -> Diagnostic | None:
    """A warning of the files that lie with those of a folder or a pattern and aren't read; None where there are none.

    Args:
        source: The folder or pattern, as the recipe has it.
        members: The names of its files.
        skipped: Those of the others.
        span: Place of the source in the recipe.
        recipe_path: Dotted path of that value.
    """
    if not skipped:
        return None
    prefix = "" if source in (".", "./") else f"{source.rstrip('/')}/"
    is_folder = not is_pattern(source)
    inside = [name for name in skipped if is_folder and "/" in name.removeprefix(prefix)]
    help = [f"to read folders inside too, write {_pattern_of(prefix, inside)}"] if inside else []
    if any(name.lower().endswith(DOCUMENTS) for name in {*skipped} - {*inside}):
        help.append(DOCUMENT_HELP)
    suffix = suffix_of(next(iter(members)))
    only = f"`{prefix}*{suffix}`" if is_folder else f"a pattern that ends in `{suffix}`"
    help.append(f"to leave them out, write {only}" if suffix else "to leave them out, move them to another folder")
    named = ", ".join([*skipped][:_MOST_NAMED])
    more = f" and {len(skipped) - _MOST_NAMED:,} more" if len(skipped) > _MOST_NAMED else ""
    read = "1 file is" if len(members) == 1 else f"{len(members):,} files are"
    left = "1 is" if len(skipped) == 1 else f"{len(skipped):,} are"
    summary = f"of `{source}` {read} read and {left} not"
    return diagnostic("FTC491", summary, span, notes=f"not read: {named}{more}", help=help, path=recipe_path)


def joint_facts(files: Mapping[str, FileFacts]) -> FileFacts:
    """Size of all files together, and a digest over their names and digests in order."""
    listed = [[name, facts.sha256] for name, facts in files.items()]
    return FileFacts(size=sum(facts.size for facts in files.values()), sha256=canonical.digest(listed))
