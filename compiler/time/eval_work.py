"""What looks at rows have to do: scores of validation and test rows, answers that are written, references, grades.

Who is looked at decides: an adapter stands beside its layers in training, is folded into them for the test where that
loses nothing, and is switched off for the base. Of prompts that begin alike the common part goes through once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple

import numpy as np

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.sampled_rows import answer_lengths, with_answers
from ftc.compiler.time.amounts import Amounts, cost, kernel_of
from ftc.compiler.time.answers import answer_amounts, own_answers, prompts_amounts
from ftc.compiler.time.image_work import image_work
from ftc.compiler.time.network import Network, network_of
from ftc.compiler.time.network_work import forward_work
from ftc.compiler.time.operator_costs import bytes_and_kernels, flop_rates
from ftc.compiler.time.workload import (
    RowShape,
    activation_bytes,
    draft_network,
    evaluation_amounts,
    lengths_of,
    row_shape,
    teacher_network,
    trained_lengths,
)
from ftc.spec.batches import LEAST_COMPILED_STEPS, LEAST_SHARED
from ftc.spec.documents.attributions import LONGEST_ROW, PATH_POINTS
from ftc.spec.documents.data_drift import MOST_ROWS, has_own_form, keeps_answers
from ftc.spec.documents.estimates import Phase, Work
from ftc.spec.documents.prompted import prompted_apart
from ftc.spec.documents.streams import RowLengths
from ftc.spec.heads import head_card
from ftc.spec.precisions import precision_card
from ftc.spec.rotations import BY_LENGTH, rotation_kinds, rotation_of
from ftc.spec.strategies import strategy_card
from ftc.spec.writing import Writing

__all__ = ["answers_expected", "grading", "prompts", "references", "sampled", "tests", "validation"]

_FP32 = 4
_NOTHING = Work(flops=0.0, bytes=0.0, operations=0.0)

_Ranges = tuple[Work, Work, Work]


@dataclass(frozen=True, slots=True)
class _Subject:
    """A model that is looked at.

    Attributes:
        network: Its layers, with what stands beside them.
        form: What becomes of a row.
    """

    network: Network
    form: RowShape


def validation(draft: ClosedDraft) -> _Ranges:
    """One look at validation, by the model in training: scores of its rows, or answers where these are rewarded."""
    subject = _in_training(draft)
    if (sampling := draft.recipe.task.sampling) is None:
        scored = _look(draft, subject, "validation")
        return scored, scored, scored
    return _written(draft, sampling.writing, subject, lengths_of(draft, "validation"), draft.candidate.eval_batch)


def sampled(draft: ClosedDraft) -> _Ranges:
    """All answers that are written for training, but for a server's work; with a divergence from the base model that
    reads each of them once.
    """
    sampling, writing, train = draft.recipe.task.sampling, draft.recipe.writing, draft.train
    assert writing is not None, "the caller looked"
    answered = with_answers(replace(writing, share=1.0), lengths_of(draft, "train"), answer_lengths(writing)[1])
    batch = min(draft.candidate.eval_batch, -(-train.batch_size // draft.candidate.layer_groups))
    subject, teacher = _in_training(draft), teacher_network(draft)
    if teacher is not None and writing.by == "teacher":
        subject = replace(subject, network=teacher)
    written = _written(draft, writing, subject, answered, batch) if writing.here else (_NOTHING,) * 3
    readers = [_base(draft)] if sampling is not None and sampling.beta else []
    if not writing.here:  # whose probabilities are computed here again
        readers.append(subject)
    for reader in readers:
        rows = (trained_lengths(draft, tokens) for tokens in answer_lengths(writing))
        read = [evaluation_amounts(one, reader.form, draft.candidate.micro_batch) for one in rows]
        again = [forward_work(reader.network, one, activation_bytes(draft)) for one in read]
        written = (written[0].plus(again[0]), written[1].plus(again[1]), written[2].plus(again[2]))
    epochs = writing.count(train.num_steps) * train.batch_size / max(1, len(answered.tokens))
    low, usual, high = (one.scaled(epochs) for one in written)
    return low, usual, high


def _written(draft: ClosedDraft, writing: Writing, subject: _Subject, lengths: RowLengths, batch: int) -> _Ranges:
    """Answers to prompts, as short, as long as expected, and as long as they may be."""
    ranks, size = draft.candidate.layer_groups, activation_bytes(draft)
    read = forward_work(subject.network, prompts_amounts(lengths, subject.form, batch, ranks), size)
    answers = (
        answer_amounts(lengths, subject.form, batch, tokens, writing.max_new_tokens, ranks)
        for tokens in answer_lengths(writing)
    )
    low, usual, high = (read.plus(forward_work(subject.network, one, size)) for one in answers)
    return low, usual, high


def references(draft: ClosedDraft) -> Work:
    """What the untrained model gives the pairs of all splits."""
    return reduce(Work.plus, (_look(draft, _base(draft), split) for split in draft.splits))


def tests(draft: ClosedDraft) -> dict[Phase, _Ranges]:
    """The test split and what is measured beside it, by phase: rows that are scored, and answers that are written."""
    subjects = _subjects(draft)
    looks = [_NOTHING]
    if draft.recipe.task.sampling is None:  # answers that are rewarded are all that is measured
        looks += [_look(draft, subject, "test") for subject in subjects]
        looks.append(_attributed(draft, subjects[0]))
    looks += _kept(draft, subjects[0])
    if "retention" in draft.lengths:  # general text, token by token, whatever the task
        plain = [replace(one, form=replace(one.form, head="lm", is_pair=False)) for one in subjects]
        looks += [_look(draft, subject, "retention") for subject in plain]
    writes = draft.eval.max_new_tokens is not None
    if "swaps" in draft.lengths and not writes:
        looks.append(_look(draft, subjects[0], "swaps"))
    looks += [_look(draft, _base(draft), name) for name in prompted_apart(draft.measured.baselines)]
    found: dict[Phase, _Ranges] = {"evaluate": (scored := reduce(Work.plus, looks), scored, scored)}
    if writes:
        read = prompts(draft)
        low, usual, high = (read.plus(one) for one in _all_answers(draft, subjects))
        found["generate"] = (low, usual, high)
    return found


def _attributed(draft: ClosedDraft, tuned: _Subject) -> Work:
    """Why the tuned model chose, for the rows that a report shows: passes forward and back to the token embeddings.

    Which rows have the highest loss isn't known, so those that stand for all are as long as the split's rows are.
    """
    if not head_card(tuned.form.head).has_confidence or draft.candidate.is_divided:
        return _NOTHING
    lengths = lengths_of(draft, "test")
    usable = np.flatnonzero(lengths.tokens <= LONGEST_ROW)
    count = min(2 * draft.eval.samples, len(usable))
    if count == 0:
        return _NOTHING
    by_length = usable[np.argsort(lengths.tokens[usable], kind="stable")]
    chosen = by_length[np.linspace(0, len(usable) - 1, count).round().astype(np.int64)].repeat(PATH_POINTS)
    form = replace(tuned.form, on_processor=False)  # points of a row go through together, whatever the device
    amounts = evaluation_amounts(lengths.take(chosen), form, min(PATH_POINTS, draft.candidate.micro_batch))
    frozen = tuple(replace(one, trained=False) for one in tuned.network.linears)
    network = replace(
        tuned.network, linears=frozen, is_full=False, trains_head=False, trainable=0, flows_from_start=True
    )
    flops = flop_rates(network, checkpointing=False)
    traffic = bytes_and_kernels(network, activation_bytes(draft), checkpointing=False)
    return Work(
        flops=cost(flops.step, amounts),
        bytes=cost(traffic.forward + traffic.backward, amounts),
        operations=amounts.passes * (traffic.forward_operations + traffic.backward_operations),
    )


def _kept(draft: ClosedDraft, tuned: _Subject) -> list[Work]:
    """What the tuned model makes of validation rows, for `ftc drift`: their states row by row, and its answers."""
    if "validation" not in draft.splits or draft.candidate.is_divided:
        return []
    rows, head = lengths_of(draft, "validation").sample(MOST_ROWS), tuned.form.head
    each = []
    if head_card(head).writes and not has_own_form(draft.text.form, head):
        each.append(prompts_amounts(rows, tuned.form, 1, 1))
    elif "vectors" not in head_card(head).figures:
        each.append(evaluation_amounts(rows, tuned.form, 1))
    if keeps_answers(draft.text.form, head):
        each.append(evaluation_amounts(rows, tuned.form, draft.candidate.eval_batch))
    return [
        forward_work(tuned.network, one, activation_bytes(draft)).plus(
            image_work(draft, "validation", rows=len(rows.tokens), passes=one.passes, training=False)
        )
        for one in each
    ]


def prompts(draft: ClosedDraft) -> Work:
    """What `generate` has to do before anything is written: prompts are read at once, and not token by token."""
    read = [_prompts(draft, subject, "test") for subject in _subjects(draft)]
    if "swaps" in draft.lengths:  # exchanged rows are answered by the tuned model alone
        read.append(_prompts(draft, _tuned(draft), "swaps"))
    read += [_prompts(draft, _base(draft), name) for name in prompted_apart(draft.measured.baselines)]
    return reduce(Work.plus, read)


def _prompts(draft: ClosedDraft, subject: _Subject, rows: str) -> Work:
    lengths, batch, ranks = lengths_of(draft, rows), draft.candidate.eval_batch, draft.candidate.layer_groups
    amounts = prompts_amounts(lengths, subject.form, batch, ranks, known=_shared(draft, subject, lengths.shared))
    images = image_work(draft, rows, rows=len(lengths.tokens) / ranks, passes=amounts.passes, training=False)
    return forward_work(subject.network, amounts, activation_bytes(draft)).plus(images)


def _subjects(draft: ClosedDraft) -> list[_Subject]:
    """The tuned model, and the base where it is compared."""
    return [_tuned(draft), *([_base(draft)] if draft.eval.baseline else [])]


def _all_answers(draft: ClosedDraft, subjects: list[_Subject]) -> _Ranges:
    """Answers end by themselves, or are cut off where a model doesn't stop; see `answers_expected`."""
    each = [_answers(draft, subject, "test") for subject in subjects]
    each += [_answers(draft, _base(draft), name) for name in prompted_apart(draft.measured.baselines)]
    swaps = [_answers(draft, subjects[0], "swaps")] if "swaps" in draft.lengths else []
    low = reduce(Work.plus, (one.low for one in (*each, *swaps)))
    usual = reduce(Work.plus, (each[0].usual, *(one.high for one in each[1:]), *(one.usual for one in swaps)))
    return low, usual, reduce(Work.plus, (one.high for one in (*each, *swaps)))


