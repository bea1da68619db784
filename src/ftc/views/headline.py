"""The one result of an evaluation that stands for all, in a few words."""

from __future__ import annotations

from ftc.spec.documents.record import Evaluation
from ftc.spec.metrics import METRICS, metric_named
from ftc.views import numbers
from ftc.views.cells import escaped

__all__ = ["headline", "main_metric", "metric_title"]

_FIRST = tuple(metric.name for metric in sorted(METRICS, key=lambda one: one.headline or 0) if metric.headline)
"""Metrics that tell most about a task, in the order in which one is looked for."""


def headline(evaluation: Evaluation | None) -> str:
    """Such as `macro F1 0.941, gate passed`; empty where nothing was measured."""
    if evaluation is None or not evaluation.tuned.metrics:
        return ""
    metrics, name = evaluation.tuned.metrics, main_metric(evaluation)
    failed = sum(not gate.passed for gate in evaluation.gates)
    words = {0: "gate passed"} if len(evaluation.gates) == 1 else {0: "gates passed"}
    verdict = words.get(failed, f"{numbers.plural(failed, 'gate')} failed") if evaluation.gates else ""
    return ", ".join(filter(None, (f"{metric_title(name)} {numbers.metric(metrics[name])}", verdict)))


def main_metric(evaluation: Evaluation) -> str:
    """The metric that a gate asks for, else the one that tells most about the task. There has to be one."""
    metrics = evaluation.tuned.metrics
    gated = [gate.metric for gate in evaluation.gates]
    return next(name for name in (*gated, *_FIRST, *metrics) if name in metrics)


def metric_title(name: str) -> str:
    """What people call a metric."""
    kind = metric_named(name)
    return escaped(kind.title if kind else name)
