"""A plan on one screen: what will run, on what, whether it fits, what was chosen, and where each value came from."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, assert_never

from ftc.spec.checkpointing import checkpointing_card
from ftc.spec.context_parallel import row_shares
from ftc.spec.documents.interruption import Standing
from ftc.spec.documents.plan import (
    CombineStep,
    EvaluateStep,
    ExportStep,
    FetchStep,
    Plan,
    ProveStep,
    TrainStep,
    VerifyStep,
)
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.fused_kernels import fused_kernel
from ftc.spec.number_losses import number_loss
from ftc.spec.optimizers import OptimizerKind, optimizer_card
from ftc.spec.precisions import precision_card
from ftc.spec.reinforcement_losses import reinforcement_loss
from ftc.spec.schedules import schedule_card
from ftc.views import numbers
from ftc.views.checks import check_lines
from ftc.views.device_words import device_words
from ftc.views.estimates import judge_lines, memory_lines, time_lines, verdict_words
from ftc.views.loss_words import loss_words, scale_words
from ftc.views.page import INDENT, PLAIN, Page, blocks, escaped, pad, shorten, visible_width
from ftc.views.tracking import asked_parts
from ftc.views.words import (
    ORIGIN_WORDS,
    dequantized_parts,
    headline,
    learned_of_rows,
    parent_parts,
    planned_prompts,
    size_words,
    teacher_parts,
    tokenizer_parts,
    value_at,
    writer_words,
)

if TYPE_CHECKING:
    from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.trackers import Track

__all__ = ["chosen_lines", "optimizer_words", "origins_text", "plan_text", "up_to_date_text", "verdict_lines"]

_LONGEST_OVERRIDE = 60
_LEAST_PADDING = 0.01
_GROUPS = 2


def plan_text(
    plan: Plan,
    *,
    lock_state: str | None = None,
    lock_changes: Sequence[str] = (),
    warnings: int = 0,
    record: RunRecord | None = None,
    standing: Standing | None = None,
    hint: str = "",
    shown: Collection[str] = (),
    verbose: bool = False,
    track: Track | None = None,
    page: Page = PLAIN,
) -> str:
    """The plan for people, with the verdict in its last line.

    Args:
        plan: What to show.
        lock_state: How the lock file was found: `new`, `changed`, `up to date`, `left alone`; None where nobody looked.
        lock_changes: What differs from the lock file, one entry a section.
        warnings: Findings that don't stop the run.
        record: The run of exactly this plan, if there is one.
        standing: How that run stands, where it is not over.
        hint: What to do next, in the line before the last.
        shown: Codes of findings that are shown elsewhere, which *Checks* doesn't repeat.
        verbose: Show every value that the user didn't give with its reason, and all of each check.
        track: Trackers that the recipe asks for, which no plan contains.
        page: Width and colors.
    """
    model = plan.model
    title = [
        plan.recipe.task.kind,
        f"{escaped(model.name)} {size_words(model)} ({escaped(model.license or 'no license')})",
        f"{plan.settings.strategy.words()}, {numbers.percent(model.num_trainable, model.num_parameters)} trainable",
    ]
    return blocks(
        [
            page.flow(page.strong(plan.name), title, indent=min(max(INDENT, len(plan.name) + 3), page.columns // 2)),
            [
                *page.listed("Set", [shorten(escaped(text), _LONGEST_OVERRIDE) for text in plan.overrides]),
                *_data(plan, page),
                *page.listed("Weights", dequantized_parts(plan)),
                *page.listed("Tokenizer", tokenizer_parts(plan.settings.model.tokenizer)),
                *_training(plan, page),
                *page.listed("Parent", parent_parts(plan)),
                *page.listed("Teacher", teacher_parts(plan)),
                *memory_lines(plan.memory, page, devices=plan.settings.train.world_size),
                *time_lines(plan, page),
                *judge_lines(plan, page),
                *page.listed("Baselines", planned_prompts(plan)),
                *_lock(plan, lock_state, lock_changes, page),
                *check_lines(plan, page, shown=shown, whole=verbose),
                *page.listed("Unchecked", map(escaped, plan.not_checked)),
                *page.listed("Trackers", asked_parts(track)),
            ],
            _steps(plan, record, standing, page),
            chosen_lines(plan, page, whole=verbose),
            [*page.wrap(hint), *verdict_lines(plan, warnings, record, page)],
        ]
    )


def _data(plan: Plan, page: Page) -> list[str]:
    """Rows and tokens: the sizes of the splits, then what the training rows look like."""
    form = plan.settings.text.form
    total = numbers.count(sum(report.measured(form) for report in plan.data.values()))
    held_out = {"test": " (held out)"}
    present = [name for name, _ in plan.splits]
    splits = [f"{name} {numbers.count(plan.data[name].measured(form))}{held_out.get(name, '')}" for name in present]
    first, *others = splits or ["none"]
    lines = page.flow("Data", [f"{total} rows → {first}", *others])
    train = plan.data.get("train")
    if train is None:
        return lines
    parts = [
        f"tokens p50 {numbers.count(train.length_p50)}",
        f"p95 {numbers.count(train.length_p95)}",
        f"max {numbers.count(train.length_max)}",
    ]
    if train.truncated_rows:
        parts.append(page.alert(f"{numbers.percent(train.truncated_rows, train.rows)} truncated"))
    if train.dropped_rows:
        parts.append(page.alert(f"{numbers.plural(train.dropped_rows, 'row')} dropped"))
    tokens = f"{numbers.magnitude(train.tokens)} tokens"
    supervised = numbers.percent(train.supervised_tokens, train.tokens)
    learned = learned_of_rows(plan, train)
    parts.append(f"{tokens}, {learned}" if learned else f"target tokens {supervised} of {tokens}")
    return lines + page.flow("", parts)


def _lock(plan: Plan, state: str | None, changes: Sequence[str], page: Page) -> list[str]:
    lock, lesson, there = plan.lock, plan.settings.train.distillation, plan.lock.hosted
    packages = max((len(facts.packages) for facts in lock.platforms.values()), default=0)
    parts = [
        f"model {numbers.plural(len(lock.model.files), 'file')}",
        *([f"teacher {numbers.plural(len(lesson.teacher.files), 'file')}"] if lesson else []),
        f"data {numbers.plural(sum(max(1, len(one.files)) for one in lock.data.sources.values()), 'file')}",
        *([f"images {numbers.plural(lock.data.images.files, 'file')}"] if lock.data.images else []),
        f"tokenizer {numbers.plural(len(lock.text.tokenizer_files), 'file')}",
        numbers.plural(packages, "package"),
        *([f"not pinned at {escaped(there.provider)}: {len(there.not_pinned)}"] if there else []),
    ]
    paints = {"new": page.accent, "changed": page.alert}
    end = paints.get(state, page.faint)(state) if state else ""
    lines = page.flow("Lock", parts, end=end)
    return lines + [line for change in changes for line in page.wrap(f"{'':{INDENT}}~ {escaped(change)}")]


def verdict_lines(plan: Plan, warnings: int, record: RunRecord | None, page: Page) -> list[str]:
    """What would run, whether it fits, and how many warnings there are: one line, unless the page is narrow."""
    evaluations = sum(isinstance(step, EvaluateStep) for step in plan.steps)
    trainings = sum(isinstance(step, TrainStep) for step in plan.steps)
    work = "nothing to do" if _is_done(record) else f"{trainings} to train, {evaluations} to evaluate"
    noted = f" {numbers.plural(warnings, 'warning')}." if warnings else ""
    line = f"Plan {numbers.digest(plan.sha256)}: {work}. {verdict_words(plan.memory)}{noted}"
    paint = page.strong if plan.memory.verdict == "fits" else page.bad
    return list(map(paint, page.wrap(line)))


def _is_done(record: RunRecord | None) -> bool:
    return record is not None and record.is_finished


def up_to_date_text(plan: Plan, record: RunRecord, evaluation: Evaluation | None, *, page: Page = PLAIN) -> str:
    """What `apply` says when a finished run of exactly this plan exists."""
    ended = record.segments[-1].ended_at if record.segments else None
    when = f" on {ended[:10]}" if ended else ""
    result = headline(evaluation)
    words = f"{plan.name} is up to date: plan {numbers.digest(plan.sha256)} ran{when} as run {record.id}"
    after = f"`ftc show {record.id}` shows it, `ftc predict {record.id} TEXT` uses it."
    return "\n".join(page.wrap(f"{words} ({result}). {after}" if result else f"{words}. {after}")) + "\n"


def _rate_words(train: TrainSettings) -> str:
    """The learning rate, what differs from it, and the schedule."""
    warmup = f", warm-up {numbers.plural(train.schedule.warmup_steps, 'step')}" if train.schedule.warmup_steps else ""
    head = "" if train.head_learning_rate is None else f", new head {numbers.rate(train.head_learning_rate)}"
    groups = [f", {one.parameters[0]} {numbers.rate(one.learning_rate)}" for one in train.parameter_groups]
    if more := len(groups[_GROUPS:]):
        groups = [*groups[:_GROUPS], f", {numbers.plural(more, 'more group')}"]
    own = f"{head}{''.join(groups)}"
    rate = f"lr {numbers.rate(train.learning_rate)}{own}{',' if own else ''}"
    return f"{rate} {schedule_card(train.schedule.kind).label}{warmup}"


def _training(plan: Plan, page: Page) -> list[str]:
    train = plan.settings.train
    epochs = train.num_steps / train.steps_per_epoch
    parts = [
        f"{epochs:.3g} {'epoch' if epochs == 1 else 'epochs'} = {numbers.plural(train.num_steps, 'step')}",
        f"batch size {train.batch_size}",
        _batch_words(train),
        _rate_words(train),
        f"{optimizer_words(train.optimizer.kind, fused=train.fused)} in {precision_card(train.precision).label}",
    ]
    parts += device_words(train)
    if train.packing:
        parts.append(f"packing, up to {numbers.count(train.micro_batch_tokens or 0)} tokens per sequence")
    elif train.micro_batch_tokens:
        parts.append(f"up to {numbers.count(train.micro_batch_tokens)} tokens per forward pass")
    if train.loss_chunk_size:
        parts.append(f"loss in chunks of {numbers.count(train.loss_chunk_size)} positions")
    fed, report = plan.work.train_tokens if plan.work else 0, plan.data.get("train")
    if (sampling := train.sampling) is not None:
        loss = reinforcement_loss(sampling.loss).label
        answers = numbers.plural(sampling.max_new_tokens, "token")
        by = writer_words(sampling)
        parts.append(f"{loss}: {sampling.group_size} answers per prompt, up to {answers} each{by}")
    elif fed and report:  # how much of what training is fed is padding
        padding = 1 - report.tokens * train.num_steps / train.steps_per_epoch / train.layer_groups / fed
        parts += [f"{numbers.percent(padding)} padding"] if padding >= _LEAST_PADDING else []
    if train.regression is not None:
        parts.append(number_loss(train.regression.loss).label + scale_words(plan))
    parts += loss_words(train)
    parts += [f"average of the weights, decay {train.ema_decay:g}"] if train.ema_decay is not None else []
    if train.average_checkpoints is not None:
        parts.append(f"result: mean of the last {train.average_checkpoints} checkpoints")
    parts += [f"weights rounded to {train.quantize_aware.words()}"] if train.quantize_aware is not None else []
    parts += ["rows grouped by length"] if train.batching == "length_grouped" else []
    parts += [label] if (label := checkpointing_card(train.activation_checkpointing).label) else []
    parts += ["compiled layers"] if train.compile else []
    if train.kernels:
        parts.append(f"fused kernels: {', '.join(fused_kernel(part).label for part in train.kernels)}")
    if train.early_stopping:
        parts.append(f"stops early on {escaped(train.early_stopping.metric)}")
    return page.flow("Training", parts)


def _batch_words(train: TrainSettings) -> str:
    """How a batch is divided, as transformers names it."""
    shares = row_shares(train.world_size, train.sharers)
    accumulation = -(-train.batch_size // (train.micro_batch * shares))
    return f"per-device batch size {train.micro_batch}, gradient accumulation {accumulation}"


def optimizer_words(kind: OptimizerKind, *, fused: bool) -> str:
    """An optimizer in a few words: `fused AdamW`, `paged AdamW of 8 bits`."""
    return f"{'fused ' if fused else ''}{optimizer_card(kind).label}"


def _steps(plan: Plan, record: RunRecord | None, standing: Standing | None, page: Page) -> list[str]:
    """One line for each thing that will be done, with `+` for new, `~` for goes on, `=` for done."""
    sign = page.faint("=") if _is_done(record) else page.good("+")
    evaluations = [step for step in plan.steps if isinstance(step, EvaluateStep)]
    lines = []
    for step in plan.steps:
        mark = sign
        match step:
            case VerifyStep():
                continue  # every run does it, so it tells nothing
            case ProveStep(steps=steps):
                name, words = "prove", f"the first {numbers.plural(steps, 'step')} twice, in fresh processes"
            case TrainStep(steps=steps):
                name, words = "train", f"{numbers.plural(steps, 'step')}; this plan has no run yet"
                if record and _is_done(record):
                    words = f"nothing to do: run {record.id} is {record.status.replace('_', ' ')}"
                elif standing:
                    mark = page.alert("~") if standing.step > 0 else sign
                    begins = f"continues from step {standing.step} of" if standing.step else "starts over:"
                    words = f"{escaped(standing.words)}; {begins} {numbers.plural(steps, 'step')}"
            case CombineStep(adapters=count):
                name, words = "combine", f"the adapters of {numbers.count(count)} runs"
            case FetchStep(artifact=artifact, provider=provider):
                name, words = "fetch", f"the {artifact} that {escaped(provider)} trained"
            case ExportStep(artifact=artifact):
                name, words = "export", f"the {artifact}, as safetensors"
            case EvaluateStep():
                if step is not evaluations[0]:
                    continue  # one line tells of all subjects
                *others, last = [one.subject for one in evaluations]
                subjects = f"{', '.join(others)} and {last}" if others else last
                name, words = "evaluate", f"{subjects}, on {numbers.count(step.rows)} test rows, once"
            case _:
                assert_never(step)
        lines += page.flow(f"  {mark} {name}", [words], indent=15)
    return lines


_BATCH = "train.micro_batch"
_TELLING = (
    _BATCH,
    "train.precision",
    "train.learning_rate",
    "train.activation_checkpointing",
    "text.max_length",
    "strategy.adapter.alpha",
    "model.attention",
    "eval.max_new_tokens",
)
"""Values that users ask about first."""
_DEVICES = "device.count"
"""How many devices share the run, which is asked about before all else where ftc chose it."""
_LABEL = "Chosen for you:"
_MORE = "all: --origins"
_LONGEST_REASON = 46
_SHOWN = 3
_KIND_CELLS = 7
_NARROWEST_REASON = 36
_SHORTEST_VALUE = 16


def chosen_lines(plan: Plan, page: Page = PLAIN, *, whole: bool = False) -> list[str]:
    """The most telling values that the user did not write, with reasons, and how many more there are.

    Where `whole`, every value that was derived, with its whole reason, a line each.
    """
    chosen = {path: origin for path, origin in plan.origins.items() if origin.kind != "written"}
    derived = [path for path in chosen if chosen[path].kind == "derived"]
    telling = (*(_DEVICES,) * (_DEVICES in derived), *_TELLING)
    order = [*(path for path in telling if path in chosen), *(path for path in derived if path not in telling)]
    values = plan.settings.model_dump(mode="python")
    if whole:
        lines = (f"{path} {_value_words(value_at(values, path))} ({escaped(chosen[path].reason)})" for path in order)
        return [_LABEL, *(part for line in lines for part in page.wrap(f"  {line}"))]
    parts = []
    for path in order[:_SHOWN]:
        reason = shorten(chosen[path].reason, _LONGEST_REASON)
        name = "devices" if path == _DEVICES else path.rpartition(".")[2]
        value = f"{name} {_value_words(value_at(values, path))}"
        parts.append(f"{_batch_words(plan.settings.train) if path == _BATCH else value} ({reason})")
    if len(chosen) > len(parts):
        parts.append(f"{len(chosen) - len(parts)} more")
    return page.flow(_LABEL, parts, indent=len(_LABEL) + 1, end=_MORE) if parts else []


def origins_text(plan: Plan, *, page: Page = PLAIN) -> str:
    """Every value of the settings with its origin, in the order of their paths; nothing is left out.

    Reasons stand beside their values where the page is wide enough to read them there, else below.
    """
    values = plan.settings.model_dump(mode="python")
    rows = [(path, _value_words(value_at(values, path)), plan.origins[path]) for path in sorted(plan.origins)]
    first = min(page.columns * 2 // 5, max((len(path) for path, _, _ in rows), default=0))
    sizes = sorted(visible_width(value) for _, value, _ in rows)
    second = min(page.columns // 4, max(_SHORTEST_VALUE, sizes[len(sizes) * 9 // 10] if sizes else 0))
    room = page.columns - first - second - _KIND_CELLS - 6
    lines: list[str] = []
    for path, value, origin in rows:
        reason, kind = " ".join(escaped(origin.reason).split()), ORIGIN_WORDS[origin.kind]
        if room >= _NARROWEST_REASON:
            lines += _cells((path, value, kind, reason), (first, second, _KIND_CELLS, room))
        else:
            lines += _cells((path, value, kind), (first, page.columns - first - _KIND_CELLS - 4, _KIND_CELLS))
            lines += page.wrap(f"    {reason}")
    return "\n".join(lines) + "\n"


def _cells(texts: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The lines of one row, in which each text is wrapped within its column."""
    columns = [textwrap.wrap(text, width) or [""] for text, width in zip(texts, widths, strict=True)]
    for parts in zip_longest(*columns, fillvalue=""):
        yield "  ".join(pad(part, width) for part, width in zip(parts, widths, strict=True)).rstrip()


def _value_words(value: Any) -> str:
    """A value as a recipe would write it."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return numbers.rate(value) if 0 < abs(value) < 0.01 else f"{value:g}"
        case {"comparison": comparison, "bound": bound}:
            return f"{comparison} {bound:g}"
        case dict():
            return " ".join(f"{escaped(str(key))}={_value_words(item)}" for key, item in value.items()) or "none"
        case list() | tuple():
            return " ".join(_value_words(item) for item in value) or "none"
        case _:
            return escaped(str(value))
