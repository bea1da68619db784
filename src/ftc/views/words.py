"""Words that several pages share: a run's one result, its task, its teacher, and single settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ftc.spec.divergences import divergence_card
from ftc.spec.documents.interruption import Interruption
from ftc.spec.documents.loss_settings import SamplingSettings
from ftc.spec.documents.own_tokenizer import OwnTokenizer
from ftc.spec.documents.packed_weights import PackedWeights
from ftc.spec.documents.plan import ModelSummary, Plan
from ftc.spec.documents.streams import SplitReport
from ftc.spec.metrics import METRICS, metric_named
from ftc.spec.precisions import precision_card
from ftc.spec.quantized_files import quantized_files
from ftc.spec.reinforcement_losses import reinforcement_loss
from ftc.spec.strategies import strategy_card
from ftc.spec.tasks.card import Mode
from ftc.spec.text_forms import FormCard, form_card
from ftc.spec.writers import writer_card
from ftc.spec.writing import Writing
from ftc.views import numbers
from ftc.views.page import escaped

if TYPE_CHECKING:
    from ftc.spec.documents.record import Evaluation, RunRecord

__all__ = [
    "ORIGIN_WORDS",
    "auto_class",
    "continued_words",
    "dequantized_parts",
    "headline",
    "interruption_words",
    "learned_noun",
    "learned_of_rows",
    "main_metric",
    "metric_title",
    "mode_of",
    "parent_parts",
    "pipeline",
    "planned_prompts",
    "sampling_facts",
    "size_words",
    "skipped_words",
    "steps_words",
    "teacher_parts",
    "tokenizer_parts",
    "value_at",
    "writer_words",
]

ORIGIN_WORDS = {"written": "set", "default": "default", "derived": "derived"}
"""What a value's origin is called: set in the recipe or by a flag, a default, or derived from something else."""
_FIRST = tuple(metric.name for metric in sorted(METRICS, key=lambda one: one.headline or 0) if metric.headline)
"""Metrics that tell most about a task, in the order in which one is looked for."""


def headline(evaluation: Evaluation | None) -> str:
    """Such as `macro F1 0.941, gate passed`; empty where nothing was measured."""
    if evaluation is None or not evaluation.tuned.metrics:
        return ""
    metrics, name = evaluation.tuned.metrics, main_metric(evaluation)
    failed = sum(not gate.passed for gate in evaluation.gates)
    words = {0: "gate passed"} if len(evaluation.gates) == 1 else {0: "gates passed"}
    verdict = words.get(failed, f"{numbers.plural(failed, 'gate')} failed") if evaluation.gates else ""
    return ", ".join(filter(None, (f"{metric_title(name)} {numbers.metric(metrics[name])}", verdict)))


def main_metric(evaluation: Evaluation) -> str:
    """The metric that a gate asks for, else the one that tells most about the task. There has to be one."""
    metrics = evaluation.tuned.metrics
    gated = [gate.metric for gate in evaluation.gates]
    return next(name for name in (*gated, *_FIRST, *metrics) if name in metrics)


def metric_title(name: str) -> str:
    """What people call a metric."""
    kind = metric_named(name)
    return escaped(kind.title if kind else name)


def mode_of(plan: Plan) -> Mode:
    """How a plan's model does its task."""
    return plan.recipe.task.mode_for(plan.settings.model.family)


def pipeline(plan: Plan) -> str:
    """The hub's name of the task."""
    if plan.settings.model.vision is not None:
        return "image-text-to-text"
    return mode_of(plan).pipeline_of(plan.settings.model.family)


def auto_class(plan: Plan) -> str:
    """The class of transformers that loads the model."""
    return plan.settings.model.auto_class


def _learned(plan: Plan) -> FormCard:
    """The form whose words say what is learned of a row. A rated answer is no pair, though another is read beside."""
    card = form_card(plan.settings.text.form)
    return form_card("answer") if card.is_pair and plan.settings.answer == "rated" else card


def learned_noun(plan: Plan) -> str:
    """What the count of supervised things counts, where these aren't tokens; a plural, or empty."""
    return _learned(plan).noun


def learned_of_rows(plan: Plan, report: SplitReport) -> str:
    """What is learned of a split's rows, where it isn't a share of their tokens; else empty."""
    return _learned(plan).targets.format(
        targets=numbers.magnitude(report.supervised_tokens),
        windows=numbers.plural(report.rows, "window"),
        labels="any number of labels" if mode_of(plan).labels == "several" else "one label",
    )


