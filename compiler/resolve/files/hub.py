"""Files from the hub: a revision becomes a commit, and listed files become verified files in the hub's cache.

Everything goes through huggingface_hub, which finds the endpoint, the cache and the user's token as its users expect
(`HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE`, `HF_TOKEN`). ftc never sees the token. What is added here: a closed list
of file names, a check of every file against the digest that the hub lists, and findings in place of exceptions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub_cache import HubFile, Snapshot, cached_list, identity_in_cache
from ftc.compiler.resolve.files.hub_errors import (
    check_name,
    check_names,
    fault_of,
    no_file,
    no_split,
    not_cached,
    refuse_no_model,
)
from ftc.compiler.resolve.files.hub_features import CARD, CARDS, lacks_card, names_by_card, note_absent
from ftc.compiler.resolve.files.hub_splits import NoSplit, SplitAsked, files_of_split
from ftc.compiler.resolve.files.safe_files import UnsafePath, read_json_object
from ftc.compiler.resolve.models.weights import shard_names
from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.storage.model_files import CARD_FILES, INDEX_FILE, LOADED_FILES, SINGLE_FILE
from ftc.spec.switches import OFFLINE, is_switched_on
from ftc.spec.vision_models import PROCESSOR_FILES

__all__ = ["Hub"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMEOUT_SECONDS = 20.0

SpanOf = Callable[[str], Span | None]
RepoType = Literal["model", "dataset"]


class _Request(NamedTuple):
    """What the recipe asks for, with the place to point at when it can't be had."""

    repo: str
    repo_type: RepoType
    revision: str
    span: Span | None
    path: str


class _Listing(NamedTuple):
    """A repository at one commit: identity of each file by its name, sha256 where the hub gives it, else a git id."""

    commit: str
    files: Mapping[str, str]


