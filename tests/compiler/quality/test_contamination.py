"""Measured rows that stand in training rows, token by token."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from ftc.compiler.quality import contamination
from ftc.compiler.quality.contamination import with_contamination, with_other_rows
from ftc.compiler.quality.findings import quality_checks
from ftc.compiler.tokens import stream_writer
from ftc.compiler.tokens.stream_writer import write_stream
from ftc.compiler.tokens.token_rows import RowCounts, RowTokens, TokenRows, flatten
from ftc.spec.documents.quality import CheckName, QualityFinding, QualityReport, Sample
from ftc.spec.documents.streams import open_stream

NOTHING = QualityReport(
    rows=0, similarity=None, findings=(), rows_by_kind={}, labels={}, agreement=None, not_checked=()
)


def tokens(*rows: range | list[int], labels: tuple[int, ...] = ()) -> TokenRows:
    found = [
        RowTokens(row=number, ids=array("i", row), supervised=[], prompt_length=0, label=(*labels, *[0] * 99)[number])
        for number, row in enumerate(rows)
    ]
    return flatten(found, RowCounts())


def test_a_token_counts_that_lies_in_a_run_of_ten() -> None:
    train = tokens(range(100, 140), range(500, 530))
    test = tokens(
        range(110, 130),  # whole
        [*range(1, 31), *range(500, 510)],  # a quarter of it
        [*range(100, 109), *range(900, 930)],  # nine in a row are one too few
        [*range(135, 140), *range(500, 505), *range(800, 820)],  # two rows of training make no run
        range(100, 105),  # too short to tell
    )
    (found,) = with_contamination(NOTHING, {"train": train, "test": test}).contamination
    assert (found.split, found.of, found.rows, found.mostly) == ("test", 5, 2, 1)
    assert found.share == 30 / (20 + 40 + 39 + 30 + 5)


def test_what_many_rows_begin_with_tells_nothing() -> None:
    prompt = list(range(50))
    train = tokens(*([*prompt, 1000 + number] for number in range(30)))
    test = tokens(*([*prompt, 2000 + number] for number in range(30)))
    (found,) = with_contamination(NOTHING, {"train": train, "test": test}).contamination
    assert (found.rows, found.mostly, found.share) == (0, 0, 0)


def test_test_rows_that_choose_the_checkpoint_are_counted() -> None:
    validation, test = tokens([1, 2, 3], [4, 5], labels=(0, 1)), tokens([4, 5], [1, 2, 3], [9], labels=(1, 1))
    splits = {"train": tokens([7]), "validation": validation, "test": test}
    assert with_contamination(NOTHING, splits).chosen_by == 1, "another class is another row"
    assert with_contamination(NOTHING, {"train": tokens([7]), "test": test}).chosen_by == 0


def test_test_rows_that_were_trained_on_are_counted_however_short() -> None:
    train, test = tokens([1, 2, 3], [4, 5], labels=(0, 1)), tokens([4, 5], [4, 5], [1, 2, 3], [9], labels=(1, 0, 0, 0))
    assert with_contamination(NOTHING, {"train": train, "test": test}).trained_on == 2
    assert with_contamination(NOTHING, {"train": train}).trained_on == 0


def rendered(*own: list[int]) -> TokenRows:
    """Rows as a chat template writes them, with one of two classes as the answer."""
    opening, closing = list(range(1, 13)), list(range(50, 62))
    found = []
    for number, text in enumerate(own):
        ids = [*opening, *text, *closing, 70 + number % 2, 99]
        found.append(RowTokens(number, array("i", ids), [(len(ids) - 2, len(ids))], len(ids) - 2))
    return flatten(found, RowCounts())


def test_what_a_template_writes_tells_nothing_however_few_the_rows() -> None:
    known, copied = [[200 + 5 * n, 201 + 5 * n, 202] for n in range(12)], [*range(300, 315)]
    measured = rendered(*([600 + 5 * n, 601 + 5 * n, 202] for n in range(19)), copied)
    (found,) = with_contamination(NOTHING, {"train": rendered(*known), "validation": measured}).contamination
    assert (found.of, found.rows, found.mostly, found.share) == (20, 0, 0, 0), "the template is no row's own"
    learned = rendered(*known, copied)
    (found,) = with_contamination(NOTHING, {"train": learned, "validation": measured}).contamination
    assert (found.rows, found.mostly) == (1, 1), "what the row brought stands in a training row, all but its answer"


@pytest.mark.parametrize("has_images", [False, True])
def test_rows_in_several_shards_are_compared_as_in_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_images: bool
) -> None:
    own = [[200 + 5 * n, 201 + 5 * n, 7] for n in range(12)]
    test, train = rendered(*own[:3], *([600 + n, 7, 601] for n in range(9))), rendered(*own, [*range(300, 315)])
    if has_images:  # of each row one, which token 7 stands for, and another one in the second test row
        train = replace(train, images=[(f"{n}",) for n in range(len(train.row))])
        test = replace(test, images=[("another" if n == 1 else f"{n}",) for n in range(len(test.row))])
    write_stream(tmp_path / "one.arrow", train)
    monkeypatch.setattr(stream_writer, "SHARD_BYTES", 5 * 100)
    write_stream(tmp_path / "several.arrow", train)
    one, several = open_stream(tmp_path / "one.arrow"), open_stream(tmp_path / "several.arrow")
    assert len(several.shards) == 5
    found = with_other_rows(NOTHING, test, several, several, 7)
    assert found == with_other_rows(NOTHING, test, one, one, 7)
    assert found.trained_on == found.chosen_by == (2 if has_images else 3)


def test_what_is_said_of_leakage_counts_tokens_too() -> None:
    def said(**changes: object) -> str:
        checks = quality_checks(NOTHING.model_copy(update={"similarity": 0.9, **changes}), 3)
        return next(one.result for one in checks if one.name == CheckName.LEAKAGE)

    none = "duplicates or near duplicates (Jaccard ≥ 0.9) across splits."
    copies = QualityFinding(
        kind="overlap",
        rule="duplicates of train rows",
        split="test",
        rows=2,
        of=9,
        samples=(Sample(place="a", shown="b"),),
    )
    assert said() == f"No leakage: no {none}"
    unknown = "test rows were not searched for training rows, which are no longer in the cache"
    assert said(trained_on=None) == f"no texts are {none[:-1]}; {unknown}"
    assert said(findings=(copies,), trained_on=None) == f"test duplicates of train rows 2; {unknown}"
    chosen = "1 test row has the tokens of validation rows"
    assert said(trained_on=None, chosen_by=1) == f"no texts are {none[:-1]}, {chosen}; {unknown}"
    assert said(trained_on=2) == f"2 test rows have the tokens of training rows, though no texts are {none}"
    both = "2 test rows have the tokens of training rows and 1 test row has the tokens of validation rows"
    assert said(trained_on=2, chosen_by=1) == f"{both}, though no texts are {none}"
    assert said(findings=(copies,), trained_on=2) == "test duplicates of train rows 2"
    more = "test duplicates of train rows 2, 3 test rows have the tokens of training rows"
    assert said(findings=(copies,), trained_on=3) == more


@pytest.mark.parametrize("length", [1, 2, 5, 10, 13])
def test_equal_runs_of_any_length_have_one_digest_and_others_another(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contamination, "_RUN", length)
    train = tokens(range(length), range(100, 120))
    near = [*range(length - 1), 99]
    (found,) = with_contamination(NOTHING, {"train": train, "test": tokens(range(length), near)}).contamination
    assert (found.run, found.rows) == (length, 1)
