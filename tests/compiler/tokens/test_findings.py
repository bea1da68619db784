"""Each kind of finding is told once, with the count of each split and the places of the first rows."""

from __future__ import annotations

import numpy as np

from ftc.compiler.tokens.findings import Limits, stream_findings
from ftc.compiler.tokens.token_rows import RowCounts, TokenRows
from ftc.spec.diagnostics import Diagnostic, Severity
from tests.support.streams import no_lists

PLACES = {"train": "rows.csv:{}".format, "test": "test.csv:{}".format}
LIMIT, POSITIONS = 16, 64


def split(counts: RowCounts, *, teaches: bool = True) -> TokenRows:
    """A split of one row, with the given counts."""
    return TokenRows(
        ids=np.zeros(2, np.int32),
        mask=np.array([False, teaches]),
        boundaries=np.array([0, 2], np.int64),
        prompt_length=np.ones(1, np.int32),
        label=np.full(1, -1, np.int32),
        row=np.zeros(1, np.int64),
        targets=no_lists(1),
        offsets=no_lists(1),
        texts=[()],
        counts=counts,
    )


def found(train: RowCounts, test: RowCounts, *, teaches: bool = True, refuses_long: bool = False) -> list[Diagnostic]:
    splits = {"train": split(train, teaches=teaches), "test": split(test, teaches=teaches)}
    return stream_findings(splits, PLACES, Limits(LIMIT, POSITIONS, refuses_long))


def test_clean_splits_have_none() -> None:
    assert found(RowCounts(read=8), RowCounts(read=2)) == []


def test_each_warning_is_told_once_with_the_counts_by_split() -> None:
    train = RowCounts(read=80, stop_missing=4, merged=5, unsupervised_turns=6)
    test = RowCounts(read=20, stop_missing=1, unsupervised_turns=2)
    train.drop(7, "the answer is empty")
    warnings = found(train, test)
    warnings.sort(key=lambda one: one.code)
    assert [one.code for one in warnings] == ["FTC337", "FTC338", "FTC340", "FTC341"]
    assert [one.path for one in warnings] == ["model.base", "data.source", "task.prompt", "data.source"]
    assert [one.notes[0] for one in warnings] == [
        "train: 4 of 80 rows, test: 1 of 20 rows",
        "train: 1 of 80 rows",
        "train: 5 of 80 rows",
        "train: 6 turns, test: 2 turns",
    ]
    assert all(one.help for one in warnings)
    assert warnings[1].notes[1:] == ("rows.csv:7: the answer is empty",)
    assert warnings[3].severity is Severity.NOTE


def test_rows_left_out_for_their_length_point_at_the_length() -> None:
    train, test = RowCounts(read=80), RowCounts(read=20)
    test.drop_long(3, 40, "40 tokens, over 16")
    (only,) = found(train, test)
    assert (only.code, only.path) == ("FTC338", "data.max_length")
    assert only.help == ("1 row is longer than 16 tokens; raise `data.max_length` to 40",)
    train.drop(7, "the answer is empty")
    (both,) = found(train, test)
    assert both.summary == "2 of 100 rows are left out"
    assert len(both.help) == 2


def test_long_rows_are_refused_for_all_splits_at_once() -> None:
    train, test = RowCounts(read=80), RowCounts(read=20)
    for row in range(7):
        train.drop_long(row, 40 + row, "")
    test.drop_long(3, 17, "")
    (refused,) = found(train, test, refuses_long=True)
    assert (refused.code, refused.path) == ("FTC342", "data.max_length")
    assert refused.summary.startswith("8 of 100 rows are longer than 16 tokens")
    assert refused.notes[:2] == ("train: 7 of 80 rows, test: 1 of 20 rows", "rows.csv:0: 40 tokens")
    assert len(refused.notes) == 6
    assert "to 46" in refused.help[0]


def test_nothing_to_learn_names_the_splits_and_the_cause() -> None:
    train, test = RowCounts(read=1), RowCounts(read=1)
    train.drop_long(0, 40, "40 tokens, over 16")
    test.drop(5, "the answer is empty")
    (refused,) = found(train, test, teaches=False)
    assert (refused.code, refused.path) == ("FTC330", "data.source")
    assert "2 rows of train and test" in refused.summary
    assert refused.notes == ("rows.csv:0: 40 tokens, over 16", "test.csv:5: the answer is empty")
    long = stream_findings({"train": split(train, teaches=False)}, PLACES, Limits(LIMIT))
    assert (long[0].path, long[0].help) == ("data.max_length", ("raise `data.max_length` to 40",))


def test_rows_longer_than_the_model_reads_are_not_mended_by_the_limit_alone() -> None:
    train = RowCounts(read=80)
    train.drop_long(0, POSITIONS + 1, "65 tokens, over 16")
    (left_out,), (refused,) = found(train, RowCounts(read=20)), found(train, RowCounts(read=20), refuses_long=True)
    assert all("the model reads at most 64 tokens" in one.help[0] for one in (left_out, refused))
    assert all("raise `data.max_length` to at most 64" in one.help[0] for one in (left_out, refused)), (
        "a limit below the model's leaves out rows that the model can read"
    )
    assert left_out.help[0].startswith("1 row is longer than 16 tokens; ")
    (at_most,) = stream_findings({"train": split(train)}, PLACES, Limits(POSITIONS, POSITIONS))
    assert "raise" not in at_most.help[0], "the limit is the model's own"
