"""The compiler's passes: pure functions from draft to draft, in a visible order."""

from __future__ import annotations

from collections.abc import Callable

from ftc.compiler.draft import Draft
from ftc.compiler.passes.build_steps import build_steps
from ftc.compiler.passes.check_facts import check_facts
from ftc.compiler.passes.choose_determinism import choose_determinism
from ftc.compiler.passes.choose_distillation import choose_distillation
from ftc.compiler.passes.choose_evaluation import choose_evaluation
from ftc.compiler.passes.choose_model import choose_model
from ftc.compiler.passes.choose_packing import choose_packing
from ftc.compiler.passes.choose_sharding import choose_sharding
from ftc.compiler.passes.choose_strategy import choose_strategy
from ftc.compiler.passes.choose_training import choose_training
from ftc.compiler.passes.estimate_cost import estimate_cost
from ftc.compiler.passes.fit_budget import fit_budget
from ftc.compiler.passes.shape_text import shape_text

__all__ = ["PASSES", "SHAPING", "Pass", "run_passes"]

Pass = Callable[[Draft], Draft]

SHAPING: tuple[Pass, ...] = (shape_text,)
"""What must be settled before text can become tokens."""

PASSES: tuple[Pass, ...] = (
    choose_model,
    choose_strategy,
    choose_training,
    choose_sharding,
    choose_distillation,
    choose_evaluation,
    choose_determinism,
    choose_packing,
    fit_budget,
    estimate_cost,
    build_steps,
    check_facts,
)
"""Everything else, once lengths and counts are known."""


def run_passes(passes: tuple[Pass, ...], draft: Draft) -> Draft:
    """Runs passes in order; findings gather in the draft."""
    for step in passes:
        draft = step(draft)
    return draft
