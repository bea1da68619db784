"""What a site's storage keeps of a run, in memory and at a server that speaks S3, and what becomes of its faults."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.launch import LaunchSettings
from ftc.spec.documents.stored import StoredState
from ftc.verbs import storage
from ftc.verbs.storage import Damaged, Storage, open_storage
from tests.support.google_storage import google_bucket
from tests.support.session_packages import package_of

_RUN = "0" * 12


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_PAUSE_SECONDS", 0.0)


def _state(step: int, files: dict[str, Path]) -> StoredState:
    facts = {name: FileFacts(size=path.stat().st_size, sha256=file_digest(path)) for name, path in files.items()}
    return StoredState(schema="ftc.stored/1", job_sha256="0" * 64, run_id=_RUN, step=step, is_over=False, files=facts)


def _files(folder: Path) -> dict[str, Path]:
    """A small run's folder, with a file of several megabytes."""
    files = {"record.json": folder / "record.json", "checkpoints/step-00000003/optimizer.safetensors": folder / "big"}
    files["record.json"].write_bytes(b"{}")
    (folder / "big").write_bytes(bytes(range(256)) * 2**14)
    return files


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server that speaks S3, with a bucket, and credentials for it."""
    server = package_of("remote", "moto.server").ThreadedMotoServer("127.0.0.1", 0)
    boto3, s3fs = package_of("remote", "boto3"), package_of("remote", "s3fs")
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
        boto3.client("s3").create_bucket(Bucket="site-runs")
        s3fs.S3FileSystem.clear_instance_cache()
        yield server
    finally:
        with contextlib.suppress(Exception):  # a test may have stopped it
            server.stop()


def _goes_and_comes_back(address: str, folder: Path) -> None:
    kept, files = open_storage(address, "tiny", _RUN), _files(folder)
    assert kept.lists() == []
    state = _state(3, files)
    kept.keep(state, files)
    elsewhere = open_storage(address, "tiny", _RUN)
    assert elsewhere.lists() == ["going-00000003.json"]
    assert elsewhere.read("going-00000003.json") == state
    elsewhere.fetch(state, folder / "back")
    for name, path in files.items():
        assert (folder / "back" / name).read_bytes() == path.read_bytes()


def test_a_state_goes_to_a_bucket_and_comes_back(bucket: Any, tmp_path: Path) -> None:
    _goes_and_comes_back("s3://site-runs/ftc", tmp_path)


@pytest.mark.filterwarnings("ignore:Sending a large body")  # gcsfs sends files below 5 MB whole
def test_a_state_goes_to_googles_storage_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with google_bucket("site-runs", monkeypatch):
        _goes_and_comes_back("gs://site-runs/ftc", tmp_path)


def test_what_was_sent_half_is_no_state_and_is_sent_again(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, files = open_storage("s3://site-runs/ftc", "tiny", _RUN), _files(tmp_path)
    real = kept.filesystem.put_file

    def lost(local: str, remote: str, **more: Any) -> None:
        if local.endswith("big"):
            kept.filesystem.pipe_file(remote, Path(local).read_bytes()[:1000])
            raise ConnectionResetError("the connection is lost")
        real(local, remote, **more)

    monkeypatch.setattr(kept.filesystem, "put_file", lost)
    with pytest.raises(ConnectionResetError):
        kept.keep(_state(3, files), files)
    assert kept.lists() == [], "the list is written last"
    monkeypatch.undo()
    monkeypatch.setattr(storage, "_PAUSE_SECONDS", 0.0)
    again = open_storage("s3://site-runs/ftc", "tiny", _RUN)
    again.keep(_state(3, files), files)
    again.fetch(_state(3, files), tmp_path / "back")


def test_a_connection_that_comes_back_is_used(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, files = open_storage("s3://site-runs/ftc", "tiny", _RUN), _files(tmp_path)
    real, left = kept.filesystem.put_file, [2]

    def shaky(*rest: Any, **more: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise TimeoutError("no answer")
        real(*rest, **more)

    monkeypatch.setattr(kept.filesystem, "put_file", shaky)
    kept.keep(_state(3, files), files)
    assert (left, kept.lists()) == ([0], ["going-00000003.json"])


def test_another_object_than_the_list_says_is_not_taken(bucket: Any, tmp_path: Path) -> None:
    kept, files = open_storage("s3://site-runs/ftc", "tiny", _RUN), _files(tmp_path)
    state = _state(3, files)
    kept.keep(state, files)
    sha256 = state.files["record.json"].sha256
    for content, problem in ((b"[]", "another sha256"), (b"{}{}", "has 4 bytes instead of 2")):
        kept.filesystem.pipe_file(f"{kept.base}/objects/{sha256}", content)
        with pytest.raises(Damaged, match=problem):
            kept.fetch(state, tmp_path / "back")
    kept.filesystem.rm_file(f"{kept.base}/objects/{sha256}")
    with pytest.raises(Damaged, match=r"record\.json is missing"):
        kept.fetch(state, tmp_path / "back")
    assert not (tmp_path / "back").exists(), "nothing half fetched stays"
    kept.filesystem.pipe_file(f"{kept.base}/going-00000009.json", state.to_text().encode())
    with pytest.raises(Damaged, match="the list of another state"):
        kept.read("going-00000009.json")


def test_a_bucket_that_is_not_there(bucket: Any) -> None:
    kept = open_storage("s3://nobody-made-it/ftc", "tiny", _RUN)
    assert kept.lists() == []
    with pytest.raises(Exception) as raised:  # noqa: PT011  each filesystem has errors of its own
        kept.write("begun.txt", b"")
    found = storage.unreachable("s3://nobody-made-it/ftc", raised.value)
    assert (found.code, "create the bucket" in found.help[0]) == ("FTC720", True)


def test_no_credentials(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    package_of("remote", "s3fs").S3FileSystem.clear_instance_cache()
    with pytest.raises(Exception) as raised:  # noqa: PT011  each filesystem has errors of its own
        open_storage("s3://site-runs/ftc", "tiny", _RUN).write("begun.txt", b"")
    found = storage.unreachable("s3://site-runs/ftc", raised.value)
    assert (found.code, "aws configure" in found.help[0]) == ("FTC720", True)


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    pytest.importorskip("fsspec")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(Refusal) as refused:
        open_storage("gs://bucket/ftc", "tiny", _RUN)
    (found,) = refused.value.diagnostics
    assert (found.code, "ftc[remote]" in found.help[0]) == ("FTC650", True)


@pytest.mark.parametrize(
    "address",
    [
        "s3://key:secret@bucket/ftc",
        "simplecache::s3://bucket",
        "https://example.org/ftc",
        "s3://bucket/../other",
        "s3://bucket/a b",
        "file://relative",
    ],
)
def test_addresses_that_are_not_taken(address: str) -> None:
    with pytest.raises(ValueError, match="storage"):
        LaunchSettings(ftc_launch=1, storage=address)


@pytest.mark.parametrize("address", ["s3://bucket", "gs://bucket/team/ftc", "file:///mnt/shared/ftc"])
def test_addresses_that_are_taken(address: str) -> None:
    assert LaunchSettings(ftc_launch=1, storage=address).storage == address


def test_objects_that_are_there_are_not_sent_again(tmp_path: Path) -> None:
    """Of fsspec's filesystem in memory, which has no files of a system."""
    pytest.importorskip("fsspec")
    kept: Storage = open_storage("memory://site", "tiny", "0" * 12)
    (tmp_path / "a").write_bytes(b"same")
    state = _state(3, {"a": tmp_path / "a", "b": tmp_path / "a"})
    try:
        kept.keep(state, {"a": tmp_path / "a", "b": tmp_path / "a"})
        assert len(kept.filesystem.ls(f"{kept.base}/objects")) == 1
        kept.fetch(state, tmp_path / "back")
        assert (tmp_path / "back" / "b").read_bytes() == b"same"
        (tmp_path / "a").write_bytes(b"another")
        newer = _state(6, {"a": tmp_path / "a"})
        kept.keep(newer, {"a": tmp_path / "a"})
        assert kept.lists() == ["going-00000006.json", "going-00000003.json"]
        kept.forget({"going-00000006.json": newer})
        assert len(kept.filesystem.ls(f"{kept.base}/objects")) == 2, "two states stay"
        last = _state(9, {"a": tmp_path / "a"})
        kept.keep(last, {"a": tmp_path / "a"})
        kept.forget({"going-00000009.json": last, "going-00000006.json": newer})
        assert kept.lists() == ["going-00000009.json", "going-00000006.json"]
        assert len(kept.filesystem.ls(f"{kept.base}/objects")) == 1
    finally:
        kept.filesystem.rm("/site", recursive=True)


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_those_that_wait_hear_of_each_piece_of_a_file(kind: str, tmp_path: Path) -> None:
    """A file may take longer than they wait for a sign of life."""
    pytest.importorskip("fsspec")
    kept: Storage = open_storage(f"{kind}://{tmp_path if kind == 'file' else ''}/site", "tiny", _RUN)
    (tmp_path / "big").write_bytes(bytes(21 * 2**20))
    state, heard, seen = _state(3, {"big": tmp_path / "big"}), [0], list[int]()

    def copied() -> None:
        heard[0] += 1

    kept.copied = copied
    try:
        kept.keep(state, {"big": tmp_path / "big"})
        seen.append(heard[0])
        kept.fetch(state, tmp_path / "back")
        seen.append(heard[0] - seen[0])
    finally:
        kept.filesystem.rm("/site" if kind == "memory" else str(tmp_path / "site"), recursive=True)
    assert min(seen) >= 5
    assert seen[1] >= 21 + 5  # also of each MiB that is compared with the digest
    assert (tmp_path / "back" / "big").stat().st_size == 21 * 2**20


def test_a_process_that_nobody_waits_for_any_longer_copies_no_further(tmp_path: Path) -> None:
    """What hears of a piece may refuse, since the run was lost: then nothing is tried again."""
    pytest.importorskip("fsspec")
    kept: Storage = open_storage(f"file://{tmp_path}/site", "tiny", _RUN)
    (tmp_path / "a").write_bytes(b"some")
    heard: list[int] = []

    def lost() -> None:
        heard.append(1)
        raise Refusal([storage.unreachable("file:///site", OSError("lost"))])

    kept.copied = lost
    with pytest.raises(Refusal):
        kept.keep(_state(3, {"a": tmp_path / "a"}), {"a": tmp_path / "a"})
    assert heard == [1]
