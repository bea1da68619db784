"""Files that ftc writes where a user says: never over anything that is not ftc's own file of that kind."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from ftc.spec.diagnostics import Refusal, diagnostic

__all__ = ["OutputKind", "claim_output"]

_MOST_BYTES = 256 * 2**20
"""Larger files are no document of ftc's, so that nothing larger is read to find out."""


class OutputKind(Enum):
    """What a user can have written to a file of his own choice, in words."""

    PLAN = "saved plan"
    SLSA = "SLSA statement"
    CYCLONEDX = "CycloneDX bill of materials"
    CROISSANT = "Croissant description"
    SIGNATURE = "signature"


def claim_output(path: Path, kind: OutputKind, *, force: bool = False) -> None:
    """Lets pass a name that is free, or a file that ftc itself wrote as the same kind of document.

    Args:
        path: Where the user wants the output.
        kind: What will be written there.
        force: Replace any other regular file too. Links, folders, devices, write-protected files and files of a run
            are refused all the same.

    Raises:
        Refusal: Something else is there (FTC651), or the folder isn't (FTC653). Nothing was changed.
    """
    if not path.parent.is_dir():
        help = f"create it first: `mkdir -p {path.parent}`"
        raise Refusal([diagnostic("FTC653", f"there is no folder `{path.parent}` for `{path.name}`", help=help)])
    if not os.path.lexists(path):
        return
    is_own = _is_own(path, kind)
    reason = _untouchable(path)
    if not reason and (path.parent / "record.json").is_file() and not (is_own and kind is OutputKind.SIGNATURE):
        reason = "belongs to a run, whose record has its checksum"
    if reason:
        raise Refusal([diagnostic("FTC651", f"`{path}` {reason}", help="choose another name; nothing was changed")])
    if not force and not is_own:
        helps = ("choose another name", "or replace it with `--force`; nothing was changed")
        raise Refusal([diagnostic("FTC651", f"`{path}` exists and is no {kind.value} of ftc's", help=helps)])


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
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
        return False
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    match kind:
        case OutputKind.PLAN:
            return str(document.get("schema", "")).startswith("ftc.plan/")
        case OutputKind.SLSA:
            return str(_at(document, "predicate", "buildDefinition", "buildType")).startswith("urn:ftc:")
        case OutputKind.CYCLONEDX:
            return "bomFormat" in document and _names_ftc(_at(document, "metadata", "tools", "components"))
        case OutputKind.CROISSANT:
            return False  # the format has no place for who wrote it
        case OutputKind.SIGNATURE:
            return str(document.get("mediaType", "")).startswith("application/vnd.dev.sigstore.bundle")


def _at(found: Any, *keys: str) -> Any:
    """The value at a path of keys; None where the path ends."""
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _names_ftc(tools: Any) -> bool:
    return isinstance(tools, list) and any(_at(tool, "name") == "ftc" for tool in tools)
