"""Data files at an address: fetched once, pinned by digest, and refused plainly where they can't be had."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.resolve.files import remote
from ftc.spec.diagnostics import Diagnostic, Refusal
from tests.diagnostics.worlds import write_plain_model, write_plain_rows
from tests.support.session_packages import package_of

RECIPE = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: {path: "PATH"}}
model: {base: ./model}
strategy: {kind: lora, rank: 2}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / ".ftc").mkdir(parents=True)
    write_plain_model(root / "model")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """fsspec's own filesystem in memory in place of a bucket's."""
    fsspec = pytest.importorskip("fsspec")
    write_plain_rows(tmp_path / "rows.csv")
    monkeypatch.setattr(remote, "_SCHEMES", ("memory",))
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/rows.csv", (tmp_path / "rows.csv").read_bytes())
    yield "memory://bucket/rows.csv"
    memory.rm("/bucket", recursive=True)


def planned(path: str, *, offline: bool = False) -> api.Planned:
    Path("recipe.yaml").write_text(RECIPE.replace("PATH", path), encoding="utf-8")
    return api.plan("recipe.yaml", offline=offline)


def refused(path: str, *, offline: bool = False) -> Diagnostic:
    with pytest.raises(Refusal) as caught:
        planned(path, offline=offline)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.help
    return found


def test_a_file_is_fetched_once_and_stays_what_the_lock_pins(project: Path, bucket: str) -> None:
    fsspec = pytest.importorskip("fsspec")
    before = planned(bucket).plan.lock.data.sources["rows"]
    assert before.asked == {"path": bucket}
    fsspec.filesystem("memory").pipe_file("/bucket/rows.csv", b"text,label\nother,cold\nrows,warm\n")
    assert planned(bucket).plan.lock.data.sources["rows"] == before, "what lies there by now changes nothing by itself"
    assert planned(bucket, offline=True).plan.lock.data.sources["rows"] == before
    shown = api.tokens("recipe.yaml", offline=True)
    assert shown.rows[0].place.startswith(f"{bucket}:")


def test_a_poisoned_cache_costs_a_fetch_and_changes_nothing(project: Path, bucket: str) -> None:
    """Other rows under the digest's name, and a note that leads to rows of a stranger."""
    before = planned(bucket).plan.lock.data.sources["rows"]
    folder = project.parent / "cache" / "remote"
    (file,) = folder.glob("*/rows.csv")
    (note,) = folder.glob("*.json")
    file.write_bytes(file.read_bytes().swapcase())
    assert planned(bucket).plan.lock.data.sources["rows"] == before
    file.write_bytes(file.read_bytes().swapcase())
    assert refused(bucket, offline=True).code == "FTC347"
    stranger = folder / ("5" * 64) / "rows.csv"
    stranger.parent.mkdir()
    stranger.write_bytes(b"text,label\nother,cold\nrows,warm\n")
    note.write_text(f'{{"sha256": "{"5" * 64}"}}')
    assert refused(bucket, offline=True).code == "FTC347"
    assert planned(bucket).plan.lock.data.sources["rows"] == before


def test_what_can_not_be_had(project: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(bucket, offline=True).code == "FTC347"
    assert refused("memory://bucket/none.csv").code == "FTC347"
    monkeypatch.setattr(remote, "_MOST_BYTES", 10)
    found = refused(bucket)
    assert (found.code, "larger than" in found.notes[0]) == ("FTC347", True)
    assert not list((project.parent / "cache" / "remote").glob(".fetching-*")), "nothing half fetched stays"


@pytest.mark.parametrize(
    "path",
    [
        "file:///etc/passwd",
        "http://example.org/rows.csv",
        "https://user:word@example.org/rows.csv",
        "simplecache::https://example.org/rows.csv",
        "zip://rows.csv::https://example.org/rows.zip",
        "ftp://example.org/rows.csv",
    ],
)
def test_addresses_that_are_not_taken(project: Path, path: str) -> None:
    assert refused(path).code in ("FTC346", "FTC018", "FTC350")


def test_a_scheme_whose_packages_are_missing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    found = refused("s3://bucket/rows.csv")
    assert (found.code, "ftc[remote]" in found.help[0]) == ("FTC650", True)


def test_a_server(project: Path, tmp_path: Path) -> None:
    package_of("remote", "aiohttp")
    (tmp_path / "served").mkdir()
    write_plain_rows(tmp_path / "served" / "rows.csv")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/rows.csv?version=1"
            assert planned(url).plan.lock.data.sources["rows"].rows == 20
        finally:
            server.shutdown()


def test_a_bucket_of_a_server_that_speaks_s3(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = package_of("remote", "moto.server").ThreadedMotoServer("127.0.0.1", 0)
    boto3 = package_of("remote", "boto3")
    package_of("remote", "s3fs")
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="tickets")
        assert refused("s3://tickets/2026/rows.csv").code == "FTC347"
        write_plain_rows(tmp_path / "rows.csv")
        client.upload_file(str(tmp_path / "rows.csv"), "tickets", "2026/rows.csv")
        first = planned("s3://tickets/2026/rows.csv").plan
        assert first.lock.data.sources["rows"].rows == 20
    finally:
        server.stop()
    again = planned("s3://tickets/2026/rows.csv", offline=True).plan
    assert again.lock.data == first.lock.data
