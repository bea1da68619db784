"""A plan on one screen: what will run, on what, whether it fits, what was chosen, and where each value came from."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, assert_never

from ftc.spec.documents.plan import EvaluateStep, ExportStep, Plan, ProveStep, Step, TrainStep, VerifyStep
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.documents.streams import SplitReport
from ftc.spec.optimizers import OptimizerKind, optimizer_card
from ftc.spec.schedules import schedule_card
from ftc.spec.text_forms import FormName
from ftc.views import numbers
from ftc.views.estimates import judge_lines, memory_lines, time_lines, verdict_words
from ftc.views.page import INDENT, PLAIN, Page, escaped, pad, shorten, visible_width
from ftc.views.words import headline, learned_of_rows, teacher_parts

__all__ = ["chosen_lines", "optimizer_words", "origins_text", "plan_text", "up_to_date_text"]

_LONGEST_OVERRIDE = 60
_LEAST_PADDING = 0.01


def plan_text(
    plan: Plan,
    *,
    lock_state: str | None = None,
    lock_changes: Sequence[str] = (),
    warnings: int = 0,
    record: RunRecord | None = None,
    hint: str = "",
    page: Page = PLAIN,
) -> str:
    """The plan for people.

    Args:
        plan: What to show.
        lock_state: How the lock file was found: `new`, `changed` or `up to date`, or that it was `left alone`; None
            where nobody looked.
        lock_changes: What differs from the lock file, one entry a section.
        warnings: Findings that don't stop the run.
        record: The run of exactly this plan, if there is one.
        hint: What to do next, as the end of the last line.
        page: Width and colors.
    """
    lock, lesson = plan.lock, plan.settings.train.distillation
    packages = max((len(facts.packages) for facts in lock.platforms.values()), default=0)
    parts = [
        f"model {numbers.plural(len(lock.model.files), 'file')}",
        *([f"teacher {numbers.plural(len(lesson.teacher.files), 'file')}"] if lesson else []),
        f"data {numbers.plural(len(lock.data.sources), 'file')}",
        f"tokenizer {numbers.plural(len(lock.text.tokenizer_files), 'file')}",
        numbers.plural(packages, "package"),
    ]
    paints = {"new": page.accent, "changed": page.alert}
    end = paints.get(lock_state, page.faint)(lock_state) if lock_state else ""
    lines = page.flow("Lock", parts, end=end)
    checks = [
        f"{escaped(check.name)}: {escaped(check.result)}" + (page.alert(f" ({check.code})") if check.code else "")
        for check in plan.checks
    ]
    blocks = (
        _title(plan, page),
        [
            *_overrides(plan, page),
            *_data(plan, page),
            *_training(plan, page),
            *page.flow("Teacher", teacher_parts(plan)) * bool(plan.settings.train.distillation),
            *memory_lines(plan.memory, page, devices=plan.settings.device.count),
            *time_lines(plan, page),
            *judge_lines(plan, page),
            *(lines + [line for change in lock_changes for line in page.wrap(f"{'':{INDENT}}~ {escaped(change)}")]),
            *(page.flow("Checks", checks) if checks else []),
            *page.flow("Unchecked", map(escaped, plan.not_checked)) * bool(plan.not_checked),
        ],
        _steps(plan, record, page),
        [*chosen_lines(plan, page), *_verdict(plan, warnings, record, hint, page)],
    )
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def up_to_date_text(plan: Plan, record: RunRecord, evaluation: Evaluation | None, *, page: Page = PLAIN) -> str:
    """What `apply` says when a finished run of exactly this plan exists."""
    ended = record.segments[-1].ended_at if record.segments else None
    when = f" on {ended[:10]}" if ended else ""
    result = headline(evaluation)
    words = f"{plan.name} is up to date: plan {numbers.digest(plan.sha256)} ran{when} as run {record.id}"
    return "\n".join(page.wrap(f"{words} ({result})." if result else f"{words}.")) + "\n"


def _title(plan: Plan, page: Page) -> list[str]:
    model = plan.model
    parts = [
        plan.recipe.task.kind,
        f"{escaped(model.name)} {numbers.magnitude(model.num_parameters)} ({escaped(model.license or 'no license')})",
        f"{plan.settings.strategy.words()}, {numbers.percent(model.num_trainable, model.num_parameters)} trainable",
    ]
    indent = max(INDENT, len(plan.name) + 3)
    return page.flow(page.strong(plan.name), parts, indent=min(indent, page.columns // 2))


def _overrides(plan: Plan, page: Page) -> list[str]:
    """What the command line laid on top of the recipe."""
    parts = [shorten(escaped(text), _LONGEST_OVERRIDE) for text in plan.overrides]
    return page.flow("Set", parts) if parts else []


def _data(plan: Plan, page: Page) -> list[str]:
    """Rows and tokens: the sizes of the splits, then what the training rows look like."""
    form = plan.settings.text.form
    total = numbers.count(sum(report.measured(form) for report in plan.data.values()))
    sealed = {"test": " (sealed)"}
    present = [name for name, _ in plan.splits]
    splits = [f"{name} {numbers.count(plan.data[name].measured(form))}{sealed.get(name, '')}" for name in present]
    first, *others = splits or ["none"]
    lines = page.flow("Data", [f"{total} rows → {first}", *others])
    if train := plan.data.get("train"):
        lines += page.flow("", _lengths(form, train, page))
    return lines


def _lengths(form: FormName, report: SplitReport, page: Page) -> Iterable[str]:
    yield f"tokens p50 {numbers.count(report.length_p50)}"
    yield f"p95 {numbers.count(report.length_p95)}"
    yield f"max {numbers.count(report.length_max)}"
    if report.truncated_rows:
        yield page.alert(f"{numbers.percent(report.truncated_rows, report.rows)} cut")
    if report.dropped_rows:
        yield page.alert(f"{numbers.plural(report.dropped_rows, 'row')} dropped")
    tokens = numbers.magnitude(report.tokens)
    if learned := learned_of_rows(form, report):
        yield f"{tokens} tokens, {learned}"
    else:
        yield f"supervised {numbers.percent(report.supervised_tokens, report.tokens)} of {tokens} tokens"


def _training(plan: Plan, page: Page) -> list[str]:
    train = plan.settings.train
    epochs = train.num_steps / train.steps_per_epoch
    accumulation = -(-train.batch_size // (train.micro_batch * train.world_size))
    warmup = f", warm-up {numbers.plural(train.schedule.warmup_steps, 'step')}" if train.schedule.warmup_steps else ""
    split = f"{train.micro_batch} x {accumulation}" + (f" x {train.world_size} ranks" if train.world_size > 1 else "")
    parts = [
        f"{epochs:.3g} {'epoch' if epochs == 1 else 'epochs'} = {numbers.plural(train.num_steps, 'step')}",
        f"batch {train.batch_size} ({split})",
        f"lr {numbers.rate(train.learning_rate)} {schedule_card(train.schedule.kind).label}{warmup}",
        f"{optimizer_words(train.optimizer.kind, fused=train.fused)} in {train.precision}",
    ]
    if train.world_size > 1:
        held = " with its parts in the host's memory" if train.offload == "cpu" else ""
        parts.append(f"{train.sharding.upper()}{held} on {train.world_size} devices")
    if train.packing:
        parts.append(f"packed, up to {numbers.count(train.micro_batch_tokens or 0)} tokens a sequence")
    elif train.micro_batch_tokens:
        parts.append(f"up to {numbers.count(train.micro_batch_tokens)} tokens at once")
    if padding := _padding(plan):
        parts.append(padding)
    if train.batching == "length_grouped":
        parts.append("steps of like lengths")
    if train.activation_checkpointing:
        parts.append("activation checkpointing")
    if train.early_stopping:
        parts.append(f"stops early on {escaped(train.early_stopping.metric)}")
    return page.flow("Training", parts)


def optimizer_words(kind: OptimizerKind, *, fused: bool) -> str:
    """An optimizer in a few words: `fused AdamW`, `paged AdamW of 8 bits`."""
    return f"{'fused ' if fused else ''}{optimizer_card(kind).label}"


def _padding(plan: Plan) -> str:
    """How much of what training is fed is padding, where that is a hundredth or more."""
    fed, report = plan.work.train_tokens if plan.work else 0, plan.data.get("train")
    if not fed or report is None:
        return ""
    train = plan.settings.train
    share = 1 - report.tokens * train.num_steps / train.steps_per_epoch / train.world_size / fed
    return f"{numbers.percent(share)} padding" if share >= _LEAST_PADDING else ""


def _steps(plan: Plan, record: RunRecord | None, page: Page) -> list[str]:
    """One line for each thing that will be done, with `+` for new, `~` for goes on, `=` for done."""
    done = record is not None and record.status in ("finished", "gate_failed")
    sign = page.faint("=") if done else page.good("+")
    evaluations = [step for step in plan.steps if isinstance(step, EvaluateStep)]
    lines = []
    for step in plan.steps:
        words = _step_words(step, evaluations, record, done)
        if words:
            goes_on = isinstance(step, TrainStep) and record is not None and record.steps_done > 0 and not done
            mark = page.alert("~") if goes_on else sign
            lines += page.flow(f"  {mark} {words[0]}", [words[1]], indent=15)
    return lines


def _step_words(
    step: Step, evaluations: Sequence[EvaluateStep], record: RunRecord | None, done: bool
) -> tuple[str, str] | None:
    match step:
        case VerifyStep():
            return None  # every run does it, so it tells nothing
        case ProveStep(steps=steps):
            return "prove", f"the first {numbers.plural(steps, 'step')} twice, in fresh processes"
        case TrainStep(steps=steps):
            return "train", _train_words(steps, record, done)
        case ExportStep(artifact=artifact):
            return "export", f"the {artifact}, as safetensors"
        case EvaluateStep():
            if step is not evaluations[0]:
                return None  # one line tells of all subjects
            subjects = " and ".join(one.subject for one in evaluations)
            return "evaluate", f"{subjects}, on {numbers.count(step.rows)} test rows, once"
        case _:
            assert_never(step)


def _train_words(steps: int, record: RunRecord | None, done: bool) -> str:
    if record is None:
        return f"{numbers.plural(steps, 'step')}; no run of this plan exists"
    if done:
        return f"nothing to do: run {record.id} is {record.status.replace('_', ' ')}"
    return f"run {record.id} is {record.status}; goes on from step {record.steps_done} of {numbers.count(steps)}"


def _verdict(plan: Plan, warnings: int, record: RunRecord | None, hint: str, page: Page) -> list[str]:
    done = record is not None and record.status in ("finished", "gate_failed")
    evaluations = sum(isinstance(step, EvaluateStep) for step in plan.steps)
    trainings = sum(isinstance(step, TrainStep) for step in plan.steps)
    work = "nothing to do" if done else f"{trainings} to train, {evaluations} to evaluate"
    words = verdict_words(plan.memory)
    fits = page.good(words) if plan.memory.verdict == "fits" else page.bad(words)
    noted = page.alert(f" {numbers.plural(warnings, 'warning')}.") if warnings else ""
    line = f"{page.strong('Plan ' + numbers.digest(plan.sha256))}: {work}. {fits}{noted} {hint}"
    return page.wrap(line.rstrip())


_TELLING = (
    "train.micro_batch",
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
_MORE = "--origins tells all"
_LONGEST_REASON = 46
_SHOWN = 3
_KIND_CELLS = 7
_NARROWEST_REASON = 36
_SHORTEST_VALUE = 16


def chosen_lines(plan: Plan, page: Page = PLAIN) -> list[str]:
    """The most telling values that the user did not write, with reasons, and how many more there are."""
    chosen = {path: origin for path, origin in plan.origins.items() if origin.kind != "written"}
    derived = [path for path in chosen if chosen[path].kind == "derived"]
    telling = (*(_DEVICES,) * (_DEVICES in derived), *_TELLING)
    order = [*(path for path in telling if path in chosen), *(path for path in derived if path not in telling)]
    values = plan.settings.model_dump(mode="python")
    parts = []
    for path in order[:_SHOWN]:
        reason = shorten(chosen[path].reason, _LONGEST_REASON)
        name = "devices" if path == _DEVICES else path.rpartition(".")[2]
        parts.append(f"{name} {_value_words(_value(values, path))} ({reason})")
    if len(chosen) > len(parts):
        parts.append(f"{len(chosen) - len(parts)} more")
    return page.flow(_LABEL, parts, indent=len(_LABEL) + 1, end=_MORE) if parts else []


def origins_text(plan: Plan, *, page: Page = PLAIN) -> str:
    """Every value of the settings with its origin, in the order of their paths; nothing is left out.

    Reasons stand beside their values where the page is wide enough to read them there, else below.
    """
    values = plan.settings.model_dump(mode="python")
    rows = [(path, _value_words(_value(values, path)), plan.origins[path]) for path in sorted(plan.origins)]
    first = min(page.columns * 2 // 5, max((len(path) for path, _, _ in rows), default=0))
    sizes = sorted(visible_width(value) for _, value, _ in rows)
    second = min(page.columns // 4, max(_SHORTEST_VALUE, sizes[len(sizes) * 9 // 10] if sizes else 0))
    room = page.columns - first - second - _KIND_CELLS - 6
    lines: list[str] = []
    for path, value, origin in rows:
        reason = " ".join(escaped(origin.reason).split())
        if room >= _NARROWEST_REASON:
            lines += _cells((path, value, origin.kind, reason), (first, second, _KIND_CELLS, room))
        else:
            lines += _cells((path, value, origin.kind), (first, page.columns - first - _KIND_CELLS - 4, _KIND_CELLS))
            lines += page.wrap(f"    {reason}")
    return "\n".join(lines) + "\n"


def _cells(texts: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The lines of one row, in which each text is wrapped within its column."""
    columns = [textwrap.wrap(text, width) or [""] for text, width in zip(texts, widths, strict=True)]
    for parts in zip_longest(*columns, fillvalue=""):
        yield "  ".join(pad(part, width) for part, width in zip(parts, widths, strict=True)).rstrip()


def _value(values: Any, path: str) -> Any:
    """The value under a dotted path; a missing one reads as None, as a path into an absent block does."""
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


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
            return " ".join(_pairs(value)) or "none"
        case list() | tuple():
            return " ".join(_value_words(item) for item in value) or "none"
        case _:
            return escaped(str(value))


def _pairs(value: dict[str, Any]) -> Iterator[str]:
    for key, item in value.items():
        yield f"{escaped(str(key))}={_value_words(item)}"
