"""Several files as one source: a folder, or a pattern such as `shards/*.jsonl`. Sorted by name, so that the same files
give the same rows on every machine.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ftc.compiler.resolve.files.safe_files import UnsafePath, refuse_odd_file, safe_path
from ftc.spec import canonical
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.row_files import BESIDE_ROWS, DOCUMENT_HELP, DOCUMENTS, IMAGE_FILES, SUFFIXES, suffix_of

__all__ = [
    "FileSet",
    "Place",
    "divided",
    "fault_in_pattern",
    "files_of",
    "is_hidden",
    "is_pattern",
    "is_readable",
    "joint_facts",
    "passed_over",
    "refuse_unusable",
    "unread",
]

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
    fixed, pattern = divided(path)
    if fault := fault_in_pattern(pattern):
        raise UnsafePath(path, *fault)
    start = safe_path(root, fixed, folder)
    prefix = "" if fixed in (".", "./") else f"{fixed.rstrip('/')}/"
    names = [file.relative_to(start).as_posix() for file in start.glob(pattern)] if start.is_dir() else []
    seen = sorted(name for name in names if not is_hidden(name))
    readable = [name for name in seen if (any_kind or is_readable(name)) and not (start / name).is_dir()]
    for name in readable:
        refuse_odd_file(start / name, f"{prefix}{name}", span, recipe_path)  # left out, its rows would be missed
    inside = [] if is_pattern(path) else _data_inside(start, seen, any_kind)
    place = Place(path, prefix, span, recipe_path, "paths are relative to the recipe's folder")
    refuse_unusable(place, readable, seen, inside, any_kind)
    members = {f"{prefix}{name}": safe_path(root, f"{prefix}{name}", folder) for name in readable}
    beside = [name for name in unread(seen, any_kind) if (start / name).is_file()]
    return FileSet(members, {f"{prefix}{name}": start / name for name in (*beside, *inside)})


class Place(NamedTuple):
    """Where a recipe names several files.

    Attributes:
        path: The folder or pattern, as the recipe has it.
        prefix: What the names of its files begin with.
        span: Its place in the recipe.
        recipe_path: Dotted path of that value.
        help_if_empty: What to do where there is nothing at all.
    """

    path: str
    prefix: str
    span: Span | None
    recipe_path: str
    help_if_empty: str

    def refused(self, summary: str, help: str) -> Refusal:
        """What is said of files that can't be used together (FTC398)."""
        return Refusal([diagnostic("FTC398", summary, self.span, help=help, path=self.recipe_path)])


def fault_in_pattern(pattern: str) -> tuple[str, str] | None:
    """What is wrong with a pattern behind its folder, in words, and what to do; None where it can be used."""
    steps = pattern.split("/")
    if ".." in steps:
        return "has `..` behind a wildcard", "write the folder without `..`"
    if any("**" in step and step != "**" for step in steps):
        return "has `**` beside other characters", "write `**` alone between slashes, as in `shards/**/*.jsonl`"
    return None


def is_hidden(name: str) -> bool:
    """Whether a name, or a folder in it, begins with a dot."""
    return any(step.startswith(".") for step in name.split("/"))


def is_readable(name: str) -> bool:
    """Whether the suffix of a name is that of a data file."""
    return name.lower().endswith(SUFFIXES)


def unread(names: Collection[str], any_kind: bool) -> list[str]:
    """Those of some names of files that somebody may expect rows of, and that are no data files."""
    return [name for name in names if not (any_kind or is_readable(name)) and _may_hold_rows(name)]


def refuse_unusable(
    place: Place, files: Sequence[str], seen: Collection[str], inside: Collection[str], any_kind: bool
) -> None:
    """Lets pass data files that can be read as one source.

    Args:
        place: Where the recipe names them.
        files: Their names.
        seen: All names there, of other files and of folders, too.
        inside: Data files of folders inside, which a folder doesn't stand for.
        any_kind: Whether a package reads them, whatever their suffixes.

    Raises:
        Refusal: FTC398: there are none, too many, or they are of several kinds.
    """
    from ftc.compiler.resolve.rows.packed_files import inner_suffix

    path = place.path
    if not files:
        raise place.refused(f"no data file is `{path}`", _help_without_files(place, seen, inside))
    if len(files) > _MOST_FILES:
        summary = f"`{path}` matches {len(files):,} files; at most {_MOST_FILES:,} are allowed"
        raise place.refused(summary, "write them as fewer files, such as Parquet")
    kinds = sorted({inner_suffix(name) or Path(name).suffix.lower() for name in files})
    if len(kinds) > 1 and not any_kind:
        summary = f"`{path}` matches files of several kinds: {', '.join(kinds)}"
        raise place.refused(summary, f"name one kind, such as `{place.prefix}*{kinds[0]}`")


def divided(path: str) -> tuple[str, str]:
    """The folder that a path begins with, and the pattern behind it."""
    if not is_pattern(path):
        return path, "*"
    steps = path.split("/")
    wild = next(number for number, step in enumerate(steps) if _WILD.search(step))
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
    return sorted(name for name in found if any_kind or is_readable(name))


def _files_below(start: Path) -> Iterator[Path]:
    """Files in a folder and in those inside of it, hidden ones left out, in the same order on every disk."""
    for folder, inside, files in os.walk(start):
        inside[:] = sorted(one for one in inside if not one.startswith("."))
        yield from (Path(folder, file) for file in sorted(files) if not file.startswith("."))


def _help_without_files(place: Place, seen: Collection[str], inside: Collection[str]) -> str:
    if inside:
        return f"folders inside are read by a pattern: {_pattern_of(place.prefix, inside)}"
    help_ = f"the suffix decides how a file is read, such as {', '.join(SUFFIXES[:6])}"
    if any(name.lower().endswith(DOCUMENTS) for name in seen):
        return f"{DOCUMENT_HELP}; {help_}"
    return help_ if seen else place.help_if_empty


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
