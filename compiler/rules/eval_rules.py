"""Rules on what is measured: metrics of the task, gates on what is measured, slices, general text and swaps.

A part of the table in `ftc.compiler.rules.recipe_rules`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.diagnostics import Diagnostic, Related, diagnostic, rewritten
from ftc.spec.documents.slices import FIGURES, measured
from ftc.spec.heads import head_card
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.source import Source
from ftc.spec.metrics import metric_called, metric_named
from ftc.spec.sections.evaluation import is_metric_for, metrics_for, parse_gate
from ftc.spec.sections.recipe import Recipe
from ftc.spec.text_forms import form_card

__all__ = [
    "classifier_has_answers",
    "gates_can_be_checked",
    "judge_can_grade",
    "metrics_fit_the_task",
    "probes_can_be_measured",
    "prompts_can_be_measured",
    "reward_model_has_answers",
    "slices_can_be_formed",
]


def metrics_fit_the_task(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Every metric is known and is for this task."""
    if recipe.eval.metrics == "auto":
        return
    usable = metrics_for(recipe.task)
    for position, name in enumerate(recipe.eval.metrics):
        path = f"eval.metrics[{position}]"
        if not is_metric_for(recipe.task, name):
            close = metric_called(name, usable) or nearest(name, usable)
            known = "is unknown"
            if (card := metric_named(name)) is not None:
                tasks = card.tasks
                fits = recipe.task.kind in tasks
                known = "does not fit these labels" if fits else f"is for a {' or '.join(tasks)}"
            yield diagnostic(
                "FTC206",
                f"metric `{name}` {known}",
                source.span(path),
                label=f"did you mean `{close}`?" if close else "",
                help=f"metrics for this task: {', '.join(usable)}",
                fixes=rewritten(source.span(path), close) if close else (),
                path=path,
            )


_SECTION_OF_FIGURE = {"forgetting": "retention", "swapped": "swaps", "flagged": "classifier"}
"""Sections that are called otherwise than what they measure."""
_ADD_TEST = "set `test: 0.1` in `data.split`"


