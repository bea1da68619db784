"""How the result is measured."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect, Real

__all__ = ["METRICS", "Eval", "Gate", "MetricKind", "parse_gate"]

_GATE = re.compile(r"\s*(>=|<=|>|<)\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*")


@dataclass(frozen=True, slots=True)
class MetricKind:
    """What is known of a metric before anything is measured."""

    tasks: tuple[str, ...]
    """Kinds of task that it is for."""
    higher_is_better: bool
    generates: bool
    """Whether the model has to write answers for it, which takes far longer than scoring."""
    title: str
    """Name for people."""
    least: float
    """No result lies below."""
    most: float
    """No result lies above."""


def _kind(
    title: str, *tasks: str, higher: bool = True, generates: bool = False, least: float = 0.0, most: float = math.inf
) -> MetricKind:
    return MetricKind(tasks=tasks, higher_is_better=higher, generates=generates, title=title, least=least, most=most)


METRICS: dict[str, MetricKind] = {
    "accuracy": _kind("accuracy", "classification", most=1),
    "macro_f1": _kind("macro F1", "classification", most=1),
    "weighted_f1": _kind("weighted F1", "classification", most=1),
    "mcc": _kind("Matthews correlation", "classification", least=-1, most=1),
    "loss": _kind("loss", "classification", "generation", "chat", higher=False),
    "perplexity": _kind("perplexity", "generation", "chat", higher=False, least=1),
    "exact_match": _kind("exact match", "generation", generates=True, most=1),
    "rouge_l": _kind("ROUGE-L", "generation", generates=True, most=1),
    "bleu": _kind("BLEU", "generation", generates=True, most=100),
    "chrf": _kind("chrF", "generation", generates=True, most=100),
    "valid_json": _kind("valid JSON", "generation", generates=True, most=1),
}
"""Every metric by the name that recipes use."""


class Gate(Document):
    """A bound that a metric must keep."""

    comparison: Literal[">=", "<=", ">", "<"]
    bound: Real

    def holds(self, value: float) -> bool:
        """Whether a measured value keeps the bound."""
        match self.comparison:
            case ">=":
                return value >= self.bound
            case "<=":
                return value <= self.bound
            case ">":
                return value > self.bound
            case "<":
                return value < self.bound


def parse_gate(text: str) -> Gate | None:
    """The gate in a text such as `>= 0.95`, or None if it is none."""
    match = _GATE.fullmatch(text)
    return Gate.model_construct(comparison=match[1], bound=float(match[2])) if match else None


class Eval(Document):
    """How the tuned model is measured, on the test split, at the very end."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    metrics: Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)] = "auto"
    """Names of metrics. Default `auto`: accuracy and macro F1 for a classification, exact match and ROUGE-L for a
    generation, perplexity for a chat."""
    baseline: bool = True
    """Whether the untouched base model is measured too, by the same code. Default: yes; without it no gain is known."""
    gates: dict[str, str] = Field(default_factory=dict)
    """Bounds by metric, such as `{macro_f1: ">= 0.95"}`; a broken one makes `apply` exit with 7. Default: none,
    since what is good enough depends on the use."""
    max_new_tokens: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Longest answer that is generated, in tokens. Default `auto`: the longest answer of the training rows plus a
    quarter."""
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Rows that are evaluated at once. Default `auto`: what fits the budget, up to 32."""
    samples: int = Field(default=8, ge=0, le=1000)
    """Predictions that the report shows. Default: 8, which fit on a screen."""
