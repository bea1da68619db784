"""What a row has to have so that a finished run can answer it: the columns of its inputs, without those of answers."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.compiler.resolve.rows.prompt_columns import prompt_columns
from ftc.compiler.resolve.rows.table import Row, Table
from ftc.compiler.tokens.other_rows import OPTIONAL
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.plan import Plan
from ftc.spec.heads import head_card
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.tasks import PARTS
from ftc.spec.text_forms import form_card

__all__ = [
    "RANKED_COLUMN",
    "as_row",
    "check_columns",
    "conversation_column",
    "input_columns",
    "plain_inputs",
    "scores_answers",
    "text_columns",
]

_ANY = '"…"'
"""A text, in an example of a row."""
RANKED_COLUMN = "texts"
"""Column of the texts that are ranked for a query, a list."""
_COMPARED = ("query", "positive", "sentence1", "sentence2")
"""Parts whose texts become vectors."""


def input_columns(plan: Plan, columns: Sequence[str] = ()) -> tuple[dict[str, str], tuple[str, ...]]:
    """The columns that a row to predict for has: by part of the task, and those that the prompt names besides.

    Of texts that are compared any one can be alone: those among `columns`, or the first.
    """
    card, text = plan.recipe.task.CARD, plan.settings.text
    if form_card(text.form).ranks_texts:
        known = {part: text.columns[part] for part in ("query", "positive", "negative")}
        is_known = RANKED_COLUMN not in columns and all(column in columns for column in known.values())
        return known if is_known else {"query": known["query"], "negative": RANKED_COLUMN}, ()
    if form_card(text.form).has_texts:
        texts = {part: text.columns[part] for part in _COMPARED if part in text.columns}
        return {part: column for part, column in texts.items() if column in columns} or dict([*texts.items()][:1]), ()
    by_part = {part: column for part, column in text.columns.items() if part not in card.answer_parts}
    if scores_answers(plan) and by_part.keys() - {"system"}:  # a prompt with the answer to score
        return {**by_part, "completion": "completion"}, ()
    if form_card(text.form).is_pair and not by_part.keys() - {"system"}:
        by_part["messages"] = "messages"  # conversations of which only the ends differ, or one whose end is scored
    template = plan.recipe.task.template
    named = prompt_columns(template, tuple(text.columns.values())) if template else ()
    return by_part, tuple(name for name in named if name not in by_part.values())


def scores_answers(plan: Plan) -> bool:
    """Whether the run learned from pairs to score single answers."""
    return form_card(plan.settings.text.form).is_pair and head_card(plan.settings.model.head).is_new


def as_row(plan: Plan, text: str) -> Row:
    """A text as a row of the run's own form.

    Raises:
        Refusal: A row has several inputs (FTC688).
    """
    by_part, named = input_columns(plan)
    needed = {column: part for part, column in by_part.items() if PARTS[part].values not in OPTIONAL}
    columns = [*needed, *named]
    if len(columns) != 1:
        values = {column: '["…", "…"]' for column, part in needed.items() if PARTS[part].values == "texts"}
        example = ", ".join(f'"{column}": {values.get(column, _ANY)}' for column in columns)
        summary = f"a text alone is not enough: a row of this run has {_listed(columns)}"
        raise Refusal([diagnostic("FTC688", summary, help=f"give each row as an object: `{{{example}}}`")])
    (column,) = columns
    is_conversation = column in needed and PARTS[needed[column]].values == "messages"
    return {column: [{"role": "user", "content": text}] if is_conversation else text}


def conversation_column(plan: Plan) -> str | None:
    """The column of the conversation to answer; None where a row of the run is no conversation."""
    by_part, _ = input_columns(plan)
    return next((column for part, column in by_part.items() if PARTS[part].values == "messages"), None)


def plain_inputs(plan: Plan) -> tuple[str, ...] | None:
    """Columns of the texts that a row to predict for needs; None where it needs anything else."""
    by_part, named = input_columns(plan)
    needed = {part: column for part, column in by_part.items() if PARTS[part].values not in OPTIONAL}
    return (*needed.values(), *named) if all(PARTS[part].values == "text" for part in needed) else None


def text_columns(plan: Plan) -> tuple[str, ...]:
    """Columns of the texts that become vectors, in the order in which a row's are read."""
    return tuple(plan.settings.text.columns[part] for part in _COMPARED if part in plan.settings.text.columns)


def check_columns(plan: Plan, table: Table) -> None:
    """Refuses rows that lack a column.

    Raises:
        Refusal: FTC688, for each such column.
    """
    by_part, named = input_columns(plan, table.columns)
    needed = [column for part, column in by_part.items() if PARTS[part].values not in OPTIONAL]
    if missing := [_missing(column, table) for column in (*needed, *named) if column not in table.columns]:
        raise Refusal(missing)


def _missing(column: str, table: Table) -> Diagnostic:
    guess = nearest(column, table.columns)
    help = f"rename `{guess}` to `{column}`" if guess else "give the rows the columns that the run was trained on"
    notes = f"columns: {_listed(table.columns)}" if table.columns else "the rows have no columns"
    return diagnostic("FTC688", f"{table.file} has no column `{column}`, which the run reads", help=help, notes=notes)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f"`{name[:64]}`" for name in columns[:20]) + (" …" if len(columns) > 20 else "")
