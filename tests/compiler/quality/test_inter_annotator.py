"""Figures that were computed by hand, and what can't be computed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ftc.compiler.quality.report import agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha


def rows_of(table: Sequence[Sequence[int]]) -> list[list[str]]:
    """Rows of labels from counts by label."""
    return [[str(label) for label, count in enumerate(row) for _ in range(count)] for row in table]


def test_cohen_by_hand() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed 35/50 = 0.7; chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(pairs) == pytest.approx((0.7 - 0.5) / (1 - 0.5), abs=1e-12)


def test_fleiss_by_hand() -> None:
    # Three rows, three judges: (3,0), (2,1), (0,3). Row agreement 1, 1/3, 1: mean 7/9. Shares 5/9, 4/9: chance 41/81.
    rows = rows_of([(3, 0), (2, 1), (0, 3)])
    assert fleiss_kappa(rows) == pytest.approx((7 / 9 - 41 / 81) / (1 - 41 / 81), abs=1e-12)


def test_krippendorff_by_hand() -> None:
    # Rows aa, ab, bbb and a lone b: values a 3, b 4, n = 7. Disagreeing pairs 2 of the row ab, weight 1: observed 2.
    # Expected 2 * 3 * 4 = 24 over n - 1 = 6, so 4. Alpha = 1 - 2 / 4.
    assert krippendorff_alpha([["a", "a"], ["a", "b"], ["b", "b", "b"], ["b"]]) == pytest.approx(0.5, abs=1e-12)


def test_published_examples() -> None:
    # Fleiss 1971's form, ten subjects by fourteen raters in five categories: kappa 0.210 in print.
    table = [
        (0, 0, 0, 0, 14),
        (0, 2, 6, 4, 2),
        (0, 0, 3, 5, 6),
        (0, 3, 9, 2, 0),
        (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0),
        (3, 2, 6, 3, 0),
        (2, 5, 3, 2, 2),
        (6, 5, 2, 1, 0),
        (0, 2, 2, 3, 7),
    ]
    assert fleiss_kappa(rows_of(table)) == pytest.approx(0.210, abs=5e-4)
    # Krippendorff 2011, three coders with gaps, nominal: 0.691 in print.
    coders = ["*****34121133*3", "1*213343*******", "**21344*21133*4"]
    rows = [[label for label in column if label != "*"] for column in zip(*coders, strict=True)]
    assert krippendorff_alpha(rows) == pytest.approx(0.691, abs=5e-4)


def test_chance_and_certainty() -> None:
    assert cohen_kappa([("a", "b"), ("b", "a")]) == pytest.approx(-1)
    assert cohen_kappa([("a", "a"), ("b", "b")]) == 1
    assert fleiss_kappa(rows_of([(4, 0), (0, 4)])) == 1
    assert krippendorff_alpha(rows_of([(4, 0), (0, 4)])) == 1


@pytest.mark.parametrize("rows", [[], [["a"], ["b"]], [["a", "a"], ["a", "a"]]])
def test_what_chance_explains_whole_has_no_figure(rows: list[list[str]]) -> None:
    assert krippendorff_alpha(rows) is None
    assert fleiss_kappa(rows) is None
    assert cohen_kappa([(row[0], row[-1]) for row in rows if row[0] == row[-1] == "a"]) is None


def test_several_annotators_with_gaps() -> None:
    found = agreement(("ann", "bob", "eve"), (["a", "b", "a", None], ["a", "b", "b", "a"], ["a", None, "a", None]))
    assert (found.rows, found.complete_rows) == (3, 2)
    assert [(pair.columns, pair.rows) for pair in found.pairs] == [
        (("ann", "bob"), 3),
        (("ann", "eve"), 2),
        (("bob", "eve"), 2),
    ]
    assert found.pairs[1].cohen is None, "both say `a` to both rows"
