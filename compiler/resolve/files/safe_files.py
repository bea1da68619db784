"""The one door between what a stranger wrote and the file system: safe paths, regular files, JSON of bounded size."""

from __future__ import annotations

import errno
import json
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import quoted
from ftc.spec.storage.reading import kind_of

__all__ = [
    "UnsafePath",
    "fault_in_text",
    "not_regular",
    "other_form",
    "project_root",
    "read_json_object",
    "read_named",
    "read_recipe",
    "refuse_odd_file",
    "safe_path",
    "why_unreadable",
]

_DRIVE = re.compile(r"[A-Za-z]:")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MAX_PATH_CHARS = 4096
_MAX_NAME_BYTES = 255  # of one part of a path; ext4, XFS, Btrfs, APFS and NTFS take no more
_ROOT_MARKERS = (".git", ".ftc")
_STANDARD_INPUT = Path("/dev/stdin")
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
    followed first and judged by where they lead. The file need not exist; one whose name differs by nothing but its
    Unicode form is found (`other_form` says so). Paths typed on the command line come from
    the user at the keyboard and don't pass through here.

    Raises:
        UnsafePath: The path is absolute, names a drive or a home folder, holds a backslash, a NUL or another control
            or invisible character, or leads out of the root, by `..` or by a link.
    """
    if reason := fault_in_text(user):
        raise UnsafePath(user, reason)
    root = root.resolve()
    try:
        found = _in_its_form((folder or root) / user).resolve()
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


def _in_its_form(path: Path) -> Path:
    """The path with each part in the Unicode form that the disk has; the path itself where nothing is there."""
    if (path.is_absolute() and str(path).isascii()) or os.path.lexists(path):
        return path
    found = Path(path.anchor)
    for part in path.relative_to(found).parts:
        step = found / part
        if not part.isascii() and not os.path.lexists(step):
            wanted = unicodedata.normalize("NFC", part)
            names = [entry.name for entry in found.iterdir()] if found.is_dir() else []
            step = found / next((name for name in names if unicodedata.normalize("NFC", name) == wanted), part)
        found = step
    return found if os.path.lexists(found) else path


def other_form(user: str, found: Path, span: Span | None, path: str) -> Diagnostic | None:
    """A warning where the file has the asked name in another Unicode form; None where the names are equal."""
    asked, name = Path(user).name, found.name
    if asked == name or unicodedata.normalize("NFC", asked) != unicodedata.normalize("NFC", name):
        return None
    on_disk = (
        "NFC (one code point an accented letter)" if unicodedata.is_normalized("NFC", name) else "NFD or a mixed form"
    )
    return diagnostic(
        "FTC328",
        f"the file's name is in another Unicode form on the disk: {quoted(name)}",
        span,
        help="rename the file, or paste its name from a file list into the recipe",
        notes=f"on the disk it is in {on_disk}; all forms look the same, and other machines may not find it",
        path=path,
    )


def not_regular(path: Path) -> str | None:
    """What a path names if it is no regular file, such as `a named pipe`; None for one that is, or where nothing is."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return "a link that leads back to itself" if error.errno == errno.ELOOP else _dangling(path)
    return kind_of(mode)


def _dangling(path: Path) -> str | None:
    """In words, where the path is a link to what isn't there."""
    try:
        return f"a link to {quoted(str(path.readlink()))}, which isn't there" if path.is_symlink() else None
    except OSError:
        return None


def refuse_odd_file(path: Path, shown_as: str, span: Span | None = None, recipe_path: str | None = None) -> None:
    """Lets pass a regular file, a folder, and a path where nothing is.

    Raises:
        Refusal: It is a pipe, a socket, a device or a link to what isn't there (FTC326).
    """
    kind = not_regular(path)
    if kind is None or kind == "a folder":
        return
    gone = kind.startswith("a link")
    help = "put the file back, or delete the link" if gone else "write the content to a file, and name that"
    summary = f"{quoted(shown_as)} is {kind}" if gone else f"{quoted(shown_as)} is {kind}, not a regular file"
    raise Refusal([diagnostic("FTC326", summary, span, help=help, path=recipe_path)])


_HELPS = {
    errno.ENAMETOOLONG: f"file systems allow {_MAX_NAME_BYTES} bytes a name; shorten it",
    errno.EIO: "the system could not read it: check the disk, or copy the file",
    errno.ELOOP: "its links lead back to themselves; delete them, or name the file itself",
}


def why_unreadable(error: OSError) -> tuple[str, str]:
    """Why a file can't be read, and what helps."""
    reason = (error.strerror or type(error).__name__).lower()
    return reason, _HELPS.get(error.errno or 0, "check the file's permissions")


