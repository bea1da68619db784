"""What a judge takes whose grades are a reward: a request for each sampled answer, and for each that is evaluated."""

from __future__ import annotations

from collections.abc import Mapping

from ftc.compiler.draft import Draft
from ftc.compiler.sampled_rows import answer_lengths
from ftc.compiler.time.run_time import judge_cost, judge_seconds
from ftc.compiler.time.run_work import evaluations
from ftc.spec.documents.judging import AT_ONCE, JudgeEstimate, TokenRange
from ftc.spec.rewards import judge_of

__all__ = ["reward_judge_estimate"]


def reward_judge_estimate(draft: Draft) -> JudgeEstimate | None:
    """The estimate for all of a draft's run; None where no reward asks anybody.

    An answer that the model writes twice is asked about once, and early stopping ends before the last step. So the
    number of requests is the most, and at the least each prompt of one step and of one evaluation has one answer.
    """
    sampling = draft.recipe.task.sampling
    judge = judge_of(sampling.rewards) if sampling is not None else None
    if sampling is None or judge is None or "train" not in draft.reward_judged:
        return None
    looks = evaluations(draft)
    most = {
        "train": draft.train.batch_size * draft.train.num_steps,
        "validation": _rows(draft, "validation") * looks,
        "test": _rows(draft, "test") * (2 if draft.eval.baseline else 1),
    }
    least = {
        "train": draft.train.batch_size // sampling.group_size,
        "validation": _rows(draft, "validation") if looks else 0,
        "test": _rows(draft, "test"),
    }
    requests, fewest = (sum(asked[split] for split in draft.reward_judged) for asked in (most, least))
    empty, emptiest = _tokens_without_answers(draft, most), _tokens_without_answers(draft, least)
    low, usual, high = answer_lengths(sampling.writing)
    sent = TokenRange(low=emptiest + fewest * low, expected=empty + requests * usual, high=empty + requests * high)
    received = requests * judge.max_tokens
    seconds, method = judge_seconds(requests, draft, judge)
    return JudgeEstimate(
        requests=requests,
        at_once=min(AT_ONCE, requests),
        sent=sent,
        received_high=received,
        method="the base model's tokenizer, because the judge's is unknown",
        seconds=seconds,
        seconds_method=method,
        cost_low=judge_cost(draft, sent.low, fewest),
        cost_high=judge_cost(draft, sent.high, received),
    )


def _tokens_without_answers(draft: Draft, asked: Mapping[str, int]) -> int:
    """Tokens of so many requests of each split, but for the answers that they hold."""
    judged = draft.reward_judged.items()
    return sum(round(asked[split] * counted.empty / max(1, _rows(draft, split))) for split, counted in judged)


def _rows(draft: Draft, split: str) -> int:
    return draft.splits[split].rows if split in draft.splits else 0
