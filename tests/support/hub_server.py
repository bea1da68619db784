"""A model hub on this machine: as much of the hub's protocol as downloads and uploads need, from a folder of bytes.

Answers what huggingface_hub asks for: repository information at a revision, the file tree, and files by HEAD and GET
with entity tags, the commit, ranges, and the errors' own headers. It takes repositories, large files and commits from
whoever has its token (`hub_writes.py`), and fails on demand.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

from tests.support.xet_store import XetStore

__all__ = ["HubRepo", "HubServer", "ReadsHandler", "hub_server", "hub_with_cache"]

_API = re.compile(r"/api/(models|datasets)/(.+?)/(revision|tree)/([^/]+)")
_MAIN = re.compile(r"/api/models/([^/]+/[^/]+)")
_TOKEN = re.compile(r"/api/models/[^/]+/[^/]+/xet-(read|write)-token/[^/]+")
_FILE = re.compile(r"/(?:datasets/)?(.+?)/resolve/([^/]+)/(.+)")


@dataclass
class HubRepo:
    """One repository. `large` names files that the hub keeps in LFS; `gated` closes it to everybody; `earlier` holds
    what the repository was at other commits, by commit. `asks_consent` says so in its information, and lets all in."""

    files: dict[str, bytes]
    commit: str = "c" * 40
    branches: tuple[str, ...] = ("main",)
    large: frozenset[str] = frozenset({"model.safetensors"})
    gated: bool = False
    private: bool = False
    asks_consent: bool = False
    listed_sha256: dict[str, str] = field(default_factory=dict)
    earlier: dict[str, HubRepo] = field(default_factory=dict)

    def push(self, commit: str, files: dict[str, bytes]) -> None:
        """A new commit with these files in place of the old ones; the commit before stays reachable by its hash."""
        self.earlier[self.commit] = replace(self, files=dict(self.files), branches=(), earlier={})
        self.commit = commit
        self.files.update(files)

    def knows(self, revision: str) -> bool:
        """Whether the revision is the commit or one of its branches."""
        return revision == self.commit or revision in self.branches

    def identity(self, name: str) -> str:
        """sha256 of a large file, git's blob id of another."""
        content = self.files[name]
        if name in self.large:
            return self.listed_sha256.get(name) or hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

    def entry(self, name: str, name_key: str) -> dict[str, Any]:
        """What a listing says about one file."""
        size = len(self.files[name])
        entry = {name_key: name, "type": "file", "size": size, "blobId": "0" * 40, "oid": self.identity(name)}
        if name in self.large:
            entry["lfs"] = {"sha256": self.identity(name), "oid": self.identity(name), "size": size, "pointerSize": 134}
        else:
            entry["blobId"] = self.identity(name)
        return entry