class Hub:
    """The hub, or its cache alone where `offline`.

    Args:
        offline: Never connect; so it is where `FTC_OFFLINE` is set.
        cache_dir: The hub's cache folder; None for huggingface_hub's own.
        endpoint: Base address of the hub; None for huggingface_hub's own.
    """

    def __init__(self, offline: bool = False, cache_dir: Path | None = None, endpoint: str | None = None) -> None:
        self._offline = offline or is_switched_on(OFFLINE)
        self._cache_dir = cache_dir
        self._endpoint = endpoint

    @property
    def is_offline(self) -> bool:
        """Whether nothing is fetched, from the hub or from elsewhere."""
        return self._offline

    def model_snapshot(
        self,
        repo: str,
        revision: str | None,
        digests: DigestCache,
        span_of: SpanOf,
        check: Callable[[Path, Path], object] = lambda folder, cache: None,
    ) -> Snapshot:
        """A model's files, weights included, from the cache or downloaded into it.

        Args:
            repo: Id such as `owner/name`.
            revision: Branch, tag or commit; None for the main branch.
            digests: Remembers digests, so that a warm call doesn't hash the weights again.
            span_of: The place of a recipe value by its dotted path.
            check: Called with the folder and the cache when all but the weights is there; what it raises stops the
                download.

        Raises:
            Refusal: FTC300, FTC302, FTC303, FTC305, FTC312, or FTC314 to FTC320.
        """
        request = _request(repo, "model", revision, span_of, "model")
        listing = self._listing(request)
        if listing is None:
            return self._cached_snapshot(request, digests, check)
        check_names(listing.files, request.span, request.path)
        refuse_no_model(listing.files, request.repo, request.span, request.path)
        for name in (*LOADED_FILES, *PROCESSOR_FILES, *CARD_FILES):
            if name in listing.files:
                self._download(name, listing, request, digests)
        folder = self._snapshot_folder(request, listing.commit)
        check(folder, self._cache())
        for name in self._weight_files(listing, request, digests):
            self._download(name, listing, request, digests)
        self._remember_branch("config.json", listing, request)
        return Snapshot(listing.commit, folder, self._cache())

    def dataset_file(
        self, repo: str, revision: str | None, file: str | None, digests: DigestCache, span_of: SpanOf
    ) -> HubFile:
        """One file of a data set, from the cache or downloaded into it; arguments as for `model_snapshot`.

        Where `file` is None, it is the only one that holds rows to train on.

        Raises:
            Refusal: FTC300, FTC314 to FTC320, FTC323 or FTC324.
        """
        return self.dataset_files(repo, revision, None if file is None else [file], digests, span_of)[0]

    def dataset_files(
        self,
        repo: str,
        revision: str | None,
        asked: SplitAsked | Sequence[str] | None,
        digests: DigestCache,
        span_of: SpanOf,
        card: bool = False,
    ) -> tuple[HubFile, ...]:
        """The files of a split of a data set, those of these names, or the only one that holds rows to train on.

        The hub lists the repository once. It isn't asked for files by name at a commit, where the cache has them all:
        with `card` also those that name the classes of such files, or a note that there are none.

        Raises:
            Refusal: FTC300, FTC314 to FTC320, FTC323 or FTC324.
        """
        request = _request(repo, "dataset", revision, span_of, "data.source")
        named = () if asked is None or isinstance(asked, SplitAsked) else tuple(asked)
        for name in named:
            _check_own_name(name, "data.source.file", span_of)
        listing = None if self._has_pinned(named, request, card) else self._listing(request)
        if listing is None:
            return self._cached_files(asked, named, request, digests, card)
        check_names(listing.files, request.span, request.path)

        def readme() -> bytes:
            return self._download(CARD, listing, request, digests).read_bytes()

        names = named or _meant(asked, listing.files, readme, request)
        if absent := next((name for name in names if name not in listing.files), None):
            raise no_file(absent, listing.files, repo, request.span, request.path)
        paths = {name: self._download(name, listing, request, digests) for name in names}
        for described in CARDS if card and names_by_card(names) else ():
            if described in listing.files:
                self._download(described, listing, request, digests)
            else:
                note_absent(self._repo_folder(request), listing.commit, described)
        self._remember_branch(names[0], listing, request)
        return tuple(HubFile(listing.commit, name, path, digests.file(path)) for name, path in paths.items())

    def _has_pinned(self, names: Sequence[str], request: _Request, card: bool) -> bool:
        """Whether a commit is asked for, and the cache has each file there under the identity that the hub gave it."""
        if not names or not _COMMIT.fullmatch(request.revision):
            return False
        paths = [self._snapshot_folder(request, request.revision) / name for name in names]
        if not all(path.is_symlink() and path.is_file() for path in paths):
            return False
        if not card or not names_by_card(names):
            return True
        return not lacks_card(self._repo_folder(request), request.revision, self._cached_list(request))

    def _cached_files(
        self,
        asked: SplitAsked | Sequence[str] | None,
        named: Sequence[str],
        request: _Request,
        digests: DigestCache,
        card: bool,
    ) -> tuple[HubFile, ...]:
        """The files as the cache has them, which files they are by the list that it has of the commit."""
        listed = self._cached_list(request)
        if listed is None and not named:
            raise not_cached("the list of its files", request.repo, request.revision, request.span, request.path)
        check_names(listed or (), request.span, request.path)

        def readme() -> bytes:
            folder = self._snapshot_folder(request, self._cached_commit(request, CARD))
            self._verify_cached((CARD,), folder, request, digests)
            return (folder / CARD).read_bytes()

        found, names = [], named or _meant(asked, listed or (), readme, request)
        for name in names:
            path = self._snapshot_folder(request, commit := self._cached_commit(request, name)) / name
            self._verify(path, name, identity_in_cache(path), request, digests)
            found.append(HubFile(commit, name, path, digests.file(path)))
        if not card or not names_by_card(names):
            return tuple(found)
        commits = {one.commit for one in found}
        for commit in commits:
            self._verify_cached(CARDS, self._snapshot_folder(request, commit), request, digests)
        lacks = any(lacks_card(self._repo_folder(request), commit, listed) for commit in commits)
        return tuple(one._replace(lacks_card=lacks) for one in found)

    def _cached_list(self, request: _Request) -> frozenset[str] | None:
        with _findings(request):
            return cached_list(request.repo, request.revision, self._cache())

    def _listing(self, request: _Request) -> _Listing | None:
        """The repository's files now, or None where the cache must do: offline, or a commit and no connection."""
        from huggingface_hub import HfApi, constants

        if self._offline or constants.HF_HUB_OFFLINE:
            return None
        try:
            with _findings(request):
                api = HfApi(endpoint=self._endpoint)
                ask = api.model_info if request.repo_type == "model" else api.dataset_info
                info = ask(request.repo, revision=request.revision, files_metadata=True, timeout=_TIMEOUT_SECONDS)
        except Refusal as refusal:
            # A pinned commit may be in the cache. A branch may have moved, so without the hub it isn't answered.
            is_commit = _COMMIT.fullmatch(request.revision) is not None
            unreachable = refusal.diagnostics[0].code == "FTC317"
            if unreachable and is_commit and self._snapshot_folder(request, request.revision).is_dir():
                return None
            raise
        if not _COMMIT.fullmatch(info.sha or ""):
            help = "check `HF_ENDPOINT` and the proxy settings"
            summary = "the hub's answer contains no commit"
            raise Refusal([diagnostic("FTC317", summary, request.span, help=help, path=request.path)])
        files = {item.rfilename: item.lfs.sha256 if item.lfs else item.blob_id or "" for item in info.siblings or ()}
        return _Listing(str(info.sha), files)

    def _download(self, name: str, listing: _Listing, request: _Request, digests: DigestCache) -> Path:
        path = self._fetch(name, listing.commit, request)
        self._verify(path, name, listing.files[name], request, digests)
        return path

    def _fetch(self, name: str, revision: str, request: _Request) -> Path:
        """A file in the cache, not yet verified."""
        from huggingface_hub import hf_hub_download

        with _findings(request):
            path = hf_hub_download(
                request.repo,
                name,
                revision=revision,
                repo_type=request.repo_type,
                cache_dir=self._cache_dir,
                endpoint=self._endpoint,
                library_name="ftc",
            )
        return Path(path)

    def _remember_branch(self, name: str, listing: _Listing, request: _Request) -> None:
        """Has the cache note which commit the branch stands at, so that an offline call finds it by the same name.

        The hub library notes it when it is asked for a file by branch; files are otherwise asked for by commit, so
        that all of them come from one.
        """
        if self._commit_in_cache(name, request) != listing.commit:
            self._fetch(name, request.revision, request)

    def _weight_files(self, listing: _Listing, request: _Request, digests: DigestCache) -> tuple[str, ...]:
        if SINGLE_FILE in listing.files:
            return (SINGLE_FILE,)
        index = read_json_object(self._download(INDEX_FILE, listing, request, digests), request.span)
        shards = shard_names(index, request.span)
        if missing := [name for name in shards if name not in listing.files]:
            note = f"the index names `{missing[0]}`, but the repository does not have it"
            summary = "the model's weight files are incomplete"
            raise Refusal([diagnostic("FTC305", summary, request.span, notes=note, path=request.path)])
        return shards

    def _cached_snapshot(
        self, request: _Request, digests: DigestCache, check: Callable[[Path, Path], object]
    ) -> Snapshot:
        commit = self._cached_commit(request, "config.json")
        folder = self._snapshot_folder(request, commit)
        self._verify_cached((*LOADED_FILES, *PROCESSOR_FILES), folder, request, digests)
        check(folder, self._cache())
        needed: tuple[str, ...] = ("tokenizer.json", SINGLE_FILE)
        if not (folder / SINGLE_FILE).is_file() and (folder / INDEX_FILE).is_file():
            index = read_json_object(folder / INDEX_FILE, request.span)
            needed = ("tokenizer.json", INDEX_FILE, *shard_names(index, request.span))
        if missing := [name for name in needed if not (folder / name).is_file()]:
            raise not_cached(missing[0], request.repo, request.revision, request.span, request.path)
        self._verify_cached(needed, folder, request, digests)
        return Snapshot(commit, folder, self._cache())

    def _verify_cached(self, names: Iterable[str], folder: Path, request: _Request, digests: DigestCache) -> None:
        for name in names:
            if (folder / name).is_file():
                self._verify(folder / name, name, identity_in_cache(folder / name), request, digests)

    def _cached_commit(self, request: _Request, file: str) -> str:
        commit = self._commit_in_cache(file, request)
        if commit is None:
            raise not_cached(file, request.repo, request.revision, request.span, request.path)
        return commit

    def _commit_in_cache(self, file: str, request: _Request) -> str | None:
        """The commit that the cache holds for the revision asked for, or None where the file isn't there."""
        from huggingface_hub import try_to_load_from_cache

        with _findings(request):
            found = try_to_load_from_cache(
                request.repo, file, cache_dir=self._cache_dir, revision=request.revision, repo_type=request.repo_type
            )
        if not isinstance(found, str):
            return None
        return Path(found).relative_to(self._repo_folder(request) / "snapshots").parts[0]

    def _repo_folder(self, request: _Request) -> Path:
        return self._cache(resolve=False) / f"{request.repo_type}s--{request.repo.replace('/', '--')}"

    def _snapshot_folder(self, request: _Request, commit: str) -> Path:
        return self._repo_folder(request) / "snapshots" / commit

    def _cache(self, resolve: bool = True) -> Path:
        from huggingface_hub import constants

        cache = self._cache_dir or Path(constants.HF_HUB_CACHE)
        return cache.resolve() if resolve else cache

    def _verify(self, path: Path, name: str, identity: str, request: _Request, digests: DigestCache) -> None:
        """Compares a file's bytes with the identity that the hub gives it: a sha256, or git's sha1 of small files."""
        if not path.resolve().is_relative_to(self._cache()):
            raise Refusal([UnsafePath(name, "leads out of the hub's cache").diagnostic(request.span, request.path)])
        if _SHA256.fullmatch(identity):
            is_same = digests.file(path).sha256 == identity
        else:
            content = path.read_bytes() if _COMMIT.fullmatch(identity) else b""
            git_id = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            is_same = not _COMMIT.fullmatch(identity) or git_id == identity
        if not is_same:
            note = f"the hub lists another digest, {identity[:12]}..."
            help = f"delete `{request.repo}` from the hub's cache (`hf cache rm`) and run again"
            summary = f"`{name}` differs from the hub's file"
            raise Refusal([diagnostic("FTC320", summary, request.span, notes=note, help=help, path=request.path)])