def answers_expected(draft: ClosedDraft) -> str:
    """How long written answers are expected to be, in words; empty where rows have none to go by.

    A tuned model answers as the rows do; an untuned one often doesn't stop.
    """
    if draft.recipe.task.sampling is not None:
        return ""
    base = f", the base's of {draft.eval.max_new_tokens} tokens" if draft.eval.baseline else ""
    return f"answers as long as the rows' own{base}"


class _Answers(NamedTuple):
    """Work for one model's answers.

    Attributes:
        low: As long as the right ones, where rows leave their batch as they end if they ever may.
        usual: The same, where they stay if steps may be compiled.
        high: All cut off.
    """

    low: Work
    usual: Work
    high: Work


def _answers(draft: ClosedDraft, subject: _Subject, rows: str) -> _Answers:
    lengths, most, sampling = lengths_of(draft, rows), draft.eval.max_new_tokens, draft.recipe.task.sampling
    assert most is not None, "answers are written"
    batch, ranks = draft.candidate.eval_batch, draft.candidate.layer_groups
    least = None if sampling is None else answer_lengths(sampling.writing)[0]  # rows without answers tell no length
    may_leave = _may_leave(draft, subject)
    leaves = may_leave and not _may_compile(draft, len(lengths.tokens))
    amounts = (
        answer_amounts(lengths, subject.form, batch, tokens, most, ranks, leaves=is_left)
        for tokens, is_left in ((least, may_leave), (least, leaves), (most, leaves))
    )
    return _Answers(*(forward_work(subject.network, one, activation_bytes(draft)) for one in amounts))


