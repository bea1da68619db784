"""What only facts can tell: values of the recipe that don't go with this model, these rows or this device.

A visible table of pure functions over the settled draft, run as the last of the passes; each yields what it finds.
What the recipe alone can tell is the table in `ftc.compiler.rules.recipe_rules`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.rules.fact_rules import (
    device_has_a_price,
    devices_are_here,
    host_checks,
    host_has_room,
    teacher_knows_the_task,
    teacher_reads_the_rows,
    teacher_speaks_the_same,
)
from ftc.compiler.rules.number_rules import num_evaluations
from ftc.compiler.search.attention_kernels import flash_obstacle
from ftc.compiler.strategies.trainable import base_of
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.documents.slices import LABEL, LENGTH, LENGTHS, measured
from ftc.spec.heads import head_card
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.metrics import metric_named, split_metric
from ftc.spec.optimizers import OPTIMIZERS, optimizer_card
from ftc.spec.sections.evaluation import has_entities, parse_gate
from ftc.spec.text_forms import form_card

__all__ = ["FACT_RULES", "FactRule", "check_facts"]

FactRule = Callable[[ClosedDraft], Iterator[Diagnostic]]

_NOMINAL = 1.1
"""A card is sold by a rounder size than its driver reports, by up to a tenth."""


def revision_needs_the_hub(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A folder has no revisions."""
    if draft.model.source == "local" and draft.recipe.model.revision is not None:
        yield _found(
            draft,
            "FTC230",
            f"`revision` has no effect: `{draft.recipe.model.base}` is a folder",
            "model.revision",
            help="drop `revision`, or name a model of the hub as `base`; the lock pins a folder by its files",
        )


