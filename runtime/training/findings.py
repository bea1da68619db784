"""What the curves of a finished training say of its length and its learning rate."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from itertools import accumulate

from ftc.spec.documents.events import Evaluated, StepDone
from ftc.spec.documents.findings import RunFinding
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.metrics import metric_named
from ftc.spec.precisions import PRECISIONS, choices_without_scaling, precision_card

__all__ = ["training_findings"]

_FALL = 0.02
"""Share by which the last evaluation has to beat the best one before it: less is the usual wavering of a loss."""
_LEAST_FALL = 0.01
"""Nats that it has to be lower by as well: near zero a loss goes on falling and no decision changes."""
_RISE = 0.25
"""Share of its fall that a training loss has to lose again to count as a rise."""
_SURE = 4
"""Standard errors of a mean of steps that a rise has to be above."""
_FEWEST_STEPS = 12
"""Steps below which a tenth of them says nothing of where the loss went."""
_MOSTLY_EVEN = 0.7
"""Share of groups without a difference from which most of the sampling is wasted."""
_MOST_GAP = 0.1
"""Nats between a server's log-probability and the trainer's, on average, that rounding in 16 bits doesn't reach."""
_OFTEN_SKIPPED = 0.05
"""Share of skipped steps that more than the search for the scale at the beginning explains."""
_ALWAYS = 0.95
"""Share of clipped steps from which clipping is the rule, and no guard against spikes."""


def training_findings(
    train: TrainSettings, steps: Sequence[StepDone], evaluations: Sequence[Evaluated], *, stopped_early: bool
) -> Iterator[RunFinding]:
    """What should be said of a training that is over.

    Args:
        train: The plan's.
        steps: Every step, in order.
        evaluations: Those on validation, in order.
        stopped_early: Whether early stopping ended it before the plan's last step.
    """
    if not stopped_early:
        yield from _still_falling(train, evaluations)
    yield from _stuck(train, steps) if train.sampling is None else _unrewarded(steps)
    yield from _other_probabilities(steps)
    yield from _clipped(train, steps)
    yield from _skipped(train, steps)


def _still_falling(train: TrainSettings, evaluations: Sequence[Evaluated]) -> Iterator[RunFinding]:
    """The metric that selects the checkpoint, or the validation loss, is clearly best at the last step."""
    watched = (train.select_metric, "val_loss") if train.select_higher else ("val_loss",)
    for name in watched:
        values = [one.metrics[name] for one in evaluations if name in one.metrics]
        sign = 1 if name == train.select_metric and train.select_higher else -1
        if len(values) < 2:
            continue
        gain = min(sign * (values[-1] - value) for value in values[:-1])
        if gain >= (_FALL if sign > 0 else max(_LEAST_FALL, _FALL * min(values[:-1]))):
            break
    else:
        return
    epochs = train.num_steps / train.steps_per_epoch
    more = f"{2 * epochs:.2g}" if epochs < 1 else f"{math.ceil(2 * epochs)}"
    went = "rising" if sign > 0 else "falling"
    yield RunFinding(
        code="FTC247",
        severity="warning",
        text=(
            f"Validation {_title(name)} was still {went} at the last step: "
            f"{', '.join(f'{value:.3f}' for value in values[-3:])}."
        ),
        help=f"Train longer: `--set train.epochs={more}` doubles the {epochs:.3g} epochs of this run.",
        change=f"train.epochs={more}",
    )


def _title(metric: str) -> str:
    """A metric of validation as users read it."""
    card = metric_named(metric.removeprefix("val_"))
    return "loss" if card is None else card.title


