"""Files that ftc writes where a user says: never over anything that is not ftc's own file of that kind.

What is read back is here as well: why a document can't be read, in one line, and a page less its drawings. Those depend
on the library that drew them, and nothing else in a page does. An audit makes a run's page again; where another version
of the library is installed, or none, it compares all but the drawings, and says so.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.storage.atomic_write import try_writing
from ftc.spec.storage.model_files import INDEX_FILE, LOADED_FILES, SINGLE_FILE
from ftc.spec.storage.plain_tar import size_of_first

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["OutputKind", "claim_output", "drawn_by", "marked", "reason_of", "signature", "without_drawings"]

_MOST_BYTES = 256 * 2**20
"""Larger files are no document of ftc's, so that nothing larger is read to find out."""


class OutputKind(Enum):
    """What a user can have written to a file of his own choice, in words."""

    PLAN = "saved plan"
    SLSA = "SLSA statement"
    CYCLONEDX = "CycloneDX bill of materials"
    CROISSANT = "Croissant description"
    SIGNATURE = "signature"
    PREDICTIONS = "file of predictions"
    REPORT = "report"
    COMPARISON = "comparison"
    SWEEP = "sweep's page"
    RUNS = "page of runs"
    DRIFT = "drift report"
    INSPECTION = "page of what training changed"
    PROFILE = "page of where time goes"
    TRACE = "profiler's timeline"
    JOB_SCRIPT = "job script"
    PACKAGE = "package"


_UNSIGNED = (OutputKind.CROISSANT, OutputKind.PREDICTIONS, OutputKind.REPORT, OutputKind.TRACE)
"""Kinds whose format has no place for who wrote it."""
_DEEPEST_IN_A_RUN = 3
"""Folders between a run's and the deepest file in it, such as a checkpoint's."""


def claim_output(path: Path, kind: OutputKind, *, force: bool = False) -> None:
    """Lets pass a name that is free, or a file that ftc itself wrote as the same kind of document.

    Args:
        path: Where the user wants the output.
        kind: What will be written there.
        force: Replace any other regular file too. Links, folders, devices, write-protected files and files of a run
            or a model are refused all the same.

    Raises:
        Refusal: Something else is there (FTC651), or the folder isn't (FTC653). Nothing was changed.
        OSError: Nothing can be written there.
    """
    if not path.parent.is_dir():
        help = f"create it first: `mkdir -p {path.parent}`"
        raise Refusal([diagnostic("FTC653", f"there is no folder `{path.parent}` for `{path.name}`", help=help)])
    if os.path.lexists(path):
        is_own = _is_own(path, kind)
        reason = _untouchable(path)
        if not reason and _in_a_run(path) and not (is_own and kind is OutputKind.SIGNATURE):
            reason = "belongs to a run, whose record has its checksum"
        if not reason and _in_a_model(path):
            reason = "belongs to a model, which would be another without it"
        if reason:
            raise Refusal([diagnostic("FTC651", f"`{path}` {reason}", help="choose another name; nothing was changed")])
        if not force and not is_own:
            helps = ("choose another name", "or replace it with `--force`; nothing was changed")
            other = f"is not a {kind.value} written by ftc"
            why = "nothing in it says who wrote it" if kind in _UNSIGNED else other
            raise Refusal([diagnostic("FTC651", f"`{path}` exists and {why}", help=helps)])
    try_writing(path)


def _in_a_run(path: Path) -> bool:
    """Whether a file lies in a run's folder, or in a folder within it."""
    own, *above = path.absolute().parents
    folders = [folder for folder in above[:_DEEPEST_IN_A_RUN] if (folder / "plan.json").is_file()]
    return any((folder / "record.json").is_file() for folder in (own, *folders))


def _in_a_model(path: Path) -> bool:
    """Whether a file is one that loading the model beside it reads."""
    is_read = path.name in (INDEX_FILE, *LOADED_FILES) or path.suffix == Path(SINGLE_FILE).suffix
    return is_read and (path.parent / "config.json").is_file()


