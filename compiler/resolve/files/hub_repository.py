"""One repository of the hub, written and read back: created, committed to on a stated parent, and compared.

As in `hub.py` everything goes through huggingface_hub, which finds the endpoint and the user's token itself. ftc asks
whether there is a token, and never reads it. Exceptions of the library become findings; texts of the library are left
out of them, since they may quote addresses and headers.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ftc.compiler.resolve.files.hub_errors import fault_of
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.language.safe_repr import quoted
from ftc.spec.switches import OFFLINE, is_switched_on

__all__ = ["Head", "HubRepository", "Listed", "differing", "refuse_offline"]

_TIMEOUT_SECONDS = 20.0
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_PARTS = 2
_AGAIN = "run the same command again: it compares first, and sends only what is missing"
_NO_ROOM = ("FTC775", "the hub has no room for `{repo}`", "free space there, or ask its owner for more")
_BY_STATUS = {
    401: ("FTC775", "the hub doesn't accept the token", "`hf auth login`, or renew `HF_TOKEN`"),
    402: _NO_ROOM,
    403: (
        "FTC775",
        "the token may not write to `{repo}`",
        "use a token that may write, and an owner that you belong to; `{owner}` is the owner here",
    ),
    404: (
        "FTC775",
        "the hub has no `{repo}` to write to",
        "check the spelling of owner and name, and that the token may write there",
    ),
    409: (
        "FTC774",
        "`{repo}` was created or changed by somebody else meanwhile",
        "run again: the repository is compared first",
    ),
    412: (
        "FTC774",
        "`{repo}` changed while this push went on; nothing was written",
        "check what changed there, then run again with `--parent` and the commit that you saw",
    ),
    413: _NO_ROOM,
    429: (
        "FTC775",
        "the hub limits the number of requests",
        "wait some minutes, then run the same command again",
    ),
    507: _NO_ROOM,
}
"""Code, summary and fix by the status of an answer."""
_FAILED = ("FTC775", "the hub is down, or failed inside", _AGAIN)
_REFUSED = ("FTC775", "the hub refuses the request", "check `HF_ENDPOINT` and the name of the repository")


@dataclass(frozen=True, slots=True)
class Listed:
    """What the hub lists of one file: sha256 where it keeps the file as a large one, else git's id of its bytes."""

    size: int
    sha256: str | None
    blob_id: str | None

    def is_of(self, file: Path) -> bool:
        """Whether a file here has the same bytes."""
        if file.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return file_digest(file) == self.sha256
        content = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == self.blob_id


@dataclass(frozen=True, slots=True)
class Head:
    """A repository at one commit."""

    commit: str
    is_private: bool
    files: Mapping[str, Listed]


def refuse_offline(verb: str, *, offline: bool) -> None:
    """Lets pass a command that may connect.

    Raises:
        Refusal: FTC777.
    """
    from huggingface_hub import constants

    if offline or is_switched_on(OFFLINE) or constants.HF_HUB_OFFLINE:
        help = f"go online, without `--offline`, `{OFFLINE}` and `HF_HUB_OFFLINE`"
        raise Refusal([diagnostic("FTC777", f"`{verb}` needs the hub, and ftc runs offline", help=help)])


