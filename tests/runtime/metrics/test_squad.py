"""SQuAD's own rules: what counts as the same answer, and how much two answers have in common."""

from __future__ import annotations

import pytest

from ftc.runtime.metrics.texts import answer_f1, is_exact, normalized


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The Cat!", "cat"),
        ("a  an the", ""),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),
        ("well-known", "wellknown"),
        (" An apple a day ", "apple day"),
    ],
)
def test_what_is_compared(answer: str, expected: str) -> None:
    assert normalized(answer) == expected


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("the cat", ["Cat"], True, 1.0),
        ("cat sat", ["cat"], False, 2 / 3),
        ("cat", ["dog", "the cat sat"], False, 2 / 3),
        ("", [], True, 1.0),
        ("cat", [], False, 0.0),
        ("", ["cat"], False, 0.0),
        ("", ["the"], True, 1.0),
        ("a b b", ["b b c"], False, 2 * (1.0 * 2 / 3) / (1.0 + 2 / 3)),
    ],
)
def test_answers(answer: str, right: list[str], exact: bool, f1: float) -> None:
    assert is_exact(answer, right) is exact
    assert answer_f1(answer, right) == pytest.approx(f1)
