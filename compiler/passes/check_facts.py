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
from ftc.compiler.memory.host_memory import copied_checkpoint, host_bytes
from ftc.compiler.rules.device_rules import DEVICE_RULES
from ftc.compiler.rules.fact_rules import TEACHER_RULES
from ftc.compiler.rules.lineage_rules import LINEAGE_RULES
from ftc.compiler.rules.number_rules import LONGEST_WARM_UP, num_evaluations
from ftc.compiler.rules.packed_rules import PACKED_RULES
from ftc.compiler.rules.reward_model_rules import REWARD_MODEL_RULES
from ftc.compiler.rules.sampling_rules import SAMPLING_RULES
from ftc.compiler.rules.vector_rules import vectors_can_be_pooled
from ftc.compiler.rules.vision_rules import VISION_RULES
from ftc.compiler.search.candidates import flash_obstacle
from ftc.compiler.time.run_time import price_of
from ftc.compiler.weights import base_of
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.documents.plan import Check
from ftc.spec.documents.policy import POLICY_FILE
from ftc.spec.documents.slices import LABEL, LENGTH, LENGTHS, measured
from ftc.spec.heads import head_card
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.metrics import metric_named, split_metric
from ftc.spec.optimizers import OPTIMIZERS, optimizer_card
from ftc.spec.precisions import FIRST_CHOICE, precision_card
from ftc.spec.sections.evaluation import parse_gate
from ftc.spec.tags import entity_types
from ftc.spec.text_forms import form_card

__all__ = ["FACT_RULES", "FactRule", "check_facts"]

FactRule = Callable[[ClosedDraft], Iterator[Diagnostic]]

_NOMINAL = 1.1
"""A card is sold by a rounder size than its driver reports, by up to a tenth."""


