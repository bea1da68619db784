"""One service over HTTP, by the standard library's client: it repeats nothing and follows no redirect.

The services' own clients try a request again whose answer was lost. A job is created by such a request, so that one
call can make two jobs that are paid for.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

from ftc.spec.storage.reading import parse_json

__all__ = ["LOOPBACK", "Answer", "Service", "ServiceFault", "text_at"]

_MOST_BYTES = 64 << 20
"""Of one answer in JSON: a list of some ten thousand jobs."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that are this machine, to which nothing has to be encrypted."""
_PIECE = 1 << 20
_MOST_WORDS = 300
_NOT_DONE = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 429})
"""Statuses by which a service says that it did nothing."""


class ServiceFault(Exception):
    """A request without a usable answer.

    Attributes:
        reason: Why, in words, without the key.
        status: The HTTP status, where there was one.
        is_refused: Whether nothing can have come of it: it never left, or the service says so.
    """

    def __init__(self, reason: str, status: int | None = None, *, is_refused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.is_refused = is_refused


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another host must get neither key nor rows."""

    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        return None


class Service:
    """A service at an address.

    Args:
        url: Its address, such as `https://api.together.ai/v1`.
        key: Sent with each request to that address, and to no other.
        header: `authorization`, or `api-key`.
        timeout: Seconds without a byte after which a request is given up.
    """

    def __init__(self, url: str, key: str, header: str = "authorization", timeout: float = 60.0) -> None:
        self._url, self._key, self._timeout = url.rstrip("/"), key, timeout
        self._secret = {"Authorization": f"Bearer {key}"} if header == "authorization" else {"api-key": key}
        self._opener = urllib.request.build_opener(_NoRedirect)

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """The object at a path.

        Raises:
            ServiceFault: There is none.
        """
        address = f"{self._url}{path}" + (f"?{urlencode(query)}" if query else "")
        return self.object(self.ask("GET", address))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What a path answers to an object.

        Raises:
            ServiceFault: It doesn't.
        """
        data = b"" if body is None else json.dumps(body).encode()
        return self.object(self.ask("POST", f"{self._url}{path}", data, {"Content-Type": "application/json"}))

    def form(
        self, path: str, fields: Mapping[str, str], file: Path | None = None, *, takes: frozenset[int] = frozenset()
    ) -> Answer:
        """What a path answers to a form, with a file behind its fields where there is one.

        Args:
            path: The path.
            fields: Names and values.
            file: Sent as `file`.
            takes: Statuses beside those of success that are an answer.

        Raises:
            ServiceFault: It doesn't.
        """
        edge = f"ftc-{uuid.uuid4().hex}"
        head = "".join(
            f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        parts: list[bytes | Path] = [head.encode()]
        if file is not None:
            about = f'Content-Disposition: form-data; name="file"; filename="{file.name}"'
            parts += [f"--{edge}\r\n{about}\r\nContent-Type: application/jsonl\r\n\r\n".encode(), file, b"\r\n"]
        parts.append(f"--{edge}--\r\n".encode())
        size = sum(len(part) if isinstance(part, bytes) else part.stat().st_size for part in parts)
        headers = {"Content-Type": f"multipart/form-data; boundary={edge}", "Content-Length": str(size)}
        return self.ask("POST", f"{self._url}{path}", _pieces(parts), headers, takes=takes)

    def put(self, address: str, file: Path) -> None:
        """Sends a file to a place that the service names, without the key.

        Raises:
            ServiceFault: The place is none that keeps it from others, or it isn't taken.
        """
        try:
            place = urlsplit(address)
        except ValueError:
            raise ServiceFault("the service names a place for rows that is no address") from None
        if place.scheme != "https" and (place.scheme != "http" or place.hostname not in LOOPBACK):
            raise ServiceFault("the service names a place for rows that is not encrypted", is_refused=True)
        size = {"Content-Length": str(file.stat().st_size)}
        self.ask("PUT", address, _pieces([file]), size, with_key=False)

    def save(self, path: str, file: IO[bytes], **query: str) -> Mapping[str, str]:
        """Writes what is at a path into a file; returns the answer's headers.

        Raises:
            ServiceFault: It isn't there, or breaks off.
        """
        address = f"{self._url}{path}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(address, None, self._secret)  # noqa: S310 - http and https alone get here
        with _faults(self._key):
            answer = self._opener.open(request, timeout=self._timeout)
        with answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            size = 0
            while True:
                with _faults(self._key):
                    piece = answer.read(_PIECE)
                if not piece:
                    break
                size += len(piece)
                file.write(piece)  # what the disk refuses is no fault of the service
            if (told := headers.get("content-length", "")).isdigit() and int(told) != size:
                raise ServiceFault("the answer ends in the middle")
            return headers

    def ask(
        self,
        method: str,
        address: str,
        data: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        takes: frozenset[int] = frozenset(),
        with_key: bool = True,
    ) -> Answer:
        """One request, sent once.

        Raises:
            ServiceFault: There is no answer, or one of neither success nor `takes`.
        """
        secret = self._secret if with_key else {}
        request = urllib.request.Request(  # noqa: S310 - http and https alone get here
            address, data, {**(headers or {}), **secret}, method=method
        )
        until = time.monotonic() + 10 * self._timeout
        with _faults(self._key):
            try:
                answer = self._opener.open(request, timeout=self._timeout)
            except urllib.error.HTTPError as error:
                if error.code not in takes:
                    raise
                answer = error
            with answer:
                pieces, size = list[bytes](), 0
                while piece := answer.read(_PIECE):
                    size += len(piece)
                    if size > _MOST_BYTES:
                        raise ServiceFault(f"the answer is larger than {_MOST_BYTES >> 20} MiB")
                    if time.monotonic() > until:
                        raise TimeoutError
                    pieces.append(piece)
                named = {name.lower(): value for name, value in answer.headers.items()}
                if (told := named.get("content-length", "")).isdigit() and int(told) != size:
                    raise ServiceFault("the answer ends in the middle")
                return Answer(int(answer.status or 0), named, b"".join(pieces))

    def object(self, answer: Answer) -> dict[str, Any]:
        """An answer as an object.

        Raises:
            ServiceFault: It is none.
        """
        try:
            found = parse_json(answer.body)
        except (ValueError, RecursionError):
            raise ServiceFault("the answer is not JSON") from None
        if not isinstance(found, dict):
            raise ServiceFault("the answer is not an object")
        return found


@contextmanager
def _faults(key: str) -> Iterator[None]:
    """Turns what urllib raises into faults, without the key in their words."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise _fault(error, key) from None


def _fault(error: OSError | http.client.HTTPException, key: str) -> ServiceFault:
    if isinstance(error, urllib.error.HTTPError):
        with error:
            words = _words(error, key)
        if 300 <= error.code < 400:
            return ServiceFault("the service answers with a redirect, which is not followed", error.code)
        reason = f"status {error.code}" + (f": {words}" if words else "")
        return ServiceFault(reason, error.code, is_refused=error.code in _NOT_DONE)
    if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
        return ServiceFault("no answer in time")
    if isinstance(error, http.client.IncompleteRead):
        return ServiceFault("the answer ends in the middle")
    if isinstance(error, urllib.error.URLError):
        never = isinstance(error.reason, ConnectionRefusedError | socket.gaierror | ssl.SSLCertVerificationError)
        words = getattr(error.reason, "strerror", None) or str(error.reason)
        return ServiceFault(f"the service can't be reached: {words}", is_refused=never)
    return ServiceFault("the connection broke off")


def _words(error: urllib.error.HTTPError, key: str) -> str:
    """What a service says of its own fault, shortened and on one line."""
    try:
        told = parse_json(error.read(_PIECE))
    except (ValueError, RecursionError, OSError, http.client.HTTPException):
        return ""
    if not isinstance(told, dict):
        return ""
    inner = told.get("error")
    said = inner.get("message") if isinstance(inner, dict) else inner or told.get("message")
    text = " ".join(str(said).split()) if isinstance(said, str) else ""
    return text.replace(key, "…")[:_MOST_WORDS]


def _pieces(parts: list[bytes | Path]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
        else:
            with part.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece


def text_at(found: Mapping[str, Any], name: str, *, what: str) -> str:
    """A text that an answer has to have.

    Raises:
        ServiceFault: It hasn't.
    """
    value = found.get(name)
    if not isinstance(value, str) or not value or len(value) > _MOST_WORDS:
        raise ServiceFault(f"the answer about {what} has no `{name}`")
    return value
