"""What a draft's run has to do, phase by phase: arithmetic, traffic and kernels of training and of every look at rows.

Pure but for the order of rows, which is the run's own. Nothing here knows a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ftc.compiler.budget import fed
from ftc.compiler.budget.amounts import Amounts, cost
from ftc.compiler.budget.attended import Attending, Kernel, kernel_of, looks_back_alone, window_of
from ftc.compiler.budget.flops import StepFlops, flop_rates
from ftc.compiler.budget.grading import grader_amounts, grader_network
from ftc.compiler.budget.moves import exchanged, moved_to_host
from ftc.compiler.budget.network import Network, network_of
from ftc.compiler.budget.optimizers import bytes_per_weight
from ftc.compiler.budget.packed import packed_bytes
from ftc.compiler.budget.teacher_form import PACKED_BYTES
from ftc.compiler.budget.traffic import Traffic, traffic_rates
from ftc.compiler.draft import Draft
from ftc.compiler.heads import head_outputs
from ftc.compiler.number_rules import num_evaluations
from ftc.compiler.trainable import adapted, adapter_ranks, num_trainable, trained_layers
from ftc.spec.facts import ModelFacts, TeacherFacts
from ftc.spec.strategy import VIRTUAL_TOKENS
from ftc.spec.streams import RowLengths
from ftc.spec.task import Preference
from ftc.spec.time import Phase, Work

__all__ = ["RunWork", "draft_network", "evaluations", "run_work", "step_work", "train_amounts", "train_work"]

_FROM_START = ("full", "bitfit", "ln_tuning", *VIRTUAL_TOKENS)
"""Strategies that learn something at or before the first layer."""
_FP32 = 4
_SAMPLED_ROWS = 256
"""Rows whose batches tell one way of dividing them from another."""
_COMPARED_BYTES = 4 * 26
"""What is read and written for each score when model and teacher are compared and the way back begins there."""
_COMPARED_OPERATIONS = 18
"""Kernels that this takes in a micro-batch."""


@dataclass(frozen=True, slots=True)
class RunWork:
    """Work by phase.

    Attributes:
        phases: At the least, as expected, and at the most, where that depends on what a model writes.
        train_tokens: Tokens of rows that training feeds, padding included and virtual ones not.
    """

    phases: Mapping[Phase, tuple[Work, Work, Work]]
    train_tokens: int


def run_work(draft: Draft) -> RunWork:
    """What the run of a settled draft has to do."""
    network, form = draft_network(draft), _form(draft, training=True)
    amounts = fed.trained(_lengths(draft, "train"), form, _training(draft))
    steps: int = draft.values["train.num_steps"]
    alone = _trained(draft, network, amounts, steps)
    train = alone.plus(exchanged(draft, network, amounts.passes, steps))
    phases: dict[Phase, tuple[Work, Work, Work]] = {"train": (alone, train, train)}
    if proof := draft.values["train.determinism"].proof_steps:
        phases["prove"] = _same(train.scaled(2 * proof / steps))
    network, form = draft_network(draft, training=False), _form(draft, training=False)
    if isinstance(draft.recipe.task, Preference):
        phases["reference"] = _same(_reference(draft, network, form))
    if "validation" in draft.splits:
        phases["validate"] = _same(_look(draft, network, form, "validation").scaled(evaluations(draft)))
    if "test" in draft.splits:
        phases["evaluate"] = _evaluation(draft, network, form)
    if "test" in draft.splits and draft.grader is not None and draft.values["eval.max_new_tokens"] is not None:
        phases["grade"] = _grading(draft)
    return RunWork(phases, round(_of_rows(amounts, form)))


def _of_rows(amounts: Amounts, form: fed.Form) -> float:
    """Tokens of rows with their padding: no virtual ones, and those that a classifier's decoder reads again once."""
    return amounts.tokens - form.virtual * amounts.rows + (amounts.target_tokens if form.head == "lm" else 0)


def train_amounts(draft: Draft) -> Amounts:
    """What training alone is fed, from a sample of its batches: enough to tell one way of dividing from another.

    Args:
        draft: With micro-batch and packing settled.
    """
    return fed.trained(_lengths(draft, "train"), _form(draft, training=True), _training(draft), _SAMPLED_ROWS)


def train_work(draft: Draft, network: Network, amounts: Amounts) -> Work:
    """What training alone has to do, with what devices exchange.

    Args:
        draft: With all that decides about a step settled.
        network: See `draft_network`.
        amounts: What it is fed.
    """
    steps: int = draft.values["train.num_steps"]
    return _trained(draft, network, amounts, steps).plus(exchanged(draft, network, amounts.passes, steps))