def _stuck(train: TrainSettings, steps: Sequence[StepDone]) -> Iterator[RunFinding]:
    """Training loss ends no lower than it began: the rate is too high, or too low to get anywhere."""
    if len(steps) < _FEWEST_STEPS:
        return
    some = max(3, len(steps) // 10)
    first, last = (sum(step.loss for step in part) / len(part) for part in (steps[:some], steps[-some:]))
    sums = [0.0, *accumulate(step.loss for step in steps)]
    lowest = min(end - begin for begin, end in zip(sums, sums[some:], strict=False)) / some
    noise = statistics.stdev(step.loss for step in steps[-some:]) / math.sqrt(some)
    rose = last > first * (1 + _FALL) or last - lowest > max(_FALL * lowest, _RISE * (first - lowest), _SURE * noise)
    if not rose and last <= first * (1 - _FALL):
        return
    rate = train.learning_rate
    low, high = (f"{value:.0e}".replace("e-0", "e-") for value in (rate / 3, rate * 3))
    change, side = (f"train.learning_rate={low}", "high") if rose else (f"train.learning_rate={high}", "low")
    went = (
        f"rose: {lowest:.3f} at its lowest, {last:.3f} at the end"
        if rose
        else f"did not fall: {first:.3f} to {last:.3f}"
    )
    yield RunFinding(
        code="FTC248",
        severity="warning",
        text=f"Training loss {went} (means of {some} steps). The learning rate {rate:g} is probably too {side}.",
        help=f"Try a third of it: `--set {change}`." if rose else f"Try three times as much: `--set {change}`.",
        change=change,
    )


def _unrewarded(steps: Sequence[StepDone]) -> Iterator[RunFinding]:
    """Sampled answers end with no more reward than they began with, or most groups had nothing to compare.

    Their loss says nothing: it is about 0 in each step, whatever is learned.
    """
    sampled = [step.sampled for step in steps if step.sampled is not None]
    if len(sampled) < _FEWEST_STEPS:
        return
    some = max(3, len(sampled) // 10)
    first, last = (statistics.fmean(one.reward for one in part) for part in (sampled[:some], sampled[-some:]))
    noise = statistics.stdev(one.reward for one in sampled) / math.sqrt(some)
    if last <= first + noise:
        yield RunFinding(
            code="FTC450",
            severity="warning",
            text=f"Mean reward did not rise: {first:.3f} to {last:.3f} (means of {some} steps).",
            help="Train longer, try another learning rate, or reward what the model already does now and then.",
        )
    even = statistics.fmean(one.even_groups for one in sampled)
    if even > _MOSTLY_EVEN:
        yield RunFinding(
            code="FTC451",
            severity="warning",
            text=f"In {even:.0%} of the groups all answers earned the same, so that they taught nothing.",
            help="Use prompts that are neither too easy nor too hard, or a larger `task.group_size`.",
        )


def _other_probabilities(steps: Sequence[StepDone]) -> Iterator[RunFinding]:
    """A server gives tokens other probabilities than the trainer, by more than rounding explains."""
    gaps = [one.sampled.log_prob_gap for one in steps if one.sampled and one.sampled.log_prob_gap is not None]
    if gaps and statistics.fmean(gaps) > _MOST_GAP:
        yield RunFinding(
            code="FTC468",
            severity="warning",
            text=f"The server's log-probabilities are {statistics.fmean(gaps):.2f} from the trainer's on average.",
            help="Start the server with the run's base model, and have it report probabilities as tokens are drawn "
            "(vLLM: `--logprobs-mode processed_logprobs`).",
        )


def _clipped(train: TrainSettings, steps: Sequence[StepDone]) -> Iterator[RunFinding]:
    """Nearly every gradient is scaled down, so that `max_grad_norm` sets the length of the steps."""
    if train.max_grad_norm is None or len(steps) < _FEWEST_STEPS:
        return
    norms = sorted(step.grad_norm for step in steps if step.grad_norm is not None)
    clipped = sum(norm > train.max_grad_norm for norm in norms)
    if not norms or clipped < _ALWAYS * len(norms):
        return
    yield RunFinding(
        code="FTC249",
        severity="note",
        text=(
            f"Gradients were clipped in {clipped:,} of {len(norms):,} steps: their median norm is "
            f"{norms[len(norms) // 2]:.3g}, `max_grad_norm` is {train.max_grad_norm:g}."
        ),
        help="Compare with a run at a third of the learning rate; if that one is not better, this is harmless.",
    )


def _skipped(train: TrainSettings, steps: Sequence[StepDone]) -> Iterator[RunFinding]:
    """Gradients overflowed in many steps, whose rows changed no weight."""
    skipped = sum(step.is_skipped for step in steps)
    if len(steps) < _FEWEST_STEPS or skipped < _OFTEN_SKIPPED * len(steps):
        return
    yield RunFinding(
        code="FTC130",
        severity="warning",
        text=f"Gradients overflowed {precision_card(train.precision).products.name} in {skipped:,} of {len(steps):,} "
        "steps; the rows of these steps changed no weight.",
        help=f"Train with {choices_without_scaling()}.",
        change=f"train.precision={PRECISIONS[0].kind}",
    )
