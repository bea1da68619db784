"""What reward models have to do: each written answer is read once with its prompt, forward alone."""

from __future__ import annotations

import numpy as np

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.sampled_rows import answer_lengths
from ftc.compiler.time.amounts import Amounts, kernel_of
from ftc.compiler.time.network import Network, network_of
from ftc.compiler.time.network_work import forward_work
from ftc.compiler.time.workload import RowShape, evaluation_amounts, lengths_of
from ftc.spec.companions import Role
from ftc.spec.documents.estimates import Work
from ftc.spec.documents.streams import RowLengths
from ftc.spec.precisions import precision_card

__all__ = ["rewarded", "scored"]

_Ranges = tuple[Work, Work, Work]


def rewarded(draft: ClosedDraft, split: str, looks: float) -> _Ranges | None:
    """Answers to a split's prompts that are scored as rewards; None where no reward model does.

    Args:
        draft: With all that decides about a step settled.
        split: Whose prompts.
        looks: How often each prompt is answered.
    """
    sampling = draft.recipe.task.sampling
    if sampling is None or "reward_model" not in draft.frames or split not in draft.frames["reward_model"].tokens:
        return None
    rows = draft.candidate.micro_batch if split == "train" else draft.candidate.eval_batch
    return _ranges(draft, "reward_model", split, answer_lengths(sampling.writing), rows, looks)


def scored(draft: ClosedDraft) -> _Ranges | None:
    """Answers to test rows that the evaluation's reward model scores; None without one."""
    most = draft.eval.max_new_tokens
    if "eval_reward_model" not in draft.frames or most is None:
        return None
    usual = max(1, round(float(np.mean(lengths_of(draft, "test").scored)))) if draft.recipe.task.sampling is None else 1
    looks = 2 if draft.eval.baseline else 1
    lengths = (min(usual, most), most, most)
    return _ranges(draft, "eval_reward_model", "test", lengths, draft.candidate.eval_batch, looks)


def _ranges(
    draft: ClosedDraft, role: Role, split: str, answers: tuple[int, int, int], rows: int, looks: float
) -> _Ranges:
    network, size = _network(draft, role), precision_card(draft.train.precision).products.size
    each = (forward_work(network, _amounts(draft, role, split, one, rows), size).scaled(looks) for one in answers)
    low, usual, high = each
    return low, usual, high


def _network(draft: ClosedDraft, role: Role) -> Network:
    known = draft.reward_models[role]
    model = known.model
    return network_of(
        model,
        beside={},
        trained=(),
        flows_from_start=False,
        trainable=0,
        new_outputs=known.outputs,
        attention=kernel_of(model, draft.device, "sdpa", draft.train.precision, training=False),
    )


def _amounts(draft: ClosedDraft, role: Role, split: str, answer_tokens: int, rows: int) -> Amounts:
    """All rows of a split, each as long as they are on average in the reward model's own tokens."""
    known, frames = draft.reward_models[role], draft.frames[role]
    count = max(1, len(lengths_of(draft, split).tokens))
    length = min(known.max_length, round(frames.tokens[split] / count) + answer_tokens)
    lengths = np.full(count, length, dtype=np.int64)
    return evaluation_amounts(
        RowLengths(lengths, lengths, np.ones_like(lengths), lengths), RowShape("regression", known.model.family), rows
    )