def _trained(draft: Draft, network: Network, amounts: Amounts, steps: int) -> Work:
    """Work of the draft's training steps; all that an optimiser can page counts as moved there and back each step.

    What several devices exchange is left out.
    """
    kept = bytes_per_weight(draft)
    work = step_work(
        network, amounts, steps, _activation_bytes(draft), checkpointing=_checkpoints(draft), state_bytes=kept
    )
    return work.plus(_lessons(draft, amounts)).plus(moved_to_host(draft, network, amounts.passes, steps))


def _lessons(draft: Draft, amounts: Amounts) -> Work:
    """A teacher's forward pass over what the model is fed, and what is made of what it says; nothing without one."""
    if draft.teacher is None:
        return Work(flops=0.0, bytes=0.0, operations=0.0)
    network = _teacher_network(draft, draft.teacher)
    compared = Work(
        flops=0.0,
        bytes=amounts.scored * network.head_width * _COMPARED_BYTES,
        operations=amounts.passes * _COMPARED_OPERATIONS,
    )
    return _forward(draft, network, amounts).plus(compared)


def _teacher_network(draft: Draft, teacher: TeacherFacts) -> Network:
    """The teacher, of which nothing is trained."""
    packed = draft.values["train.distillation.quantization"]
    return network_of(
        teacher.model,
        ranks={},
        trained=frozenset(),
        flows_from_start=False,
        trainable=0,
        new_outputs=head_outputs(draft.values["model.head"], len(draft.labels)),
        packed_bytes=PACKED_BYTES[packed] if packed else 0.0,
        attention=_kernel(draft, teacher.model, training=False),
    )


def _kernel(draft: Draft, model: ModelFacts, *, training: bool) -> Kernel:
    attention, precision = draft.values["model.attention"], draft.values["train.precision"]
    return kernel_of(model, draft.device, attention, precision, training=training)


def step_work(
    network: Network,
    amounts: Amounts,
    steps: float,
    activation_bytes: int,
    *,
    checkpointing: bool,
    state_bytes: float = 8.0,
) -> Work:
    """Work of training steps on these amounts; for the arguments see `traffic_rates`."""
    flops = flop_rates(network, checkpointing=checkpointing)
    traffic = traffic_rates(network, activation_bytes, checkpointing=checkpointing, state_bytes=state_bytes)
    kernels = traffic.forward_operations + traffic.backward_operations
    return Work(
        flops=cost(flops.step, amounts),
        bytes=cost(traffic.forward + traffic.backward, amounts) + steps * traffic.step_bytes,
        operations=amounts.passes * kernels + steps * traffic.step_operations,
    )


def draft_network(draft: Draft, *, training: bool = True) -> Network:
    """The draft's model, with what is trained of it; attention may take another kernel where nothing is learnt."""
    kind = draft.recipe.strategy.kind
    return network_of(
        draft.model,
        ranks={**dict.fromkeys(adapted(draft), 0), **adapter_ranks(draft)},
        trained=trained_layers(draft),
        flows_from_start=kind in _FROM_START or bool(draft.values.get("strategy.embeddings")),
        trainable=num_trainable(draft),
        new_outputs=head_outputs(draft.values["model.head"], len(draft.labels)),
        packed_bytes=packed_bytes(draft),
        learns_lengths=draft.values.get("strategy.adapter.dora", False),
        attention=_kernel(draft, draft.model, training=training),
    )


def evaluations(draft: Draft) -> int:
    """Looks at validation, each with a checkpoint."""
    return num_evaluations(draft.values["train.num_steps"], draft.values["train.evaluate_every_steps"])


def _look(draft: Draft, network: Network, form: fed.Form, split: str) -> Work:
    """One look at all rows of a split."""
    amounts = fed.evaluated(
        _lengths(draft, split), form, draft.values["eval.batch_size"], draft.values["train.world_size"]
    )
    return _forward(draft, network, amounts)


def _forward(draft: Draft, network: Network, amounts: Amounts) -> Work:
    flops = flop_rates(network, checkpointing=False)
    return _passed(flops, traffic_rates(network, _activation_bytes(draft), checkpointing=False), amounts)


def _passed(flops: StepFlops, traffic: Traffic, amounts: Amounts) -> Work:
    """Work of forward passes alone."""
    return Work(
        flops=cost(flops.forward, amounts),
        bytes=cost(traffic.forward, amounts),
        operations=amounts.passes * traffic.forward_operations,
    )


