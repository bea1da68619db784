"""A site's storage for runs, an address of `ftc.launch.yaml`: objects named by their sha256, and lists that are written
last. What is read is compared with its list, whose files hold tensors and JSON alone.

Each filesystem of fsspec has errors of its own, so whatever one raises becomes a finding that names the address.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.stored import OBJECTS, StoredState, list_name
from ftc.spec.storage.atomic_write import building_folder

__all__ = ["Damaged", "Storage", "open_storage", "reaching", "unreachable"]

_T = TypeVar("_T")
_TIMES = 3
_PAUSE_SECONDS = 0.5
_LARGEST_LIST = 16 * 2**20
_PIECE_BYTES = 4 * 2**20
_LOCKED_OUT = ("Credential", "Permission", "Forbidden", "AccessDenied", "Unauthorized", "InvalidAccessKey", "Signature")
_ABSENT = ("FileNotFound", "NoSuchBucket", "NotFound")


class Damaged(Exception):
    """A stored state whose files are not those of its list."""


@dataclass(slots=True)
class Storage:
    """What the storage holds of one run.

    Attributes:
        address: As the site wrote it.
        filesystem: fsspec's.
        base: The run's place in it.
        there: Sizes of objects that are known to be there, by name.
        doubted: Names of objects that may hold something else, and are written again when they are needed.
    """

    address: str
    filesystem: Any
    base: str
    there: dict[str, int] = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    copied: Callable[[], None] = lambda: None
    """Is called behind each piece of a file that was copied or digested, which may be in another thread."""
    least: int = 2
    """States that stay: should the newest be damaged, there is another one."""

    def lists(self) -> list[str]:
        """Names of all states, the newest first."""
        self.filesystem.invalidate_cache()
        names = self._insist(lambda: self._names(self.base))
        return sorted((one for one in names if one.endswith(".json")), reverse=True)

    def read(self, name: str) -> StoredState:
        """A state's list.

        Raises:
            Damaged: It is none.
        """
        try:
            found = StoredState.model_validate_json(self._begin(name, _LARGEST_LIST))
        except ValueError:
            raise Damaged(f"{name} can't be read") from None
        if list_name(found.step, is_over=found.is_over) != name:
            raise Damaged(f"{name} is the list of another state")
        return found

    def fetch(self, state: StoredState, target: Path) -> None:
        """Makes a run's folder of a state: whole, each file with the digest of the list, or not at all.

        Raises:
            Damaged: A file is missing, or another one.
            OSError: The disk refused.
        """
        with building_folder(target) as folder:
            self.fetch_files(state.files, folder)

    def fetch_files(self, files: Mapping[str, FileFacts], folder: Path) -> None:
        """Puts files into a folder, each compared with its digest.

        Raises:
            Damaged: A file is missing, or another one.
            OSError: The disk refused.
        """
        for name, facts in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._insist(lambda: self._get(facts, place))  # noqa: B023
            except FileNotFoundError:
                raise Damaged(f"{name} is missing") from None
            size = place.stat().st_size
            if size != facts.size:
                raise Damaged(f"{name} has {size} bytes instead of {facts.size}")
            if file_digest(place, self.copied) != facts.sha256:
                raise Damaged(f"{name} has another sha256 than its list")
            self.copied()

    def keep(self, state: StoredState, files: Mapping[str, Path]) -> None:
        """Stores a state: what of its files isn't there yet, then its list."""
        self.keep_files(state.files, files)
        self.write(list_name(state.step, is_over=state.is_over), state.to_text().encode())

    def keep_files(self, listed: Mapping[str, FileFacts], files: Mapping[str, Path]) -> None:
        """Stores what of some files isn't there yet."""
        if not self.there:
            self.there |= self._insist(self._sizes)
        for name, facts in listed.items():
            if self.there.get(facts.sha256) != facts.size or facts.sha256 in self.doubted:
                self._insist(lambda: self._put(files[name], facts))  # noqa: B023
                self.there[facts.sha256] = facts.size
                self.doubted.discard(facts.sha256)
                self.copied()

    def text(self, name: str, most: int = _LARGEST_LIST) -> bytes | None:
        """Content of a file of at most so many bytes; None where there is none."""
        self.filesystem.invalidate_cache()
        try:
            return self._begin(name, most)
        except FileNotFoundError:
            return None

    def _begin(self, name: str, most: int) -> bytes:
        found: bytes = self._insist(lambda: self.filesystem.cat_file(f"{self.base}/{name}", start=0, end=most))
        return found

    def remove(self, name: str) -> None:
        """Deletes a small file."""
        self._insist(lambda: self.filesystem.rm_file(f"{self.base}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file."""
        self._insist(lambda: self.filesystem.pipe_file(f"{self.base}/{name}", content))

    def forget(self, kept: Mapping[str, StoredState]) -> None:
        """Deletes all states but some: lists first, then the files that no list names any longer.

        A list that another process wrote before goes once as many states are there without it.
        """
        wanted = {facts.sha256 for state in kept.values() for facts in state.files.values()}
        older = [name for name in self.lists() if name not in kept]
        spared = older[: max(0, self.least - len(kept))] if not any(one.is_over for one in kept.values()) else []
        for name in older:
            if name not in spared:
                self._insist(lambda: self.filesystem.rm_file(f"{self.base}/{name}"))  # noqa: B023
                continue
            try:
                wanted |= {facts.sha256 for facts in self.read(name).files.values()}
            except Damaged:
                continue
        for sha256 in [one for one in self.there if one not in wanted]:
            self._insist(lambda: self.filesystem.rm_file(f"{self.base}/{OBJECTS}/{sha256}"))  # noqa: B023
            del self.there[sha256]

    def _put(self, file: Path, facts: FileFacts) -> None:
        place = self._object(facts)
        if self._is_local:
            with file.open("rb") as source, self.filesystem.open(place, "wb") as target:
                self._copy(source, target)
        else:
            self.filesystem.put_file(str(file), place, callback=self._progress())
        self.filesystem.invalidate_cache()
        if (size := self.filesystem.info(place)["size"]) != facts.size:
            raise OSError(f"{size} of {facts.size} bytes have arrived")

    def _get(self, facts: FileFacts, place: Path) -> None:
        if self._is_local:
            with self.filesystem.open(self._object(facts), "rb") as source, place.open("wb") as target:
                self._copy(source, target)
        else:
            self.filesystem.get_file(self._object(facts), str(place), callback=self._progress())

    @property
    def _is_local(self) -> bool:
        """Whether it is a folder of this machine, perhaps of a network: there fsspec calls nobody while it copies."""
        return self.address.startswith("file://")

    def _copy(self, source: BinaryIO, target: BinaryIO) -> None:
        while piece := source.read(_PIECE_BYTES):
            target.write(piece)
            self.copied()

    def _progress(self) -> Any:
        """What fsspec calls behind each piece that it copies."""
        from fsspec.callbacks import Callback

        return Callback(hooks={"copied": lambda *_, **__: self.copied()})

    def _object(self, facts: FileFacts) -> str:
        return f"{self.base}/{OBJECTS}/{facts.sha256}"

    def _names(self, place: str) -> list[str]:
        return [str(one["name"]).rpartition("/")[2] for one in self._listed(place)]

    def _sizes(self) -> dict[str, int]:
        self.filesystem.invalidate_cache()
        found = self._listed(f"{self.base}/{OBJECTS}")
        return {str(one["name"]).rpartition("/")[2]: one["size"] for one in found}

    def _listed(self, place: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self.filesystem.ls(place, detail=True)
        except FileNotFoundError:
            return []
        return found

    def _insist(self, act: Callable[[], _T]) -> _T:
        """Does something again where a connection broke."""
        for number in range(1, _TIMES):
            try:
                return act()
            except Refusal:  # of what hears of each piece
                raise
            except Exception as error:
                if any(mark in _kinds(error) for mark in (*_LOCKED_OUT, *_ABSENT)):
                    raise
                time.sleep(_PAUSE_SECONDS * 2**number)
        return act()


def open_storage(address: str, name: str, run_id: str) -> Storage:
    """The part of a site's storage that belongs to a run.

    Args:
        address: Such as `s3://bucket/prefix`.
        name: Of the plan.
        run_id: Of the run.

    Raises:
        Refusal: Packages are missing (FTC650), or it can't be reached (FTC720).
    """
    try:
        import fsspec

        is_local = address.startswith("file://")
        filesystem, base = fsspec.url_to_fs(address, **({"auto_mkdir": True} if is_local else {}))
    except ImportError as error:
        help = "`pip install 'ftc[remote]'` brings what stores there"
        summary = f"storing at {address.partition('://')[0]}:// needs more packages"
        raise Refusal([diagnostic("FTC650", summary, help=help, notes=str(error)[:200])]) from None
    except Exception as error:  # noqa: BLE001  each filesystem has errors of its own
        raise Refusal([unreachable(address, error)]) from None
    return Storage(address, filesystem, f"{base.rstrip('/')}/{name}/{run_id}")


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Whatever a filesystem raises becomes a finding; a damaged state stays what it is.

    Raises:
        Refusal: FTC720.
    """
    try:
        yield
    except (Damaged, Refusal):
        raise
    except Exception as error:
        raise Refusal([unreachable(address, error)]) from error


def unreachable(address: str, error: Exception) -> Diagnostic:
    """What is said of a storage that raised an error."""
    why, kinds = str(error).strip().partition("\n")[0][:200], _kinds(error)
    help = "check the address and the network; `ftc apply` continues from what is on this machine"
    if address.startswith("file://") and "PermissionError" in kinds:
        help = "give this account the right to write there, or name another folder"
    elif any(mark in kinds for mark in _LOCKED_OUT):
        help = "give this machine credentials as the service's own tools read them (`aws configure`, "
        help += "`gcloud auth application-default login`, or the environment), with the right to read, write and delete"
    elif any(mark in kinds for mark in _ABSENT):
        help = "create the bucket; ftc makes none"
    return diagnostic("FTC720", f"the storage `{address}` can't be used", notes=f"{kinds.split()[0]}: {why}", help=help)


def _kinds(error: BaseException) -> str:
    """Names of an error's class, of those it is made of, and of what caused it."""
    found = [kind.__name__ for kind in type(error).__mro__[:-3]] or [type(error).__name__]
    cause = error.__cause__ or error.__context__
    return " ".join([*found, *([_kinds(cause)] if cause is not None else []), str(error)[:60]])
