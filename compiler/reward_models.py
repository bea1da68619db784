"""Reward models that score a run's written answers: what the plan says of them, and how long the rows are they read."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.spec.companions import Role
from ftc.spec.documents.companion_settings import RewardModelSettings

__all__ = ["longest_scored", "reward_model_settings"]


def reward_model_settings(draft: Draft, role: Role) -> RewardModelSettings | None:
    """The settings of a role's reward model; None where the recipe asks for none.

    Args:
        draft: With its rows.
        role: One of those that name a reward model.
    """
    known, frames = draft.reward_models.get(role), draft.frames.get(role)
    if known is None or frames is None:
        return None
    return RewardModelSettings.of(
        known.model,
        run=known.run,
        mean=known.mean,
        spread=known.spread,
        steps=known.steps,
        max_length=known.max_length,
        frames_sha256=frames.sha256,
    )


def longest_scored(draft: Draft, role: Role, answer_tokens: int) -> int:
    """Tokens of the longest row that a reward model reads; an answer's are taken as the trained model counts them."""
    frames, known = draft.frames[role], draft.reward_models[role]
    return min(known.max_length, frames.longest + answer_tokens)