@dataclass
class HubServer:
    """What a running server holds and has seen.

    `cut_once` names files whose first GET ends after half the bytes. `token` is whose requests may write and read what
    is private. `faults` are statuses by the kind of request, each given once; `cut` answers nothing, `late` does what
    was asked and answers nothing. With a `storage` clients send large files there, by hf_xet, and fetch them there.
    """

    repos: dict[str, HubRepo]
    cut_once: set[str] = field(default_factory=set)
    requests: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    endpoint: str = ""
    token: str | None = None
    faults: dict[str, list[int | str]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    storage: XetStore | None = None

    def paths(self, method: str) -> list[str]:
        """Paths asked for by one method, in order."""
        return [path for verb, path in self.requests if verb == method]


@contextmanager
def hub_server(repos: dict[str, HubRepo]) -> Iterator[HubServer]:
    """Serves repositories, by id, on a free port of the loopback address while the block runs."""
    state = HubServer(repos)

    from tests.support.hub_writes import WritesHandler

    class Handler(WritesHandler):
        hub = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class ReadsHandler(BaseHTTPRequestHandler):
    """Answers requests that read."""

    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test's output clean."""

    def do_HEAD(self) -> None:
        """Metadata of a file."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """A listing or a file."""
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        if match := _API.fullmatch(path):
            self._listing(match[2], match[3], match[4])
        elif match := _MAIN.fullmatch(path):
            self._listing(match[1], "revision", "main")
        elif (match := _TOKEN.fullmatch(path)) and (storage := self.hub.storage) is not None:
            if not self.has_token():
                self._error(401, "")
            elif not self.fails(f"{match[1]} token"):
                self._send(json.dumps(storage.entry()).encode(), storage.headers())
        elif match := _FILE.fullmatch(path):
            self._file(match[1], match[2], match[3], with_body)
        else:
            self._error(404, "NotFound")

    def _repo(self, name: str, revision: str) -> HubRepo | None:
        repo = self.hub.repos.get(name)
        if repo is not None and repo.private and not self.has_token():
            repo = None
        if repo is not None and revision in repo.earlier:
            return repo.earlier[revision]
        if repo is None:
            self._error(404, "RepoNotFound")
        elif repo.gated:
            self._error(403, "GatedRepo")
        elif not repo.knows(revision):
            self._error(404, "RevisionNotFound")
        else:
            return repo
        return None

    def _listing(self, name: str, kind: str, revision: str) -> None:
        if self.fails("info") or (repo := self._repo(name, revision)) is None:
            return
        if kind == "tree":
            self._send(json.dumps([repo.entry(file, "path") for file in repo.files]).encode())
            return
        siblings = [repo.entry(file, "rfilename") for file in repo.files]
        gate = "manual" if repo.asks_consent else False
        info = {"id": name, "modelId": name, "sha": repo.commit, "siblings": siblings, "private": repo.private}
        self._send(json.dumps({**info, "gated": gate}).encode())

    def _file(self, name: str, revision: str, file: str, with_body: bool) -> None:
        if (repo := self._repo(name, revision)) is None:
            return
        if file not in repo.files:
            self._error(404, "EntryNotFound", {"X-Repo-Commit": repo.commit})
            return
        content, tag = repo.files[file], repo.identity(file)
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"}
        if file in repo.large:
            headers |= {"X-Linked-Etag": f'"{tag}"', "X-Linked-Size": str(len(content))}
            if self.hub.storage is not None and (own := self.hub.storage.hash_of(tag)) is not None:
                route = f"{self.hub.endpoint}/api/models/{name}/xet-read-token/{repo.commit}"
                headers |= {"X-Xet-Hash": own, "X-Xet-Refresh-Route": route}
        start = self._range_start()
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        is_cut = with_body and file in self.hub.cut_once
        self.hub.cut_once -= {file} if is_cut else set()
        self._send(content[start:], headers, 206 if start else 200, with_body, is_cut)

    def has_token(self) -> bool:
        """Whether the request carries the server's token."""
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def fails(self, kind: str) -> bool:
        """Gives the next fault of a kind of request, if there is one."""
        faults = self.hub.faults.get(kind, [])
        if not faults or faults[0] == "late":
            return False
        fault = faults.pop(0)
        if isinstance(fault, int):
            self._error(fault, "")
        else:
            self.close_connection = True
        return True

    def _range_start(self) -> int:
        match = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match:
            self.hub.ranges.append(self.headers["Range"])
        return int(match[1]) if match else 0

    def _error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self._send(b"{}", {"X-Error-Code": code, "X-Error-Message": code, **(headers or {})}, status)

    def _send(
        self,
        body: bytes,
        headers: dict[str, str] | None = None,
        status: int = 200,
        with_body: bool = True,
        is_cut: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body and self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if is_cut else body)
        self.close_connection = is_cut


@contextmanager
def hub_with_cache(folder: Path, monkeypatch: pytest.MonkeyPatch, repos: dict[str, HubRepo]) -> Iterator[HubServer]:
    """The same, with the hub's cache in a folder."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    with hub_server(repos) as running:
        yield running
