"""Fine-tuning services on this machine: Together's protocol and OpenAI's, as their clients speak them, with faults.

Both keep files and jobs. A job goes on each time that somebody looks at it, and is over after a few looks. Faults are
given by the kind of request, one for each request of the kind, in order; `None` stands for none.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["FAULTS", "KEY", "HostedServer", "hosted_server"]

KEY = "sk-a-secret-of-this-test"
Fault = str | int | None
FAULTS: tuple[Fault, ...] = ("drop", "late", "cut", "garbage", 500, 503, 429, "late 500")
"""`drop`: nothing is done or answered. `late`: it is done, and not answered. `cut`: half of the answer comes.
`garbage`: the answer is no JSON. A number: nothing is done. `late 500`: it is done, and the answer says that it failed.
"""
_LIMITS: dict[str, Any] = {
    "default_gradient_accumulation_steps": 1,
    "lora_training": {
        "default_rank": 8,
        "max_batch_size": 64,
        "max_batch_size_dpo": 32,
        "max_rank": 64,
        "min_batch_size": 8,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    },
    "full_training": None,
    "max_learning_rate": 0.01,
    "max_num_checkpoints": 4,
    "max_num_epochs": 20,
    "max_num_evals": 20,
    "max_seq_length_dpo": 2048,
    "max_seq_length_sft": 4096,
    "merge_output_lora": True,
    "min_learning_rate": 1e-8,
    "min_max_seq_length": 8,
    "supports_full_training": False,
    "supports_reasoning": False,
    "supports_tools": False,
    "supports_vision": False,
}


@dataclass
class HostedServer:
    """What a running server holds and has seen.

    Attributes:
        tokenize: Tokens and labels of a conversation, as the service would train on it.
        faults: By the kind of request.
        requests: Kind and body of each request that arrived.
        files: Bytes of each file, by id.
        jobs: Each job that was created, oldest first.
        weights: Files of the adapter that a finished job gives.
        end: The status with which jobs end.
        hides: Whether jobs aren't listed.
        keeps_metadata: Whether jobs of OpenAI's protocol show their metadata.
        shutdown: When bases are shut down.
        price: What Together expects a job to cost.
        is_allowed: Whether Together lets the account go on.
        injected: Faults that requests met.
        kill: Ends whoever asks, for the fault `kill`, which comes before the request is done, and `late kill`.
    """

    tokenize: Callable[[list[dict[str, str]]], tuple[list[int], list[int]]]
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, bytes] = field(default_factory=lambda: {"adapter_model.safetensors": b"weights" * 100})
    end: str = "succeeded"
    hides: bool = False
    keeps_metadata: bool = True
    shutdown: str | None = None
    price: float = 0.01
    is_allowed: bool = True
    injected: int = 0
    kill: Callable[[], None] | None = None
    url: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def kinds(self, *kinds: str) -> int:
        """Requests of these kinds that arrived."""
        return sum(kind in kinds for kind, _ in self.requests)

    def rows(self, id: str) -> list[list[dict[str, str]]]:
        """Conversations of a file."""
        return [json.loads(line)["messages"] for line in self.files[id].splitlines()]

    def archive(self) -> bytes:
        """The weights as they are downloaded."""
        import pyarrow as pa

        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as listed:
            for name, content in self.weights.items():
                about = tarfile.TarInfo(name)
                about.size = len(content)
                listed.addfile(about, io.BytesIO(content))
        return bytes(pa.compress(plain.getvalue(), "zstd", asbytes=True))


@contextmanager
def hosted_server(
    tokenize: Callable[[list[dict[str, str]]], tuple[list[int], list[int]]] = lambda messages: ([], []),
) -> Iterator[HostedServer]:
    """Serves both protocols on a free port of the loopback address while the block runs."""
    state = HostedServer(tokenize)

    class Handler(_Handler):
        hosted = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_ROUTES: tuple[tuple[str, str, str], ...] = (
    ("POST", r"/v1/files", "upload"),
    ("PUT", r"/place/([\w-]+)", "place"),
    ("POST", r"/v1/files/([\w-]+)/preprocess", "preprocess"),
    ("GET", r"/v1/files/([\w-]+)/content", "content"),
    ("GET", r"/v1/files/([\w-]+)", "file"),
    ("GET", r"/v1/models/(.+)", "model"),
    ("GET", r"/v1/fine-tunes/models/limits", "limits"),
    ("POST", r"/v1/fine-tunes/preview", "preview"),
    ("POST", r"/v1/fine-tunes/estimate-price", "estimate"),
    ("POST", r"/v1/(?:fine-tunes|fine_tuning/jobs)", "create"),
    ("GET", r"/v1/(?:fine-tunes|fine_tuning/jobs)", "list"),
    ("GET", r"/v1/(?:fine-tunes|fine_tuning/jobs)/([\w-]+)", "job"),
    ("GET", r"/v1/finetune/download", "download"),
)


class _Handler(BaseHTTPRequestHandler):
    hosted: HostedServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test's output clean."""

    def do_GET(self) -> None:
        """A question."""
        self._answer()

    def do_POST(self) -> None:
        """A file, or a job."""
        self._answer()

    def do_PUT(self) -> None:
        """Rows, at the place that they were given."""
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        named = next(
            (
                (kind, found)
                for method, like, kind in _ROUTES
                if method == self.command and (found := re.fullmatch(like, path.path))
            ),
            None,
        )
        if named is None:
            self._send(404, {"error": {"message": f"no {self.command} {path.path}"}})
        else:
            with self.hosted.lock:
                self._do(*named, data, "fine_tuning" in path.path)

    def _do(self, kind: str, found: re.Match[str], data: bytes, is_openai: bool) -> None:
        own = self.hosted
        is_form = "multipart" in self.headers.get("Content-Type", "")
        body: Any = self._form(data) if is_form else json.loads(data) if data and kind != "place" else data
        own.requests.append((kind, body))
        waiting = own.faults.get(kind) or own.faults.get("any") or []
        fault = waiting.pop(0) if waiting else None
        own.injected += fault is not None
        if kind == "place":
            assert "Authorization" not in self.headers, "the place of the rows gets no key"
        elif self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._send(401, {"error": {"message": f"bad key {self.headers.get('Authorization')}"}})
        if fault == "kill" and own.kill is not None:
            own.kill()
        if fault in ("drop", "kill"):
            return self._hang_up()
        if isinstance(fault, int):
            return self._send(fault, {"error": {"message": "a fault of this test"}})
        status, answer, headers = self._made(kind, [*found.groups()], body, is_openai)
        if fault == "late kill" and own.kill is not None:
            own.kill()
        if fault in ("late", "late kill"):
            return self._hang_up()
        if fault == "late 500":
            return self._send(500, {"error": {"message": "a fault of this test"}})
        if fault == "garbage":
            return self._send(200, b"<html>", {})
        return self._send(status, answer, headers, is_cut=fault == "cut")

    def _form(self, data: bytes) -> dict[str, Any]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = BytesParser(policy=HTTP).parsebytes(head + data)
        found: dict[str, Any] = {}
        for part in parts.iter_parts():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found[str(name)] = content if name == "file" else content.decode()
        return found

    def _made(self, kind: str, names: Sequence[str], body: Any, is_openai: bool) -> tuple[int, Any, dict[str, str]]:
        own, query = self.hosted, parse_qs(urlsplit(self.path).query)
        match kind:
            case "upload" | "place" | "preprocess" | "file" | "content":
                return self._of_files(kind, names, body)
            case "model":
                model = {"id": names[0], "object": "model", "created": 1, "owned_by": "them"}
                return 200, {**model, "shutdown_date": own.shutdown}, {}
            case "limits":
                return 200, {"model_name": query["model_name"][0], **_LIMITS}, {}
            case "preview":
                return 200, self._preview(body), {}
            case "estimate":
                tokens = sum(len(own.tokenize(row)[0]) for row in own.rows(body["training_file"]))
                told: dict[str, Any] = {"estimation_available": True, "allowed_to_proceed": own.is_allowed}
                told |= {"estimated_train_token_count": tokens * body["n_epochs"], "estimated_total_price": own.price}
                return 200, told, {}
            case "create":
                return 200, self._created(body, is_openai), {}
            case "list":
                listed = [] if own.hides else [_seen(one, own.keeps_metadata) for one in reversed(own.jobs)]
                return 200, {"object": "list", "data": listed, "has_more": False}, {}
            case "job":
                return self._looked_at(names[0])
            case _:
                return 200, own.archive(), {"Content-Type": "application/zstd"}

    def _of_files(self, kind: str, names: Sequence[str], body: Any) -> tuple[int, Any, dict[str, str]]:
        own = self.hosted
        match kind:
            case "upload" if "file" in body:
                id = f"file-{len(own.files) + 1}"
                own.files[id] = body["file"]
                return 200, _file(id, body["file"]), {}
            case "upload":
                known = [id for id, data in own.files.items() if hashlib.sha256(data).hexdigest() == body["checksum"]]
                if known:
                    return 409, {"file_id": known[0]}, {}
                id = f"file-{len(own.files) + 1}"
                own.files[id] = b""
                signed = f"?X-Amz-Security-Token={'t' * 700}&X-Amz-Signature={'0' * 64}"
                place = f"{own.url.removesuffix('/v1')}/place/{id}{signed}"
                return 302, {}, {"Location": place, "X-Together-File-Id": id}
            case "place":
                own.files[names[0]] = body
                return 200, {}, {}
            case "preprocess" | "file":
                known_file = own.files.get(names[0])
                return (404, {}, {}) if known_file is None else (200, _file(names[0], known_file), {})
            case _:
                return 200, own.files[names[0]], {}

    def _preview(self, body: Any) -> dict[str, Any]:
        rows = []
        for messages in self.hosted.rows(body["training_file"])[: body["top_k"]]:
            ids, labels = self.hosted.tokenize(messages)
            trained = sum(label != -100 for label in labels)
            row = {"input_ids": ids, "labels": labels, "num_tokens": len(ids), "num_trained_tokens": trained}
            rows.append({**row, "tokens": [str(one) for one in ids], "trained_spans": [], "truncated": False})
        about = {"dataset_format": "conversation", "max_seq_length": 4096, "model": body["model"]}
        return {**about, "train_on_inputs": body["train_on_inputs"], "rows": rows}

    def _created(self, body: Any, is_openai: bool) -> dict[str, Any]:
        number = len(self.hosted.jobs) + 1
        if is_openai:
            job = {
                **{name: body.get(name) for name in ("model", "training_file", "validation_file", "seed", "metadata")},
                **{"id": f"ftjob-{number}", "object": "fine_tuning.job", "created_at": 1, "organization_id": "org"},
                **{"status": "validating_files", "method": body["method"], "error": None, "result_files": []},
                **{"hyperparameters": body["method"]["supervised"]["hyperparameters"], "fine_tuned_model": None},
                **{"finished_at": None, "trained_tokens": None, "suffix_seen": body.get("suffix")},
            }
        else:
            times = {"created_at": "2026-11-29T02:00:00Z", "updated_at": "2026-11-29T02:00:00Z"}
            job = {**body, "id": f"ft-{number}", "status": "pending", "user_id": "me", **times, "events": []}
            job |= {"model_output_name": f"me/{body.get('suffix')}", "adapter_output_name": None, "looks": 0}
        self.hosted.jobs.append(job)
        return _seen(job, self.hosted.keeps_metadata)

    def _looked_at(self, id: str) -> tuple[int, Any, dict[str, str]]:
        job = next((one for one in self.hosted.jobs if one["id"] == id), None)
        if job is None:
            return 404, {"error": {"message": "no such job"}}, {}
        is_openai = job.get("object") == "fine_tuning.job"
        done = "succeeded" if is_openai else "completed"
        end = self.hosted.end if self.hosted.end != "succeeded" else done
        order = ["validating_files", "queued", "running", end] if is_openai else ["pending", "queued", "running", end]
        job["status"] = order[min(order.index(job["status"]) + 1, 3)]
        if job["status"] == done:
            job |= {"fine_tuned_model": f"ft:{job['model']}", "trained_tokens": 1, "token_count": 1, "total_price": 1}
        elif job["status"] == end:
            job["error"] = {"code": "bad", "message": "the rows are bad", "param": None}
        return 200, _seen(job, self.hosted.keeps_metadata), {}

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None, *, is_cut: bool = False) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if is_cut else data)
        self.close_connection = True


def _file(id: str, data: bytes) -> dict[str, Any]:
    about = {"id": id, "object": "file", "bytes": len(data), "created_at": 1, "filename": f"{id}.jsonl"}
    return {
        **about,
        "purpose": "fine-tune",
        "status": "processed",
        "FileType": "jsonl",
        "processing_status": "COMPLETED",
    }


def _seen(job: dict[str, Any], keeps_metadata: bool) -> dict[str, Any]:
    return job if keeps_metadata else {**job, "metadata": None}