class HubRepository:
    """A model's repository.

    Args:
        repo: Its id, `owner/name`.

    Raises:
        Refusal: It is no such id (FTC321).
    """

    def __init__(self, repo: str) -> None:
        from huggingface_hub import HfApi, constants
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        try:
            validate_repo_id(repo)
            is_id = len(repo.split("/")) == _PARTS
        except HFValidationError:
            is_id = False
        if not is_id:
            help = "give an id such as `owner/name`"
            raise Refusal([diagnostic("FTC321", f"{quoted(repo)} is not a hub id", help=help)])
        self.repo = repo
        self._api = HfApi(endpoint=constants.ENDPOINT, library_name="ftc")

    def require_login(self) -> None:
        """Lets pass where the hub's library has a token.

        Raises:
            Refusal: FTC775.
        """
        from huggingface_hub import get_token

        if get_token() is None:
            help = "`hf auth login`, or set `HF_TOKEN` to a token that may write"
            raise Refusal([diagnostic("FTC775", "you are not logged in to the hub", help=help)])

    def head(self, revision: str | None = None) -> Head | None:
        """The repository at a revision, the main branch where None; None where there is no such repository.

        Raises:
            Refusal: FTC315 to FTC317.
        """
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        with self._reading(revision or "main"):
            try:
                info = self._api.model_info(self.repo, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS)
            except GatedRepoError:
                raise
            except RepositoryNotFoundError:
                return None
        if not _COMMIT.fullmatch(info.sha or ""):
            help = "check `HF_ENDPOINT` and the proxy settings"
            raise Refusal([diagnostic("FTC317", "the hub's answer contains no commit", help=help)])
        files = {
            item.rfilename: Listed(item.size or 0, item.lfs.sha256 if item.lfs else None, item.blob_id)
            for item in info.siblings or ()
        }
        return Head(str(info.sha), bool(info.private), files)

    def is_gated(self, base: str, commit: str | None) -> bool | None:
        """Whether the hub asks for consent before it gives a base model; None where it doesn't say."""
        from huggingface_hub.errors import GatedRepoError

        try:
            with self._reading(commit or "main"):
                return bool(self._api.model_info(base, revision=commit, timeout=_TIMEOUT_SECONDS).gated)
        except Refusal as refusal:
            return True if isinstance(refusal.__cause__, GatedRepoError) else None

    def create(self, *, private: bool) -> None:
        """Creates the repository.

        Raises:
            Refusal: FTC774, FTC775.
        """
        with self._writing():
            self._api.create_repo(self.repo, repo_type="model", private=private, exist_ok=False)

    def commit(self, files: Mapping[str, Path], deleted: Collection[str], message: str, parent: str) -> str:
        """Makes one commit and gives its id.

        Args:
            files: Files here by their paths there.
            deleted: Paths there that go.
            message: The commit's first line.
            parent: The commit that the main branch has to stand at.

        Raises:
            Refusal: The branch moved (FTC774), or the hub refused or is gone (FTC775). Nothing was changed then.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        asked = [CommitOperationAdd(path, file) for path, file in sorted(files.items())]
        gone = [CommitOperationDelete(path, is_folder=False) for path in sorted(deleted)]
        try:
            with self._writing():
                made = self._api.create_commit(
                    self.repo, [*asked, *gone], commit_message=message, repo_type="model", parent_commit=parent
                )
        except Refusal as refusal:
            if refusal.diagnostics[0].code != "FTC775":
                raise
            arrived = self._arrived(files, parent)
            if arrived is None:
                raise
            return arrived
        return str(made.oid)

    def _arrived(self, files: Mapping[str, Path], parent: str) -> str | None:
        """The commit of a push whose answer was lost; None where it didn't arrive, or the hub can't say."""
        try:
            head = self.head()
        except Refusal:
            return None
        return None if head is None or head.commit == parent or differing(head.files, files) else head.commit

    def listed(self, paths: Collection[str], commit: str) -> dict[str, Listed]:
        """What the hub lists of files at a commit, by path.

        Raises:
            Refusal: FTC315 to FTC317.
        """
        from huggingface_hub.hf_api import RepoFile

        with self._reading(commit):
            found = self._api.get_paths_info(self.repo, sorted(paths), revision=commit, repo_type="model")
        return {
            one.path: Listed(one.size, one.lfs.sha256 if one.lfs else None, one.blob_id)
            for one in found
            if isinstance(one, RepoFile)
        }

    def fetch(self, path: str, commit: str, folder: Path) -> Path:
        """Downloads a file into a folder, under its own path.

        Raises:
            Refusal: FTC315 to FTC317, FTC323.
            OSError: The disk refused.
        """
        from huggingface_hub import hf_hub_download

        with self._reading(commit):
            found = hf_hub_download(
                self.repo, path, revision=commit, local_dir=folder, endpoint=self._api.endpoint, library_name="ftc"
            )
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # notes of the library, for downloads that go on
        return Path(found)

    @contextmanager
    def _reading(self, revision: str) -> Iterator[None]:
        try:
            with _quietly():
                yield
        except Refusal:
            raise
        except Exception as error:
            fault = None if _is_of_the_disk(error) else fault_of(error, self.repo, revision)
            if fault is None:
                raise
            notes = () if fault.code == "FTC314" else fault.notes  # which speaks of a recipe's folder
            raise Refusal([diagnostic(fault.code, fault.summary, help=fault.help, notes=notes)]) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with _quietly():
                yield
        except Exception as error:
            cause = error
            if type(error) is RuntimeError and isinstance(error.__cause__, Exception):
                cause = error.__cause__  # of a worker's thread
            if _is_of_the_disk(cause):
                raise
            found = self._refused(cause)
            if found is None:
                raise
            raise Refusal([found]) from error

    def _refused(self, error: Exception) -> Diagnostic | None:
        """The finding behind an exception of a request that writes; None for a bug."""
        from huggingface_hub.errors import HfHubHTTPError

        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, HfHubHTTPError) and status is not None:
            usual = _FAILED if status >= 500 else _REFUSED
            code, summary, help = _BY_STATUS.get(int(status), usual)
            words = {"repo": self.repo, "owner": self.repo.partition("/")[0]}
            note = f"the hub answered {status}"
            return diagnostic(code, summary.format(**words), help=help.format(**words), notes=note)
        if isinstance(error, ValueError):  # what an answer says, or a card that the hub finds wrong
            help = "check `HF_ENDPOINT`; where it is right, please report this"
            first = str(error).strip().partition("\n")[0][:200]
            return diagnostic("FTC775", "the hub refuses what was sent", help=help, notes=first)
        fault = fault_of(error, self.repo, "main")
        if fault is None:
            return None
        return diagnostic("FTC775", "the connection to the hub was cut", help=_AGAIN, notes=fault.notes)


def differing(listed: Mapping[str, Listed], files: Mapping[str, Path]) -> list[str]:
    """Paths that are missing in a listing, or whose bytes are others, sorted."""
    return sorted(path for path, file in files.items() if path not in listed or not listed[path].is_of(file))


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps the library's warnings still while it tries again: they quote addresses that are as good as keys."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _is_of_the_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _OF_THE_DISK
