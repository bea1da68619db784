"""What is said of a plan's task, and how other programs call it, from its card: for the plan, report and model card."""

from __future__ import annotations

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.streams import SplitReport
from ftc.spec.heads import head_card
from ftc.spec.tasks.card import Mode
from ftc.spec.text_forms import FormName, form_card
from ftc.views import numbers

__all__ = ["auto_class", "learnt_noun", "learnt_of_rows", "mode_of", "pipeline"]


def mode_of(plan: Plan) -> Mode:
    """How a plan's model does its task."""
    return plan.recipe.task.mode_for(plan.settings.model.family)


def pipeline(plan: Plan) -> str:
    """The hub's name of the task."""
    return mode_of(plan).pipeline_of(plan.settings.model.family)


def auto_class(plan: Plan) -> str:
    """The class of transformers that loads the model."""
    return head_card(plan.settings.model.head).auto_class_of(plan.settings.model.family)


def learnt_noun(plan: Plan) -> str:
    """What the count of supervised things counts, where these aren't tokens; a plural, or empty."""
    return form_card(plan.settings.text.form).noun


def learnt_of_rows(form: FormName, report: SplitReport) -> str:
    """What is learnt of a split's rows, where it isn't a share of their tokens; else empty."""
    return form_card(form).targets.format(
        targets=numbers.magnitude(report.supervised_tokens), windows=numbers.plural(report.rows, "window")
    )
