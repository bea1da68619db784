"""The model card: what a tuned model is, how it was made and how well it did, for the hub and for people.

Only facts of the run's documents, and no path of the machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from ftc.spec.companions import COMPANIONS
from ftc.spec.documents.exported import ExportedModel
from ftc.spec.documents.merged import MergedModel
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.pushed import Target
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.heads import head_card
from ftc.spec.metrics import metric_named
from ftc.spec.model_formats import HubForm, file_type, model_format
from ftc.spec.precisions import precision_card
from ftc.spec.providers import provider_title
from ftc.spec.strategies import strategy_card
from ftc.views import numbers
from ftc.views.card_code import inline_code, loading_code
from ftc.views.card_data import data_section, hub_datasets
from ftc.views.comparison import agreement_words
from ftc.views.exported import parity_words
from ftc.views.findings import baseline_table
from ftc.views.prompted import prompted_table
from ftc.views.results import change_words, comparisons
from ftc.views.words import (
    dequantized_parts,
    metric_title,
    mode_of,
    parent_parts,
    pipeline,
    sampling_facts,
    size_words,
    skipped_words,
    steps_words,
    teacher_parts,
    tokenizer_parts,
)

__all__ = ["front_matter", "model_card"]


def front_matter(
    plan: Plan,
    evaluation: Evaluation | None,
    *,
    is_merged: bool = False,
    target: Target | None = None,
    exported: ExportedModel | None = None,
) -> str:
    """The block with its fences.

    A base model of a local folder is left out: the hub would take its name for one of its own models.

    Args:
        plan: The run's plan.
        evaluation: The measurement on the test split.
        is_merged: Whether the adapter has become part of the base's weights.
        target: Where the model goes; None for a card that stays here.
        exported: What it was exported as; None for what the run left, or what was merged.
    """
    card, form = strategy_card(plan.settings.strategy), _hub_form(exported)
    relation = "finetune" if card.is_whole or is_merged else "adapter"
    if form is not None and exported is not None:
        relation = form.relation if file_type(exported.weight_type).plain else "quantized"
    values: dict[str, Any] = {
        "base_model": plan.settings.model.base if plan.settings.model.commit else None,
        "base_model_relation": relation if plan.settings.model.commit else None,
        "library_name": form.library if form else "transformers" if is_merged else card.library,
        "license": plan.lock.model.license,
        "language": list(target.languages) if target else [],
        "pipeline_tag": pipeline(plan),
        "tags": ["ftc", card.tag, *(form.tags if form else ())],
        "datasets": hub_datasets(plan),
    }
    if evaluation is not None and evaluation.tuned.metrics:
        values["metrics"] = sorted({_hub_metric(name) for name in evaluation.tuned.metrics})
        # The measured values in the form that the hub shows beside a model.
        data = hub_datasets(plan)
        metrics = [
            {"type": _hub_metric(name), "name": metric_title(name), "value": value}
            for name, value in evaluation.tuned.metrics.items()
        ]
        result = {
            "task": {"type": pipeline(plan)},
            "dataset": {"type": data[0] if data else "local", "name": data[0] if data else plan.name, "split": "test"},
            "metrics": metrics,
        }
        values["model-index"] = [{"name": plan.name, "results": [result]}]
    lines = [line for key, value in values.items() if value for line in _lines(key, value, 0)]
    return "\n".join(("---", *lines, "---"))


def _hub_form(exported: ExportedModel | None) -> HubForm | None:
    """What an exported model is on the hub; None for another, or in a format that this release doesn't know."""
    form = model_format(exported.format) if exported else None
    return form.hub if form else None


def _hub_metric(name: str) -> str:
    metric = metric_named(name)
    return metric.hub if metric else name


def _lines(key: str, value: Any, depth: int) -> list[str]:
    """A key with its value as block YAML."""
    blanks = "  " * depth
    match value:
        case dict():
            return [
                f"{blanks}{key}:",
                *(line for name, item in value.items() for line in _lines(name, item, depth + 1)),
            ]
        case list():
            lines = [f"{blanks}{key}:"]
            for item in value:
                if isinstance(item, dict):  # begins on the line of its dash
                    first, *others = [line for pair in item.items() for line in _lines(*pair, depth + 2)]
                    lines += [f"{blanks}  - {first.lstrip()}", *others]
                else:
                    lines.append(f"{blanks}  - {_scalar(item)}")
            return lines
        case _:
            return [f"{blanks}{key}: {_scalar(value)}"]


