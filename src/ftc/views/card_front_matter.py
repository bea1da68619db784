"""The front matter of a model card: the YAML block that the hub reads.

Texts are quoted and numbers carry a point, so that readers of YAML 1.1 and 1.2 see the same values.
"""

from __future__ import annotations

import json
from typing import Any

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation
from ftc.spec.metrics import metric_named
from ftc.spec.sections.data import HubSource
from ftc.spec.strategies import strategy_card
from ftc.views.headline import metric_title
from ftc.views.tasks import pipeline

__all__ = ["front_matter"]


def front_matter(plan: Plan, evaluation: Evaluation | None, *, is_merged: bool = False) -> str:
    """The block with its fences.

    A base model of a local folder is left out: the hub would take its name for one of its own models.

    Args:
        plan: The run's plan.
        evaluation: The measurement on the test split.
        is_merged: Whether the adapter has become part of the base's weights.
    """
    is_adapter = not strategy_card(plan.settings.strategy).is_whole and not is_merged
    values: dict[str, Any] = {
        "base_model": plan.settings.model.base if plan.settings.model.commit else None,
        "base_model_relation": ("adapter" if is_adapter else "finetune") if plan.settings.model.commit else None,
        "library_name": "transformers" if is_merged else strategy_card(plan.settings.strategy).library,
        "license": plan.lock.model.license,
        "pipeline_tag": pipeline(plan),
        "tags": ["ftc", strategy_card(plan.settings.strategy).tag],
        "datasets": _hub_datasets(plan),
    }
    if evaluation is not None and evaluation.tuned.metrics:
        values["metrics"] = sorted({_hub_metric(name) for name in evaluation.tuned.metrics})
        values["model-index"] = [_index_entry(plan, evaluation)]
    lines = [line for key, value in values.items() if value for line in _lines(key, value, 0)]
    return "\n".join(("---", *lines, "---"))


def _hub_datasets(plan: Plan) -> list[str]:
    data = plan.recipe.data
    rows = data.source if isinstance(data.source, tuple) else (data.source,)
    sources = (*rows, data.split.validation, data.split.test)
    return sorted({source.hub for source in sources if isinstance(source, HubSource)})


def _hub_metric(name: str) -> str:
    metric = metric_named(name)
    return metric.hub if metric else name


def _index_entry(plan: Plan, evaluation: Evaluation) -> dict[str, Any]:
    """The measured values in the form that the hub shows beside a model."""
    data = _hub_datasets(plan)
    metrics = [
        {"type": _hub_metric(name), "name": metric_title(name), "value": value}
        for name, value in evaluation.tuned.metrics.items()
    ]
    result = {
        "task": {"type": pipeline(plan)},
        "dataset": {"type": data[0] if data else "local", "name": data[0] if data else plan.name, "split": "test"},
        "metrics": metrics,
    }
    return {"name": plan.name, "results": [result]}


def _lines(key: str, value: Any, depth: int) -> list[str]:
    """A key with its value as block YAML."""
    blanks = "  " * depth
    match value:
        case dict():
            return [
                f"{blanks}{key}:",
                *(line for name, item in value.items() for line in _lines(name, item, depth + 1)),
            ]
        case list():
            return [f"{blanks}{key}:", *(line for item in value for line in _item(item, depth + 1))]
        case _:
            return [f"{blanks}{key}: {_scalar(value)}"]


def _item(value: Any, depth: int) -> list[str]:
    """One item of a list; a mapping begins on the line of its dash."""
    blanks = "  " * depth
    if not isinstance(value, dict):
        return [f"{blanks}- {_scalar(value)}"]
    first, *others = [line for name, item in value.items() for line in _lines(name, item, depth + 1)]
    return [f"{blanks}- {first.lstrip()}", *others]


def _scalar(value: str | float) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    number = repr(float(value))
    return number if "." in number else number.replace("e", ".0e")