def _shared(draft: ClosedDraft, subject: _Subject, tokens: int) -> int:
    """Tokens of all prompts that go through once; 0 where the run doesn't take them apart."""
    takes_apart = _keeps_by_row(draft, subject) and draft.model.kind.counts_padding is False
    return tokens if takes_apart and tokens >= LEAST_SHARED else 0


def _may_leave(draft: ClosedDraft, subject: _Subject) -> bool:
    """Whether a row may leave its batch as its answer ends, as `rows_may_leave` of the runtime's `generate` has it."""
    config = draft.model.config
    rotations = rotation_kinds(rotation_of(config))
    return (
        _keeps_by_row(draft, subject)
        and bool(draft.loaded.stop_ids)
        and draft.model.kind.reads_padding is False
        and rotations.isdisjoint(BY_LENGTH)
    )


def _may_compile(draft: ClosedDraft, rows: int) -> bool:
    """Whether a card may write with a compiled cache of fixed size, which no row leaves: so many steps win it back.

    Each process compiles for its own share of the rows.
    """
    mine = -(-rows // draft.candidate.layer_groups)
    steps = -(-mine // draft.candidate.eval_batch) * (draft.eval.max_new_tokens or 0)
    is_plain = draft.strategy.traits.quantized is None and draft.model.packed is None
    return draft.device.kind == "cuda" and is_plain and steps >= LEAST_COMPILED_STEPS


def _keeps_by_row(draft: ClosedDraft, subject: _Subject) -> bool:
    """Whether the model keeps all keys and values, and those of a row by themselves; see `generate` of the runtime."""
    return (
        draft.model.family == "decoder"
        and not subject.form.virtual
        and draft.strategy.traits.num_virtual == 0
        and not draft.candidate.is_divided
        and draft.loaded.vision is None
        and draft.candidate.attention in ("eager", "sdpa")
        and not subject.network.near_layers
    )


def grading(draft: ClosedDraft) -> _Ranges:
    """The classifier's looks at all answers, in float32."""
    network, is_compared = grader_network(draft), draft.eval.baseline
    low, high = (
        forward_work(network, grader_amounts(draft, lengths_of(draft, "test"), tokens), _FP32)
        for tokens in (None, draft.eval.max_new_tokens)
    )
    if not is_compared:
        return low, low, high
    return low.scaled(2), high.plus(low), high.scaled(2)


def grader_network(draft: Draft) -> Network:
    """The classifier's layers; a draft without one has none."""
    assert draft.grader is not None, "the caller looked"
    assert draft.classifier is not None, "both are known or none is"
    return network_of(
        draft.grader,
        beside={},
        trained=(),
        flows_from_start=False,
        trainable=0,
        new_outputs=draft.classifier.num_labels,
        attention=kernel_of(draft.grader, draft.device, "sdpa", "float32", training=False),
    )


def grader_amounts(draft: ClosedDraft, right: RowLengths, new_tokens: int | None) -> Amounts:
    """What the classifier is fed for one model's answers to all test rows.

    Args:
        draft: With the evaluation settled.
        right: Lengths of the test rows.
        new_tokens: Tokens of each answer; None for as many as the right ones have.
    """
    assert draft.grader is not None, "the caller looked"
    assert draft.classifier is not None, "both are known or none is"
    lengths = own_answers(right) if new_tokens is None else np.full_like(right.scored, new_tokens)
    lengths = np.clip(lengths, 1, draft.classifier.max_length)
    answers = RowLengths(lengths, lengths, np.ones_like(lengths), lengths)
    rows = 1 if draft.classifier.pad_id is None else draft.candidate.eval_batch
    form = RowShape("classification", draft.grader.family)
    return evaluation_amounts(answers, form, rows)


def _look(draft: ClosedDraft, subject: _Subject, split: str) -> Work:
    """One look at all rows of a split."""
    lengths, ranks = lengths_of(draft, split), draft.candidate.layer_groups
    amounts = evaluation_amounts(lengths, subject.form, draft.candidate.eval_batch, ranks)
    images = image_work(draft, split, rows=len(lengths.tokens) / ranks, passes=amounts.passes, training=False)
    reads_one = (
        head_card(subject.form.head).scores_rows
        and draft.model.family != "encoder_decoder"
        and not subject.form.virtual
        and not draft.candidate.is_divided
        and subject.network.repeats == 1
        and draft.model.kind.classifier_reads_one is True
    )
    return forward_work(subject.network, amounts, activation_bytes(draft), one_place=reads_one).plus(images)


def _in_training(draft: ClosedDraft) -> _Subject:
    return _Subject(draft_network(draft, training=False), row_shape(draft, training=False))


def _tuned(draft: ClosedDraft) -> _Subject:
    """The model with what was learned: in float32 a low-rank adapter is folded into its layers."""
    is_exact = strategy_card(draft.strategy).folds_in and not precision_card(draft.train.precision).is_mixed
    found = _in_training(draft)
    if is_exact and not draft.candidate.is_divided and draft.model.packed is None:
        return replace(found, network=draft_network(draft, training=False, adapters=False))
    return found


def _base(draft: ClosedDraft) -> _Subject:
    """The model as it was: adapters are switched off, and no virtual tokens stand before its rows."""
    continues = draft.begins is not None and draft.begins.continues
    if draft.strategy.traits.changes_base or continues:  # the adapter has to stay for the base's sake
        return _in_training(draft)
    form = row_shape(draft, training=False)
    return _Subject(draft_network(draft, training=False, adapters=False), replace(form, virtual=0))