def _scalar(value: str | float) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    number = repr(float(value))
    return number if "." in number else number.replace("e", ".0e")


def model_card(
    plan: Plan,
    record: RunRecord,
    evaluation: Evaluation | None,
    made: MergedModel | ExportedModel | None = None,
    target: Target | None = None,
) -> str:
    """README.md of the run, or of what was made of it: front matter as the hub reads it, then the card in Markdown.

    Args:
        plan: The plan that the run executed.
        record: What the run recorded.
        evaluation: The measurement on the test split, if it came to that.
        made: What the card's folder holds, where that is the adapter merged into its base, or an exported model.
        target: Where the model goes; None for a card that stays here.
    """
    merged = made if isinstance(made, MergedModel) else None
    exported = made if isinstance(made, ExportedModel) else None
    making = "\n".join(f"- {name}: {value}" for name, value in _making_facts(plan, record))
    agreement, facts = "", list(_provenance_facts(plan, record))
    if merged is not None:  # the results are the adapter's; how far does the merged model say the same?
        first, *others = agreement_words(merged.agreement)
        beside = (
            "The scores are those of the base model with its adapter, before the adapter was merged into the weights"
        )
        agreement = f"\n\n{beside}: {first} ({', '.join(others)})."
        facts[:0] = [
            ("merged by ftc", merged.ftc_version),
            ("merged into", f"the base's weights {merged.added_to}"),
            ("type of the weights", merged.weight_type),
            ("merged weights, sha256", merged.content_sha256),
        ]
    if exported is not None:
        first, *others = parity_words(exported.parity)
        beside = f"The scores are those of the tuned model, before it was converted into {exported.weight_type}"
        agreement = f"\n\n{beside}: {first} ({', '.join(others)})."
        facts[:0] = [
            ("converted by ftc", exported.ftc_version),
            ("converter", f"{exported.converter.name} {exported.converter.version}"),
            *((f"{name}, sha256", file.sha256) for name, file in sorted(exported.files.items())),
        ]
    provenance = "\n".join(f"- {name}: {inline_code(value)}" for name, value in facts if value)
    parts = (
        front_matter(plan, evaluation, is_merged=merged is not None, target=target, exported=exported),
        f"# {_inline(plan.name)}\n\n{_introduction(plan)}",
        f"## Results\n\n{_results(plan, record, evaluation)}{agreement}",
        f"## How to use it\n\n{_usage(plan, record, made, target)}",
        f"## How it was made\n\n{making}",
        f"## Data\n\n{data_section(plan)}",
        f"## Limits\n\n{_limits(plan, evaluation)}",
        f"## Provenance\n\n{provenance}{_packages(record)}",
    )
    return "\n\n".join(parts) + "\n"


def _usage(plan: Plan, record: RunRecord, made: MergedModel | ExportedModel | None, target: Target | None) -> str:
    """The shortest way, and the one without ftc: from the card's folder, or from the hub."""
    exported = made if isinstance(made, ExportedModel) else None
    if (form := _hub_form(exported)) is not None and exported is not None and target is not None and form.use:
        words = {"file": exported.model_file, "name": exported.name, "base": exported.base, "texts": exported.texts}
        about, use = (text.format(repo=target.repo, **words) for text in (form.about, form.use))
        return f"{about}:\n\n```sh\n{use}\n```"
    code = f"```python\n{loading_code(plan, '.' if made else None, target)}\n```"
    if made is not None:
        beside = " and torchao" if exported and file_type(exported.weight_type).quantized else ""
        return f"With transformers{beside}{'' if target else ', from the folder of this card'}:\n\n{code}"
    if target is not None:
        return f"With ftc: `ftc run pull {target.repo}`, then `ftc predict {record.id} TEXT`.\n\nWithout ftc:\n\n{code}"
    return (
        f"With ftc, from any folder of the project: `ftc predict {record.id} TEXT`, or in Python "
        f'`ftc.load("{record.id}").predict([...])`.\n\nWithout ftc, from the folder of this card:\n\n{code}'
    )


