"""Folders and patterns at an address: each file fetched once and pinned by digest, in the order of their names."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftc import api
from ftc.compiler.audit.locate import source_files
from ftc.compiler.resolve.files import remote
from ftc.compiler.resolve.rows import file_sets
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.documents.lockfile import SourceLock, sealed
from tests.diagnostics.worlds import write_plain_model
from tests.support.google_storage import google_bucket
from tests.support.session_packages import package_of

ROWS = "memory://bucket/rows"
RECIPE = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: SOURCE, split: {validation: 0.2, test: TEST}}
model: {base: ./model}
strategy: {kind: lora, rank: 2}
train: {batch_size: 2}
"""


def lines(name: str) -> bytes:
    rows = [{"text": f"{word} number {n} of {name}", "label": word} for n in range(10) for word in ("cold", "warm")]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / ".ftc").mkdir(parents=True)
    write_plain_model(root / "model")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def bucket(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """fsspec's own filesystem in memory in place of a bucket's: two files, one in a folder inside, and a hidden one."""
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(remote, "_SCHEMES", ("memory", "https"))
    memory = fsspec.filesystem("memory")
    for name in ("b", "a", "deep/c", ".hidden"):
        memory.pipe_file(f"/bucket/rows/{name}.jsonl", lines(name))
    yield memory
    memory.rm("/bucket", recursive=True)


def write_recipe(source: str, test: str = "0.2") -> None:
    Path("recipe.yaml").write_text(RECIPE.replace("SOURCE", source).replace("TEST", test), encoding="utf-8")


def planned(path: str, *, offline: bool = False) -> api.Planned:
    write_recipe(f"{{path: '{path}'}}")
    return api.plan("recipe.yaml", offline=offline)


def locked(path: str, *, offline: bool = False) -> SourceLock:
    return planned(path, offline=offline).plan.lock.data.sources["rows"]


def refused(path: str, *, offline: bool = False) -> Diagnostic:
    with pytest.raises(Refusal) as caught:
        planned(path, offline=offline)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.help
    return found


def names_of(source: SourceLock) -> list[str]:
    return [name.removeprefix(f"{ROWS}/") for name in source.files]


def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(remote.Address, "filesystem", never)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (f"{ROWS}/*.jsonl", ["a.jsonl", "b.jsonl"]),
        (f"{ROWS}/", ["a.jsonl", "b.jsonl"]),
        (ROWS, ["a.jsonl", "b.jsonl"]),
        (f"{ROWS}/**/*.jsonl", ["a.jsonl", "b.jsonl", "deep/c.jsonl"]),
        (f"{ROWS}/[b-z].jsonl", ["b.jsonl"]),
        (f"{ROWS}/?.jsonl", ["a.jsonl", "b.jsonl"]),
        ("memory://bucket/r*s/b.jsonl", ["b.jsonl"]),
    ],
)
def test_every_file_is_in_the_lock_and_rows_name_theirs(bucket: Any, path: str, names: list[str]) -> None:
    found = planned(path)
    source = found.plan.lock.data.sources["rows"]
    assert (names_of(source), source.rows) == (names, 20 * len(names))
    assert source.file.size == sum(facts.size for facts in source.files.values())
    places = {row.place.rpartition(":")[0] for row in api.tokens(found).rows}
    assert places <= set(source.files)
    assert places
    files = {name: file for _, name, _, file in source_files(found.plan, Path.cwd())}
    assert {name: file.read_bytes() for name, file in files.items() if file} == {
        name: bucket.cat_file(name.removeprefix("memory:/")) for name in source.files
    }


def test_the_rows_are_those_of_a_local_folder(bucket: Any, project: Path) -> None:
    (project / "rows").mkdir()
    for name in ("a", "b"):
        (project / "rows" / f"{name}.jsonl").write_bytes(lines(name))
    here, there = locked("rows"), locked(f"{ROWS}/")
    assert (here.rows_sha256, [*here.files.values()]) == (there.rows_sha256, [*there.files.values()])


