"""Pages that this machine serves to itself: on the loopback address, behind a secret in each address."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

__all__ = ["PageHandler", "PageServer"]

_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'"
_MOST_BYTES = 10_000


class PageServer(ThreadingHTTPServer):
    """Serves one page until it is closed.

    Args:
        handler: What answers requests.
        port: Port on the loopback address; 0 for any that is free.

    Raises:
        OSError: The port is taken.
    """

    daemon_threads = True

    def __init__(self, handler: type[PageHandler], port: int) -> None:
        try:
            super().__init__(("127.0.0.1", port), handler)
        except OSError as error:
            how = "name another by `--port`, or none for any that is free"
            raise OSError(error.errno, f"port {port} can't be had ({error.strerror}); {how}") from None
        self.secret = secrets.token_urlsafe(16)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.server_port}/{self.secret}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no fault."""


class PageHandler(BaseHTTPRequestHandler):
    """Answers one request: a file of the page, or what a page's own handler adds.

    Attributes:
        package: Package that holds the page's files.
        files: They and their types, by what stands behind the secret.
        most_bytes: Longest body of a request.
        timeout: Seconds after which a peer that sends or reads nothing is hung up on.
    """

    server: PageServer  # pyright: ignore[reportIncompatibleVariableOverride]  # as socketserver asks
    server_version = "ftc"
    sys_version = ""
    package: str
    files: Mapping[str, tuple[str, str]]
    most_bytes = _MOST_BYTES
    timeout = 60

    def do_GET(self) -> None:
        """A question."""
        self.got()

    def do_POST(self) -> None:
        """A request to do something."""
        self.posted()

    @abstractmethod
    def got(self) -> None:
        """Answers a question."""

    @abstractmethod
    def posted(self) -> None:
        """Does what is asked for."""

    def inside(self) -> str | None:
        """The path behind the secret; None for strangers, such as a page elsewhere that guesses at this machine."""
        hosts = {f"127.0.0.1:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        _, _, rest = self.path.partition("/")
        secret, slash, name = rest.partition("/")
        is_known = secrets.compare_digest(secret.encode(), self.server.secret.encode())
        return name if self.headers.get("Host") in hosts and slash and is_known else None

    def body(self) -> bytes | None:
        """What a request carries, which has to be JSON of a small size; None for anything else."""
        size = self.headers.get("Content-Length", "")
        is_json = self.headers.get("Content-Type", "").split(";")[0] == "application/json"
        if not is_json or not size.isdigit() or int(size) > self.most_bytes:
            return None
        return self.rfile.read(int(size))

    def page(self, name: str) -> None:
        """Sends a file of the page."""
        file, kind = self.files[name]
        self.send(HTTPStatus.OK, kind, resources.files(self.package).joinpath(file).read_bytes())

    def refuse(self, status: HTTPStatus) -> None:
        """Sends nothing but a status."""
        self.send(status, "text/plain; charset=utf-8", status.phrase.encode())

    def send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        """Sends a whole answer."""
        self.begin(status, kind, length=len(body))
        self.wfile.write(body)

    def begin(self, status: HTTPStatus, kind: str, *, length: int | None) -> None:
        """Sends what stands before an answer, whose length may not be known yet."""
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            *((("Content-Length", str(length)),) if length is not None else ()),
            ("Content-Security-Policy", _POLICY),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        ):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nobody's concern."""