def _introduction(plan: Plan) -> str:
    name = plan.settings.model.base  # a hub id, or the name of a local folder without its parents
    base = inline_code(name if plan.settings.model.commit else PurePosixPath(name.replace("\\", "/")).name)
    words = f"A model that {mode_of(plan).does}, tuned from {base} ({size_words(plan.model, 'parameters')})."
    labels = plan.settings.text.labels
    noun = "Classes" if head_card(plan.settings.model.head).chooses else "Numbers"
    if labels and len(labels) <= 20:
        words += f" {noun}: {', '.join(map(inline_code, labels))}."
    elif labels:
        words += f" It has {numbers.count(len(labels))} {noun.lower()}."
    return words


def _results(plan: Plan, record: RunRecord, evaluation: Evaluation | None) -> str:
    if evaluation is None or not evaluation.tuned.metrics:
        is_own = plan.settings.model.fetched is None
        done = f"{_inline(steps_words(plan, record))}{' done' if is_own else ''}"
        return f"Not evaluated on the test split. The run is {record.status.replace('_', ' ')}, {done}."
    rows = numbers.plural(evaluation.tuned.rows, "row")
    table = [
        ("metric", "base", "tuned", "gain", "gate"),
        ("---", "---:", "---:", "---:", "---"),
        *(
            (
                _inline(metric_title(one.name)) + ("" if one.higher_is_better else " (lower is better)"),
                "" if one.base is None else numbers.metric(one.base),
                f"**{numbers.metric(one.tuned)}**",
                change_words(one),
                f"{inline_code(one.gate.bound)} {'passed' if one.gate.passed else 'failed'}" if one.gate else "",
            )
            for one in comparisons(evaluation)
        ),
    ]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in table)
    base = "" if evaluation.base else " The base model was not evaluated."
    found = "".join(f"\n\n**{one.severity} {one.code}**: {_inline(one.text)}" for one in record.findings)
    baselines = f"\n\n{baseline_table(evaluation)}" if evaluation.baselines else ""
    if evaluation.prompted:
        baselines = f"\n\n{prompted_table(plan, record, evaluation)}{baselines}"
    return f"Evaluated once on the test split, {rows}, after training.{base}\n\n{lines}{baselines}{found}"


def _making_facts(plan: Plan, record: RunRecord) -> Iterator[tuple[str, str]]:
    train = plan.settings.train
    yield "recipe", inline_code(PurePosixPath(plan.recipe_file).name)
    share = numbers.percent(plan.model.num_trainable, plan.model.num_parameters)
    yield "strategy", f"{plan.settings.strategy.words()}, {numbers.count(plan.model.num_trainable)} trainable ({share})"
    traits = plan.settings.strategy.traits
    if traits.adapter:
        yield "adapter", f"{traits.adapter}, on {', '.join(map(inline_code, traits.targets))}"
    if weights := dequantized_parts(plan):
        yield "weights", ", ".join(weights)
    if own := tokenizer_parts(plan.settings.model.tokenizer):
        yield "tokenizer", _inline(", ".join(own))
    if parent := parent_parts(plan):
        yield "parent", ", ".join(map(_inline, parent))
    if teacher := teacher_parts(plan):
        yield "teacher", ", ".join([_inline(_teacher_name(plan)), *teacher[1:]])
    if (taken := plan.settings.model.fetched) is not None:
        yield "training", f"by {_inline(provider_title(taken.provider))}, which says how alone"
        yield "decided there", ", ".join(map(inline_code, taken.fixed)) or "nothing that a plan names"
        yield "longest sequence", numbers.plural(plan.settings.text.max_length, "token")
        yield "evaluated on", _inline(record.observed.device)
        return
    of = f" of {numbers.count(train.num_steps)}" if record.steps_done != train.num_steps else ""
    selected = "" if record.selected_step is None else f"; weights of step {numbers.count(record.selected_step)}"
    batch = numbers.plural(train.batch_size, "row" if train.sampling is None else "sampled answer")
    yield "training", f"{numbers.count(record.steps_done)}{of} steps of {batch}{selected}"
    if train.sampling is not None:
        yield from sampling_facts(train.sampling)
    schedule = f"{train.schedule.kind} after {numbers.plural(train.schedule.warmup_steps, 'warm-up step')}"
    yield "learning rate", f"{numbers.rate(train.learning_rate)}, {schedule}"
    yield "optimizer", f"{train.optimizer.kind}, weight decay {train.optimizer.weight_decay:g}"
    rounded = [f"trained for weights rounded to {one.words()}"] if (one := train.quantize_aware) else []
    yield "precision", "; ".join([precision_card(train.precision).label, *rounded, *skipped_words(record)])
    yield "longest sequence", numbers.plural(plan.settings.text.max_length, "token")
    yield "trained on", f"{numbers.known(record.tokens)} tokens in {numbers.duration(record.train_seconds)}"
    yield "device", _inline(record.observed.device)


