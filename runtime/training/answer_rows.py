"""Sampled answers as rows to train on: what a run makes of them, and what an audit makes again of those on record."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from ftc.runtime.arrays import ArrayDigest, answer_arrays, translated_arrays
from ftc.runtime.rewards.advantages import token_weights
from ftc.runtime.training.sources import StepRows
from ftc.spec import canonical
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.loss_settings import SamplingSettings
from ftc.spec.documents.sampled import SampledAnswer, WrittenAnswer
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import Lists, TokenStream
from ftc.spec.reinforcement_losses import reinforcement_loss

__all__ = ["answer_order", "answer_rows", "as_bits", "fed_digests", "rows_of_answers"]


def as_bits(advantage: float, weight: float, ratios: Sequence[float] = ()) -> list[int]:
    """What a stream keeps of a sampled answer beside its tokens; `ratios` is the importance of each, if it has any."""
    bits: list[int] = np.array([advantage, weight, *ratios], dtype=np.float32).view(np.int32).tolist()
    return bits


def answer_rows(sampling: SamplingSettings, prompts: TokenStream, answers: Sequence[SampledAnswer]) -> TokenStream:
    """The answers of a step behind their prompts, as rows to train on.

    Args:
        sampling: The plan's.
        prompts: The training split.
        answers: In their order.
    """
    card = reinforcement_loss(sampling.loss)
    weights = token_weights(card, [len(one.ids) for one in answers], sampling.max_new_tokens)
    cap = sampling.importance_cap
    ratios = [() if cap is None or one.own_log_probs is None else one.ratios(cap) for one in answers]
    return rows_of_answers(
        prompts,
        answers,
        [as_bits(one.advantage, weight, own) for one, weight, own in zip(answers, weights, ratios, strict=True)],
    )


def rows_of_answers(
    prompts: TokenStream, answers: Sequence[WrittenAnswer], targets: Sequence[list[int]] = ()
) -> TokenStream:
    """Answers behind the prompts that they were written for, as rows whose targets are the answers' tokens.

    Args:
        prompts: The training split; of a row that has an answer the tokens before it.
        answers: In their order.
        targets: What the stream keeps of each beside its tokens; empty for nothing.
    """
    heads = [prompts.ids(one.prompt)[: prompts.prompt_length(one.prompt)] for one in answers]
    tails = [np.array(one.ids, dtype=np.int32) for one in answers]
    pairs, count = list(zip(heads, tails, strict=True)), len(answers)
    kept = targets or [[]] * count
    return TokenStream(
        all_ids=np.concatenate([part for pair in pairs for part in pair]),
        all_masks=np.concatenate([np.repeat([False, True], [len(head), len(tail)]) for head, tail in pairs]),
        boundaries=np.cumsum([0, *(len(head) + len(tail) for head, tail in pairs)], dtype=np.int64),
        prompt_lengths=np.array([len(head) for head in heads], dtype=np.int32),
        labels=np.full(count, -1, dtype=np.int32),
        rows=np.array([prompts.rows[one.prompt] for one in answers], dtype=np.int64),
        targets=Lists(
            np.array([bit for one in kept for bit in one], dtype=np.int32),
            np.cumsum([0, *map(len, kept)], dtype=np.int64),
        ),
        offsets=Lists(np.zeros(0, dtype=np.int32), np.zeros(count + 1, dtype=np.int64)),
        table=None,
    )


def answer_order(settings: Settings, rows: TokenStream) -> BatchOrder:
    """The one step of such rows."""
    return BatchOrder(rows.lengths, len(rows), 1, 0, most_tokens=settings.train.micro_batch_tokens)


def fed_digests(settings: Settings, prompts: TokenStream, answers: Sequence[WrittenAnswer]) -> dict[int, str] | str:
    """Digest of what each step with written answers was fed, as its event has it, from the answers alone; or why that
    isn't enough.

    Args:
        settings: The plan's.
        prompts: The training split.
        answers: In the order of training, a step's one after the other.
    """
    train, found = settings.train, dict[int, str]()
    if train.sampling is not None and train.sampling.beta:
        return "their batches hold log-probabilities of the base model besides"
    if train.is_divided:
        return "processes that hold parts of a model join in each other's batches"
    for step, group in groupby(answers, key=lambda one: one.step):
        if train.sampling is None:
            rows = rows_of_answers(prompts, list(group))
        else:
            rows = answer_rows(train.sampling, prompts, [one for one in group if isinstance(one, SampledAnswer)])
        fed = StepRows(rows, answer_order(settings, rows), 0)
        each = [_digest(settings, fed, rank) for rank in range(train.world_size)]
        found[step] = each[0] if len(each) == 1 else canonical.digest(each)
    return found


def _digest(settings: Settings, fed: StepRows, rank: int) -> str:
    """Of one process; one that has no row of the step joins in with the first."""
    digest = ArrayDigest()
    for numbers in fed.micro_batches(settings.train.micro_batch, rank, settings.train.world_size) or [fed.numbers[:1]]:
        rows = [int(fed.rows.rows[number]) for number in numbers]
        start, pad = settings.model.decoder_start_id, settings.model.pad_id
        if settings.model.family == "encoder_decoder" and start is not None:
            digest.add_arrays(rows, translated_arrays(fed.rows, numbers, pad, start).items())
        else:
            digest.add_arrays(rows, answer_arrays(fed.rows, numbers, pad).items())
    return digest.hexdigest()
