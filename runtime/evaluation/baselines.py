"""Simple baselines on the test rows: what counts of tokens can do, fitted on the training rows in seconds.

They read the tokens that the model reads, cut where its rows are cut, so that they work for any language that the
tokenizer knows. Nothing of the test rows is used but to measure.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.execution.session import Session
from ftc.runtime.metrics import statistics_of
from ftc.runtime.metrics.statistics import difference, intervals
from ftc.spec.documents.findings import BaselineResult
from ftc.spec.documents.intervals import Gain
from ftc.spec.metrics import metric_named
from ftc.spec.sections.evaluation import SimpleBaseline, traits_of

__all__ = ["METHODS", "baseline_results"]

_MOST_ROWS = 20_000
"""Training rows that are read; of more, as many at equal distances."""
_MOST_WEIGHTS = 2_000_000
"""Weights of the logistic regression, tokens by classes, of which its solver keeps some twenty copies."""
_MOST_TOKENS = 50_000
_FEWEST_TOKENS = 500
_ROWS_AT_ONCE = 512

Tokens = list[list[int]]
Classes = list[Any]
"""A number, several numbers or a name for each row."""


def baseline_results(session: Session, tuned: Measurement) -> tuple[BaselineResult, ...]:
    """The plan's simple baselines beside the tuned model; none in processes that write nothing."""
    kinds, train, test = session.plan.settings.eval.simple_baselines, session.stream("train"), session.stream("test")
    if not (kinds and session.is_first and train is not None and test is not None):
        return ()
    folder, settings, task = session.inputs.model_folder, session.plan.settings, session.plan.recipe.task
    known, asked = Measures(settings, train, folder), Measures(settings, test, folder)
    # Baselines give classes alone, as a model does that writes them.
    traits = (*traits_of(task), "generative")
    cards = {name: metric_named(name) for name in tuned.statistics}
    names = [name for name, card in cards.items() if card and not card.of_loss and card.serves(task.kind, traits)]
    if not names:
        return ()
    stride = -(-len(train) // _MOST_ROWS)
    rows = range(0, len(train), stride)
    every = known.expected_classes()
    texts, classes = [known.tokens(number) for number in rows], [every[number] for number in rows]
    questions = [asked.tokens(number) for number in range(len(test))]
    found = []
    for kind in kinds:
        words, guess = METHODS[kind]
        started = time.perf_counter()
        decisions = asked.decisions(guess(texts, classes, questions))
        measured = {name: statistics_of(name, decisions) for name in names}
        apart = [difference(measured[name], tuned.statistics[name]) for name in names]
        gains = {
            name: Gain(value=tuned.result.metrics[name] - measured[name].observed, interval=interval)
            for name, interval in zip(names, intervals(apart), strict=True)
        }
        found.append(
            BaselineResult(
                kind=kind,
                method=words,
                rows=len(texts),
                metrics={name: one.observed for name, one in measured.items()},
                gains=gains,
                seconds=time.perf_counter() - started,
            )
        )
    return tuple(found)


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
    known, asked = _weights(texts, questions, _MOST_TOKENS)
    found: Classes = []
    for start in range(0, len(questions), _ROWS_AT_ONCE):
        alike = asked[start : start + _ROWS_AT_ONCE] @ known.T
        found += [classes[int(place)] for place in alike.toarray().argmax(axis=1)]
    return found


def _weights(texts: Tokens, questions: Tokens, most: int) -> tuple[Any, Any]:
    """TF-IDF weights of tokens and token pairs, rows of length 1; what is rare goes first where there are too many."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    limit = max(_FEWEST_TOKENS, min(_MOST_TOKENS, most))
    vectorizer: Any = TfidfVectorizer  # stubs know no function as its analyzer
    counted = vectorizer(analyzer=_tokens_and_pairs, sublinear_tf=True, max_features=limit)
    return counted.fit_transform(texts), counted.transform(questions)


def _tokens_and_pairs(ids: Sequence[int]) -> list[str]:
    singles = [str(one) for one in ids]
    return [*singles, *(f"{one} {other}" for one, other in pairwise(singles))]


METHODS: dict[SimpleBaseline, tuple[str, Callable[[Tokens, Classes, Tokens], Classes]]] = {
    "majority": ("the most frequent label of the training rows", _majority),
    "tfidf": ("logistic regression over TF-IDF weights of tokens and token pairs (scikit-learn, C=10)", _tfidf),
    "nearest": ("the label of the training row with the most similar TF-IDF weights", _nearest),
}
"""Each baseline in words, and how it takes classes for the test rows from the tokens and classes of training rows."""