def probes_can_be_measured(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """General text needs a language model and its untouched base; swaps need test rows whose text can be changed."""
    kind = recipe.task.kind.replace("_", " ")
    found: list[tuple[str, str, str]] = []
    if recipe.eval.retention is not None:
        if not any(head_card(mode.head).writes for mode in recipe.task.modes()):
            new = all(head_card(mode.head).is_new for mode in recipe.task.modes())
            what = "trains a new head" if new else "has no output layer"
            found.append(("retention", f"a {kind} task {what}, so general text can't be scored", "remove it"))
        elif not recipe.eval.baseline:
            found.append(("retention", "the forgetting check compares with the base model", "remove `baseline: false`"))
        elif recipe.data.split.test == 0:
            found.append(("retention", "the forgetting check runs together with the test rows", _ADD_TEST))
    if recipe.eval.swaps is not None:
        if not recipe.task.CARD.can_swap:
            found.append(("swaps", f"substitutions in a {kind} row may change the right answer", "remove it"))
        elif recipe.data.split.test == 0:
            found.append(("swaps", "substitutions are made in test rows", _ADD_TEST))
    for name, summary, help in found:
        path = f"eval.{name}"
        yield diagnostic("FTC242", summary, source.key_span(path), help=help, path=path)


def prompts_can_be_measured(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A prompt baseline needs a task that answers prompts, the base's own evaluation, and test rows; each is one."""
    asked, seen = recipe.eval.baselines, list[object]()
    for number, one in enumerate(asked):
        if one in seen:
            path = f"eval.baselines[{number}]"
            summary = f"`eval.baselines` has item {number + 1} twice"
            yield diagnostic("FTC254", summary, source.span(path), help="remove one of the two", path=path)
        seen.append(one)
    summary, help = "", ""
    if not asked:
        return
    if not any(form_card(mode.form).takes_examples for mode in recipe.task.modes()):
        kind, mode = recipe.task.kind.replace("_", " "), recipe.task.prompted_mode
        summary = f"a {kind} task generates no answers behind a prompt"
        if all(head_card(one.head).is_new for one in recipe.task.modes()):
            summary = f"this {kind} task trains a new head, which no prompt could ask of the untouched base"
        help = f"set `task.mode: {mode}`, or remove `baselines`" if mode else "remove `baselines`"
    elif not recipe.eval.baseline:
        summary, help = "`baselines` are compared with the base model", "remove `baseline: false`"
    elif recipe.data.split.test == 0:
        summary, help = "prompts are measured on test rows, and there is no test split", _ADD_TEST
    if summary:
        yield diagnostic("FTC254", summary, source.key_span("eval.baselines"), help=help, path="eval.baselines")


def judge_can_grade(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """There are answers to grade, and the key goes nowhere in the clear."""
    judge = recipe.eval.judge
    if judge is None:
        return
    path, fault = "eval.judge", _no_answers(recipe, "judge", "a judge", "grades")
    if fault is None and judge.shows_key:
        path, fault = "eval.judge.url", ("the key would be sent unencrypted", "use `https://`")
    if fault is not None:
        yield diagnostic("FTC243", fault[0], source.span(path), help=fault[1], path=path)


def classifier_has_answers(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """There are answers to rate."""
    fault = _no_answers(recipe, "classifier", "a classifier", "rates")
    if recipe.eval.classifier is not None and fault is not None:
        path = "eval.classifier"
        yield diagnostic("FTC244", fault[0], source.key_span(path), help=fault[1], path=path)


def reward_model_has_answers(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """There are answers to score."""
    fault = _no_answers(recipe, "reward_model", "a reward model", "scores")
    if recipe.eval.reward_model is not None and fault is not None:
        path = "eval.reward_model"
        yield diagnostic("FTC459", fault[0], source.key_span(path), help=fault[1], path=path)


def _no_answers(recipe: Recipe, key: str, reader: str, does: str) -> tuple[str, str] | None:
    """Why there are no written answers to test rows for somebody who reads them, and what to do; None where there are.

    Args:
        recipe: The recipe.
        key: Of `eval`, which asks for the reader.
        reader: What reads them, with its article.
        does: What it does with them.
    """
    if not recipe.task.CARD.can_grade:
        kind = recipe.task.kind.replace("_", " ")
        return f"a {kind} task generates no answers for {reader}", f"remove `{key}`"
    if recipe.data.split.test == 0:
        return f"{reader} {does} answers to test rows, and there is no test split", _ADD_TEST
    return None


def slices_can_be_formed(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Slices are of test rows."""
    if not recipe.eval.slices:
        return
    summary = recipe.task.CARD.slices_obstacle
    if summary is None and recipe.data.split.test == 0:
        summary = "slices are groups of test rows, and there is no test split"
    if summary:
        span = source.key_span("eval.slices")
        yield diagnostic("FTC241", summary, span, help="remove `slices`", path="eval.slices")


def gates_can_be_checked(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Every gate is a bound on a metric that is measured, on a test split that exists."""
    for name, text, path in recipe.eval.bounds():
        if parse_gate(text) is None:
            yield diagnostic(
                "FTC207",
                f"`{text or name}` is not a bound",
                source.span(path),
                help=f"write {'' if text else 'a metric, '}a comparison and a number, such as "
                f"`{'' if text else 'accuracy '}>= 0.9`",
                path=path,
            )
        elif name in FIGURES:
            section = _SECTION_OF_FIGURE.get(name, name)
            if getattr(recipe.eval, section) is None:
                help = f"add `eval.{section}`, or remove the gate"
                yield diagnostic("FTC207", f"`{name}` is not measured", source.key_span(path), help=help, path=path)
        elif (about := measured(name)).slice is not None and about.slice not in recipe.eval.slices:
            yield diagnostic(
                "FTC207",
                f"results are not sliced by `{about.slice}`",
                source.key_span(path),
                help=f"add it: `slices: [{', '.join((*recipe.eval.slices, about.slice))}]`",
                path=path,
            )
        elif not is_metric_for(recipe.task, about.metric):
            yield diagnostic(
                "FTC207",
                f"a {recipe.task.kind} task has no metric `{about.metric}`",
                source.key_span(path),
                help=f"use one of {', '.join(metrics_for(recipe.task))}",
                path=path,
            )
    if recipe.eval.gates and recipe.data.split.test == 0:
        yield diagnostic(
            "FTC208",
            "gates need a test split",
            source.key_span("eval.gates"),
            related=(Related(source.span("data.split.test"), "no test share here"),),
            help="set `test: 0.1` in `data.split`, or remove the gates",
            path="eval.gates",
        )
