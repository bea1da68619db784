"""Rules about numbers: what divides what, what can never happen, and what is far from usual.

Pure functions over the recipe alone, in the form of `ftc.compiler.rules.recipe_rules`, which runs them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from ftc.spec.diagnostics import Diagnostic, Related, Severity, diagnostic
from ftc.spec.documents.slices import measured_kind
from ftc.spec.language.source import Path, Source
from ftc.spec.metrics import Metric
from ftc.spec.optimizer_choice import candidates
from ftc.spec.sections.evaluation import Gate, parse_gate
from ftc.spec.sections.recipe import Recipe
from ftc.spec.strategies import strategy_card

__all__ = [
    "LONGEST_WARM_UP",
    "early_stopping_can_stop",
    "evaluations_happen",
    "gates_can_hold_and_break",
    "learning_rate_is_usual",
    "micro_batch_divides_the_batch",
    "num_evaluations",
    "numbers_are_usual",
    "value_at",
    "warm_up_leaves_training",
]

LONGEST_WARM_UP = 0.5
"""Share of the steps beyond which a warm-up is most often a number of steps written as a ratio, or a slip."""

USUAL_SCALES = (0.25, 16.0)
"""alpha / rank: below, the adapter's update hardly counts; above, training seldom stays stable."""


class _Usual(NamedTuple):
    """Between which bounds a number usually lies, and what lies beyond."""

    path: str
    low: float
    high: float
    beyond: str


USUAL_NUMBERS: tuple[_Usual, ...] = (
    _Usual("strategy.dropout", 0, 0.5, "the adapter drops most of its input"),
    _Usual("train.epochs", 0, 100, "the model memorizes a small data set"),
    _Usual("train.max_grad_norm", 0.01, 100, "training hardly changes the model, or has no effect"),
    _Usual("train.optimizer.beta1", 0.5, 0.99, "the average follows a single batch, or hundreds of them"),
    _Usual("train.optimizer.beta2", 0.9, 0.99999, "the step size jumps, or hardly changes"),
    _Usual("train.optimizer.epsilon", 1e-12, 1e-3, "steps explode, or lose their scale"),
    _Usual("train.optimizer.weight_decay", 0, 0.3, "weight decay outpaces learning"),
)
"""Numbers that the language allows further than anybody is known to train with."""


