"""A token stream opens with `datasets`, as the page about plans shows, and has the columns that this page lists."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.compiler.tokens import stream_writer
from ftc.spec.documents.stream_shards import COLUMNS_OF_SHARDS, read_shards
from ftc.spec.documents.streams import COLUMNS, open_stream
from ftc.spec.storage.paths import streams_folder
from tests.support.question_project import question_project

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "plan.md"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    question_project(tmp_path, monkeypatch, "tickets.yaml")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("shard_bytes", [stream_writer.SHARD_BYTES, 200])
def test_the_example_of_the_page_opens_a_stream(library: Any, project: Path, shard_bytes: int) -> None:
    (example,) = re.findall(r"```python\n(import datasets\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    small = f"from ftc.compiler.tokens import stream_writer\nstream_writer.SHARD_BYTES = {shard_bytes}"
    shown = "import json\nprint(json.dumps([str(train), [str(file) for file in files], [*rows]]))"
    command = [sys.executable, "-c", f"{small}\n{example}\n{shown}"]
    env = {**os.environ, "HF_HOME": str(project / "hub"), "HF_HUB_OFFLINE": "1"}
    child = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    train, files, found = json.loads(child.stdout.splitlines()[-1])
    ours = open_stream(Path(train))
    assert (len(files) > 1) == (shard_bytes == 200)
    assert len(found) == len(ours) == 16
    for number, row in enumerate(found):
        assert row["ids"] == ours.ids(number).tolist()
        assert row["mask"] == ours.mask(number).tolist()
        assert (row["row"], row["place"]) == (int(ours.rows[number]), f"rows.jsonl:{ours.rows[number] + 1}")
        assert (row["prompt_length"], row["label"]) == (ours.prompt_length(number), -1)
    streamed = library.load_dataset("arrow", data_files=files, split="train", streaming=True)
    assert [*streamed] == found


def test_the_page_lists_every_column_with_its_type(library: Any, project: Path) -> None:
    listed = re.findall(r"^\| `(\w+)` \| ([\w<>]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(name for name, _ in listed) == COLUMNS
    stream = streams_folder(api.plan(project / "tickets.yaml").plan.stream_key) / "train.arrow"
    found = library.load_dataset("arrow", data_files=str(stream), split="train").features.arrow_schema
    assert listed == [(field.name, str(field.type).replace("item: ", "")) for field in found]


def test_the_list_of_shards_is_no_part_of_them(library: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_writer, "SHARD_BYTES", 200)
    stream = streams_folder(api.plan(project / "tickets.yaml").plan.stream_key) / "train.arrow"
    rows = library.load_dataset("arrow", data_files=str(stream), split="train")
    assert tuple(rows.column_names) == COLUMNS_OF_SHARDS
    assert rows["shard"][:] == [shard.file for shard in read_shards(stream)]
    with pytest.raises(library.exceptions.DatasetGenerationError):
        library.load_dataset("arrow", data_files=str(stream.with_name("train*.arrow")), split="train")
