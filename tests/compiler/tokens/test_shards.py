"""A stream of several shards holds what one file would, and each of its files is compared by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ftc.compiler.tokens import stream_writer
from ftc.compiler.tokens.stream_writer import write_stream
from ftc.compiler.tokens.token_rows import RowCounts, TokenRows
from ftc.spec.documents.stream_shards import DamagedShard, Pieces, digest_of, read_shards
from ftc.spec.documents.streams import Lists, TokenStream, open_lengths, open_stream

LENGTHS = [3, 0, 5, 9, 1, 2, 7, 0]
SHARDS = ["train.00000.arrow", "train.00001.arrow", "train.00002.arrow", "train.00003.arrow", "train.00004.arrow"]


def rows(lengths: list[int] = LENGTHS) -> TokenRows:
    total, count = sum(lengths), len(lengths)
    ends = np.cumsum([0, *(number % 3 for number in range(count))], dtype=np.int64)
    return TokenRows(
        ids=np.arange(total, dtype=np.int32),
        mask=np.arange(total) % 3 == 0,
        boundaries=np.cumsum([0, *lengths], dtype=np.int64),
        prompt_length=np.array([n // 2 for n in lengths], dtype=np.int32),
        label=np.arange(count, dtype=np.int32),
        row=np.arange(count, dtype=np.int64) * 2,
        targets=Lists(np.arange(ends[-1], dtype=np.int32), ends),
        offsets=Lists(np.zeros(0, np.int32), np.zeros(count + 1, np.int64)),
        texts=[("a", f"b{number}") if n else () for number, n in enumerate(lengths)],
        counts=RowCounts(read=count),
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of eight tokens."""
    monkeypatch.setattr(stream_writer, "SHARD_BYTES", 40)


def contents(stream: TokenStream) -> list[object]:
    """All that is read of each row."""
    return [
        [
            stream.ids(i).tolist(),
            stream.mask(i).tolist(),
            stream.prompt_length(i),
            int(stream.labels[i]),
            int(stream.rows[i]),
            stream.targets[i].tolist(),
            stream.offsets[i].tolist(),
            stream.place(i),
            stream.texts(i),
        ]
        for i in range(len(stream))
    ]


@pytest.mark.usefixtures("small")
def test_shards_hold_what_one_file_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = write_stream(tmp_path / "train.arrow", rows(), "rows.csv:{}".format)
    several = open_stream(tmp_path / "train.arrow")
    monkeypatch.undo()
    whole = write_stream(tmp_path / "whole.arrow", rows(), "rows.csv:{}".format)
    one = open_stream(tmp_path / "whole.arrow")
    assert contents(several) == contents(one)
    assert several.lengths.tolist() == one.lengths.tolist() == LENGTHS
    assert (len(several.all_ids), several.all_ids[2:9].tolist()) == (27, one.all_ids[2:9].tolist())
    assert several.shard_starts == (0, 3, 4, 6)
    assert one.shard_starts == ()
    assert [len(shard.all_ids) for shard in several.shards] == [8, 9, 3, 7]
    before, after = open_lengths(tmp_path / "whole.arrow"), open_lengths(tmp_path / "train.arrow")
    assert before.tokens.tolist() == after.tokens.tolist()
    assert (before.shards, after.shards) == ((), several.shard_starts)
    assert (after.cut(2).shards, after.sample(4).shards) == (several.shard_starts, ())
    assert report.model_copy(update={"stream_digest": ""}) == whole.model_copy(update={"stream_digest": ""})


@pytest.mark.usefixtures("small")
def test_the_digest_is_one_over_those_of_the_shards(tmp_path: Path) -> None:
    report = write_stream(tmp_path / "train.arrow", rows())
    shards = read_shards(tmp_path / "train.arrow")
    assert [one.file for one in shards] == SHARDS[:4]
    assert [(one.rows, one.tokens) for one in shards] == [(3, 8), (1, 9), (2, 3), (2, 7)]
    assert [one.sha256 for one in shards] == [open_stream(tmp_path / one.file).digest() for one in shards]
    assert report.stream_digest == digest_of([one.sha256 for one in shards])
    assert report.stream_digest == open_stream(tmp_path / "train.arrow").digest()