def _meant(
    asked: SplitAsked | Sequence[str] | None, listed: Collection[str], readme: Callable[[], bytes], request: _Request
) -> tuple[str, ...]:
    """The files of a split, or the only one that holds rows to train on, of all that a data set has."""
    from ftc.compiler.resolve.rows.tables import data_files, only_training_file  # all readers; models need none

    if not isinstance(asked, SplitAsked):
        return (only_training_file(listed, request.repo, request.span, request.path),)
    try:
        return files_of_split(data_files(listed), readme() if CARD in listed else None, asked)
    except NoSplit as problem:
        raise no_split(problem, request.repo, request.span, request.path) from None


def _request(repo: str, repo_type: RepoType, revision: str | None, span_of: SpanOf, section: str) -> _Request:
    path = f"{section}.{'base' if repo_type == 'model' else 'hub'}"
    if revision:
        _check_own_name(revision, f"{section}.revision", span_of)  # the cache keeps branches as files of their name
    return _Request(repo, repo_type, revision or "main", span_of(path), path)


def _check_own_name(name: str, path: str, span_of: SpanOf) -> None:
    try:
        check_name(name)
    except UnsafePath as error:
        raise Refusal([error.diagnostic(span_of(path), path)]) from None


@contextmanager
def _findings(request: _Request) -> Iterator[None]:
    """Turns the hub library's exceptions into findings at the recipe's value."""
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        fault = fault_of(error, request.repo, request.revision)
        if fault is None:
            raise
        found = diagnostic(
            fault.code, fault.summary, request.span, notes=fault.notes, help=fault.help, path=request.path
        )
        raise Refusal([found]) from None  # the library's error may quote request headers