def answers_are_written(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A longest answer matters where a metric needs answers, and then no shorter than the expected ones."""
    longest, asked = draft.eval.max_new_tokens, draft.recipe.eval.max_new_tokens
    if asked == "auto":
        return
    if longest is None:
        titles = [card.title for card in map(metric_named, draft.eval.metrics) if card]
        yield _found(
            draft,
            "FTC230",
            "`max_new_tokens` has no effect: no metric needs generated answers",
            "eval.max_new_tokens",
            help=f"remove it, or add such a metric to `eval.metrics`; current metrics: {', '.join(titles)}",
        )
    elif "test" in draft.splits and draft.splits["test"].supervised_max > asked:
        most = draft.splits["test"].supervised_max
        yield _found(
            draft,
            "FTC239",
            f"generation stops at {asked:,} {'token' if asked == 1 else 'tokens'}, references have up to {most:,}",
            "eval.max_new_tokens",
            help=f"write at least {most}, or remove it",
            notes="a truncated answer can't match its reference",
        )


def limits_leave_out_rows(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A limit on rows is lower than their number, and leaves more than one batch."""
    rows, most = draft.splits["train"].rows, draft.recipe.data.max_rows
    if most is not None and most > rows:
        summary = f"`max_rows` of {most:,} has no effect on {rows:,} training rows"
        yield _found(draft, "FTC230", summary, "data.max_rows", help="remove or lower it", severity=Severity.NOTE)


def batch_fits_the_rows(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """An epoch has at least one full batch, in which a row has as many places as answers are sampled to it."""
    rows, batch, sampling = draft.splits["train"].rows, draft.recipe.train.batch_size, draft.recipe.task.sampling
    if batch > rows * (group := sampling.group_size if sampling else 1):
        at = "train.batch_size" if draft.source.node("train.batch_size") is not None else "data.max_rows"
        of_each = f" with {group:,} answers each" if sampling else ""
        summary = f"batch size {batch:,} is larger than the {rows:,} training rows{of_each}"
        steps = math.ceil(rows / (fewer := math.ceil(rows / 8)))
        smaller = f"write `batch_size: {fewer * group}` for {steps} steps an epoch, or " if steps > 1 else ""
        yield _found(draft, "FTC234", summary, at, help=f"{smaller}use more rows", notes="each epoch is one step")


def warm_up_leaves_training(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A warm-up in steps is over before the run is half done; one in shares is checked without the rows."""
    asked, steps = draft.recipe.train.schedule.warmup_steps, draft.train.num_steps
    if asked is not None and asked > LONGEST_WARM_UP * steps:
        summary = f"the learning rate rises over {asked:,} steps, in a run of {steps:,}"
        help = f"write at most {max(1, steps // 10)}, a tenth of the run, or train longer"
        yield _found(draft, "FTC233", summary, "train.schedule.warmup_steps", help=help)


def validation_is_evaluated(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Evaluations come often enough for what relies on them; what the recipe alone tells was told before."""
    train, steps = draft.recipe.train, draft.train.num_steps
    every = draft.train.evaluate_every_steps
    if train.evaluate_every == "epoch" or train.max_steps is not None or "validation" not in draft.splits:
        return
    if every > steps:
        summary = f"validation every {every:,} steps, in a run of {steps:,} steps"
        help = f"write at most {max(1, steps // 4)} for four evaluations, or remove it to evaluate once per epoch"
        notes = "validation runs only once, at the end"
        yield _found(draft, "FTC215", summary, "train.evaluate_every", help=help, notes=notes)
    stopping = train.early_stopping
    if stopping and (looks := num_evaluations(steps, every)) <= stopping.patience:
        summary = (
            f"`early_stopping` waits for {stopping.patience} evaluations without improvement, and the run has {looks}"
        )
        help = "lower `patience`, evaluate more often (`evaluate_every`), or remove `early_stopping`"
        yield _found(draft, "FTC216", summary, "train.early_stopping.patience", help=help)


def adapters_are_low_rank(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """An adapter's rank is below that of the layers it adapts."""
    rank = draft.strategy.traits.rank
    if rank is None or draft.source.node("strategy.rank") is None:  # a default is nobody's slip
        return
    sizes = {name: (one.inputs, one.outputs) for name, one in draft.trained.beside.items()}
    full = {name: size for name, size in sizes.items() if min(size) <= rank}
    if full:
        name, size = next(iter(full.items()))
        summary = f"rank {rank} is at least the full rank of {len(full)} of {len(sizes)} adapted layers"
        help = f"write less than {min(map(min, full.values()))}; a rank of a quarter of that is usual"
        notes = f"`{name}` is {size[0]:,} by {size[1]:,}; an adapter of this rank is larger than the layer"
        yield _found(draft, "FTC232", summary, "strategy.rank", help=help, notes=notes)


def virtual_tokens_have_room(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The longest row fits the model together with the virtual tokens before it, and an answer behind it."""
    own, places = draft.strategy.traits.num_virtual, draft.model.max_positions
    longest = max(split.length_max for split in draft.splits.values())
    left = (places or 0) - own
    if own and places is not None and own + longest > places:
        yield _found(
            draft,
            "FTC273",
            f"{own} virtual tokens and rows of up to {longest:,} tokens exceed the model's {places:,} positions",
            "strategy.virtual_tokens",
            help=(f"write `max_length: {left}` in `data`, or " if left >= _SHORTEST else "write ")
            + "use fewer virtual tokens",
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
        what = "preference pairs"
    if draft.recipe.train.label_smoothing and what is not None:
        summary = f"`label_smoothing` does not work with {what}: there is no single right choice among a fixed number"
        yield _found(draft, "FTC276", summary, "train.label_smoothing", help="remove it")


def pages_need_a_card(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Paged optimizers have something to page between."""
    kind = draft.recipe.train.optimizer.kind
    if draft.device.kind == "cpu" and kind != "auto" and optimizer_card(kind).paged:
        other = next(card.kind for card in OPTIMIZERS if card.paged_as == kind)
        summary = f"`{kind}` needs a GPU, but the device is {draft.device.label}"
        yield _found(draft, "FTC275", summary, "train.optimizer.kind", help=f"write `{other}`")


def flash_attention_is_half_precise(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The kernel of flash attention takes no float32."""
    kernel, precision = draft.candidate.attention, precision_card(draft.train.precision)
    if kernel == "flash_attention_2" and not precision.is_mixed and flash_obstacle(draft) is None:
        name, help = precision.label, f"remove `attention`, or train in {FIRST_CHOICE.label}"
        summary, notes = f"flash attention does not support {name}", draft.origins["train.precision"].reason
        yield _found(draft, "FTC235", summary, "model.attention", help=help, notes=f"{name}: {notes}")


def budget_is_on_the_device(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A budget of memory is at most what the device has; beyond it, fitting the budget proves nothing."""
    vram, has = draft.recipe.budget.vram, draft.device.memory_bytes
    if vram is None or vram <= has:
        return
    overflows = draft.memory is not None and draft.memory.peak_bytes > has
    if not overflows and vram <= _NOMINAL * has:
        return
    need = f"; the run needs {draft.memory.peak_bytes / 2**30:.2f} GiB" if overflows and draft.memory else ""
    summary = f"the budget is {vram / 2**30:.2f} GiB, but {draft.device.label} has {has / 2**30:.2f} GiB{need}"
    help = "write at most the device's memory, name a larger device, or remove `vram`"
    yield _found(draft, "FTC236", summary, "budget.vram", help=help, severity=Severity.ERROR if overflows else None)


def classes_are_known(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A metric or gate of one class names one that the labels have."""
    named = [(path, split_metric(name)[1]) for name, path in draft.recipe.eval.named()]
    if not any(label for _, label in named):
        return
    tags: tuple[str, ...] = draft.text.labels
    labels = tuple(dict.fromkeys(entity_types(tags).values())) if draft.mode.labels == "words" else tags
    for path, label in named:
        if label and label not in labels:
            close = nearest(label, labels)
            help = f"did you mean `{close}`?" if close else f"the classes are {', '.join(labels[:12])}"
            yield _found(draft, "FTC240", f"the task has no label `{label}`", path, help=help)


def general_text_needs_a_decoder(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Forgetting is told from next tokens, which an encoder or an encoder-decoder doesn't predict of plain text."""
    if draft.recipe.eval.retention is not None and draft.model.family != "decoder":
        family = draft.model.family.replace("_", "-")
        summary = f"an {family} model doesn't predict the next token of plain text"
        yield _found(draft, "FTC242", summary, "eval.retention", help="remove `retention`, or fine-tune a decoder")


def swaps_keep_answers_in_place(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """An answer that is cut out of a context moves with the words before it."""
    if draft.recipe.eval.swaps is not None and form_card(draft.text.form).moves_targets:
        summary = "substitutions would move extractive answers in the context"
        yield _found(draft, "FTC242", summary, "eval.swaps", help="remove `swaps`, or set `task.mode: generative`")


def swaps_need_answers(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """What a language model says changes only where it is asked to say something."""
    if draft.recipe.eval.swaps is not None and head_card(draft.loaded.head).writes:
        yield from _without_answers(
            draft, "FTC242", "no metric needs generated answers, which `swaps` compares", "eval.swaps"
        )


def judge_has_answers(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A judge grades what is written, and something is only written where a metric needs it."""
    if draft.recipe.eval.judge is not None:
        yield from _without_answers(
            draft, "FTC243", "no metric needs generated answers, which a judge grades", "eval.judge"
        )


def classifier_has_answers(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """As for a judge."""
    if draft.recipe.eval.classifier is not None:
        summary = "no metric needs generated answers, which a classifier rates"
        yield from _without_answers(draft, "FTC244", summary, "eval.classifier")


def reward_model_has_answers(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """As for a judge."""
    if draft.recipe.eval.reward_model is not None:
        summary = "no metric needs generated answers, which a reward model scores"
        yield from _without_answers(draft, "FTC459", summary, "eval.reward_model")


def _without_answers(draft: ClosedDraft, code: str, summary: str, at: str) -> Iterator[Diagnostic]:
    if draft.eval.max_new_tokens is None:
        help = "add a metric that needs generated answers to `eval.metrics`, such as `exact_match`"
        yield _found(draft, code, summary, at, help=help)


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
        allowed = 1 - Fraction(repr(gate.bound))  # the bound is a tenth where it was written as 0.1
        if gate.comparison in (">=", ">") and 0 < allowed * rows < 1:
            yield _found(
                draft,
                "FTC237",
                f"one wrong answer in {rows} fails the gate `{name}`",
                path,
                help=f"use at least {math.ceil(1 / allowed)} test rows, so that one may be wrong, or lower the bound",
                notes=f"one row changes the metric by {1 / rows:.3f}",
            )


def device_has_a_price(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A limit on the cost needs the price of the device that a run is planned for, in the limit's currency."""
    limit, price, name, path = draft.recipe.budget.cost, price_of(draft), draft.device.name, "budget.cost"
    if limit is not None and price is None:
        help = f"add `price_per_hour`, or add `{name}` to `prices` in {POLICY_FILE}"
        yield _found(draft, "FTC209", f"`cost` needs a price of {name}", path, help=help)
    elif limit is not None and price is not None and price.currency != limit.currency:
        summary = f"the cost limit is in {limit.currency}, the price of {name} in {price.currency}"
        yield _found(draft, "FTC209", summary, path, help="write both in one currency")


def host_has_room(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """What a run takes of a machine's own memory is there; on a CPU that is the device's, and counted."""
    needed, there = host_bytes(draft), draft.device.host_bytes
    if there is not None and draft.device.kind == "cuda" and needed > there:
        where = "host RAM on each machine" if draft.recipe.budget.nodes > 1 else "host RAM"
        summary = f"the run needs {needed / 2**30:.1f} GiB of {where}, this machine has {there / 2**30:.1f} GiB"
        help = "use a smaller base model, or a machine with more host RAM"
        notes = "one process loads the model there before it is sharded, and `offload: cpu` keeps trained parts there"
        path = "train.sharding"
        if (copy := copied_checkpoint(draft)) and needed - copy <= there:
            notes = f"{copy / 2**30:.1f} GiB of it is the copy of a checkpoint that is written in the background"
            path, help = "train.save_in_background", "write `save_in_background: false`"
        yield _found(draft, "FTC294", summary, path, help=help, notes=notes)


_SHORTEST = 8
"""Tokens of a row below which nothing is said of a longest one."""

FACT_RULES: tuple[FactRule, ...] = (
    *VISION_RULES,
    *LINEAGE_RULES,
    limits_leave_out_rows,
    adapters_are_low_rank,
    virtual_tokens_have_room,
    strategies_find_their_place,
    pages_need_a_card,
    *DEVICE_RULES,
    host_has_room,
    smoothing_has_choices,
    vectors_can_be_pooled,
    flash_attention_is_half_precise,
    device_has_a_price,
    batch_fits_the_rows,
    warm_up_leaves_training,
    validation_is_evaluated,
    *TEACHER_RULES,
    answers_are_written,
    classes_are_known,
    groups_are_known,
    general_text_needs_a_decoder,
    swaps_keep_answers_in_place,
    swaps_need_answers,
    judge_has_answers,
    classifier_has_answers,
    reward_model_has_answers,
    gates_are_coarser_than_a_row,
    budget_is_on_the_device,
    *(*PACKED_RULES, *SAMPLING_RULES, *REWARD_MODEL_RULES),
)
"""Every rule, in the order of the recipe's sections."""


def check_facts(draft: ClosedDraft) -> ClosedDraft:
    """Adds what all rules find."""
    found = tuple(found for rule in FACT_RULES for found in rule(draft))
    return _with_host(replace(draft, diagnostics=(*draft.diagnostics, *found)))


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
    return diagnostic(code, summary, span, help=help, notes=(notes,) if notes else (), path=at, severity=severity)


def _with_host(draft: ClosedDraft) -> ClosedDraft:
    """How much of a machine's memory its processes take together, for a divided model or a copied checkpoint."""
    if not (size := host_bytes(draft)):
        return draft
    needed, nodes, there = f"{size / 2**30:.2f}", draft.recipe.budget.nodes, draft.device.host_bytes
    who = f"the processes of each of {nodes} machines" if nodes > 1 else "all processes together"
    copy = copied_checkpoint(draft)
    beside = f", {copy / 2**30:.2f} GiB of it for a checkpoint while it is written" if copy else ""
    if there is None and draft.candidate.is_divided and draft.device.kind == "cuda":
        unknown = f"how much a machine with {draft.device.label} has is unknown"
        return draft.miss(f"host RAM: {who} need {needed} GiB{beside}, and {unknown}")
    of = f" of {there / 2**30:.1f}" if there else ""
    check = Check(name="host RAM", code=None, result=f"{needed}{of} GiB for {who}{beside}")
    return replace(draft, checks=(*draft.checks, check))
