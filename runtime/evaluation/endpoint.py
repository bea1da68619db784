"""A server that speaks OpenAI's protocol, asked with limits on time and bytes.

No redirect is followed, since it would carry the key to another host.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ftc.spec.storage.reading import parse_json

__all__ = ["Endpoint", "EndpointFault", "Reply", "headers", "opener"]

_MOST_BYTES = 8 << 20
"""Of one answer: a thousand tokens in parts take a quarter of a megabyte."""
_PIECE = 1 << 16
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class EndpointFault(Exception):
    """A request that gave no answer.

    Attributes:
        reason: Why, in words that are the same for all requests that fail so.
        status: The HTTP status, where there was one.
        said: What the server says of it; empty for nothing.
    """

    def __init__(self, reason: str, status: int | None = None, said: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.said = said


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        text: What was written.
        first_seconds: From sending to the first part of it; None of an empty one.
        seconds: From sending to its end.
        prompt_tokens: Tokens of the prompt as the server counts them; None where it doesn't.
        tokens: The same of the answer.
        ended_by: Why it ended, in the server's word, such as `stop` or `length`.
    """

    text: str
    first_seconds: float | None
    seconds: float
    prompt_tokens: int | None
    tokens: int | None
    ended_by: str | None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        return None


def opener(url: str) -> urllib.request.OpenerDirector:
    """What opens an address and follows no redirect.

    A proxy of the environment is not asked for this machine's own loopback: it can't reach that, and isn't to see it.
    """
    here = urlsplit(url).hostname in _LOOPBACK
    return urllib.request.build_opener(_NoRedirect, *([urllib.request.ProxyHandler({})] if here else []))


def headers(key: str) -> dict[str, str]:
    """Headers of a request in JSON, with a key as a bearer token; empty for none."""
    return {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}


class Endpoint:
    """A server at an address such as `http://127.0.0.1:8000/v1`.

    Args:
        url: Its address.
        key: Sent as a bearer token; empty for none.
        timeout: Seconds after which a request is given up, however much of the answer is there.
        most_bytes: Of one answer.
    """

    def __init__(self, url: str, key: str, timeout: float, most_bytes: int = _MOST_BYTES) -> None:
        self._url = url.rstrip("/")
        self._most_bytes = most_bytes
        self._root = self._url.removesuffix("/v1")
        self._timeout = timeout
        self._opener, self._headers = opener(url), headers(key)

    def get(self, path: str) -> Any:
        """The JSON at a path below the address.

        Raises:
            EndpointFault: There is none.
        """
        return _json(b"".join(self._pieces(self._url + path, None)))

    def post(self, path: str, body: Mapping[str, Any], *, at_root: bool = False) -> Any:
        """What a path answers to JSON; `at_root` is beside the protocol's own paths, where servers have more.

        Raises:
            EndpointFault: It doesn't.
        """
        return _json(self.send(path, body, at_root=at_root))

    def send(self, path: str, body: Mapping[str, Any], *, at_root: bool = False) -> bytes:
        """The same where the answer need not be JSON.

        Raises:
            EndpointFault: There is none.
        """
        return b"".join(self._pieces((self._root if at_root else self._url) + path, body))

    def write(self, path: str, body: Mapping[str, Any]) -> Reply:
        """An answer as it comes in parts.

        Raises:
            EndpointFault: There is none, or not all of it.
        """
        started = time.perf_counter()
        texts, first, ended_by, usage, is_done = list[str](), None, None, dict[str, Any](), False
        for event in _events(self._pieces(self._url + path, {**body, "stream": True})):
            if event == b"[DONE]":
                is_done = True
                break
            part, ended, counted = _part(_json(event))
            if part and first is None:
                first = time.perf_counter() - started
            texts.append(part)
            ended_by, usage = ended or ended_by, counted or usage
        if not is_done and ended_by is None:
            raise EndpointFault("the answer ends in the middle")
        sent, received = usage.get("prompt_tokens"), usage.get("completion_tokens")
        seconds = time.perf_counter() - started
        return Reply("".join(texts).strip(), first, seconds, _count(sent), _count(received), ended_by)

    def _pieces(self, url: str, body: Mapping[str, Any] | None) -> Iterator[bytes]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, self._headers)  # noqa: S310 - http and https alone get here
        until, size = time.monotonic() + self._timeout, 0
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                while piece := answer.read1(_PIECE):
                    size += len(piece)
                    if size > self._most_bytes:
                        raise EndpointFault(f"the answer is larger than {self._most_bytes >> 20} MiB")
                    if time.monotonic() > until:
                        raise TimeoutError
                    yield piece
        except urllib.error.HTTPError as error:
            said = _said(error)
            error.close()
            word = "a redirect, which is not followed" if 300 <= error.code < 400 else f"status {error.code}"
            raise EndpointFault(f"the server returns {word}", error.code, said) from None
        except TimeoutError:
            raise EndpointFault(f"no answer within {self._timeout:g} s") from None
        except http.client.IncompleteRead:
            raise EndpointFault("the answer ends in the middle") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise EndpointFault(f"no answer within {self._timeout:g} s") from None
            words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise EndpointFault(f"the server can't be reached: {words}") from None


def _said(error: urllib.error.HTTPError) -> str:
    """What a server writes of a request that it refuses, by whichever of the usual names."""
    try:
        found: Any = parse_json(error.read(_PIECE))
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return ""
    for name in ("error", "error_message", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return found[:300] if isinstance(found, str) else ""


def _json(text: bytes) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        raise EndpointFault("the answer is not JSON") from None


def _events(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Data of server-sent events; a server that doesn't send any gives its whole answer as one."""
    rest, is_stream = bytearray(), None
    for piece in pieces:
        rest += piece
        if is_stream is None and rest.lstrip():
            is_stream = not rest.lstrip().startswith(b"{")
        if is_stream and b"\n" in piece:
            *lines, rest = rest.split(b"\n")
            yield from (bytes(line[5:].strip()) for line in lines if line.startswith(b"data:"))
    if rest.strip():
        yield bytes(rest.strip().removeprefix(b"data:").strip())


def _part(event: Any) -> tuple[str, str | None, dict[str, Any]]:
    """Text of an event, why the answer ended, and what it took."""
    if not isinstance(event, dict):
        raise EndpointFault("the answer is not one of OpenAI's protocol")
    if event.get("error"):
        raise EndpointFault("the server reports an error in its answer")
    usage = event.get("usage")
    counted = usage if isinstance(usage, dict) else {}
    choices = event.get("choices")
    if not isinstance(choices, list) or not all(isinstance(one, dict) for one in choices):
        raise EndpointFault("the answer is not one of OpenAI's protocol")
    if not choices:
        return "", None, counted
    choice = choices[0]
    said = choice.get("delta") or choice.get("message") or {}
    text = choice.get("text") if "text" in choice else said.get("content") if isinstance(said, dict) else None
    ended = choice.get("finish_reason")
    return text if isinstance(text, str) else "", ended if isinstance(ended, str) else None, counted


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