def answers_are_written(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A longest answer matters where a metric needs answers, and then no shorter than the expected ones."""
    longest, asked = draft.eval.max_new_tokens, draft.recipe.eval.max_new_tokens
    if asked == "auto":
        return
    if longest is None:
        yield _found(
            draft,
            "FTC230",
            "`max_new_tokens` has no effect: no metric needs answers",
            "eval.max_new_tokens",
            help=f"drop it, or add a metric that needs them to `eval.metrics`; measured: {_metrics(draft)}",
        )
    elif "test" in draft.splits and draft.splits["test"].supervised_max > asked:
        most = draft.splits["test"].supervised_max
        yield _found(
            draft,
            "FTC239",
            f"answers end at {asked:,} {'token' if asked == 1 else 'tokens'}, and expected ones have up to {most:,}",
            "eval.max_new_tokens",
            help=f"write at least {most}, or leave it out",
            notes="an answer that is cut off can't match what it is compared with",
        )


def limits_leave_out_rows(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A limit on rows is lower than their number, and leaves more than one batch."""
    rows, most = draft.splits["train"].rows, draft.recipe.data.max_rows
    if most is not None and most > rows:
        yield _found(
            draft,
            "FTC230",
            f"`max_rows` of {most:,} has no effect on {rows:,} training rows",
            "data.max_rows",
            help="drop it, or write a smaller number",
            severity=Severity.NOTE,
        )


def batch_fits_the_rows(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """An epoch has at least one full batch."""
    rows, batch = draft.splits["train"].rows, draft.recipe.train.batch_size
    if batch > rows:
        at = "train.batch_size" if draft.source.node("train.batch_size") is not None else "data.max_rows"
        yield _found(
            draft,
            "FTC234",
            f"a batch of {batch:,} rows, and {rows:,} to train on",
            at,
            help=f"write `batch_size: {max(1, rows // 8)}` for eight steps an epoch, or use more rows",
            notes="each epoch is one step",
        )


def validation_is_looked_at(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Evaluations come often enough for what relies on them; what the recipe alone tells was told before."""
    train, steps = draft.recipe.train, draft.train.num_steps
    every = draft.train.evaluate_every_steps
    if train.evaluate_every == "epoch" or train.max_steps is not None or "validation" not in draft.splits:
        return
    if every > steps:
        yield _found(
            draft,
            "FTC215",
            f"a look at validation every {every:,} steps, in a run of {steps:,}",
            "train.evaluate_every",
            help=f"write at most {max(1, steps // 4)} to see four of them, or leave it out for once an epoch",
            notes="validation is looked at only at the very end",
        )
    stopping = train.early_stopping
    if stopping and (looks := num_evaluations(steps, every)) <= stopping.patience:
        yield _found(
            draft,
            "FTC216",
            f"`early_stopping` waits for {stopping.patience} evaluations without a gain, and the run has {looks}",
            "train.early_stopping.patience",
            help="lower `patience`, evaluate more often (`evaluate_every`), or drop `early_stopping`",
        )


def adapters_are_low_rank(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """An adapter's rank is below that of the layers it adapts."""
    rank = draft.strategy.traits.rank
    if rank is None or draft.source.node("strategy.rank") is None:  # a default is nobody's slip
        return
    sizes = {name: (one.inputs, one.outputs) for name, one in draft.trained.beside.items()}
    full = {name: size for name, size in sizes.items() if min(size) <= rank}
    if full:
        name, size = next(iter(full.items()))
        yield _found(
            draft,
            "FTC232",
            f"rank {rank} is no less than that of {len(full)} of {len(sizes)} adapted layers",
            "strategy.rank",
            help=f"write less than {min(map(min, full.values()))}; a rank of a quarter of that is usual",
            notes=f"`{name}` is a matrix of {size[0]:,} by {size[1]:,}; an adapter of its rank is larger than it is",
        )


def virtual_tokens_have_room(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The longest row fits the model together with the virtual tokens before it, and an answer behind it."""
    own, places = draft.strategy.traits.num_virtual, draft.model.max_positions
    longest = max(split.length_max for split in draft.splits.values())
    left = (places or 0) - own
    if own and places is not None and own + longest > places:
        yield _found(
            draft,
            "FTC273",
            f"{own} virtual tokens before rows of up to {longest:,} tokens, in a model of {places:,} positions",
            "strategy.virtual_tokens",
            help=(f"write `max_length: {left}` in `data`, or " if left >= _SHORTEST else "write ")
            + "fewer virtual tokens",
        )


def strategies_find_their_place(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The model takes what the strategy brings: virtual tokens as keys and values, say, or before its input."""
    task = draft.recipe.task.kind.replace("_", " ")
    if (misfit := draft.strategy.misfit(base_of(draft), task)) is not None:
        yield _found(draft, misfit.code, misfit.summary, f"strategy.{misfit.key}", help=misfit.help)


def smoothing_has_choices(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Label smoothing spreads a target over choices of a fixed number, of which one is right."""
    what = head_card(draft.loaded.head).smoothing_obstacle
    if form_card(draft.text.form).is_pair:
        what = "two answers"
    if draft.recipe.train.label_smoothing and what is not None:
        summary = f"`label_smoothing` with {what}, where no one choice among a fixed number is right"
        yield _found(draft, "FTC276", summary, "train.label_smoothing", help="drop it")


def pages_need_a_card(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Paged optimizers have something to page between."""
    kind = draft.recipe.train.optimizer.kind
    if draft.device.kind == "cpu" and kind != "auto" and optimizer_card(kind).paged:
        other = next(card.kind for card in OPTIMIZERS if card.paged_as == kind)
        summary = f"`{kind}` needs a card, and {draft.device.label} is none"
        yield _found(draft, "FTC275", summary, "train.optimizer.kind", help=f"write `{other}`")


def flash_attention_is_half_precise(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The kernel of flash attention takes no float32."""
    kernel, precision = draft.candidate.attention, draft.train.precision
    if kernel == "flash_attention_2" and precision == "float32" and flash_obstacle(draft) is None:
        yield _found(
            draft,
            "FTC235",
            "flash attention does not compute in float32",
            "model.attention",
            help="leave `attention` out, or train in bfloat16",
            notes=f"float32: {draft.origins['train.precision'].reason}",
        )


def budget_is_on_the_device(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A budget of memory is at most what the device has; beyond it, fitting the budget proves nothing."""
    vram, has = draft.recipe.budget.vram, draft.device.memory_bytes
    if vram is None or vram <= has:
        return
    overflows = draft.memory is not None and draft.memory.peak_bytes > has
    if not overflows and vram <= _NOMINAL * has:
        return
    need = f"; the run needs {draft.memory.peak_bytes / 2**30:.2f} GiB" if overflows and draft.memory else ""
    yield _found(
        draft,
        "FTC236",
        f"a budget of {vram / 2**30:.2f} GiB, {draft.device.label} has {has / 2**30:.2f} GiB{need}",
        "budget.vram",
        help="write at most what the device has, name a larger one as `device`, or drop `vram`",
        severity=Severity.ERROR if overflows else None,
    )


def classes_are_known(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A metric or gate of one class names one that the labels have."""
    named = [(path, split_metric(name)[1]) for name, path in draft.recipe.eval.named()]
    if not any(label for _, label in named):
        return
    labels: tuple[str, ...] = draft.text.labels
    if draft.mode.labels == "words" and has_entities(labels):
        labels = tuple(dict.fromkeys(tag[2:] for tag in labels if tag != "O"))
    for path, label in named:
        if label and label not in labels:
            close = nearest(label, labels)
            help = f"did you mean `{close}`?" if close else f"the classes are {', '.join(labels[:12])}"
            yield _found(draft, "FTC240", f"no class `{label}` among the labels", path, help=help)


def general_text_needs_a_decoder(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Forgetting is told from next tokens, which an encoder or an encoder-decoder doesn't predict of plain text."""
    if draft.recipe.eval.retention is not None and draft.model.family != "decoder":
        family = draft.model.family.replace("_", "-")
        summary = f"an {family} doesn't predict the next token of plain text"
        yield _found(draft, "FTC242", summary, "eval.retention", help="drop `retention`, or tune a decoder")


def swaps_keep_answers_in_place(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """An answer that is cut out of a context moves with the words before it."""
    if draft.recipe.eval.swaps is not None and form_card(draft.text.form).moves_targets:
        summary = "answers that are cut out of a context move with its words"
        yield _found(draft, "FTC242", summary, "eval.swaps", help="drop `swaps`, or set `task.mode: generative`")


def swaps_need_answers(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """What a language model says changes only where it is asked to say something."""
    writes = head_card(draft.loaded.head).writes
    if draft.recipe.eval.swaps is not None and writes and draft.eval.max_new_tokens is None:
        help = "add a metric that needs answers to `eval.metrics`, such as `exact_match`"
        summary = "no metric has answers written that swaps could change"
        yield _found(draft, "FTC242", summary, "eval.swaps", help=help)


def judge_has_answers(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A judge grades what is written, and something is only written where a metric needs it."""
    if draft.recipe.eval.judge is not None and draft.eval.max_new_tokens is None:
        help = "add a metric that needs answers to `eval.metrics`, such as `exact_match`"
        yield _found(draft, "FTC243", "no metric has answers written that a judge could grade", "eval.judge", help=help)


def classifier_has_answers(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """As for a judge."""
    if draft.recipe.eval.classifier is not None and draft.eval.max_new_tokens is None:
        help = "add a metric that needs answers to `eval.metrics`, such as `exact_match`"
        summary = "no metric has answers written that a classifier could look at"
        yield _found(draft, "FTC244", summary, "eval.classifier", help=help)


def groups_are_known(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A gate on a group names one that the test rows have."""
    for name, _, path in draft.recipe.eval.bounds():
        about = measured(name)
        if about.slice is None or about.group is None:
            continue
        builtin = {LENGTH: LENGTHS, LABEL: draft.labels}
        groups = tuple(draft.groups.get(about.slice, builtin.get(about.slice, ())))
        if about.group not in groups:
            close = nearest(about.group, groups)
            help = f"did you mean `{close}`?" if close else f"the groups are {', '.join(groups[:12])}"
            yield _found(draft, "FTC240", f"no test row has `{about.group}` as its {about.slice}", path, help=help)


def gates_are_coarser_than_a_row(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The test split has enough rows for the last digit of a gate to mean something."""
    if "test" not in draft.splits:
        return
    rows = draft.splits["test"].rows
    for name, text, path in draft.recipe.eval.bounds():
        gate, metric = parse_gate(text), metric_named(name)
        if metric is None or not metric.is_share_of_rows(draft.mode.traits) or gate is None:
            continue
        if gate.comparison in (">=", ">") and 0 < _allowed(gate.bound) * rows < 1:
            yield _found(
                draft,
                "FTC237",
                f"one wrong answer of {rows} breaks the gate `{name}`",
                path,
                help=f"test on more rows, {_rows_for(gate.bound)} for the bound to allow one, or lower the bound",
                notes=f"one row is {1 / rows:.3f} of the metric",
            )


_SHORTEST = 8
"""Tokens of a row below which nothing is said of a longest one."""

FACT_RULES: tuple[FactRule, ...] = (
    revision_needs_the_hub,
    limits_leave_out_rows,
    adapters_are_low_rank,
    virtual_tokens_have_room,
    strategies_find_their_place,
    pages_need_a_card,
    devices_are_here,
    host_has_room,
    smoothing_has_choices,
    flash_attention_is_half_precise,
    device_has_a_price,
    batch_fits_the_rows,
    validation_is_looked_at,
    teacher_speaks_the_same,
    teacher_knows_the_task,
    teacher_reads_the_rows,
    answers_are_written,
    classes_are_known,
    groups_are_known,
    general_text_needs_a_decoder,
    swaps_keep_answers_in_place,
    swaps_need_answers,
    judge_has_answers,
    classifier_has_answers,
    gates_are_coarser_than_a_row,
    budget_is_on_the_device,
)
"""Every rule, in the order of the recipe's sections."""


def check_facts(draft: ClosedDraft) -> ClosedDraft:
    """Adds what all rules find."""
    found = tuple(found for rule in FACT_RULES for found in rule(draft))
    checks = (*draft.checks, *host_checks(draft))
    return replace(draft, diagnostics=(*draft.diagnostics, *found), checks=checks)


def _found(
    draft: ClosedDraft,
    code: str,
    summary: str,
    at: str,
    *,
    help: str,
    notes: str = "",
    severity: Severity | None = None,
) -> Diagnostic:
    span = draft.source.span(at)
    shown = (notes,) if notes else ()
    return diagnostic(code, summary, span, help=help, notes=shown, path=at, severity=severity)


def _metrics(draft: ClosedDraft) -> str:
    kinds = map(metric_named, draft.eval.metrics)
    return ", ".join(kind.title for kind in kinds if kind)


def _rows_for(bound: float) -> int:
    """Least number of rows of which one may be wrong."""
    return math.ceil(1 / _allowed(bound))


def _allowed(bound: float) -> Fraction:
    """Share of the rows that may be wrong; the bound is a tenth where it was written as 0.1."""
    return 1 - Fraction(repr(bound))