@pytest.mark.usefixtures("small")
def test_rows_behind_the_others_change_the_last_shards_alone(tmp_path: Path) -> None:
    for folder, lengths in (("a", LENGTHS), ("b", [*LENGTHS, 4, 4])):
        (tmp_path / folder).mkdir()
        write_stream(tmp_path / folder / "train.arrow", rows(lengths))
    before, after = (read_shards(tmp_path / folder / "train.arrow") for folder in "ab")
    assert before[:3] == after[:3]
    assert [one.file for one in after] == SHARDS


def test_a_stream_that_fits_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("a", 2**30), ("b", 27 * 5)):
        monkeypatch.setattr(stream_writer, "SHARD_BYTES", size)
        write_stream(tmp_path / name, rows())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_shards(tmp_path / "a") == ()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "a.lengths.npy", "b", "b.lengths.npy"]


def removed(folder: Path) -> None:
    (folder / SHARDS[2]).unlink()


def torn(folder: Path) -> None:
    file = folder / SHARDS[2]
    file.write_bytes(file.read_bytes()[:50])


def exchanged(folder: Path) -> None:
    (folder / SHARDS[2]).write_bytes((folder / SHARDS[1]).read_bytes())


def nested(folder: Path) -> None:
    """A list in the place of a shard, of itself."""
    (folder / SHARDS[2]).write_bytes((folder / "train.arrow").read_bytes().replace(b"train.00000", b"train.00002"))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", [removed, torn, exchanged, nested])
def test_a_damaged_shard_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write_stream(tmp_path / "train.arrow", rows())
    damage(tmp_path)
    with pytest.raises(DamagedShard, match=r"`train\.00002\.arrow`"):
        open_stream(tmp_path / "train.arrow")


@pytest.mark.usefixtures("small")
def test_a_changed_shard_changes_the_digest(tmp_path: Path) -> None:
    report = write_stream(tmp_path / "train.arrow", rows())
    other = rows()
    other.ids[-1] += 1
    write_stream(tmp_path / "other.arrow", other)
    (tmp_path / SHARDS[3]).write_bytes((tmp_path / "other.00003.arrow").read_bytes())
    assert open_stream(tmp_path / "train.arrow").digest() != report.stream_digest


def written_list(file: Path, **changes: list[object]) -> None:
    columns = {"shard": ["train.00000.arrow"], "rows": [3], "tokens": [8], "sha256": ["0" * 64], **changes}
    table = pa.table(columns)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    "changes",
    [
        {"shard": ["../train.00000.arrow"]},
        {"shard": ["/etc/passwd"]},
        {"shard": [None]},
        {"shard": [1]},
        {"rows": [-1]},
        {"rows": ["3"]},
        {"sha256": [None]},
        {"shard": [], "rows": [], "tokens": [], "sha256": []},
    ],
)
def test_a_list_that_no_writer_makes_is_refused(tmp_path: Path, changes: dict[str, list[object]]) -> None:
    written_list(tmp_path / "train.arrow", **changes)
    with pytest.raises(ValueError, match="list of shards is damaged"):
        open_stream(tmp_path / "train.arrow")


def test_a_list_of_itself_ends(tmp_path: Path) -> None:
    written_list(tmp_path / "train.arrow", shard=["train.arrow"])
    with pytest.raises(DamagedShard, match=r"`train\.arrow`"):
        open_stream(tmp_path / "train.arrow")


def test_pieces_give_slices_like_an_array() -> None:
    parts = [np.arange(3), np.arange(3, 3), np.arange(3, 4), np.arange(4, 9)]
    pieces, whole = Pieces(parts), np.arange(9)
    assert len(pieces) == 9
    for begin in range(10):
        for end in range(begin, 12):
            assert pieces[begin:end].tolist() == whole[begin:end].tolist()
    assert pieces[:].tolist() == whole.tolist()
    assert pieces[4:7].base is not None, "no copy within a shard"
    assert len(Pieces([np.zeros(0, np.int32), np.zeros(0, np.int32)])[0:0]) == 0


def test_images_go_with_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_writer, "SHARD_BYTES", 40)
    images: list[Sequence[str]] = [(f"{number}",) * (number % 2) for number in range(len(LENGTHS))]
    write_stream(tmp_path / "train.arrow", replace(rows(), images=images))
    stream = open_stream(tmp_path / "train.arrow")
    assert [(*stream.images(i),) for i in range(len(stream))] == images
