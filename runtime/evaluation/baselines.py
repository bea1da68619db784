"""Simple baselines on the test rows: what counts of tokens can do, fitted on the training rows in seconds.

They read the tokens that the model reads, cut where its rows are cut, so that they work for any language that the
tokenizer knows. Nothing of the test rows is used but to measure.
"""

from __future__ import annotations

import time

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.evaluation.simple_guesses import METHODS, baseline_metrics, fitted_rows
from ftc.runtime.execution.session import Session
from ftc.runtime.metrics import statistics_of
from ftc.runtime.metrics.statistics import difference, intervals
from ftc.spec.documents.findings import BaselineResult
from ftc.spec.documents.intervals import Gain

__all__ = ["baseline_results"]


def baseline_results(session: Session, tuned: Measurement) -> tuple[BaselineResult, ...]:
    """The plan's simple baselines beside the tuned model; none in processes that write nothing."""
    kinds, train, test = session.plan.settings.eval.simple_baselines, session.stream("train"), session.stream("test")
    if not (kinds and session.is_first and train is not None and test is not None):
        return ()
    folder, settings, task = session.inputs.model_folder, session.plan.settings, session.plan.recipe.task
    known, asked = Measures(settings, train, folder), Measures(settings, test, folder)
    names = baseline_metrics(task, tuned.statistics)
    if not names:
        return ()
    rows = fitted_rows(len(train))
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