def size_words(model: ModelSummary, noun: str = "") -> str:
    """Such as `7.2B`, or `30.5B, 3.3B active` of a mixture of experts; with a noun `7.2B parameters`."""
    size = f"{numbers.magnitude(model.num_parameters)} {noun}".rstrip()
    return size if model.num_active is None else f"{size}, {numbers.magnitude(model.num_active)} active"


def dequantized_parts(plan: Plan) -> list[str]:
    """How files hold weights of the base model and of a teacher, and memory; empty where both do it alike."""
    settings, lesson = plan.settings, plan.settings.train.distillation
    found: list[str] = []
    if (method := settings.model.quantized_files) is not None:
        found.append(f"{quantized_files(method).label} in the model's files")
        held = precision_card(settings.train.precision).base_type(is_whole=strategy_card(settings.strategy).is_whole)
        found.append(_packed(settings.model.packed) if settings.model.packed else _dequantized(held.name))
    if lesson is not None and (method := lesson.teacher.quantized_files) is not None:
        found += [f"{quantized_files(method).label} in the teacher's files", _dequantized(lesson.precision)]
    return found


def _packed(packed: PackedWeights) -> str:
    size = f"with a scale for {packed.group_size} inputs" if packed.group_size else "with a scale for each output"
    return f"kept in memory in {packed.bits} bits {size}"


def _dequantized(type: str) -> str:
    return f"dequantized to {type} while they are loaded"


def teacher_parts(plan: Plan) -> list[str]:
    """The teacher, how it counts, and how it is held; empty where the rows alone teach."""
    lesson = plan.settings.train.distillation
    if lesson is None:
        return []
    teacher = lesson.teacher
    license = escaped(teacher.license or "no license")
    held = f"quantized to {lesson.quantization}" if lesson.quantization else f"in {lesson.precision}"
    beta = f" with beta {lesson.beta:g}" if lesson.beta is not None else ""
    share = f"{100 * lesson.weight:.3g} % of the loss" if lesson.weight < 1 else "the whole loss"
    own, writes = lesson.on_policy, lesson.seq_kd
    return [
        f"{escaped(teacher.base)} {numbers.magnitude(teacher.num_parameters)} ({license})",
        *([share, f"{divergence_card(lesson.loss).label}{beta} at temperature {lesson.temperature:g}"] * lesson.judges),
        held,
        *([f"{100 * own.lmbda:.3g} % of the steps on the model's own answers{_sampled(own.writing)}"] if own else []),
        *([f"it writes the answers that are learned{_sampled(writes.writing)}"] if writes else []),
    ]


def steps_words(plan: Plan, record: RunRecord, *, short: bool = False) -> str:
    """How many steps a run has done; who trained in its place where nobody here knows.

    Args:
        plan: The run's plan.
        record: Its record.
        short: For the column of a table.
    """
    if (taken := plan.settings.model.fetched) is not None:
        from ftc.spec.providers import provider_title  # with the documents of all services, which few plans need

        return escaped(taken.provider) if short else f"trained by {escaped(provider_title(taken.provider))}"
    done, steps = numbers.count(record.steps_done), plan.settings.train.num_steps
    return f"{done}/{numbers.count(steps)}" if short else f"{done} of {numbers.plural(steps, 'step')}"


def parent_parts(plan: Plan) -> list[str]:
    """The runs that a plan's run begins from, and what of them is used; empty for a plain base model."""
    if (taken := plan.settings.model.fetched) is not None:
        from ftc.spec.providers import provider_title, usage_of  # as above

        job = f"job {escaped(taken.job)} of {escaped(provider_title(taken.provider))}"
        asked = f"{numbers.plural(taken.num_steps, 'step')} asked for; how many it did is unknown here"
        return [
            job,
            asked,
            *(f"it says {name} {escaped(taken.told[name])}" for name in usage_of(taken.provider, taken.told)),
        ]
    if (made := plan.settings.model.combined) is not None:
        kept = f", {100 * made.density:g} % kept" if made.density is not None else ""
        each = [f"run {one.run_id} of {escaped(one.name)} x {one.weight:g}" for one in made.adapters]
        return [*each, f"combined by {made.method}{kept}"]
    if (parent := plan.settings.model.parent) is None:
        return []
    used = {"continues": "adapter continued", "merged": "new adapter on its merged model", "model": "its model as base"}
    up = [f"which began from {' and that from '.join(parent.ancestors)}"] if parent.ancestors else []
    return [f"run {parent.run_id} of {escaped(parent.name)}", used[parent.way], *up]