def test_what_the_lock_pins_stays_until_it_is_upgraded(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = locked(f"{ROWS}/")
    bucket.pipe_file("/bucket/rows/a.jsonl", lines("other"))
    bucket.pipe_file("/bucket/rows/new.jsonl", lines("new"))
    bucket.rm_file("/bucket/rows/b.jsonl")
    with monkeypatch.context() as context:
        without_network(context)
        assert locked(f"{ROWS}/") == before, "what is there by now changes nothing by itself"
        assert locked(f"{ROWS}/", offline=True) == before
    moved = api.drift("recipe.yaml")
    assert not moved.here
    files = [line for line in moved.upstream if line.startswith("data.sources.rows.files.")]
    names = ("a.jsonl.sha256", "a.jsonl.size", "b.jsonl", "new.jsonl")
    assert [line.partition(f"{ROWS}/")[2].partition(": ")[0] for line in files] == [*names]
    assert files[2].endswith("→ absent")
    assert api.drift("recipe.yaml", offline=True).not_checked == (
        "what the hub and addresses have by now: `--offline`",
    )
    assert not api.lock("recipe.yaml").changes
    taken = api.lock("recipe.yaml", upgrade=("rows",)).lock.data.sources["rows"]
    assert names_of(taken) == ["a.jsonl", "new.jsonl"]
    assert locked(f"{ROWS}/", offline=True) == taken
    assert not api.drift("recipe.yaml").upstream


def test_one_file_is_looked_up_again_by_the_same_commands(bucket: Any) -> None:
    before = locked(f"{ROWS}/a.jsonl")
    assert not before.files
    bucket.pipe_file("/bucket/rows/a.jsonl", lines("other"))
    assert any(line.startswith("data.sources.rows.file.sha256") for line in api.drift("recipe.yaml").upstream)
    after = api.lock("recipe.yaml", upgrade=True).lock.data.sources["rows"]
    assert after.rows_sha256 != before.rows_sha256


def test_another_machine_gets_the_pinned_files_or_a_stale_lock(bucket: Any, project: Path) -> None:
    before = locked(f"{ROWS}/*.jsonl")
    cache = project.parent / "cache"
    bucket.pipe_file("/bucket/rows/new.jsonl", lines("new"))
    shutil.rmtree(cache)
    assert locked(f"{ROWS}/*.jsonl") == before, "a new file doesn't keep anybody from the pinned ones"
    shutil.rmtree(cache)
    assert refused(f"{ROWS}/*.jsonl", offline=True).code == "FTC347"
    bucket.pipe_file("/bucket/rows/b.jsonl", lines("other"))
    with pytest.raises(Refusal) as caught:
        api.plan("recipe.yaml", locked=True)
    (stale,) = caught.value.diagnostics
    assert stale.code == "FTC503"
    assert any("new.jsonl: absent → " in note for note in stale.notes)
    assert any("b.jsonl.sha256" in note for note in stale.notes)
    bucket.rm_file("/bucket/rows/b.jsonl")
    shutil.rmtree(cache)
    assert names_of(locked(f"{ROWS}/*.jsonl")) == ["a.jsonl", "new.jsonl"]


def test_only_files_that_changed_are_fetched_again(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(f"{ROWS}/")
    fetched: list[str] = []
    download = remote._download

    def counted(cache: Path, address: Any, filesystem: Any, file: remote.RemoteFile, is_over: Any) -> str:
        fetched.append(file.url)
        return download(cache, address, filesystem, file, is_over)

    monkeypatch.setattr(remote, "_download", counted)
    assert not api.lock("recipe.yaml", upgrade=True).changes
    assert not fetched
    bucket.pipe_file("/bucket/rows/b.jsonl", lines("other"))
    assert api.lock("recipe.yaml", upgrade=True).changes
    assert fetched == [f"{ROWS}/b.jsonl"]


def test_offline_without_a_lock_the_last_list_counts(bucket: Any, project: Path) -> None:
    assert refused(f"{ROWS}/", offline=True).code == "FTC347"
    before = locked(f"{ROWS}/")
    Path("recipe.lock.json").unlink()
    assert locked(f"{ROWS}/", offline=True) == before
    Path("recipe.lock.json").unlink()
    (file,) = (project.parent / "cache" / "remote").glob("*/a.jsonl")
    file.unlink()
    found = refused(f"{ROWS}/", offline=True)
    assert (found.code, "offline" in found.notes[0]) == ("FTC347", True)


def test_what_a_folder_has_and_is_not_read_is_named(bucket: Any) -> None:
    for name in ("notes.md", "README.md", "cat.png"):
        bucket.pipe_file(f"/bucket/rows/{name}", b"x")
    for again in (False, True):
        (found,) = [one for one in planned(f"{ROWS}/", offline=again).diagnostics if one.code == "FTC491"]
        assert found.summary == f"of `{ROWS}/` 2 files are read and 2 are not"
        assert found.notes == (f"not read: {ROWS}/notes.md, {ROWS}/deep/c.jsonl",)
        assert f"`{ROWS}/**/*.jsonl`" in found.help[0]
    bucket.rm_file("/bucket/rows/notes.md")
    Path("recipe.lock.json").unlink()
    write_recipe(f"{{path: '{ROWS}/'}}", f"{{path: '{ROWS}/deep/'}}")
    found_ = api.plan("recipe.yaml")
    assert "FTC491" not in [one.code for one in found_.diagnostics], "the file is read for another use"
    assert found_.plan.lock.data.sources["test"].rows == 20


def test_every_use_of_rows(bucket: Any) -> None:
    """A mixture, splits of their own, phrases and their substitutes."""
    bucket.pipe_file("/bucket/phrases/1.csv", b"from,to\ncold,very cold\n")
    bucket.pipe_file("/bucket/phrases/2.csv", b"from,to\nwarm,very warm\n")
    bucket.pipe_file("/bucket/mixed/x-1.jsonl", lines("x"))
    for part in ("validation", "test"):
        bucket.pipe_file(f"/bucket/{part}/1.jsonl", lines(part))
    Path("recipe.yaml").write_text(
        f"""\
ftc: 1
name: tiny
task: {{kind: classification}}
data:
  source: [{{path: {ROWS}/}}, {{path: 'memory://bucket/mixed/x-*.jsonl'}}]
  split: {{validation: {{path: memory://bucket/validation/}}, test: {{path: memory://bucket/test/}}}}
  augment: {{paraphrases: {{path: memory://bucket/phrases/}}}}
model: {{base: ./model}}
strategy: {{kind: lora, rank: 2}}
train: {{batch_size: 2}}
eval: {{swaps: {{path: 'memory://bucket/phrases/*.csv'}}}}
""",
        encoding="utf-8",
    )
    sources = api.plan("recipe.yaml").plan.lock.data.sources
    rows = {use: (len(source.files), source.rows) for use, source in sources.items()}
    one, two = (1, 20), (2, 40)
    assert rows == {
        "rows[0]": two,
        "rows[1]": one,
        "validation": one,
        "test": one,
        "paraphrases": (2, 2),
        "swaps": (2, 2),
    }


def test_what_can_not_be_had(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused("memory://bucket/none").code == "FTC347"
    for path in ("memory://bucket/none/", "memory://nobody/*.jsonl", "memory://nobody/"):
        found = refused(path)
        assert (found.code, "check the names" in found.help[0]) == ("FTC398", True)
    assert refused(f"{ROWS}/*.csv").code == "FTC398"
    bucket.pipe_file("/bucket/rows/x.csv", b"text,label\na,b\n")
    found = refused(f"{ROWS}/")
    assert found.summary == f"`{ROWS}/` matches files of several kinds: .csv, .jsonl"
    assert found.help == (f"name one kind, such as `{ROWS}/*.csv`",)
    bucket.rm_file("/bucket/rows/x.csv")
    assert refused("memory://b*/rows.jsonl").summary.endswith("names no bucket")
    assert refused(f"{ROWS}/*/../x.jsonl").code == "FTC398"
    assert "alone between slashes" in refused(f"{ROWS}/a**.jsonl").help[0]
    monkeypatch.setattr(file_sets, "_MOST_FILES", 1)
    assert "at most 1" in refused(f"{ROWS}/").summary


def test_a_folder_with_rows_in_folders_inside_alone_leads_to_a_pattern(bucket: Any) -> None:
    bucket.pipe_file("/bucket/all/2024/01/a.jsonl", lines("a"))
    assert refused("memory://bucket/all/").help == (
        "folders inside are read by a pattern: `memory://bucket/all/**/*.jsonl`",
    )


@pytest.mark.parametrize(
    "path", ["https://example.org/train-*.parquet", "https://example.org/rows/", "https://example.org/"]
)
def test_a_web_server_lists_nothing(project: Path, path: str) -> None:
    found = refused(path)
    assert (found.code, "lists no files" in found.summary, "s3://" in found.help[0]) == ("FTC398", True, True)


def test_failures_of_the_service_are_findings(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    for name in ("ls", "glob"):
        with monkeypatch.context() as context:
            context.setattr(type(bucket), name, denied)
            found = refused(f"{ROWS}/" if name == "ls" else f"{ROWS}/*.jsonl")
            assert (found.code, found.notes) == ("FTC347", ("PermissionError: Access Denied",))
    with monkeypatch.context() as context:  # as where a walk leaves out what it may not list
        context.setattr(type(bucket), "ls", denied)
        context.setattr(type(bucket), "glob", lambda *_, **__: {})
        assert refused(f"{ROWS}/*.jsonl").notes == ("PermissionError: Access Denied",)
    with monkeypatch.context() as context:
        context.setattr(type(bucket), "open", denied)
        assert refused(f"{ROWS}/").code == "FTC347"
    with monkeypatch.context() as context:
        context.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
        assert "GiB left" in refused(f"{ROWS}/").notes[0]
    assert not list(Path("../cache/remote").glob(".fetching-*")), "nothing half fetched stays"


@pytest.mark.parametrize(
    "name",
    ["../../escaped.jsonl", "deep/../../escaped.jsonl", "line\nbreak.jsonl", "back\\slash.jsonl", f"{'n' * 300}.jsonl"],
)
def test_names_that_lead_out_or_can_not_be_shown_are_refused(
    bucket: Any, project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever a server lists."""
    entry = {"name": f"/bucket/rows/{name}", "type": "file", "size": 3}
    monkeypatch.setattr(type(bucket), "ls", lambda *_, **__: [entry])
    monkeypatch.setattr(type(bucket), "glob", lambda *_, **__: {entry["name"]: entry})
    for path in (f"{ROWS}/", f"{ROWS}/**/*.jsonl"):
        found = refused(path)
        assert (found.code, "\n" not in found.summary) == ("FTC398", True)
    assert not [*project.parent.rglob("escaped*")]


def test_a_name_of_another_folder_is_no_part_of_the_list(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{"name": "/bucket/rowsx.jsonl", "type": "file", "size": 3}, {"name": "/etc/x.jsonl", "type": "file"}]
    monkeypatch.setattr(type(bucket), "ls", lambda *_, **__: entries)
    assert refused(f"{ROWS}/").code == "FTC398"


def test_names_of_an_edited_lock_are_not_fetched(bucket: Any) -> None:
    """A lock may come from a stranger, too: names outside of the folder pin nothing."""
    found = planned(f"{ROWS}/")
    lock, source = found.plan.lock, found.plan.lock.data.sources["rows"]
    bucket.pipe_file("/bucket/secret.jsonl", lines("secret"))
    for name in ("memory://bucket/secret.jsonl", "memory://bucket/rowsecret.jsonl"):
        other = source.model_copy(update={"files": {**source.files, name: source.file}})
        data = lock.data.model_copy(update={"sources": {"rows": other}})
        Path("recipe.lock.json").write_text(sealed(lock.model_copy(update={"data": data})).to_text(), encoding="utf-8")
        assert locked(f"{ROWS}/") == source
    assert not [*Path("../cache/remote").glob("*/*secret*")]


def test_files_of_one_name_in_several_folders(bucket: Any) -> None:
    for year, name in (("2024", "a"), ("2025", "b"), ("2026", "a")):
        bucket.pipe_file(f"/bucket/years/{year}/part-0.jsonl", lines(name))
    found = locked("memory://bucket/years/*/part-*.jsonl")
    assert (len(found.files), found.rows) == (3, 60)


def test_a_file_whose_name_has_wildcards_is_one_file(bucket: Any) -> None:
    bucket.pipe_file("/bucket/odd/rows[1].jsonl", lines("odd"))
    bucket.pipe_file("/bucket/odd/rows1.jsonl", lines("other"))
    found = locked("memory://bucket/odd/rows[1].jsonl")
    assert (found.files, found.rows) == ({}, 20)


def test_shards_in_a_bucket_of_googles(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with google_bucket("shards", monkeypatch) as bucket:
        for key in ("rows/b.jsonl", "rows/a.jsonl", "rows/.hidden.jsonl", "rows/deep/c.jsonl", "top.jsonl"):
            bucket.pipe_file(f"shards/{key}", lines(key))
        for path, count in (("rows/", 2), ("rows/*.jsonl", 2), ("**/*.jsonl", 4), ("*.jsonl", 1)):
            assert len(locked(f"gs://shards/{path}").files) == count, path
        before = locked("gs://shards/rows/*.jsonl")
        assert [*before.files] == ["gs://shards/rows/a.jsonl", "gs://shards/rows/b.jsonl"]
        bucket.pipe_file("shards/rows/b.jsonl", lines("other"))
        assert locked("gs://shards/rows/*.jsonl") == before
        assert "rows/b.jsonl.sha256" in " ".join(api.drift("recipe.yaml").upstream)
    assert locked("gs://shards/rows/*.jsonl", offline=True) == before


def test_shards_in_a_bucket_of_a_server_that_speaks_s3(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = package_of("remote", "moto.server").ThreadedMotoServer("127.0.0.1", 0)
    boto3 = package_of("remote", "boto3")
    filesystem = package_of("remote", "s3fs").S3FileSystem
    filesystem.clear_instance_cache()  # of a test before, whose server is gone
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
        found = refused("s3://shards/*.jsonl")
        assert (found.code, "names of the bucket" in found.help[0]) == ("FTC398", True)
        client.create_bucket(Bucket="shards")
        keys = ("rows/", "rows/b.jsonl", "rows/a#1.jsonl", "rows/.hidden.jsonl", "rows/deep/c.jsonl", "top.jsonl")
        for key in keys:
            client.put_object(Bucket="shards", Key=key, Body=b"" if key.endswith("/") else lines(key))
        for path, count in (("rows/", 2), ("rows", 2), ("rows/*.jsonl", 2), ("**/*.jsonl", 4), ("*.jsonl", 1), ("", 1)):
            assert len(locked(f"s3://shards/{path}").files) == count, path
        before = locked("s3://shards/rows/*.jsonl")
        assert [*before.files] == ["s3://shards/rows/a#1.jsonl", "s3://shards/rows/b.jsonl"]
        client.put_object(Bucket="shards", Key="rows/b.jsonl", Body=lines("other"))
        client.put_object(Bucket="shards", Key="rows/d.jsonl", Body=lines("d"))
        assert locked("s3://shards/rows/*.jsonl") == before
        upstream = " ".join(api.drift("recipe.yaml").upstream)
        assert "rows/b.jsonl.sha256" in upstream
        assert "rows/d.jsonl: absent" in upstream
        assert len(api.lock("recipe.yaml", upgrade=True).lock.data.sources["rows"].files) == 3
        after = locked("s3://shards/rows/*.jsonl")
    finally:
        server.stop()
        filesystem.clear_instance_cache()
    assert locked("s3://shards/rows/*.jsonl", offline=True) == after


def test_without_credentials(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = package_of("remote", "s3fs").S3FileSystem
    filesystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(project / "none"))
    for path in ("s3://shards/rows/", "s3://shards/*.jsonl", "s3://shards/rows"):
        found = refused(path)
        assert (found.code, "credentials" in found.help[0]) == ("FTC347", True)
        assert "NoCredentialsError" in found.notes[0]
    filesystem.clear_instance_cache()


def test_packages_that_are_missing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    for path in ("gs://bucket/train-*.parquet", "gs://bucket/rows/", "gs://bucket/"):
        found = refused(path)
        assert (found.code, "ftc[remote]" in found.help[0]) == ("FTC650", True)