def micro_batch_divides_the_batch(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A micro-batch is no larger than its batch, and best a part of it that leaves no rest."""
    micro, batch = recipe.train.micro_batch, recipe.train.batch_size
    if micro == "auto" or batch % micro == 0:
        return
    span = source.span("train.micro_batch")
    related = _related(source, "train.batch_size", "batch size")
    if micro > batch:
        help = f"write at most {batch}, or remove `micro_batch`"
        yield diagnostic(
            "FTC210",
            f"per-device batch size {micro} is larger than the batch size {batch}",
            span,
            related=related,
            help=help,
            path="train.micro_batch",
        )
        return
    parts = [size for size in range(1, batch + 1) if batch % size == 0]
    close = min(parts, key=lambda size: (abs(size - micro), -size))
    yield diagnostic(
        "FTC214",
        f"batch size {batch} is not divisible by the per-device batch size {micro}",
        span,
        label=f"the last forward pass of each step has {batch % micro} {'row' if batch % micro == 1 else 'rows'}",
        related=related,
        help=f"write {close}, or remove `micro_batch`",
        path="train.micro_batch",
    )


def learning_rate_is_usual(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A learning rate far from what the strategy is usually trained with is most often a slip."""
    rate, usual = recipe.train.learning_rate, strategy_card(recipe.strategy).rate
    low, high = usual.low, usual.high
    is_known = all(card.rate.range_known for card in candidates(recipe.train.optimizer.kind, recipe.train.precision))
    if is_known and rate != "auto" and not low <= rate <= high:
        yield diagnostic(
            "FTC211",
            f"a learning rate of {rate:g} is unusual for `{recipe.strategy.kind}`",
            source.span("train.learning_rate"),
            label=f"usual: {low:g} to {high:g}",
            help="check the exponent, or remove it to use the default",
            path="train.learning_rate",
        )


def numbers_are_usual(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Numbers that are allowed and that nobody trains with."""
    for usual in USUAL_NUMBERS:
        number = value_at(recipe, usual.path)
        if isinstance(number, int | float) and not usual.low <= number <= usual.high:
            name = usual.path.rpartition(".")[2]
            bounds = f"{usual.low:g} to {usual.high:g}" if usual.low else f"at most {usual.high:g}"
            yield diagnostic(
                "FTC231",
                f"`{name}` of {number:g} is unusual",
                source.span(usual.path),
                label=f"usual: {bounds}",
                help=f"check the number; outside this range {usual.beyond}",
                path=usual.path,
            )
    alpha, rank = value_at(recipe, "strategy.alpha"), value_at(recipe, "strategy.rank")
    low, high = USUAL_SCALES
    if isinstance(alpha, int) and isinstance(rank, int) and not low <= alpha / rank <= high:
        yield diagnostic(
            "FTC231",
            f"the adapter's update is scaled by {alpha / rank:g}",
            source.span("strategy.alpha"),
            label=f"alpha / rank, usual: {low:g} to {high:g}",
            related=_related(source, "strategy.rank", "the rank"),
            help=f"`alpha: {2 * rank}` is twice the rank, the usual choice",
            path="strategy.alpha",
        )


def warm_up_leaves_training(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The learning rate rises over a small part of the run."""
    ratio = recipe.train.schedule.warmup_ratio
    if ratio > LONGEST_WARM_UP:
        yield diagnostic(
            "FTC233",
            f"the learning rate rises during {ratio:.0%} of the run",
            source.span("train.schedule.warmup_ratio"),
            label="a share of the steps, usually at most 0.1",
            help="write a smaller ratio; 0.05 is the default",
            path="train.schedule.warmup_ratio",
        )


def evaluations_happen(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The first look at the validation split lies within the run."""
    every, steps = recipe.train.evaluate_every, recipe.train.max_steps
    if every != "epoch" and steps is not None and every > steps:
        yield diagnostic(
            "FTC215",
            f"validation every {every:,} steps, in a run of {steps:,} steps",
            source.span("train.evaluate_every"),
            label="validation runs only once, at the end",
            related=_related(source, "train.max_steps", "length of the run"),
            help=f"write at most {max(1, steps // 4)} for four evaluations",
            path="train.evaluate_every",
        )


def early_stopping_can_stop(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Early stopping sees more evaluations than its patience, or it can never end a run."""
    stopping, train = recipe.train.early_stopping, recipe.train
    if stopping is None or recipe.data.split.validation == 0:
        return
    at = "train.epochs"
    if train.evaluate_every == "epoch":
        if train.epochs == "auto":
            return
        looks = num_evaluations(train.epochs, 1)
    elif train.max_steps is not None:
        looks, at = num_evaluations(train.max_steps, train.evaluate_every), "train.max_steps"
    else:
        return
    if looks <= stopping.patience:
        yield diagnostic(
            "FTC216",
            f"`early_stopping` waits for {stopping.patience} evaluations without improvement, and the run has {looks}",
            source.span("train.early_stopping.patience"),
            label="can never stop the run",
            related=_related(source, at, "length of the run"),
            help="lower `patience`, evaluate more often (`evaluate_every`), or remove `early_stopping`",
            path="train.early_stopping.patience",
        )


def num_evaluations(length: float, every: float) -> int:
    """Looks at validation in a run: at each multiple of `every`, and at the end. Both in one unit."""
    return math.ceil(length / every)


def gates_can_hold_and_break(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A gate asks for what its metric can reach, can miss, and gets better toward."""
    for name, text, path in recipe.eval.bounds():
        kind, gate = measured_kind(name), parse_gate(text)
        if kind is None or gate is None:
            continue
        found = _out_of_range(name, kind, gate) or _wrong_side(name, kind, gate)
        if found:
            code, summary, help, severity = found
            yield diagnostic(code, summary, source.span(path), help=help, severity=severity, path=path)


_GateFault = tuple[str, str, str, Severity]
"""Code, summary, help, severity."""


def _out_of_range(name: str, kind: Metric, gate: Gate) -> _GateFault | None:
    """A gate that no result keeps, or that every result keeps."""
    ends = [end for end in (kind.least, kind.most) if math.isfinite(end)]
    if not ends:  # any value can come out
        return None
    holds = [gate.holds(end) for end in ends]
    if len(ends) == 1:  # results go up without an end
        holds.append(gate.holds(math.inf))
    scale = f"from {kind.least:g} to {kind.most:g}" if len(ends) == 2 else f"from {kind.least:g} upwards"
    share = gate.bound / 100
    percent = f"; {gate.bound:g} % is `{gate.comparison} {share:g}`" if kind.most == 1 and gate.bound > 1 else ""
    if not any(holds):
        return (
            "FTC217",
            f"no {name} is `{gate.comparison} {gate.bound:g}`",
            f"{name} ranges {scale}{percent}",
            Severity.ERROR,
        )
    if all(holds):
        summary = f"every {name} is `{gate.comparison} {gate.bound:g}`"
        return "FTC217", summary, f"{name} ranges {scale}{percent}; write a bound that a run can miss", Severity.WARNING
    return None


def _wrong_side(name: str, kind: Metric, gate: Gate) -> _GateFault | None:
    if (gate.comparison in (">=", ">")) == kind.higher_is_better:
        return None
    turned = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}[gate.comparison]
    better = "more" if kind.higher_is_better else "less"
    summary = f"this gate fails better results: {better} {name} is better"
    return "FTC218", summary, f"write `{turned} {gate.bound:g}` if that is the bound you mean", Severity.WARNING


def value_at(recipe: Recipe, path: str) -> object:
    """The value at a dotted path, or None where this recipe has no such place."""
    value: object = recipe
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


def _related(source: Source, path: Path, label: str) -> tuple[Related, ...]:
    """The place of a value as one that explains another, where it is written at all."""
    return (Related(source.span(path), label),) if source.node(path) is not None else ()