def read_named(path: Path, shown_as: str, most_bytes: int) -> bytes:
    """A recipe, policy, sweep, lock or configuration, whose lines findings show; at most a byte more than it may have.

    Whoever wrote the project may have put a link there. One that leads out of it could name the environment of this
    process, or a file of secrets, and have them printed.

    Raises:
        Refusal: It is no regular file (FTC326), or a link out of its project (FTC300).
        OSError: It can't be read.
    """
    refuse_odd_file(path, shown_as)
    if path.is_symlink():
        here = path.absolute().parent
        root = _marked(here, _ROOT_MARKERS[:1]) or _marked(here, _ROOT_MARKERS) or here
        if not path.resolve().is_relative_to(root.resolve()):
            target = quoted(Path(os.path.relpath(path.resolve(), root.resolve())).as_posix())
            summary = f"{quoted(shown_as)} is a link to a file outside the project, {target}"
            raise Refusal(
                [diagnostic("FTC300", summary, help="put the file itself into the project, or name it where it is")]
            )
    with path.open("rb") as file:
        return file.read(most_bytes + 1)


def read_recipe(path: Path) -> bytes:
    """A recipe that was named on the command line; of a larger file a byte more than a recipe may have.

    Raises:
        Refusal: It isn't there (FTC107), is no regular file (FTC326), or a link out of its project (FTC300).
        OSError: It can't be read.
    """
    from ftc.spec.language.source import LARGEST_FILE  # brings the reader of YAML, which who opens models doesn't need

    try:
        if path != _STANDARD_INPUT:
            return read_named(path, path.name, LARGEST_FILE)
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        try:
            beside = [file.name for file in path.parent.iterdir() if file.suffix in (".yaml", ".yml")]
        except OSError:
            beside = []
        meant = nearest(path.name, beside)
        help = (
            f"did you mean `{path.with_name(meant)}`?" if meant else "`ftc init --data FILE` writes one for your rows"
        )
        raise Refusal([diagnostic("FTC107", f"there is no recipe {quoted(str(path))}", help=help)]) from None


def project_root(recipe: Path) -> Path:
    """The nearest folder upward from a recipe file that holds `.git` or `.ftc`, else the recipe's own folder."""
    folder = recipe.resolve().parent
    return _marked(folder, _ROOT_MARKERS) or folder


def _marked(folder: Path, markers: Sequence[str]) -> Path | None:
    """The nearest folder upward, this one included, that holds one of the names."""
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in markers):
            return candidate
    return None


def fault_in_text(user: str) -> str | None:
    """Why a relative path can't be followed whatever is on the disk, in words that complete "the path ..."."""
    if not user.strip():
        return "is empty"
    if len(user) > _MAX_PATH_CHARS:
        return f"is longer than {_MAX_PATH_CHARS} characters"
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in user):
        return "contains a control or invisible character"
    if match := _ADDRESS.match(user):
        return f"is an address (`{match[0]}`), which ftc does not download; download the file and name it"
    if long := next((part for part in user.split("/") if len(part.encode()) > _MAX_NAME_BYTES), None):
        size = len(long.encode())
        return f"contains a name of {size:,} bytes; file systems allow {_MAX_NAME_BYTES}"
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
        Refusal: FTC311, the file can't be read, is too large or too deep, or holds no object; FTC326, it is a pipe or
            the like.
    """
    refuse_odd_file(file, _shown(file), span, path)
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES // 2**20} MiB")
        value = json.loads(data := file.read_bytes())
        if half := _half_character(data, value):
            raise ValueError(f"`{half}` in it is half of a surrogate pair, which is not a character")
    except RecursionError:
        raise _unreadable(file, "nested too deeply", span, path) from None
    except OSError as error:
        raise _unreadable(file, (error.strerror or type(error).__name__).lower(), span, path) from error
    except ValueError as error:
        raise _unreadable(file, str(error), span, path) from error
    if not isinstance(value, dict):
        raise _unreadable(file, f"expected an object, found {type(value).__name__}", span, path)
    return value


_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def _half_character(data: bytes, value: Any) -> str | None:
    """The first half of a surrogate pair in a value read from JSON, which no later document can hold."""
    if not _SURROGATE_ESCAPE.search(data):
        return None
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(error.object[error.start]):04x}"
    return None


def _shown(file: Path) -> str:
    """A model's file with its folder, which tells models apart."""
    return f"{file.parent.name}/{file.name}"


def _unreadable(file: Path, reason: str, span: Span | None, path: str) -> Refusal:
    found = diagnostic(
        "FTC311",
        f"`{file.name}` of the model can't be read",
        span,
        notes=f"{_shown(file)}: {reason}",
        help="download the file again, or copy it from the model's original folder",
        path=path,
    )
    return Refusal([found])
