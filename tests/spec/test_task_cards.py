"""Every task's card: what else has to be there for a task, and nothing of it is forgotten."""

from __future__ import annotations

import inspect
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import pytest

from ftc.compiler.resolve.rows.row_checks import CHECKS
from ftc.spec.heads import HEADS, Head, head_card
from ftc.spec.sections.evaluation import metrics_for
from ftc.spec.tasks import PARTS, TASKS
from ftc.spec.tasks.card import EVERY_FAMILY, TaskSection
from ftc.spec.tasks.parts import Values
from ftc.spec.text_forms import FORMS, FormName, form_card
from tests.support.recipes import problems_of, recipe_text

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE, GUIDE = ((DOCS / name).read_text(encoding="utf-8") for name in ("recipe.md", "guide.md"))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name())
def test_a_card(task: type[TaskSection]) -> None:
    card, parts = task.CARD, {part.name for part in task.CARD.parts}
    assert not inspect.isabstract(task), "modes, rows or the usual prompt are missing"
    assert all(PARTS[part.name] is part for part in card.parts), "a part means the same in every task"
    assert all(part.columns[0] == part.name for part in card.parts)
    assert {name for form in card.row_forms for name in form} | card.beside.keys() == parts
    assert {*(card.template_form or ()), *card.written_parts, *chain.from_iterable(card.beside.values())} <= parts
    assert {sign.part for signs in card.signs for sign in signs} <= parts
    assert card.signs, "`ftc init` can tell its rows"
    assert card.foreign_names, "other tools have it"
    assert f"`kind: {task.name()}`" in REFERENCE
    assert f"`{task.name()}`" in GUIDE
    for word in card.foreign_names:
        (found,) = problems_of(recipe_text(task={"kind": word}))
        assert (found.code, found.label) == ("FTC105", f"ftc calls it `{task.name()}`")


def every_option(task: type[TaskSection]) -> list[TaskSection]:
    """The task with each value of its options that is one of few."""
    found = [task(kind=task.name())]  # type: ignore[call-arg]
    for name, field in task.model_fields.items():
        if name != "kind" and (choices := (True, False) if field.annotation is bool else get_args(field.annotation)):
            literal = [one for one in choices if isinstance(one, str | bool)]
            found += [task.model_validate({"kind": task.name(), name: choice}) for choice in literal]
    return found


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name())
def test_every_mode(task: type[TaskSection]) -> None:
    for one in every_option(task):
        for family in EVERY_FAMILY:
            mode: Any = one.mode_for(family)
            assert mode.option is None or mode.option in get_args(task.model_fields["mode"].annotation)
            assert set(mode.usual_metrics) <= set(metrics_for(one.settled(family)))  # type: ignore[arg-type]
            assert {unused.key for unused in mode.unused} <= task.model_fields.keys()
            assert mode.does
            assert mode.pipeline_of(family)
            assert mode.reason.format(family=family)
            assert one.settled(family).mode_for(family) == mode


def test_tables_have_every_name_once() -> None:
    assert [card.name for card in HEADS] == list(get_args(Head))
    assert [card.name for card in FORMS] == list(get_args(FormName))
    assert all(head_card(card.name) is card for card in HEADS)
    assert all(form_card(card.name) is card for card in FORMS)
    assert set(CHECKS) == set(get_args(Values))
    names = Counter(name.lower().replace("_", "-") for task in TASKS for name in task.CARD.foreign_names)
    assert max(names.values()) == 1, "a word means one task"
    assert len({task.CARD.guess_order for task in TASKS}) == len(TASKS)
