"""The files of a split of a data set on the hub, and the names of its classes, are those that `datasets` finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.diagnostics import Refusal
from tests.support import resolved_rows
from tests.support.hub_languages import CONFIGS, FILES
from tests.support.hub_server import HubRepo, HubServer, hub_with_cache
from tests.support.recipes import parsed

UPLOADED = [
    "data/train-00000-of-00002.csv",
    "data/train-00001-of-00002.csv",
    "data/validation-00000-of-00001.csv",
    "data/test-00000-of-00001.csv",
]
CHATS = ["data/train_sft-00000-of-00001.csv", "data/test_sft-00000-of-00001.csv"]
SEVERAL = ["data/train_sft-00000-of-00001.csv", "data/train_gen-00000-of-00001.csv", "data/en.test-00000-of-00001.csv"]
FOLDERS = ["train/1.csv", "train/0.csv", "train/a/0.csv", "valid/0.csv", "test/0.csv"]
PROGRAMS = ["en/c.csv", "en/__d.csv", "_x/a.csv", "__MACOSX/c.csv"]

Read = Callable[[Sequence[str], str, str | None, str], list[str]]


def card(configs: str) -> str:
    return f"---\nconfigs:\n{configs}---\n# Rows\n" if configs else "# Rows\n"


def only(files: str) -> str:
    return f"- config_name: default\n  data_files: {files}\n"


def contents(names: Sequence[str], configs: str) -> dict[str, bytes]:
    """A data set whose every file has one row, the file's own name."""
    rows = {name: f'{{"text": "{name}"}}\n' if name.endswith("jsonl") else f"text\n{name}\n" for name in names}
    return {name: text.encode() for name, text in {**rows, "README.md": card(configs)}.items()}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with hub_with_cache(tmp_path, monkeypatch, {}) as running:
        yield running


@pytest.fixture
def theirs(library: Any, tmp_path: Path) -> Read:
    """Reads a split by `datasets`, from a folder of the data set."""

    def read(names: Sequence[str], configs: str, config: str | None, split: str) -> list[str]:
        for name, content in contents(names, configs).items():
            file = tmp_path / "rows" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return list(library.load_dataset(str(tmp_path / "rows"), config, split=split)["text"])

    return read


@pytest.fixture
def ours(server: HubServer, tmp_path: Path) -> Read:
    """Reads a split by ftc, from a hub that serves the data set."""

    def read(names: Sequence[str], configs: str, config: str | None, split: str) -> list[str]:
        server.repos["org/rows"] = HubRepo(contents(names, configs))
        data = parsed(data={"source": {"hub": "org/rows", "split": split, "config": config}}).data
        found = resolved_rows.located(data, tmp_path, endpoint=server.endpoint)["rows"]
        return [row["text"] for row in found.read(None).rows]

    return read


