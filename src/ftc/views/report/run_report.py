"""The report of a run: one page that opens from disk, with nothing to fetch and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ftc.spec.documents.events import Event
from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.plan import EvaluateStep, Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.documents.thumbnails import Thumbnail
from ftc.views import numbers
from ftc.views.findings import baselines_section, findings_list
from ftc.views.prompted import prompted_section
from ftc.views.report.charts import Drawer, drawer
from ftc.views.report.classes import classes_section, confidence_section
from ftc.views.report.elements import facts, framed, marked_up, text
from ftc.views.report.origins import checks_section, data_section, provenance_section, quality_section, settings_section
from ftc.views.report.resources import resources_section
from ftc.views.report.result import lead, predictions_section, result_section
from ftc.views.report.rows import reasons_section, rows_section, slices_section
from ftc.views.report.training import history, training_section
from ftc.views.results import classifier_section, judge_section, retention_section, reward_model_section, swaps_section
from ftc.views.row_texts import RowTexts, row_pictures
from ftc.views.words import parent_parts, size_words, teacher_parts

__all__ = ["report_html"]

_PARTS = {
    "result": "Result",
    "prompted": "Is tuning worth it?",
    "baselines": "Simple baselines",
    "slices": "Groups",
    "retention": "Forgetting",
    "swaps": "Counterfactual substitutions",
    "judge": "Judge",
    "classifier": "Classifier",
    "reward-model": "Reward model",
    "classes": "Classes",
    "confidence": "Confidence",
    "predictions": "Predictions",
    "rows": "Highest-loss and lowest-loss examples",
    "reasons": "Why the model chose",
    "training": "Training",
    "resources": "Planned vs actual",
    "data": "Data",
    "quality": "Data quality",
    "checks": "Checks",
    "settings": "Settings",
    "provenance": "Provenance",
}


def report_html(
    plan: Plan,
    record: RunRecord,
    evaluation: Evaluation | None,
    events: Sequence[Event],
    outcomes: Sequence[Outcome] = (),
    drawn: Drawer | None = None,
    *,
    thumbnails: Mapping[str, Thumbnail] = MappingProxyType({}),
    shows_personal_data: bool = False,
) -> str:
    """The page.

    Args:
        plan: The plan that the run executed.
        record: What the run recorded.
        evaluation: The measurement on the test split, if it came to that.
        events: What the run said, in order, over all its stretches.
        outcomes: What the models made of each test row, if it came to that.
        drawn: Who draws the charts; by default the library of the `report` extra, where it is installed.
        thumbnails: Small pictures of images of rows, by the sha256 of the image.
        shows_personal_data: Whether rows that match a rule for personal data are shown as they are.
    """
    run, drawn = history(events), drawn or drawer()
    images = row_pictures(outcomes, thumbnails, shows_all=shows_personal_data)
    texts = RowTexts(plan.settings.text.labels, shows_personal_data, pictures=images)
    parts = {
        "result": result_section(plan, evaluation, drawn),
        "prompted": prompted_section(plan, record, evaluation),
        "baselines": baselines_section(evaluation),
        "slices": slices_section(evaluation, drawn, texts),
        "retention": retention_section(evaluation),
        "swaps": swaps_section(evaluation, texts),
        "judge": judge_section(evaluation),
        "classifier": classifier_section(evaluation),
        "reward-model": reward_model_section(evaluation),
        "classes": classes_section(plan, outcomes, drawn),
        "confidence": confidence_section(plan, outcomes, drawn),
        "predictions": predictions_section(plan, evaluation, texts),
        "rows": rows_section(plan, outcomes, drawn, texts),
        "reasons": reasons_section(evaluation, texts),
        "training": training_section(plan, record, run, drawn),
        "resources": resources_section(plan, record, evaluation, run, drawn),
        "data": data_section(plan),
        "quality": quality_section(plan, texts),
        "checks": checks_section(plan),
        "settings": settings_section(plan),
        "provenance": provenance_section(plan, record),
    }
    return framed(
        f"{record.name}: run {record.id}",
        _header(plan, record, evaluation, texts.note),
        [(key, _PARTS[key], part) for key, part in parts.items()],
        f"Made by ftc {text(record.ftc_version)}. <code>{text(f'ftc audit {record.id}')}</code> verifies it.",
        drawn.name,
    )


def _header(plan: Plan, record: RunRecord, evaluation: Evaluation | None, note: str) -> str:
    """The answer, then which run this is."""
    status = "finished, gate failed" if record.status == "gate_failed" else record.status
    rows = ", ".join(f"{numbers.count(split.rows)} {name}" for name, split in plan.splits)
    share = numbers.percent(plan.model.num_trainable, plan.model.num_parameters)
    ended = next((one.ended_at for one in reversed(record.segments) if one.ended_at), None)
    about = facts(
        (
            ("date", text(f"{ended[:16].replace('T', ' ')} UTC" if ended else "not finished")),
            ("recipe", f"<code>{text(plan.recipe_file)}</code>"),
            ("commit of the project", _commit(record)),
            ("task", text(plan.recipe.task.kind)),
            ("model", text(f"{plan.model.name}, {size_words(plan.model, 'parameters')}")),
            ("strategy", text(f"{plan.settings.strategy.words()}, {share} trainable")),
            *([("parent", text(", ".join(parent)))] if (parent := parent_parts(plan)) else []),
            *([("teacher", text(", ".join(teacher)))] if (teacher := teacher_parts(plan)) else []),
            ("rows", text(rows)),
            ("license of the model", text(plan.lock.model.license or "not known")),
            ("data", text(", ".join(_source(one) for one in plan.lock.data.sources.values()))),
            ("evaluations on the test set", text(_evaluations(plan, evaluation))),
        )
    )
    masked = f'<p class="masked">{marked_up(note)}</p>' if note else ""
    return (
        f'<header><p class="kind">Run <code>{text(record.id)}</code> '
        f'<span class="status {text(record.status)}">{text(status)}</span></p>'
        f'<h1>{text(record.name)}</h1><p class="lead">{text(lead(plan, record, evaluation))}</p>'
        f"{findings_list(record.findings)}{about}{masked}</header>"
    )


def _commit(record: RunRecord) -> str:
    code = record.observed.code
    if code.project_commit is None:
        return "not under version control"
    return f"<code>{text(code.project_commit)}</code>"


def _source(source: SourceLock) -> str:
    """A file of rows, or a data set of the hub with its commit; no license of rows is on record."""
    asked = source.asked
    if "path" in asked:
        return f"{asked['path']} (no license is on record)"
    commit = f" at {source.commit[:12]}" if source.commit else ""
    return f"{asked.get('hub', '')}{commit} (its license is on its page of the hub)"


def _evaluations(plan: Plan, evaluation: Evaluation | None) -> str:
    """How often this run evaluated models on its test rows; the ledger counts those of other runs."""
    if evaluation is None:
        return "none"
    subjects = [step.subject for step in plan.steps if isinstance(step, EvaluateStep)]
    return f"{len(subjects)} by this run: {', '.join(f'{one} once' for one in subjects)}"
