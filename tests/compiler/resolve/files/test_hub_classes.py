"""Names of classes on the hub: one home for each kind of file, each value understood once, and kept by the lock."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pytest
from huggingface_hub import hf_hub_download, snapshot_download
from pyarrow import parquet

from ftc.compiler.resolve.files import hub, hub_features
from ftc.compiler.resolve.rows.data import ResolvedData
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.lockfile import DataLock, Lock, SourceLock
from ftc.spec.language.foreign_yaml import read_yaml
from tests.support import resolved_rows
from tests.support.hub_server import HubRepo, HubServer, hub_with_cache
from tests.support.recipes import parsed

STARS = ["1", "2", "3"]
FEELINGS = ["cold", "mild", "warm"]
COMMIT = "c" * 40


def card(names: Sequence[str]) -> bytes:
    described = f"  - name: label\n    dtype:\n      class_label:\n        names: {json.dumps(names)}\n"
    return f"---\ndataset_info:\n  features:\n{described}---\n# Rows\n".encode()


def file_of(suffix: str, labels: Sequence[Any], names: Sequence[str] = (), about: str = "row") -> bytes:
    """60 rows whose text says which label the file has for them."""
    rows = [{"text": f"{about} {n}, labeled {label}", "label": label} for n, label in enumerate([*labels] * 60)][:60]
    if suffix == "csv":
        return "\n".join(["text,label", *(f'"{row["text"]}",{row["label"]}' for row in rows)]).encode()
    if suffix == "jsonl":
        return "\n".join(map(json.dumps, rows)).encode()
    table = pa.Table.from_pylist(rows)
    if names:
        features = {"label": {"_type": "ClassLabel", "names": [*names]}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    parquet.write_table(table, written := BytesIO())
    return written.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with hub_with_cache(tmp_path, monkeypatch, {"org/rows": HubRepo({})}) as running:
        yield running


def resolved(folder: Path, endpoint: str | None, lock: Lock | None = None, **data: Any) -> ResolvedData:
    """What the rows of a recipe are; without an endpoint by the cache alone."""
    return resolved_rows.resolved(parsed(data=data).data, folder, endpoint=endpoint, lock=lock)


def meant(data: ResolvedData) -> dict[str, str]:
    """The label that rows have, by the one that their file has."""
    rows = [row for part in data.parts.values() for row in part.rows]
    found = {(row["text"].rpartition(" ")[2], row["label"]) for row in rows}
    assert len(dict(found)) == len(found), "each label of the file means one thing"
    return dict(found)


def lock_of(data: ResolvedData) -> Lock:
    """The lock of the rows, written and read again."""
    sources = {use: SourceLock.model_validate_json(one.to_text()) for use, one in data.sources.items()}
    return Lock.model_construct(data=DataLock.model_construct(sources=sources))


def push(server: HubServer, **files: bytes) -> None:
    server.repos["org/rows"] = HubRepo({name.replace("__", "."): content for name, content in files.items()})


@pytest.mark.parametrize("asked", [{"split": "train"}, {"file": "train.parquet"}])
def test_a_parquet_file_names_its_classes_once(tmp_path: Path, server: HubServer, asked: dict[str, str]) -> None:
    push(server, train__parquet=file_of("parquet", [0, 1, 2], STARS), README__md=card(STARS))
    source = {"hub": "org/rows", **asked}
    first = resolved(tmp_path, server.endpoint, source=source)
    assert meant(first) == {"0": "1", "1": "2", "2": "3"}
    assert meant(resolved(tmp_path, None, lock_of(first), source=source)) == meant(first)


def test_a_card_is_parsed_once(tmp_path: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    parses: list[str] = []

    def counted(content: bytes, name: str) -> Any:
        parses.append(name)
        return read_yaml(content, name)

    monkeypatch.setattr(hub_features, "read_yaml", counted)
    push(server, train__csv=file_of("csv", [0, 1]), README__md=card(FEELINGS))
    data = resolved(tmp_path, server.endpoint, source={"hub": "org/rows", "file": "train.csv"})
    assert meant(data) == {"0": "cold", "1": "mild"}
    assert parses == ["README.md"]


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_the_cache_is_asked_for_a_card_only_beside_files_of_a_commit(
    tmp_path: Path, server: HubServer, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    reads: list[str] = []
    monkeypatch.setattr(hub, "cached_list", lambda repo, revision, cache: reads.append(revision))
    push(server, train__csv=file_of("csv", [0, 1]), README__md=card(FEELINGS))
    source = {"hub": "org/rows", "file": "train.csv"}
    resolved(tmp_path, server.endpoint, source={**source, "revision": revision})
    assert reads == []
    resolved(tmp_path, server.endpoint, source={**source, "revision": COMMIT})
    assert {*reads} == {COMMIT}


def test_a_card_in_the_cache_names_no_classes_of_a_parquet_file(tmp_path: Path, server: HubServer) -> None:
    push(server, train__parquet=file_of("parquet", [0, 1, 2]), README__md=card(FEELINGS))
    source = {"hub": "org/rows", "file": "train.parquet"}
    alone = resolved(tmp_path, server.endpoint, source=source)
    assert not [path for path in server.paths("GET") if path.endswith("README.md")]
    by_another(tmp_path, server, "README.md")
    for lock in (None, lock_of(alone)):
        beside = resolved(tmp_path, server.endpoint, lock, source=source)
        assert meant(beside) == meant(alone) == {"0": "0", "1": "1", "2": "2"}


def by_another(folder: Path, server: HubServer, name: str) -> None:
    """Another tool fetches one file of the data set into the same cache."""
    hf_hub_download(
        "org/rows", name, repo_type="dataset", revision=COMMIT, cache_dir=folder / "hub", endpoint=server.endpoint
    )


@pytest.mark.parametrize(
    ("suffix", "names", "labels", "found"),
    [
        ("jsonl", STARS, ["1", "2"], {"1": "1", "2": "2"}),
        ("jsonl", STARS, [0, 1, 2], {"0": "1", "1": "2", "2": "3"}),
        ("jsonl", FEELINGS, ["0", "1", "2"], {"0": "cold", "1": "mild", "2": "warm"}),
        ("jsonl", STARS, ["0", "1", "2"], {"0": "1", "1": "2", "2": "3"}),
        ("jsonl", FEELINGS, ["cold", 1], {"cold": "cold", "1": "mild"}),
        ("csv", STARS, [1, 2, 3], {"1": "1", "2": "2", "3": "3"}),
        ("csv", STARS, [0, 1, 2], {"0": "1", "1": "2", "2": "3"}),
        ("csv", FEELINGS, ["cold", "warm"], {"cold": "cold", "warm": "warm"}),
        ("csv", ["0", "1"], [0, 1], {"0": "0", "1": "1"}),
    ],
)
def test_a_column_holds_names_or_numbers(
    tmp_path: Path, server: HubServer, suffix: str, names: list[str], labels: list[Any], found: dict[str, str]
) -> None:
    push(server, **{f"train__{suffix}": file_of(suffix, labels), "README__md": card(names)})
    data = resolved(tmp_path, server.endpoint, source={"hub": "org/rows", "split": "train"})
    assert meant(data) == found
    assert "FTC490" not in {one.code for one in data.diagnostics}
    said = [one.result for one in data.checks if one.name == "class names"]
    assert bool(said) == any(before != after for before, after in found.items()), "no line where nothing was written"


@pytest.mark.parametrize(("train", "test"), [([0, 1, 2], [1, 2]), ([1, 2, 3], [1, 2])])
def test_files_of_one_data_set_are_understood_alike(
    tmp_path: Path, server: HubServer, train: list[int], test: list[int]
) -> None:
    files = {"train__csv": file_of("csv", train), "test__csv": file_of("csv", test, about="test")}
    push(server, **files, README__md=card(STARS))
    source, held_out = {"hub": "org/rows", "file": "train.csv"}, {"hub": "org/rows", "file": "test.csv"}
    data = resolved(tmp_path, server.endpoint, source=source, split={"test": held_out})
    assert meant(data) == dict(zip(map(str, train), STARS, strict=True))
    assert len(data.rows_of("test")) == 60


@pytest.mark.parametrize(
    ("suffix", "names", "labels", "words"),
    [
        ("csv", FEELINGS, ["cold", "1"], "names of classes beside numbers of classes"),
        ("csv", FEELINGS, [0, 1, 3], "neither names nor numbers of the classes"),
        ("csv", STARS, [1, 2], "only values that are a class's name and another class's number"),
        ("jsonl", FEELINGS, ["cold", "1"], "names of classes beside numbers of classes"),
        ("jsonl", FEELINGS, [0, 1, 3], "neither names nor numbers of the classes"),
        ("jsonl", FEELINGS, ["cold", "hot"], "neither names nor numbers of the classes"),
    ],
)
def test_what_is_neither_or_both_stays_with_a_warning(
    tmp_path: Path, server: HubServer, suffix: str, names: list[str], labels: list[Any], words: str
) -> None:
    push(server, **{f"train__{suffix}": file_of(suffix, labels), "README__md": card(names)})
    data = resolved(tmp_path, server.endpoint, source={"hub": "org/rows", "split": "train"})
    (finding,) = [one for one in data.diagnostics if one.code == "FTC490"]
    assert words in finding.summary
    assert finding.path == "data.source.hub"
    assert f"train.{suffix}:" in finding.notes[0]
    assert meant(data) == {str(label): str(label) for label in labels}
    assert not [one for one in data.checks if one.name == "class names"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_file_that_another_tool_cached_gives_the_rows_of_a_fresh_machine(
    tmp_path: Path, server: HubServer, suffix: str
) -> None:
    push(server, **{f"train__{suffix}": file_of(suffix, [0, 1]), "README__md": card(FEELINGS)})
    source = {"hub": "org/rows", "file": f"train.{suffix}", "revision": COMMIT}
    by_another(tmp_path, server, f"train.{suffix}")
    with pytest.raises(Refusal, match="FTC318"):
        resolved(tmp_path, None, source=source)
    (tmp_path / "fresh").mkdir()
    fresh = resolved(tmp_path / "fresh", server.endpoint, source=source)
    cached = resolved(tmp_path, server.endpoint, source=source)
    assert meant(cached) == meant(fresh) == {"0": "cold", "1": "mild"}
    assert cached.sources == fresh.sources
    server.requests.clear()
    assert meant(resolved(tmp_path, server.endpoint, source=source)) == meant(fresh)
    assert server.requests == [], "the cache has file and card"


def test_the_lock_keeps_the_names_whatever_the_cache_has(tmp_path: Path, server: HubServer) -> None:
    push(server, train__csv=file_of("csv", [0, 1]), README__md=card(FEELINGS))
    source = {"hub": "org/rows", "file": "train.csv"}
    first = resolved(tmp_path, server.endpoint, source=source)
    assert first.sources["rows"].class_names == {"label": tuple(FEELINGS)}
    (tmp_path / "other").mkdir()
    by_another(tmp_path / "other", server, "train.csv")
    for endpoint in (server.endpoint, None):
        other = resolved(tmp_path / "other", endpoint, lock_of(first), source=source)
        assert meant(other) == meant(first) == {"0": "cold", "1": "mild"}
        assert other.sources == first.sources


def test_a_lock_without_names_has_none(tmp_path: Path, server: HubServer) -> None:
    push(server, train__csv=file_of("csv", [0, 1]), README__md=card(FEELINGS))
    source = {"hub": "org/rows", "file": "train.csv"}
    sources = resolved(tmp_path, server.endpoint, source=source).sources
    plain = {key: value for key, value in sources["rows"].to_json().items() if key != "class_names"}
    older = SourceLock.model_validate_json(json.dumps(plain))
    assert older.to_json() == plain, "it stays as it was written"
    lock = Lock.model_construct(data=DataLock.model_construct(sources={"rows": older}))
    assert meant(resolved(tmp_path, server.endpoint, lock, source=source)) == {"0": "0", "1": "1"}
    moved = older.model_copy(update={"commit": None})  # as `ftc lock --upgrade` has it
    lock = Lock.model_construct(data=DataLock.model_construct(sources={"rows": moved}))
    assert meant(resolved(tmp_path, server.endpoint, lock, source=source)) == {"0": "cold", "1": "mild"}


def test_a_data_set_without_a_card_is_used_offline(tmp_path: Path, server: HubServer) -> None:
    push(server, train__csv=file_of("csv", [0, 1]))
    source = {"hub": "org/rows", "file": "train.csv"}
    first = resolved(tmp_path, server.endpoint, source=source)
    assert meant(resolved(tmp_path, None, source=source)) == meant(first) == {"0": "0", "1": "1"}
    server.requests.clear()
    resolved(tmp_path, server.endpoint, source={**source, "revision": COMMIT})
    assert server.requests == [], "the cache has the file, and knows that there is no card"


def older() -> bytes:
    label = {"num_classes": 2, "names": FEELINGS, "_type": "ClassLabel"}
    infos = {"default": {"description": "", "features": {"text": {"dtype": "string"}, "label": label}}}
    return json.dumps(infos).encode()


def test_the_older_description_names_classes_where_the_card_has_none(tmp_path: Path, server: HubServer) -> None:
    source = {"hub": "org/rows", "file": "train.csv"}
    push(server, train__csv=file_of("csv", [0, 1]), dataset_infos__json=older(), README__md=b"# Rows\n")
    first = resolved(tmp_path, server.endpoint, source=source)
    assert meant(resolved(tmp_path, None, source=source)) == meant(first) == {"0": "cold", "1": "mild"}
    assert first.sources["rows"].class_names == {"label": tuple(FEELINGS)}
    (tmp_path / "other").mkdir()
    push(server, train__csv=file_of("csv", [0, 1]), dataset_infos__json=older(), README__md=card(STARS))
    assert meant(resolved(tmp_path / "other", server.endpoint, source=source)) == {"0": "1", "1": "2"}


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("README.md", b"---\ndataset_info: &a {features: *a}\n---\n", "`dataset_info` in README.md of `org/rows`"),
        ("README.md", b"---\ndataset_info: soon\n---\n", "`dataset_info` in README.md of `org/rows`"),
        ("dataset_infos.json", b'{"default": {', "`dataset_infos.json` of `org/rows`"),
        ("dataset_infos.json", b"[" * 100_000, "`dataset_infos.json` of `org/rows`"),
    ],
)
def test_a_description_that_cannot_be_read_is_named(
    tmp_path: Path, server: HubServer, file: str, content: bytes, words: str
) -> None:
    push(server, train__csv=file_of("csv", [0, 1]), **{file.replace(".", "__"): content})
    data = parsed(data={"source": {"hub": "org/rows", "split": "train"}}).data
    found = resolved_rows.located(data, tmp_path, endpoint=server.endpoint)["rows"]
    (warning,) = found.warnings
    assert (warning.code, warning.path) == ("FTC490", "data.source.hub")
    assert warning.summary == f"{words} can't be read, so it names no classes"
    assert not found.class_names


@pytest.mark.parametrize("readme", [b"# Rows\n", b"---\ndataset_info: 5\n---\n"])
def test_a_pinned_commit_of_a_cache_without_the_older_description_gives_the_rows_of_a_fresh_machine(
    tmp_path: Path, server: HubServer, readme: bytes
) -> None:
    push(server, train__csv=file_of("csv", [0, 1]), dataset_infos__json=older(), README__md=readme)
    source = {"hub": "org/rows", "file": "train.csv", "revision": COMMIT}
    for name in ("train.csv", "README.md"):
        by_another(tmp_path, server, name)
    with pytest.raises(Refusal, match="FTC318"):
        resolved(tmp_path, None, source=source)
    assert meant(resolved(tmp_path, server.endpoint, source=source)) == {"0": "cold", "1": "mild"}
    server.requests.clear()
    assert meant(resolved(tmp_path, server.endpoint, source=source)) == {"0": "cold", "1": "mild"}
    assert server.requests == []


def test_rows_without_numbers_need_no_card(tmp_path: Path, server: HubServer) -> None:
    push(server, train__csv=file_of("csv", ["good", "bad"]), README__md=card(["bad", "good"]))
    source = {"hub": "org/rows", "file": "train.csv"}
    by_another(tmp_path, server, "train.csv")
    (tmp_path / "hub" / "datasets--org--rows" / "refs").mkdir()
    (tmp_path / "hub" / "datasets--org--rows" / "refs" / "main").write_text(COMMIT)
    first = resolved(tmp_path, None, source=source)
    assert meant(first) == {"good": "good", "bad": "bad"}
    kept = lock_of(first)
    assert kept.data.sources["rows"].class_names is None, "unknown, and not none"
    for endpoint in (None, server.endpoint):
        assert resolved(tmp_path, endpoint, kept, source=source).sources == first.sources


def cached_without_card(tmp_path: Path, server: HubServer, suffix: str, labels: list[Any]) -> dict[str, str]:
    """Rows of the hub that another program has left in the cache, without the card that names two classes."""
    push(server, **{f"train__{suffix}": file_of(suffix, labels), "README__md": card(["good", "bad"])})
    by_another(tmp_path, server, f"train.{suffix}")
    return {"hub": "org/rows", "file": f"train.{suffix}", "revision": COMMIT}


@pytest.mark.parametrize(
    ("suffix", "labels"), [("jsonl", [0, 1, "bad"]), ("jsonl", [0, 1, "  "]), ("csv", ["0", "1", "  "])]
)
def test_numbers_beside_names_or_blanks_need_the_card(
    tmp_path: Path, server: HubServer, suffix: str, labels: list[Any]
) -> None:
    source = cached_without_card(tmp_path, server, suffix, labels)
    with pytest.raises(Refusal, match="FTC318"):
        resolved(tmp_path, None, source=source)


@pytest.mark.parametrize(("suffix", "labels"), [("jsonl", [0, 1, -7]), ("csv", ["0", "1", "bad"])])
def test_numbers_that_no_card_would_name_need_none(
    tmp_path: Path, server: HubServer, suffix: str, labels: list[Any]
) -> None:
    source = cached_without_card(tmp_path, server, suffix, labels)
    alone = meant(resolved(tmp_path, None, source=source))
    assert alone == meant(resolved(tmp_path, server.endpoint, source=source)) == {str(one): str(one) for one in labels}


def test_a_lock_of_an_unknown_card_takes_no_numbers_for_labels(tmp_path: Path, server: HubServer) -> None:
    rows = file_of("csv", [0, 1]).replace(b"text,label", b"text,number")
    push(server, train__csv=b"\n".join(b"%s,%s" % (row, b"label" if n == 0 else b"ab"[n % 2 :][:1]) for n, row in
                                       enumerate(rows.splitlines())), README__md=card(FEELINGS))  # fmt: skip
    source = {"hub": "org/rows", "file": "train.csv", "revision": COMMIT}
    by_another(tmp_path, server, "train.csv")
    kept = lock_of(resolved(tmp_path, None, source=source))
    for endpoint in (None, server.endpoint):
        with pytest.raises(Refusal) as refused:
            resolved(tmp_path, endpoint, kept, source=source, fields={"label": "number"})
        (found,) = refused.value.diagnostics
        assert (found.code, found.path) == ("FTC318", "data.source.hub")
        assert "`number`" in found.summary
        assert "ftc lock --upgrade" in found.help[0]


@pytest.mark.parametrize("readme", [b"# Rows\n", None, card(FEELINGS)])
@pytest.mark.parametrize("asked", [{"split": "train"}, {}, {"file": "train.csv"}])
def test_a_whole_data_set_in_the_cache_needs_no_network(
    tmp_path: Path, server: HubServer, readme: bytes | None, asked: dict[str, str]
) -> None:
    """Its list says which files are a split, and that there is no card."""
    if not hasattr(huggingface_hub, "get_cached_repo_tree"):
        pytest.skip("this release of huggingface_hub keeps no lists")
    push(server, train__csv=file_of("csv", [0, 1]), **({} if readme is None else {"README__md": readme}))
    snapshot_download("org/rows", repo_type="dataset", cache_dir=tmp_path / "hub", endpoint=server.endpoint)
    data = resolved(tmp_path, None, source={"hub": "org/rows", **asked})
    assert meant(data) == ({"0": "cold", "1": "mild"} if readme and b"class_label" in readme else {"0": "0", "1": "1"})
    assert data.sources["rows"].class_names is not None


def test_a_list_in_the_cache_that_cannot_be_read_is_none(tmp_path: Path, server: HubServer) -> None:
    push(server, train__csv=file_of("csv", ["good", "bad"]))
    source = {"hub": "org/rows", "file": "train.csv"}
    first = resolved(tmp_path, server.endpoint, source=source)
    trees = tmp_path / "hub" / "datasets--org--rows" / "trees"
    trees.mkdir()
    for text in ("{", "[]", "[" * 100_000, '{"format_version": 1, "files": 3}'):
        (trees / f"{COMMIT}.json").write_text(text, encoding="utf-8")
        assert resolved(tmp_path, None, source=source).sources == first.sources


def test_a_split_of_which_the_cache_lacks_a_file_is_refused(tmp_path: Path, server: HubServer) -> None:
    if not hasattr(huggingface_hub, "get_cached_repo_tree"):
        pytest.skip("this release of huggingface_hub keeps no lists")
    files = {f"train-{n}__jsonl": file_of("jsonl", ["good", "bad"], about=f"part {n}") for n in range(2)}
    push(server, **files, README__md=b"# Rows\n")
    cache = tmp_path / "hub"
    snapshot_download(
        "org/rows", repo_type="dataset", cache_dir=cache, endpoint=server.endpoint, ignore_patterns="train-1*"
    )
    with pytest.raises(Refusal) as refused:
        resolved(tmp_path, None, source={"hub": "org/rows", "split": "train"})
    (found,) = refused.value.diagnostics
    assert (found.code, found.notes) == ("FTC318", ("`train-1.jsonl` is missing there, and ftc is offline",))