def _evaluation(draft: Draft, network: Network, form: fed.Form) -> tuple[Work, Work, Work]:
    """Base and tuned on the test split; answers end by themselves, or are cut off where a model doesn't stop.

    Expected is a base that never stops and a tuned one that answers as long as the rows do.
    """
    subjects = 2 if draft.values["eval.baseline"] else 1
    look = _look(draft, network, form, "test").scaled(subjects)
    if "retention" in draft.lengths:  # general text, token by token, whatever the task
        plain = replace(form, head="lm", is_pair=False)
        look = look.plus(_look(draft, network, plain, "retention").scaled(subjects))
    if draft.values["eval.max_new_tokens"] is None:
        return _same(look.plus(_look(draft, network, form, "swaps")) if "swaps" in draft.lengths else look)
    tests = _answers(draft, network, form, "test")
    found = [tests.low.scaled(subjects), tests.expected(subjects), tests.high.scaled(subjects)]
    if "swaps" in draft.lengths:  # exchanged rows are answered by the tuned model alone
        swaps = _answers(draft, network, form, "swaps")
        found = [one.plus(more) for one, more in zip(found, (swaps.low, swaps.low, swaps.high), strict=True)]
    low, usual, high = (look.plus(one) for one in found)
    return low, usual, high


@dataclass(frozen=True, slots=True)
class _Answers:
    """Work for one model's answers: as long as the right ones, and all cut off."""

    low: Work
    high: Work

    def expected(self, subjects: int) -> Work:
        """A base that never stops, where there is one, and a tuned model that answers as the rows do."""
        return self.high.plus(self.low) if subjects == 2 else self.low


def _answers(draft: Draft, network: Network, form: fed.Form, rows: str) -> _Answers:
    lengths, most = _lengths(draft, rows), draft.values["eval.max_new_tokens"]
    batch, ranks = draft.values["eval.batch_size"], draft.values["train.world_size"]
    amounts = (fed.written(lengths, form, batch, tokens, most, ranks) for tokens in (None, most))
    return _Answers(*(_forward(draft, network, one) for one in amounts))


def _grading(draft: Draft) -> tuple[Work, Work, Work]:
    """The classifier's looks at all answers, in float32."""
    subjects, network = 2 if draft.values["eval.baseline"] else 1, grader_network(draft)
    rates = flop_rates(network, checkpointing=False), traffic_rates(network, _FP32, checkpointing=False)
    found = []
    for tokens in (None, draft.values["eval.max_new_tokens"]):
        amounts = grader_amounts(draft, _lengths(draft, "test"), tokens)
        found.append(_passed(*rates, amounts))
    answers = _Answers(*found)
    return answers.low.scaled(subjects), answers.expected(subjects), answers.high.scaled(subjects)


def _reference(draft: Draft, network: Network, form: fed.Form) -> Work:
    looks = [_look(draft, network, form, split) for split in draft.splits]
    total = looks[0]
    for look in looks[1:]:
        total = total.plus(look)
    return total


def _form(draft: Draft, *, training: bool) -> fed.Form:
    values, model = draft.values, draft.model
    virtual, is_split = values.get("strategy.virtual_tokens", 0), model.family == "encoder_decoder"
    kernel, (window, _) = _kernel(draft, model, training=training), window_of(model)
    is_causal = looks_back_alone(model)
    # A decoder that predicts tokens never looks at the padding behind them; virtual tokens come with a mask.
    hides = values["model.head"] != "lm" or is_split or virtual > 0
    return fed.Form(
        values["model.head"],
        values["model.family"],
        is_pair=isinstance(draft.recipe.task, Preference),
        virtual=virtual,
        attending=Attending(kernel, causal=is_causal and not is_split, hides=hides, window=window),
        target_attending=Attending(kernel, causal=is_causal, hides=False),
    )


def _training(draft: Draft) -> fed.Training:
    values = draft.values
    return fed.Training(
        num_steps=values["train.num_steps"],
        steps_per_epoch=values["train.steps_per_epoch"],
        batch_size=values["train.batch_size"],
        micro_batch=values["train.micro_batch"],
        most_tokens=values["train.micro_batch_tokens"],
        packs=values["train.packing"],
        batching=values["train.batching"],
        seed=values["seeds.order"],
        world_size=values["train.world_size"],
    )


def _lengths(draft: Draft, split: str) -> RowLengths:
    """The rows' lengths; where only the report is at hand, rows of its mean."""
    if split in draft.lengths:
        return draft.lengths[split]
    report = draft.splits[split]
    rows = max(1, report.rows)
    tokens = np.full(rows, report.tokens // rows, dtype=np.int64)
    scored = np.full(rows, report.supervised_tokens // rows, dtype=np.int64)
    return RowLengths(tokens, tokens - scored, scored, tokens // 2)


def _activation_bytes(draft: Draft) -> int:
    return 2 if draft.values["train.precision"] == "bfloat16" else 4


def _checkpoints(draft: Draft) -> bool:
    return bool(draft.values["train.activation_checkpointing"])


def _same(work: Work) -> tuple[Work, Work, Work]:
    return work, work, work