def _limits(plan: Plan, evaluation: Evaluation | None) -> str:
    lines = []
    if evaluation is not None:
        split = plan.data.get("test")
        from_where = f"{numbers.plural(evaluation.tuned.rows, 'row')} of the same data as the training rows"
        if split is not None and "test" not in plan.lock.data.sources:
            lines.append(f"The test split is {from_where}; other text was not evaluated.")
        if evaluation.tuned.metrics:
            *names, last = map(metric_title, sorted(evaluation.tuned.metrics))
            words = f"{', '.join(names)} and {last} were" if names else f"{last} was"
            lines.append(f"Only {words} measured.")
    if plan.settings.text.overflow == "cut":
        lines.append(f"Text beyond {numbers.plural(plan.settings.text.max_length, 'token')} was truncated.")
    lines += [f"Not checked: {_inline(item)}" for item in plan.not_checked]
    return "\n".join(f"- {line}" for line in lines) or "- None were recorded."


def _provenance_facts(plan: Plan, record: RunRecord) -> Iterator[tuple[str, str]]:
    yield "ftc", record.ftc_version
    yield "run", record.id
    yield "plan, sha256", record.plan_sha256
    yield "lock, sha256", plan.lock.digest()
    yield "record, sha256", record.sha256
    yield "weights of the result, sha256", record.final_weights_sha256 or ""
    yield "commit of the project", record.observed.code.project_commit or ""
    yield "commit of the base model", plan.lock.model.commit or ""
    for name, file in sorted(plan.lock.model.files.items()):
        if name.endswith(".safetensors"):
            yield f"base model {_inline(name)}, sha256", file.sha256
    for one in made.adapters if (made := plan.settings.model.combined) else ():
        yield f"weights of run {one.run_id}, sha256", one.weights_sha256
    if (parent := plan.settings.model.parent) is not None:
        yield "earlier run", parent.run_id
        yield "record of the earlier run, sha256", parent.record_sha256
        yield "weights of the earlier run, sha256", parent.weights_sha256
    for companion in COMPANIONS:
        if companion.shapes_weights and (pinned := companion.pinned(plan.settings)):
            yield f"commit of the {companion.title}", pinned.commit or ""
            for name, file in sorted(pinned.files.items()):
                if name.endswith(".safetensors"):
                    yield f"{companion.title} {_inline(name)}, sha256", file.sha256


def _packages(record: RunRecord) -> str:
    """Every package that was installed, folded: there are many, and few people ask."""
    found = sorted(record.observed.environment.packages.items())
    if not found:
        return ""
    lines = "\n".join(f"- {_inline(name)}: {inline_code(package.version)}" for name, package in found)
    return f"\n\n<details>\n<summary>{numbers.plural(len(found), 'package')}</summary>\n\n{lines}\n\n</details>"


def _teacher_name(plan: Plan) -> str:
    """Hub id, or the name of the folder without those above; of a run's model the run's."""
    lesson = plan.settings.train.distillation
    assert lesson is not None, "the caller has looked"
    base = lesson.teacher.base
    if lesson.teacher.commit:
        return base
    parts = PurePosixPath(base.replace("\\", "/")).parts
    return " ".join(parts[-3:-1]) if parts[:1] == ("runs",) and len(parts) == 4 else parts[-1]


def _inline(value: str) -> str:
    """Text on one line in which nothing is markup, to Markdown or to HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|&!~])", r"\\\1", " ".join(value.split()))
