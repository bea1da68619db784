"""The one door between what a stranger wrote and the file system: safe paths, and JSON of bounded size and depth."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.language.safe_repr import quoted

__all__ = ["UnsafePath", "project_root", "read_json_object", "safe_path"]

_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_PATH_CHARS = 4096
_ROOT_MARKERS = (".git", ".ftc")
_LOOP = "can't be followed: its links form a loop or can't be read"
_RELATIVE = "give a path relative to the recipe's folder that stays inside the project, such as `data/train.csv`"


class UnsafePath(ValueError):
    """A path that must not be followed. `reason` completes the sentence "the path ..."; `help` is what to do."""

    def __init__(self, user: str, reason: str, help: str = _RELATIVE) -> None:
        self.reason = reason
        self.help = help
        self.summary = f"the path {quoted(user)} {reason}" if user.strip() else f"the path {reason}"
        super().__init__(self.summary)

    def diagnostic(self, span: Span | None = None, path: str | None = None) -> Diagnostic:
        """The finding for the recipe value at `span`, whose dotted path is `path`."""
        label = "not a path inside the project"
        return diagnostic("FTC300", self.summary, span, label=label, help=self.help, path=path)


def safe_path(root: Path, user: str, folder: Path | None = None) -> Path:
    """Turns a path from a recipe or a model's index into an absolute one that lies under `root`.

    Paths are relative to `folder`, the recipe's own folder, or to `root` where that isn't given. `..` is fine as
    long as the result stays under the root, so `../data/train.csv` works between folders of one project. Links are
    followed first and judged by where they lead. The file need not exist. Paths typed on the command line come from
    the user at the keyboard and don't pass through here.

    Raises:
        UnsafePath: The path is absolute, names a drive or a home folder, holds a backslash, a NUL or another control
            or invisible character, or leads out of the root, by `..` or by a link.
    """
    if reason := _fault_in_text(user):
        raise UnsafePath(user, reason)
    root = root.resolve()
    try:
        found = ((folder or root) / user).resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, before Python 3.13
        raise UnsafePath(user, _LOOP) from error
    if any(part.is_symlink() for part in (found, *found.parents)):  # what is left of a loop since then
        raise UnsafePath(user, _LOOP)
    if not found.is_relative_to(root):
        if not Path(os.path.normpath((folder or root).resolve() / user)).is_relative_to(root):
            raise UnsafePath(user, "is outside the project")
        target = quoted(Path(os.path.relpath(found, root)).as_posix())
        help_ = "put the file itself into the project, not a link to it"
        raise UnsafePath(user, f"is a link to a file outside the project, {target}", help_)
    return found


def project_root(recipe: Path) -> Path:
    """The nearest folder upward from a recipe file that holds `.git` or `.ftc`, else the recipe's own folder."""
    folder = recipe.resolve().parent
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in _ROOT_MARKERS):
            return candidate
    return folder


def _fault_in_text(user: str) -> str | None:
    if not user.strip():
        return "is empty"
    if len(user) > _MAX_PATH_CHARS:
        return f"is longer than {_MAX_PATH_CHARS} characters"
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in user):
        return "contains a control or invisible character"
    if "\\" in user:
        return "contains a backslash; write `/` on every system"
    if user.startswith("/") or _DRIVE.match(user):
        return "is absolute"
    if user.startswith("~"):
        return "starts with `~`, which is not expanded"
    return None


_MAX_BYTES = 256 * 2**20  # the largest tokenizer.json in use are about 35 MB


def read_json_object(file: Path, span: Span | None, path: str = "model.base") -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        Refusal: FTC311, the file can't be read, is too large or too deep, or holds no object.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES // 2**20} MiB")
        value = json.loads(file.read_bytes())
    except RecursionError:
        raise _unreadable(file, "nested too deeply", span, path) from None
    except (OSError, ValueError) as error:
        raise _unreadable(file, str(error), span, path) from error
    if not isinstance(value, dict):
        raise _unreadable(file, f"expected an object, found {type(value).__name__}", span, path)
    return value


def _unreadable(file: Path, reason: str, span: Span | None, path: str) -> Refusal:
    found = diagnostic(
        "FTC311",
        f"`{file.name}` of the model can't be read",
        span,
        notes=reason,
        help="download the file again, or copy it from the model's original folder",
        path=path,
    )
    return Refusal([found])
