"""What is written is what is read, byte for byte the same each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ftc.compiler.resolve.rows.in_processes import with_jobs
from ftc.compiler.tokens import stream_writer
from ftc.compiler.tokens.stream_writer import _shared, write_stream
from ftc.compiler.tokens.token_rows import RowCounts, TokenRows
from ftc.spec.documents.streams import DroppedRow, Lists, SplitReport, open_lengths, open_stream
from tests.support.streams import no_lists


def rows(lengths: list[int], counts: RowCounts | None = None) -> TokenRows:
    total = sum(lengths)
    return TokenRows(
        ids=np.arange(total, dtype=np.int32),
        mask=np.arange(total) % 3 == 0,
        boundaries=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        prompt_length=np.array([n // 2 for n in lengths], dtype=np.int32),
        label=np.full(len(lengths), -1, dtype=np.int32),
        row=np.arange(len(lengths), dtype=np.int64) * 2,
        targets=Lists(np.arange(len(lengths), dtype=np.int32), np.arange(len(lengths) + 1, dtype=np.int64)),
        offsets=no_lists(len(lengths)),
        texts=[("a", "bä") if n else () for n in lengths],
        counts=counts or RowCounts(read=len(lengths)),
    )


def test_a_stream_reads_back(tmp_path: Path) -> None:
    tokens = rows([3, 0, 5])
    report = write_stream(tmp_path / "train.arrow", tokens)
    stream = open_stream(tmp_path / "train.arrow")
    assert len(stream) == 3
    assert stream.lengths.tolist() == [3, 0, 5]
    assert stream.ids(2).tolist() == [3, 4, 5, 6, 7]
    assert stream.mask(2).tolist() == [True, False, False, True, False]
    assert stream.prompt_length(2) == 2
    assert stream.rows.tolist() == [0, 2, 4]
    assert stream.labels.tolist() == [-1, -1, -1]
    assert not stream.all_ids.flags.writeable
    assert stream.targets[2].tolist() == [2]
    assert stream.offsets[2].tolist() == []
    assert (stream.texts(1), stream.texts(2)) == ([], ["a", "bä"])
    assert stream.digest() == report.stream_digest


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_stream(tmp_path / name, rows([3, 5]))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.lengths.npy").read_bytes() == (tmp_path / "b.lengths.npy").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "a.lengths.npy", "b", "b.lengths.npy"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_another_process_digests_meanwhile_and_the_bytes_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    alone = write_stream(tmp_path / "alone", rows([3, 5]))
    monkeypatch.setattr(stream_writer, "_FEWEST_APART", 1)
    with with_jobs(jobs):
        assert write_stream(tmp_path / "beside", rows([3, 5])) == alone
        with pytest.raises(OSError, match="absent"):
            write_stream(tmp_path / "absent" / "beside", rows([3, 5]))
    assert (tmp_path / "alone").read_bytes() == (tmp_path / "beside").read_bytes()


def test_the_digest_tells_boundaries_masks_and_ids_apart(tmp_path: Path) -> None:
    base = rows([3, 5])
    other_mask = rows([3, 5])
    other_mask.mask[1] ^= True
    other_ids = rows([3, 5])
    other_ids.ids[0] = 9
    variants = [base, rows([4, 4]), other_mask, other_ids]
    digests = [write_stream(tmp_path / str(i), tokens).stream_digest for i, tokens in enumerate(variants)]
    assert len(set(digests)) == len(variants)


def test_the_report_counts(tmp_path: Path) -> None:
    counts = RowCounts(read=102, cut=[1, 2, 3, 4], stop_missing=1, merged=2, unsupervised_turns=3)
    counts.drop(7, "too long")
    report = write_stream(tmp_path / "s", rows(list(range(1, 101)), counts))
    assert (report.rows, report.tokens, report.length_p50, report.length_p95, report.length_max) == (
        *(100, 5050, 50, 95, 100),
    )
    assert (report.supervised_tokens, report.supervised_max) == (1684, 34)
    assert report.supervised_share == pytest.approx(1684 / 5050)
    assert report.first_dropped == (DroppedRow(row=7, place="row 7", reason="too long"),)
    assert SplitReport.model_validate_json(report.to_text()) == report


def test_another_file_is_no_stream(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"not arrow")
    with pytest.raises((OSError, ValueError)):
        open_stream(tmp_path / "x")


@pytest.mark.parametrize(
    ("begins", "prompts", "shared"),
    [([[1, 2, 3], [1, 2, 4]], [3, 3], 2), ([[1, 2, 3], [1, 2, 3]], [3, 2], 1), ([[5], [6]], [1, 1], 0), ([], [], 0)],
)
def test_what_all_prompts_begin_with_is_counted(
    tmp_path: Path, begins: list[list[int]], prompts: list[int], shared: int
) -> None:
    base = rows([8] * len(begins))
    ids = base.ids.copy()
    for number, begin in enumerate(begins):
        ids[8 * number : 8 * number + len(begin)] = begin
    tokens = replace(base, ids=ids, prompt_length=np.array(prompts, dtype=np.int32))
    if begins:
        write_stream(tmp_path / "test.arrow", tokens)
        assert open_lengths(tmp_path / "test.arrow").shared == shared
    else:
        assert _shared(tokens) == shared
