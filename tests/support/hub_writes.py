"""The half of the hub's protocol that writes: repositories, large files and commits on a stated parent."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.hub_server import HubRepo, ReadsHandler

__all__ = ["WritesHandler"]

_OF_REPO = re.compile(r"/api/models/([^/]+/[^/]+)/(preupload|commit|paths-info)/([^/]+)")
_BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
_OBJECT = re.compile(r"/lfs-objects/([0-9a-f]{64})")
_LARGE = (".safetensors", ".gguf", ".onnx")


class WritesHandler(ReadsHandler):
    """Answers requests that write, too."""

    def do_PUT(self) -> None:  # noqa: N802
        """The bytes of a large file, at the address that the batch gave."""
        path = urlsplit(self.path).path
        content = self._body()
        self.hub.requests.append(("PUT", path))
        match = _OBJECT.fullmatch(path)
        if self.fails("put"):
            return
        if match is None or hashlib.sha256(content).hexdigest() != match[1]:
            self._error(400, "BadRequest")
            return
        self.hub.objects[match[1]] = content
        self._send(b"{}")

    def do_POST(self) -> None:  # noqa: N802
        """Everything else."""
        path = unquote(urlsplit(self.path).path)
        body = self._body()
        self.hub.requests.append(("POST", path))
        if path == "/api/validate-yaml":
            self._send(json.dumps({"errors": [], "warnings": []}).encode())
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif match := _BATCH.fullmatch(path):
            self._batch(match[1], json.loads(body))
        elif match := _OF_REPO.fullmatch(path):
            self._of_repo(match[1], match[2], match[3], body)
        else:
            self._error(404, "NotFound")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if self.fails("create") or not self._may_write():
            return
        if name in self.hub.repos:
            self._error(409, "")
            return
        private = asked.get("private", False) or asked.get("visibility") == "private"
        self.hub.repos[name] = HubRepo({".gitattributes": b"*.safetensors filter=lfs\n"}, "1" * 40, private=private)
        self._answer_late("create", {"url": f"{self.hub.endpoint}/{name}", "name": name, "id": "1"})

    def _may_write(self) -> bool:
        if not self.has_token():
            self._error(401, "")
        return self.has_token()

    def _batch(self, name: str, asked: dict[str, Any]) -> None:
        if self.fails("lfs") or not self._may_write() or self._repo(name, "main") is None:
            return
        objects = []
        for one in asked["objects"]:
            found: dict[str, Any] = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.objects:
                href = f"{self.hub.endpoint}/lfs-objects/{one['oid']}?X-Signature=secret"
                found["actions"] = {"upload": {"href": href}}
            objects.append(found)
        self._send(json.dumps({"transfer": "basic", "objects": objects}).encode())

    def _of_repo(self, name: str, kind: str, revision: str, body: bytes) -> None:
        if self.fails(kind) or (kind != "paths-info" and not self._may_write()):
            return
        repo = self._repo(name, revision)
        if repo is None:
            return
        match kind:
            case "preupload":
                files = [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["path"].endswith(_LARGE) else "regular",
                        "shouldIgnore": False,
                        "oid": repo.identity(one["path"]) if one["path"] in repo.files else None,
                    }
                    for one in json.loads(body)["files"]
                ]
                self._send(json.dumps({"files": files}).encode())
            case "paths-info":
                paths = parse_qs(body.decode()).get("paths", [])
                self._send(json.dumps([repo.entry(one, "path") for one in paths if one in repo.files]).encode())
            case "commit":
                self._commit(name, repo, [json.loads(line) for line in body.splitlines() if line])

    def _commit(self, name: str, repo: HubRepo, lines: list[dict[str, Any]]) -> None:
        header = next(one["value"] for one in lines if one["key"] == "header")
        if header.get("parentCommit", repo.commit) != repo.commit:
            self._error(412, "")
            return
        before = replace(repo, files=dict(repo.files), branches=(), earlier={})
        for one in lines:
            value = one["value"]
            match one["key"]:
                case "file":
                    repo.files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    known = self.hub.objects.get(value["oid"])
                    if known is None:
                        assert self.hub.storage is not None, "nobody sent it"
                        known = self.hub.storage.content(value["oid"])
                    repo.files[value["path"]] = known
                    repo.large |= {value["path"]}
                case "deletedFile":
                    del repo.files[value["path"]]
        repo.earlier[repo.commit] = before
        made = hashlib.sha1(json.dumps([repo.commit, lines]).encode(), usedforsecurity=False).hexdigest()
        repo.commit = made
        url = f"{self.hub.endpoint}/{name}/commit/{made}"
        self._answer_late("commit", {"success": True, "commitOid": made, "commitUrl": url, "hookOutput": ""})

    def _answer_late(self, kind: str, answer: dict[str, Any]) -> None:
        """Answers what was done, unless the answer is to be lost."""
        faults = self.hub.faults.get(kind, [])
        if faults and faults[0] == "late":
            faults.pop(0)
            self.close_connection = True
            return
        self._send(json.dumps(answer).encode())
