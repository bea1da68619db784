"""The example of a code shows what it says: the wrong one gives the finding, and the right one is fine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ftc.compiler.resolve.rows.canonical_rows import write_canonical
from ftc.compiler.resolve.rows.columns import missing_columns, task_columns
from ftc.compiler.resolve.rows.joint_checks import check_together
from ftc.compiler.resolve.rows.row_checks import check_values
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.compiler.rules.check import check_recipe
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer
from ftc.spec.codes import CODES
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.sections.recipe import Recipe
from tests.support.recipes import is_of_the_recipe, parsed, plain_recipe


def sections_of(example: str) -> dict[str, Any] | None:
    """The sections of a recipe that an example holds; None where it is something else."""
    try:
        value = YAML(typ="safe", pure=True).load(example)
    except YAMLError:
        return None
    is_recipe = isinstance(value, dict) and value.keys() <= Recipe.model_fields.keys()
    return value if is_recipe else None


def found_in(sections: dict[str, Any]) -> list[str]:
    """Codes for a small recipe with these sections laid over its own."""
    plain = plain_recipe()
    merged = {name: {**plain.get(name, {}), **section} for name, section in sections.items()}
    for name in ("task", "strategy"):
        if "kind" in sections.get(name, {}):
            merged[name] = sections[name]
    text = json.dumps({**plain, **merged}, indent=1)
    return [found.code for found in check_recipe(text.encode(), "recipe.yaml").diagnostics]


IN_RECIPES = [
    code.id for code in CODES.values() if code.id >= "FTC101" and sections_of(code.wrong) and sections_of(code.right)
]


@pytest.mark.parametrize("code", [code for code in IN_RECIPES if code != "FTC101"])
def test_examples_of_recipes(code: str) -> None:
    wrong, right = sections_of(CODES[code].wrong), sections_of(CODES[code].right)
    assert wrong
    assert right
    assert set(found_in(wrong)) <= {code} | (set() if is_of_the_recipe(code) else {"FTC211"})
    assert code in found_in(wrong) or not is_of_the_recipe(code), "what needs facts is at least valid"
    assert found_in(right) == []


TASKS: dict[str, dict[str, Any]] = {
    "messages": {"kind": "chat"},
    "conversations": {"kind": "chat"},
    "completion": {"kind": "generation"},
    "tokens": {"kind": "token_classification"},
    "spans": {"kind": "token_classification"},
    "question": {"kind": "question_answering", "mode": "extractive"},
    "chosen": {"kind": "preference"},
}
"""The task of an example, by a word in it."""


def faults(example: str, suffix: str, folder: Path) -> list[str]:
    """Codes for an example that is a data file."""
    file = folder / f"rows{suffix}"
    file.write_text(example + "\n", encoding="utf-8")
    try:
        table = read_rows(file, file.name)
    except Refusal as refusal:
        return [found.code for found in refusal.diagnostics]
    recipe = parsed(task=next((task for word, task in TASKS.items() if word in example), {"kind": "classification"}))
    columns = task_columns(recipe.task, {}, table.columns)
    write_canonical(recipe.task, columns, table)
    found: list[Diagnostic] = [
        *missing_columns(columns, recipe.data, table, lambda path: None),
        *check_values(recipe.task, columns, table),
    ]
    return [one.code for one in found or check_together(recipe.task, columns, table)]


DATA = {
    **dict.fromkeys(("FTC355", "FTC356", "FTC363", "FTC364", "FTC365", "FTC366", "FTC367"), ".jsonl"),
    **dict.fromkeys(("FTC376", "FTC377", "FTC378", "FTC379"), ".jsonl"),
    **dict.fromkeys(("FTC357", "FTC358", "FTC359"), ".csv"),
}


@pytest.mark.parametrize(("code", "suffix"), DATA.items())
def test_examples_of_data(code: str, suffix: str, tmp_path: Path) -> None:
    assert set(faults(CODES[code].wrong, suffix, tmp_path)) == {code}
    assert faults(CODES[code].right, suffix, tmp_path) == []


@pytest.mark.parametrize(("code", "kind"), [("FTC331", "syntax"), ("FTC332", "security"), ("FTC333", "undefined")])
def test_examples_of_templates(code: str, kind: str) -> None:
    row = {"text": "x", "article": {"body": "x"}, "messages": [{"role": "user", "content": "x"}]}
    with TemplateRenderer() as renderer:
        (wrong,) = renderer.render(CODES[code].wrong, [row], strict=True)
        (right,) = renderer.render(CODES[code].right, [row], strict=True)
    assert isinstance(wrong, TemplateProblem)
    assert wrong.kind == kind
    assert isinstance(right, str)