def _untouchable(path: Path) -> str | None:
    """Why nothing may take the place of what is there, whatever the user says."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"is a link to `{path.readlink()}`"
    if stat.S_ISDIR(mode):
        return "is a folder"
    if not stat.S_ISREG(mode):
        return "is a device, pipe or socket"
    if not mode & 0o222:
        return "is write-protected"
    return None


def _is_own(path: Path, kind: OutputKind) -> bool:
    """Whether a file holds what ftc writes as this kind. Anything unreadable is somebody else's."""
    found = path.lstat()
    try:
        if not stat.S_ISREG(found.st_mode) or (kind is not OutputKind.PACKAGE and found.st_size > _MOST_BYTES):
            return False
        content = _list_of_package(path) if kind is OutputKind.PACKAGE else path.read_bytes()
        if (page := _PAGES.get(kind)) and re.match(page.encode(), content, re.DOTALL):
            return True
        document = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    match kind:
        case OutputKind.PLAN | OutputKind.COMPARISON | OutputKind.PACKAGE:
            return str(document.get("schema", "")).startswith(f"ftc.{kind.name.lower()}/")
        case OutputKind.SLSA:
            return str(_at(document, "predicate", "buildDefinition", "buildType")).startswith("urn:ftc:")
        case OutputKind.CYCLONEDX:
            return "bomFormat" in document and _names_ftc(_at(document, "metadata", "tools", "components"))
        case (
            OutputKind.CROISSANT
            | OutputKind.PREDICTIONS
            | OutputKind.REPORT
            | OutputKind.SWEEP
            | OutputKind.RUNS
            | OutputKind.DRIFT
            | OutputKind.INSPECTION
            | OutputKind.PROFILE
            | OutputKind.TRACE
            | OutputKind.JOB_SCRIPT
        ):
            return False
        case OutputKind.SIGNATURE:
            return str(document.get("mediaType", "")).startswith("application/vnd.dev.sigstore.bundle")


def _list_of_package(path: Path) -> bytes:
    """The list that a package begins with; nothing of any other file."""
    with path.open("rb") as file:
        size = size_of_first(file, "package.json")
        return b"" if size is None or size > _MOST_BYTES else file.read(size)


_TITLED = r"<!doctype html>(?:(?!</head>).)*<!--drawn--><meta name=\"generator\" [^>]*><!--/drawn--><title>"
_IN_WORDS = "[Oo]n [\\d,]+ test rows? (?:common to all runs|that all runs were given), compared with "
_PAGES = {
    OutputKind.COMPARISON: f"{_TITLED}Runs |{_IN_WORDS}",
    OutputKind.SWEEP: f"{_TITLED}Sweep ",
    OutputKind.RUNS: f"{_TITLED}All runs<",
    OutputKind.DRIFT: f"{_TITLED}Drift of ",
    OutputKind.INSPECTION: f"{_TITLED}What training changed in ",
    OutputKind.PROFILE: f"{_TITLED}Where the time of ",
    OutputKind.JOB_SCRIPT: (
        r"(?:#!/bin/bash\n(?:#SBATCH [^\n]*\n)*\n)?"
        r"# Plan [0-9a-f]{12} of job [0-9a-f]{12}\. Written by `ftc launch`"
    ),
}
"""How pages begin that say what they are."""


def _at(found: Any, *keys: str) -> Any:
    """The value at a path of keys; None where the path ends."""
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _names_ftc(tools: Any) -> bool:
    return isinstance(tools, list) and any(_at(tool, "name") == "ftc" for tool in tools)


_OPEN, _CLOSE = "<!--drawn-->", "<!--/drawn-->"
_DRAWING = re.compile(f"{_OPEN}(.*?){_CLOSE}", re.DOTALL)
_IN_SVG = "(?:[^<]|</?(?:defs|desc|g|path|text|title|tspan|use)\\b)*"
_PICTURE = re.compile(
    f"(?:<svg {_IN_SVG}</svg>)+|<p>[^<]*</p>|<meta [^<>]*>|[^<]*(?:<code>[^<]*</code>[^<]*)?", re.DOTALL
)
"""What may stand between marks: pictures made of shapes and text, or the words in their place."""
_SIGNATURE = re.compile(f'{_OPEN}<meta name="generator" content="([^"]*)">{_CLOSE}')


def marked(drawing: str) -> str:
    """The drawing between marks. Text of a page is escaped, so nothing else in it can look like one."""
    return f"{_OPEN}{drawing}{_CLOSE}"


def signature(library: str | None) -> str:
    """What names, in a page's head, the library that drew its pictures."""
    return marked(f'<meta name="generator" content="{library or ""}">')


def drawn_by(page: str) -> str | None:
    """The library and version that a page names; None where nothing was drawn."""
    found = _SIGNATURE.search(page)
    return (found.group(1) or None) if found else None


def without_drawings(page: str) -> str:
    """The page less what is drawn. The marks stay, so that one more is a difference, and so is what is no picture."""
    return _DRAWING.sub(lambda found: _OPEN if _PICTURE.fullmatch(found[1]) else found[0], page)


def reason_of(problem: ValidationError | OSError) -> str:
    """The first thing that is wrong, with its place in the document where there is one."""
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    first = problem.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"`{where}` {_words(first)}" if where else _words(first)


def _words(error: ErrorDetails) -> str:
    """What completes a sentence about a place; pydantic's own words are for those who write the model."""
    more = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a key of this document"
        case "literal_error":
            return f"is not {more['expected']}".replace("'", "`")
        case "json_invalid":
            return f"not JSON: {more['error']}"
        case _:
            return f"can't be this: {error['msg']}" if error["loc"] else error["msg"]
