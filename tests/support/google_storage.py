"""A server that speaks Google Cloud Storage's protocol, on loopback, with a bucket; `nox -s remote` brings it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.session_packages import package_of

__all__ = ["google_bucket"]


@contextmanager
def google_bucket(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """gcsfs's filesystem, at such a server with one empty bucket."""
    emulator, gcsfs = package_of("remote", "gcp_storage_emulator.server"), package_of("remote", "gcsfs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket=name)
    server.start()
    try:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        gcsfs.GCSFileSystem.clear_instance_cache()  # of a test before, whose server is gone
        yield gcsfs.GCSFileSystem()
    finally:
        server.stop()
        gcsfs.GCSFileSystem.clear_instance_cache()
        # fsspec keeps the class, and tests of a missing package would not look for it.
        known = package_of("remote", "fsspec.registry")._registry
        for scheme in ("gs", "gcs"):
            known.pop(scheme, None)