def interruption_words(one: Interruption) -> str:
    """Why a run stopped, at which step, and what that means for its checkpoints."""
    code = f"{one.code}, " if one.code else ""
    limit = "" if one.usable_step is None else f"; step {one.usable_step} is the last that can be continued"
    if one.usable_step == 0:
        limit = "; restarted"
    return f"step {one.step}: {one.kind} ({code}{one.reason}){limit}"


def continued_words(record: RunRecord) -> list[str]:
    """Whose steps come first in a run, and how these were shared, a text for each such run."""
    return [
        f"run {one.run_id} from step {numbers.count(one.step)}, whose steps "
        f"{numbers.plural(one.world_size, 'process', 'processes')} shared; the bits are those of no single plan"
        for one in record.continued
    ]


def value_at(values: Any, path: str) -> Any:
    """The value under a dotted path; None where a part of the path is absent."""
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _sampled(writing: Writing) -> str:
    """How long answers are that are written in training, and how their tokens are drawn."""
    among = f" among the {numbers.plural(writing.top_k, 'likeliest token')}" if writing.top_k else ""
    length = numbers.plural(writing.max_new_tokens, "token")
    drawn = f"sampled{among} at temperature {writing.temperature:g}" if writing.temperature else "likeliest tokens"
    return f", up to {length} each, {drawn}"


def writer_words(sampling: SamplingSettings) -> str:
    """What writes the answers, to follow them; empty where the run itself does."""
    if sampling.writing.here:
        return ""
    own = f" that the run starts with {numbers.byte_size(sampling.writer_memory)}" if sampling.writer_memory else ""
    return f", by a {writer_card(sampling.writer).label} server{own}"


def sampling_facts(sampling: SamplingSettings) -> Iterator[tuple[str, str]]:
    """How answers were sampled, what they earned by, and what was made of it."""
    by = writer_words(sampling)
    yield "answers", f"{sampling.group_size} per prompt{_sampled(sampling.writing)}{by}"
    if sampling.importance_cap is not None:
        yield "importance", f"probability by the trainer over that by the server, at most {sampling.importance_cap:g}"
    yield "rewards", ", ".join(f"{one.label} (weight {one.weight:g})" for one in sampling.rewards)
    beta = f", divergence from the base model weighted by {sampling.beta:g}" if sampling.beta else ""
    yield "loss", f"{reinforcement_loss(sampling.loss).label}{beta}"


def skipped_words(record: RunRecord) -> list[str]:
    """How many steps changed no weight because their gradients overflowed; nothing where losses are not scaled."""
    steps = record.skipped_steps
    if steps is None:
        return []
    return [f"{numbers.plural(steps, 'step')} skipped (gradients overflowed)" if steps else "no step skipped"]


_TOKENS = 4
"""Added tokens that are shown."""


def tokenizer_parts(own: OwnTokenizer | None) -> list[str]:
    """What a recipe changes of the model's tokenizer; nothing where it changes nothing."""
    if own is None:
        return []
    shown = ", ".join(escaped(one.token) for one in own.tokens[:_TOKENS])
    more = ", …" if len(own.tokens) > _TOKENS else ""
    added = [f"{numbers.plural(len(own.tokens), 'token')} added: {shown}{more}", f"embedding of {own.rows:,} rows"]
    ends = {"texts end with": own.eos_token, "padding": own.pad_token}
    template = own.chat_template
    return [
        *(added if own.tokens else []),
        *(f"{words} {escaped(token)}" for words, token in ends.items() if token is not None),
        *([f"chat template {escaped(template.path)}, sha256 {numbers.digest(template.sha256)}"] if template else []),
    ]


def planned_prompts(plan: Plan) -> Iterator[str]:
    """What the base model will be given, for the plan's page."""
    for one in plan.settings.eval.baselines:
        rows = f" ({', '.join(escaped(row.place) for row in one.examples)})" if one.examples else ""
        more = one.prompt_tokens - one.own_tokens
        size = f"{one.prompt_tokens:,.0f} tokens per prompt, {more:+,.0f}"
        yield f"{one.title}{rows}: {'the same prompts as the base' if one.is_own else size}"
