"""The compiler's passes: pure functions from draft to draft, in a visible order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.passes.check_facts import check_facts
from ftc.compiler.passes.choose_evaluation import build_steps, choose_evaluation
from ftc.compiler.passes.choose_model import choose_model, choose_strategy
from ftc.compiler.passes.choose_teacher import choose_distillation
from ftc.compiler.passes.choose_training import choose_determinism, choose_training
from ftc.compiler.passes.estimate_cost import estimate_cost
from ftc.compiler.passes.fit_budget import fit_budget
from ftc.compiler.passes.shape_text import shape_text
from ftc.compiler.search.search import CandidateCache
from ftc.spec.documents.memory_trace import TraceAnswer, TraceJob

__all__ = ["CHECKING", "CHOOSING", "SHAPING", "decide", "decide_by_trace", "run_passes"]

D = TypeVar("D", bound=Draft)

SHAPING: tuple[Callable[[Draft], Draft], ...] = (shape_text,)
"""What must be settled before text can become tokens."""

CHOOSING: tuple[Callable[[Draft], Draft], ...] = (
    choose_model,
    choose_strategy,
    choose_training,
    choose_distillation,
    choose_evaluation,
    choose_determinism,
)
"""What is settled once lengths and counts are known, whatever the solver chooses; `fit_budget` closes the rest."""

CHECKING: tuple[Callable[[ClosedDraft], ClosedDraft], ...] = (
    estimate_cost,
    build_steps,
    check_facts,
)
"""What follows from settings in which nothing is open."""


def decide(draft: Draft) -> ClosedDraft:
    """Settles all but the text, once it is tokens."""
    return run_passes(CHECKING, fit_budget(run_passes(CHOOSING, draft)))


def decide_by_trace(draft: Draft, ask: Callable[[Iterable[TraceJob]], Mapping[str, TraceAnswer]]) -> ClosedDraft:
    """The same, where memory is what a trace says: the solver asks until it has no question left.

    What doesn't depend on the answers is computed once.

    Args:
        draft: Facts, and the text's settings.
        ask: Answers jobs of the memory trace, by their keys.
    """
    draft, cache = run_passes(CHOOSING, replace(draft, traces={})), CandidateCache()
    while (fitted := fit_budget(draft, cache)).questions:
        draft = replace(draft, traces={**(draft.traces or {}), **ask(fitted.questions)})
    return run_passes(CHECKING, fitted)


def run_passes(passes: tuple[Callable[[D], D], ...], draft: D) -> D:
    """Runs passes in order; findings gather in the draft."""
    for step in passes:
        draft = step(draft)
    return draft
