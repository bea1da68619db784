"""Data files are found under the project, and on the hub, and every one that can't be had is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.rows.data_files import DataFiles
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.lockfile import DataLock, Lock, SourceLock
from tests.support.hub_server import HubRepo, HubServer, hub_server
from tests.support.recipes import parsed, read, recipe_text
from tests.support.resolved_rows import located

HUB_SOURCE = {"hub": "org/rows", "file": "data/train.csv"}


@pytest.fixture
def server() -> Iterator[HubServer]:
    with hub_server({"org/rows": HubRepo({"data/train.csv": b"text,label\na,b\n"})}) as running:
        yield running


def locate(folder: Path, endpoint: str = "", lock: Lock | None = None, **data: Any) -> DataFiles:
    recipe, source = parsed(data=data), read(recipe_text(data=data))
    return located(recipe.data, folder, endpoint=endpoint or None, span_of=source.span, lock=lock)


def refused(folder: Path, endpoint: str = "", **data: Any) -> dict[str, str | None]:
    """Code by the recipe value that it points at."""
    with pytest.raises(Refusal) as caught:
        locate(folder, endpoint, **data)
    assert all(found.span and found.help for found in caught.value.diagnostics)
    return {found.path or "": found.code for found in caught.value.diagnostics}


def test_files_by_their_use(tmp_path: Path) -> None:
    for name in ("rows.csv", "test.csv"):
        (tmp_path / name).write_text("text,label\na,b\n")
    files = locate(tmp_path, source={"path": "rows.csv"}, split={"test": {"path": "test.csv"}})
    assert {use: file.shown_as for use, file in files.items()} == {"rows": "rows.csv", "test": "test.csv"}
    assert files["test"].recipe_path == "data.split.test"
    assert files["rows"].facts == files["test"].facts


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,b\n")

    def deny(self: DigestCache, path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(DigestCache, "file", deny)
    assert refused(tmp_path, source={"path": "rows.csv"}) == {"data.source.path": "FTC351"}


def test_a_file_that_a_data_set_lacks(tmp_path: Path, server: HubServer) -> None:
    found = locate(tmp_path, server.endpoint, source=HUB_SOURCE)["rows"]
    assert found.commit == "c" * 40
    with pytest.raises(Refusal) as caught:
        locate(tmp_path, server.endpoint, source={**HUB_SOURCE, "file": "data/trian.csv"})
    (finding,) = caught.value.diagnostics
    assert finding.code == "FTC323"
    assert finding.help == ("did you mean `data/train.csv`?",)


OPEN = {"hub": "org/rows"}
ROWS = b"text,label\na,b\n"


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["data/train.csv", "data/test.csv", "README.md"], "data/train.csv"),
        (["plain/train-00000-of-00001.parquet", "plain/validation-00000-of-00001.parquet"], "plain/train"),
        (["rows.jsonl", "dataset_infos.json", ".cache/rows.csv"], "rows.jsonl"),
        (["constrained.csv", "train1.csv"], "train1.csv"),
    ],
)
def test_a_data_set_whose_file_is_left_open(tmp_path: Path, names: list[str], chosen: str) -> None:
    with hub_server({"org/rows": HubRepo(dict.fromkeys(names, ROWS))}) as server:
        found = locate(tmp_path, server.endpoint, source=OPEN)["rows"]
    assert found.chosen is not None
    assert found.chosen.startswith(chosen)
    assert found.shown_as == f"org/rows: {found.chosen}"


def test_a_data_set_where_several_files_may_be_meant(tmp_path: Path) -> None:
    shards = {f"data/train-{number}-of-2.csv": ROWS for number in (0, 1)}
    with (
        hub_server({"org/rows": HubRepo({**shards, "data/test.csv": ROWS})}) as server,
        pytest.raises(Refusal) as caught,
    ):
        locate(tmp_path, server.endpoint, source=OPEN)
    (finding,) = caught.value.diagnostics
    assert (finding.code, finding.span and finding.path) == ("FTC324", "data.source.hub")
    assert finding.notes == ("`data/train-0-of-2.csv`, `data/train-1-of-2.csv`",)
    both = "{hub: org/rows, file: data/train-0-of-2.csv}, {hub: org/rows, file: data/train-1-of-2.csv}"
    split = "or, where the data set has splits, write `split: train`"
    assert finding.help == (f"name one with `file:`, take several as `source: [{both}]`, {split}",)


def test_a_data_set_without_rows(tmp_path: Path) -> None:
    with hub_server({"org/rows": HubRepo({"README.md": b"# rows", "rows.zip": b"PK"})}) as server:
        assert refused(tmp_path, server.endpoint, source=OPEN) == {"data.source.hub": "FTC324"}


def test_the_lock_keeps_the_choice_for_a_plan_without_a_network(tmp_path: Path, server: HubServer) -> None:
    found = locate(tmp_path, server.endpoint, source=OPEN)["rows"]
    assert refused(tmp_path, source=OPEN) == {"data.source.hub": "FTC318"}
    kept = SourceLock.model_construct(asked=found.asked, commit=found.commit, chosen=found.chosen)
    lock = Lock.model_construct(data=DataLock.model_construct(sources={"rows": kept}))
    assert locate(tmp_path, lock=lock, source=OPEN)["rows"] == found


def test_a_commit_of_the_lock_that_is_gone_says_so(tmp_path: Path, server: HubServer) -> None:
    source = parsed(data={"source": HUB_SOURCE}).data.source
    assert not isinstance(source, tuple)
    asked = source.to_json()
    kept = SourceLock.model_construct(asked=asked, commit="d" * 40)
    lock = Lock.model_construct(data=DataLock.model_construct(sources={"rows": kept}))
    with pytest.raises(Refusal) as caught:
        locate(tmp_path, server.endpoint, lock, source=HUB_SOURCE)
    (finding,) = caught.value.diagnostics
    assert finding.code == "FTC316"
    assert "the lock pins commit `dddddddddddd`" in " ".join(finding.notes)
    assert "delete the lock file" in finding.help[0]


def test_all_files_that_are_absent_are_told(tmp_path: Path) -> None:
    found = refused(tmp_path, source={"path": "rows.csv"}, split={"test": {"path": "../test.csv"}})
    assert set(found.values()) == {"FTC350", "FTC300"}
