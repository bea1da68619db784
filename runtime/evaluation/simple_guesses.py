"""Classes for test rows by methods that cost nothing: the most frequent one, and what counts of tokens give."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ftc.runtime.evaluation.tfidf import MOST_FEATURES, vectorizer
from ftc.spec.metrics import metric_named
from ftc.spec.sections.evaluation import SimpleBaseline, traits_of
from ftc.spec.tasks import Task

__all__ = ["METHODS", "baseline_metrics", "fitted_rows"]

_MOST_ROWS = 20_000
"""Training rows that baselines are fitted on."""
_MOST_WEIGHTS = 2_000_000
"""Weights of the logistic regression, tokens by classes, of which its solver keeps some twenty copies."""
_FEWEST_FEATURES = 500
_ROWS_AT_ONCE = 512

Tokens = list[list[int]]
Classes = list[Any]
"""A number, several numbers or a name for each row."""


def baseline_metrics(task: Task, names: Iterable[str]) -> list[str]:
    """Those of the metrics that classes alone have: baselines give no more, as a model does that writes them."""
    traits = (*traits_of(task), "generative")
    cards = {name: metric_named(name) for name in names}
    return [name for name, card in cards.items() if card and not card.of_loss and card.serves(task.kind, traits)]


def fitted_rows(count: int) -> range:
    """The training rows that baselines are fitted on: all, or of many 20,000 at equal distances."""
    return range(0, count, max(1, -(-count // _MOST_ROWS)))


def _majority(texts: Tokens, classes: Classes, questions: Tokens) -> Classes:  # noqa: ARG001 - all have one form
    """The most frequent answer; of several the first in order."""
    counts = Counter(classes)
    return [min(counts, key=lambda one: (-counts[one], one))] * len(questions)


def _tfidf(texts: Tokens, classes: Classes, questions: Tokens) -> Classes:
    """scikit-learn's logistic regression; one against the rest where a row has several classes.

    C is 10, since at the usual 1 few rows are fitted so loosely that a baseline would be too easily beaten.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import MultiLabelBinarizer

    if len(set(classes)) == 1:
        return classes[:1] * len(questions)
    several = isinstance(classes[0], tuple)
    distinct = {one for row in classes for one in row} if several else set(classes)
    known, asked = _weights(texts, questions, _MOST_WEIGHTS // max(1, len(distinct)))
    model: Any = LogisticRegression(C=10.0, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a solver that stops at its last step is a baseline all the same
        if not several:
            guessed: Classes = model.fit(known, classes).predict(asked).tolist()
            return guessed
        binary: Any = MultiLabelBinarizer()
        flags = binary.fit_transform(classes)
        found = OneVsRestClassifier(model).fit(known, flags).predict(asked)
        return [tuple(int(one) for one in row) for row in binary.inverse_transform(found)]


def _nearest(texts: Tokens, classes: Classes, questions: Tokens) -> Classes:
    """The class of the training row with the highest cosine, of equals the first one's."""
    known, asked = _weights(texts, questions, MOST_FEATURES)
    found: Classes = []
    for start in range(0, len(questions), _ROWS_AT_ONCE):
        alike = asked[start : start + _ROWS_AT_ONCE] @ known.T
        found += [classes[int(place)] for place in alike.toarray().argmax(axis=1)]
    return found


def _weights(texts: Tokens, questions: Tokens, most: int) -> tuple[Any, Any]:
    """TF-IDF weights of the training rows, and of the test rows by the same features."""
    counted = vectorizer(max(_FEWEST_FEATURES, min(MOST_FEATURES, most)))
    return counted.fit_transform(texts), counted.transform(questions)


METHODS: dict[SimpleBaseline, tuple[str, Callable[[Tokens, Classes, Tokens], Classes]]] = {
    "majority": ("the most frequent label of the training rows", _majority),
    "tfidf": ("logistic regression over TF-IDF weights of tokens and token pairs (scikit-learn, C=10)", _tfidf),
    "nearest": ("the label of the training row with the most similar TF-IDF weights", _nearest),
}
"""Each baseline in words, and how it takes classes for the test rows from the tokens and classes of training rows."""
