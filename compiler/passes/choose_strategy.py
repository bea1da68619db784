"""Which weights are trained, and everything else under `strategy`, as the section of the recipe decides it."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

from ftc.compiler.draft import Draft
from ftc.compiler.strategies.trainable import base_of
from ftc.spec.documents.plan import Origin
from ftc.spec.strategies.card import Reason

__all__ = ["choose_strategy"]


def choose_strategy(draft: Draft) -> Draft:
    """Settles everything under `strategy`, and what is trained by it."""
    base = base_of(draft)
    settled = draft.recipe.strategy.settle(base)
    why = draft.reasons("strategy")
    for path, reason in settled.reasons.items():
        why.found[path] = reduce(getattr, path.split("."), settled.settings), _origin(draft, reason)
    draft = draft.settle("strategy", settled.settings, why)
    draft = replace(draft, settled_trained=settled.settings.trained(base))
    for one in settled.problems:
        draft = draft.find(one.code, one.summary, f"strategy.{one.key}", help=one.help, notes=one.notes or ())
    for words in settled.not_estimated:
        draft = draft.miss(words)
    return draft


def _origin(draft: Draft, reason: Reason) -> Origin:
    if not reason.words:
        return draft.origin_of(f"strategy.{reason.key}")
    end = f": {draft.origin_of(f'strategy.{reason.key}').reason}" if reason.key else ""
    return Origin(kind="derived", reason=f"{reason.words}{end}")
