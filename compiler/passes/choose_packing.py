"""Whether several rows go through the model as one sequence, and of how many tokens."""

from __future__ import annotations

from ftc.compiler.budget.pace import pace_of
from ftc.compiler.draft import Draft
from ftc.spec.strategy import VIRTUAL_TOKENS

__all__ = ["choose_packing"]

_WORTH_IT = 0.9
"""Part of a padded run's time below which `auto` packs: less than a tenth is more than a roofline can tell."""


def choose_packing(draft: Draft) -> Draft:
    """Settles `train.packing`, `train.batching` and the tokens of a micro-batch."""
    draft = draft.take("train.batching")
    asked = draft.recipe.train.packing
    obstacle = _obstacle(draft)
    if asked == "auto":
        return _packed_or_not(draft) if obstacle is None else _with(draft, obstacle, packs=False)
    draft = draft.take("train.packing")
    if asked and obstacle is not None:
        draft = draft.find("FTC261", f"rows can't be packed: {obstacle}", "train.packing", help="leave `packing` out")
    return _choose_tokens(draft)


def _obstacle(draft: Draft) -> str | None:
    """Why rows of this job can't share a sequence."""
    task: str = draft.recipe.task.kind
    if draft.values["model.head"] != "lm" or task == "preference":
        return f"a {task.replace('_', ' ')} scores whole rows"
    if draft.values["model.family"] != "decoder":
        return f"an {draft.values['model.family'].replace('_', '-')} reads a row as a whole"
    if draft.recipe.strategy.kind in VIRTUAL_TOKENS:
        return "its virtual tokens stand before the first row alone"
    return None


def _packed_or_not(draft: Draft) -> Draft:
    """Whichever is faster by the roofline, for the batches as they will be formed."""
    seconds = pace_of(draft)
    part = seconds(_with(draft, "", packs=True)) / seconds(_with(draft, "", packs=False))
    reason = f"by the roofline packed rows take {part:.0%} of the time of padded ones"
    return _with(draft, reason, packs=part < _WORTH_IT)


def _with(draft: Draft, reason: str, *, packs: bool) -> Draft:
    return _choose_tokens(draft.derive("train.packing", packs, reason))


def _choose_tokens(draft: Draft) -> Draft:
    """A packed sequence has no more tokens than a padded micro-batch, which memory was planned for.

    Where attention computes all pairs of a sequence and masks most of them, a sequence as long as the model is wide
    keeps that under a fifth of the arithmetic.
    """
    asked = draft.recipe.train.micro_batch_tokens
    if not draft.values["train.packing"]:
        return draft.take("train.micro_batch_tokens")
    longest = draft.splits["train"].length_max
    most = draft.values["train.micro_batch"] * longest
    if asked is not None:
        return draft.take("train.micro_batch_tokens")
    if draft.values["model.attention"] == "flash_attention_2":
        return draft.derive("train.micro_batch_tokens", most, "a micro-batch of the longest rows, in one sequence")
    tokens = max(longest, min(most, draft.model.hidden_size))
    return draft.derive("train.micro_batch_tokens", tokens, "attention over longer sequences costs more than padding")