@pytest.mark.parametrize(
    ("names", "configs", "config", "split"),
    [
        (UPLOADED, "", None, "train"),
        (UPLOADED, "", None, "validation"),
        (UPLOADED, "", None, "test"),
        (SEVERAL, "", None, "train_sft"),
        (SEVERAL, "", None, "en.test"),
        (CHATS, "", None, "train_sft"),
        (["train.jsonl", "dev.jsonl", "data/test.jsonl"], "", None, "validation"),
        (["train.jsonl", "dev.jsonl", "data/test.jsonl"], "", None, "test"),
        (["training-set.csv", "my_val.csv", "testing2.csv", "constrained.csv"], "", None, "train"),
        (["2020train.csv", "a train.csv", "constrained.csv"], "", None, "train"),
        (["train-2.csv", "train-10.csv", "train-1.csv"], "", None, "train"),
        (FOLDERS, "", None, "train"),
        (FOLDERS, "", None, "validation"),
        (["data/train/0.csv", "data/eval/0.csv"], "", None, "test"),
        (["b.csv", "a.csv", "more/c.csv"], "", None, "train"),
        (["rows-00000-of-00001.csv"], "", None, "train"),
        (PROGRAMS, "", None, "train"),
        (PROGRAMS, only("'**/*.csv'"), None, "train"),
        (PROGRAMS, only("'__MACOSX/*.csv'"), None, "train"),
        (FILES, CONFIGS, "en", "train"),
        (FILES, CONFIGS, "en", "test"),
        (FILES, CONFIGS, "de", "train"),
        (FILES, CONFIGS, "de", "validation"),
        (FILES, only("'en/**/*.csv'"), None, "train"),
        (FILES, only("'en/**'"), None, "train"),
        (FILES, only("'*/train*.csv'"), None, "train"),
        (FILES, only("'**/train-?.csv'"), None, "train"),
        (FILES, only("'en/train-[0-9].csv'"), None, "train"),
        (FILES, only("'en/[!a].csv'"), None, "train"),
        (FILES, only("[./de/*.csv, en/a.csv]"), None, "train"),
    ],
)
def test_a_split_has_the_same_rows_in_the_same_order(
    theirs: Read, ours: Read, names: list[str], configs: str, config: str | None, split: str
) -> None:
    found = ours(names, configs, config, split)
    assert found
    assert found == theirs(names, configs, config, split)


@pytest.mark.parametrize(
    ("names", "configs", "they_read", "we_read"),
    [
        # A lock keeps the files by name, so their order is that of the names; and no row counts twice.
        (FILES, only("[en/b.csv, 'en/?.csv']"), ["en/b.csv", "en/a.csv", "en/b.csv"], ["en/a.csv", "en/b.csv"]),
        # No row of another split is trained on.
        (["train/train.csv", "train/dev.csv"], "", ["train/dev.csv", "train/train.csv"], ["train/train.csv"]),
        (["Train.csv", "TEST.csv"], "", ["TEST.csv", "Train.csv"], ["Train.csv"]),
        (["train.csv", "train_dev.csv"], "", ["train.csv", "train_dev.csv"], "FTC324"),
        (SEVERAL, "", "Unknown split", "FTC323"),
        (CHATS, "", "Unknown split", "has no split `train`"),
    ],
)
def test_no_row_is_read_twice_or_for_two_splits(
    theirs: Read, ours: Read, names: list[str], configs: str, they_read: list[str] | str, we_read: list[str] | str
) -> None:
    for read, expected, error in ((theirs, they_read, ValueError), (ours, we_read, Refusal)):
        if isinstance(expected, list):
            assert read(names, configs, None, "train") == expected
        else:
            with pytest.raises(error, match=expected):
                read(names, configs, None, "train")


CLASSES = """\
---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': cold
          '1': "warm, mild"
configs:
- config_name: default
  data_files:
  - split: train
    path: rows.SUFFIX
---
"""


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_numbers_are_the_same_classes(library: Any, server: HubServer, tmp_path: Path, suffix: str) -> None:
    rows = [{"text": f"text {number} of the hub", "label": number * 7 % 3 % 2} for number in range(40)]
    lines = [f"{row['text']},{row['label']}" if suffix == "csv" else json.dumps(row) for row in rows]
    files = {f"rows.{suffix}": "\n".join(["text,label", *lines] if suffix == "csv" else lines).encode()}
    files["README.md"] = CLASSES.replace("SUFFIX", suffix).encode()
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    theirs = library.load_dataset(str(folder), split="train")
    names = theirs.features["label"]
    server.repos["org/rows"] = HubRepo(files)
    data = parsed(data={"source": {"hub": "org/rows", "split": "train"}}).data
    ours = resolved_rows.resolved(data, tmp_path, endpoint=server.endpoint)
    assert {row["text"]: row["label"] for part in ours.parts.values() for row in part.rows} == {
        row["text"]: names.int2str(row["label"]) for row in theirs
    }
    assert ours.labels == tuple(sorted(names.names))
