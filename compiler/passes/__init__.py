"""The compiler's passes: pure functions from draft to draft, in a visible order."""

from __future__ import annotations

from collections.abc import Callable
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

__all__ = ["CHECKING", "CHOOSING", "SHAPING", "decide", "run_passes"]

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


def run_passes(passes: tuple[Callable[[D], D], ...], draft: D) -> D:
    """Runs passes in order; findings gather in the draft."""
    for step in passes:
        draft = step(draft)
    return draft
