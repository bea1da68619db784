"""Simple baselines, held against scikit-learn's own and against answers that are plain."""

from __future__ import annotations

import numpy as np
import pytest

from ftc.runtime.evaluation.simple_guesses import METHODS

TEXTS = [[1, 10, 11, 2], [1, 10, 12, 2], [1, 20, 21, 2], [1, 20, 22, 2], [1, 20, 23, 2]]
QUESTIONS = [[1, 10, 13, 2], [1, 20, 9, 2], [1, 99, 2]]


@pytest.mark.parametrize(
    ("classes", "majority", "known"),
    [
        ([0, 0, 1, 1, 1], 1, [0, 1]),
        (["a", "a", "b", "b", "b"], "b", ["a", "b"]),
        ([(0,), (0,), (1, 2), (1, 2), (1, 2)], (1, 2), [(0,), (1, 2)]),
    ],
)
def test_what_rows_are_taken_for(classes: list[object], majority: object, known: list[object]) -> None:
    guess = {kind: method(TEXTS, classes, QUESTIONS) for kind, (_, method) in METHODS.items()}
    assert guess["majority"] == [majority] * 3
    assert guess["tfidf"][:2] == known
    assert guess["nearest"][:2] == known


def test_equal_counts_have_one_majority() -> None:
    assert METHODS["majority"][1](TEXTS[:4], ["b", "a", "a", "b"], [[1]]) == ["a"]


def test_one_class_needs_no_fit() -> None:
    assert METHODS["tfidf"][1](TEXTS, ["a"] * 5, QUESTIONS) == ["a"] * 3


def test_a_class_of_several_that_every_row_has() -> None:
    classes = [(0, 1), (0,), (0, 1), (0,), (0, 1)]
    with np.errstate(all="raise"):
        assert all(0 in row for row in METHODS["tfidf"][1](TEXTS, classes, QUESTIONS))


def test_the_regression_is_that_of_scikit_learn_on_the_same_words() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    chance = np.random.default_rng(3)
    texts = chance.integers(4, 30, size=(60, 9)).tolist()
    classes = [int(min(row) < 6) + int(max(row) > 27) for row in texts]
    words = [" ".join(map(str, row)) for row in texts]
    counted = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\d+")
    model = LogisticRegression(C=10.0, max_iter=200).fit(counted.fit_transform(words[:40]), classes[:40])
    expected = model.predict(counted.transform(words[40:])).tolist()
    assert METHODS["tfidf"][1](texts[:40], classes[:40], texts[40:]) == expected
