"""A running server beside the run whose model it should serve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.exported import Parity
from ftc.spec.documents.intervals import Gain, Interval
from ftc.spec.documents.record import GateResult

__all__ = ["FailedRequests", "Latency", "PromptCheck", "ServedAnswers", "ServedModel", "ServedRow", "latency_of"]


@dataclass(frozen=True, slots=True)
class ServedRow:
    """A row as a server is asked it.

    Attributes:
        text: The prompt as the run's template wrote it; None where its tokens don't come out of any text.
        is_exact: Whether its tokens are those that the run asks with. One token can hold the end of a prompt and the
            beginning of the answer; then they are one fewer.
        messages: The conversation whose prompt that is; None where the run has no chat template, or it can't be found.
        first: The token that a server may add to the text by itself; empty for none.
    """

    text: str | None
    is_exact: bool
    messages: tuple[dict[str, Any], ...] | None
    first: str = ""


class PromptCheck(Document):
    """Whether the server makes the run's prompts of conversations."""

    by: Literal["text", "token ids", "token count"]
    """What the server shows of them."""
    rows: int
    same: int
    first_other: str | None = None
    """Name of the first row whose prompt differs."""


class FailedRequests(Document):
    """Requests that gave no answer, for one reason."""

    reason: str
    count: int


class ServedAnswers(Document):
    """The server's answers by the recipe's metrics. A row without an answer counts as an empty one."""

    rows: int
    metrics: dict[str, Real]
    intervals: dict[str, Interval] = Field(default_factory=dict)
    gates: tuple[GateResult, ...]
    unchecked: tuple[str, ...] = ()
    """Gates of figures that a server's answers don't give."""
    cut: int
    """Answers that ended at the most tokens, rather than at the end of the answer."""
    same_answers: int | None = None
    """Those equal to the tuned model's to the letter; None where it was not asked."""
    changes: dict[str, Gain] = Field(default_factory=dict)
    """Server less tuned model on the same rows; empty where it was not asked."""


class Latency(Document):
    """Percentiles of seconds, by nearest rank."""

    p50: Real
    p95: Real
    p99: Real


class ServedModel(Document):
    """What a server was measured to do."""

    schema_: Literal["ftc.served/1"] = Field(default="ftc.served/1", alias="schema")
    run_id: str
    url: str
    model: str
    """What the server calls it."""
    data: str
    """Whose rows were asked: `validation`, `test` or a file's name."""
    rows: int
    """Rows that were to be asked."""
    prompts: PromptCheck | None
    """None where the server shows nothing of its prompts."""
    parity: Parity | None
    """Log-probabilities beside the run's kept reference; None where the server gives none, or the run kept none."""
    answers: ServedAnswers | None
    """None where no request was answered."""
    answered: int
    """Rows with an answer."""
    failed: tuple[FailedRequests, ...]
    at_once: int
    """Requests that were out at the same time."""
    first_token: Latency | None
    """From sending to the first text; None where no answer came in parts."""
    whole: Latency | None
    """From sending to the end of the answer."""
    seconds: Real
    """From the first request to the last answer."""
    tokens: int | None
    """Of all answers, as the server counts them; None where it doesn't."""
    notes: tuple[str, ...] = ()


def latency_of(seconds: Sequence[float]) -> Latency | None:
    """Percentiles of some durations; None of none."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return Latency(
        **{f"p{share}": ordered[max(0, math.ceil(share * len(ordered) / 100) - 1)] for share in (50, 95, 99)}
    )
