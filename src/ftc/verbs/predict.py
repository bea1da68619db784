"""A finished run's model in use: loaded once, asked as often as one likes, by the code that evaluated it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.heads import head_card
from ftc.verbs.runs import Run, bring_base, find_run

if TYPE_CHECKING:
    from ftc.compiler.resolve.rows.table import Dialect, Table
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.tasks.scorer import ModelWithScorer
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.predictions import RowPrediction

__all__ = ["Model", "Predictions", "load", "predict", "table_of", "usable_inputs"]

RowLike = str | Mapping[str, Any]
"""A text, where a row has one input, or a row as its columns."""

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Predictions:
    """A model's answers to rows.

    Attributes:
        columns: Columns of the rows, in their order.
        rows: The rows as they were given.
        predictions: One for each row, in their order.
        findings: Warnings: how the rows' file was read, where that is in doubt, rows without a prediction, and rows of
            which the model saw a part.
        dialect: How the CSV or TSV file was written that the rows are from; None where they are from none.
    """

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    predictions: tuple[RowPrediction, ...]
    findings: tuple[Diagnostic, ...]
    dialect: Dialect | None = None


class Model:
    """The model of a finished run: its base with what was trained, in evaluation mode.

    Attributes:
        run: The run.
    """

    def __init__(self, run: Run, folder: Path, work: ModelWithScorer, listen: EventListener) -> None:
        self.run = run
        self._folder = folder
        self._work = work
        self._listen = listen

    def predict(
        self, rows: RowLike | Sequence[RowLike], *, max_new_tokens: int | None = None
    ) -> tuple[RowPrediction, ...]:
        """What the model says of rows, in their order: a class, entities, an answer or a written text.

        Args:
            rows: Texts, or rows with the columns that the run's data has; labels are not needed, and not read.
            max_new_tokens: Longest written answer in tokens; None for the run's own limit.

        Raises:
            Refusal: A column is missing, or a row has several inputs and is given as a text (FTC688).
        """
        listed = [rows] if isinstance(rows, str | Mapping) else list(rows)
        return self.answers(table_of(self.run, listed), max_new_tokens=max_new_tokens).predictions

    def generate(self, prompts: RowLike | Sequence[RowLike], *, max_new_tokens: int | None = None) -> tuple[str, ...]:
        """What the model writes behind each prompt; empty where it has no answer.

        Raises:
            Refusal: The run's model writes no text (FTC687), or the prompts can't be used (FTC688).
        """
        if not head_card(self.run.plan.settings.model.head).writes:
            why = f"it is trained for {self.run.plan.recipe.task.kind.replace('_', ' ')} and writes no text"
            raise _unusable(self.run, why, "call `predict`")
        return tuple(one.prediction or "" for one in self.predict(prompts, max_new_tokens=max_new_tokens))

    def answers(self, table: Table, *, max_new_tokens: int | None = None) -> Predictions:
        """The same for a table, with warnings about rows that could not be used as they are."""
        from ftc.compiler.tokens.unlabeled_rows import compile_unlabeled
        from ftc.runtime.evaluation.predict import predict_rows
        from ftc.runtime.execution.execute import Inputs
        from ftc.spec.documents.predictions import RowPrediction
        from ftc.spec.storage.paths import RunFolder

        run, found = self.run, dict[int, RowPrediction]()
        with tempfile.TemporaryDirectory(prefix="ftc-rows-") as scratch:
            asked = compile_unlabeled(run.plan, self._folder, table, Path(scratch), max_new_tokens=max_new_tokens)
            if asked.plan is not None:
                inputs = Inputs(self._folder, Path(scratch), run.record.observed.environment)
                place = RunFolder(run.folder)
                said = predict_rows(asked.plan, inputs, place, run.record, self._work, self._listen)
                found = {one.row: one.model_copy(update={"is_cut": one.row in asked.cut}) for one in said}
        predictions = tuple(
            found.get(number) or RowPrediction(row=number, prediction=None, problem=asked.problems.get(number))
            for number in range(len(table.rows))
        )
        findings = _findings(table, asked.problems, sorted(asked.cut), run.plan.settings.text.max_length)
        return Predictions(table.columns, table.rows, predictions, findings, table.dialect)


def load(run: Run | Path | str, *, on_event: EventListener | None = None, folder: Path | str = ".") -> Model:
    """Loads the model of a finished run.

        model = ftc.load("7f3a2b")
        model.predict(["Where is my parcel?"])[0].prediction

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        on_event: Called with each event, while the model is loaded and whenever it answers.
        folder: Any folder of the project in which a name is looked up.

    Raises:
        Refusal: The run has no result, or its base model isn't here (FTC687), or the weights changed (FTC630).
    """
    found = run if isinstance(run, Run) else find_run(str(run), folder)
    inputs = usable_inputs(found)
    from ftc.runtime.evaluation.predict import load_tuned
    from ftc.spec.storage.paths import RunFolder

    listen = on_event or (lambda event: None)
    work = load_tuned(found.plan, inputs, RunFolder(found.folder), found.record, listen)
    return Model(found, inputs.model_folder, work, listen)


def usable_inputs(run: Run) -> Inputs:
    """What a finished run's model is loaded with.

    Raises:
        Refusal: The run has no result, or its base model isn't here (FTC687).
    """
    from ftc.compiler.audit.locate import base_absent, model_folder

    if not run.record.is_finished:
        why = f"it is {run.record.status.replace('_', ' ')}"
        raise _unusable(run, why, f"`ftc apply {run.plan.recipe_file}` continues it")
    base = model_folder(run.plan, run.root)
    if base is None:
        raise _unusable(run, base_absent(run.plan, run.root), bring_base(run))
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.storage.paths import streams_folder

    return Inputs(base, streams_folder(run.plan.stream_key), run.record.observed.environment)


def predict(
    run: Run | Path | str,
    rows: Sequence[RowLike] | Path,
    *,
    max_new_tokens: int | None = None,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Predictions:
    """Loads the model of a finished run and asks it once.

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        rows: Texts or rows, or a file of rows of any kind that a recipe can name.
        max_new_tokens: Longest written answer in tokens; None for the run's own limit.
        on_event: Called with each event.
        folder: Any folder of the project in which a name is looked up.

    Raises:
        Refusal: The run can't be used (FTC687), or the rows can't be (FTC350 to FTC362, FTC688).
    """
    from ftc.compiler.tokens.other_rows import read_other
    from ftc.compiler.tokens.row_inputs import check_columns

    found = run if isinstance(run, Run) else find_run(str(run), folder)
    table = read_other(found.plan, rows, str(rows)) if isinstance(rows, Path) else table_of(found, rows)
    check_columns(found.plan, table)  # loading a model takes long
    return load(found, on_event=on_event).answers(table, max_new_tokens=max_new_tokens)


def table_of(run: Run, rows: Sequence[RowLike]) -> Table:
    """Rows from memory in the form of rows from a file."""
    from ftc.compiler.resolve.rows.table import Home, Table
    from ftc.compiler.tokens.row_inputs import as_row

    given = [as_row(run.plan, row) if isinstance(row, str) else dict(row) for row in rows]
    here = Path.cwd()
    return Table("the input", tuple(dict.fromkeys(name for row in given for name in row)), given, home=Home(here, here))


def _findings(table: Table, problems: Mapping[int, str], cut: Sequence[int], max_length: int) -> tuple[Diagnostic, ...]:
    found, total = [*table.warnings], f"{len(table.rows):,}"
    if table.left_out:
        listed = ", ".join(f"`{name}` ({kind})" for name, kind in table.left_out.items())
        help = "write them as text, or match the output to the rows by their order"
        summary = "the output lacks columns that have no form in JSON or CSV"
        found.append(diagnostic("FTC608", summary, notes=listed, help=help))
    if problems:
        notes = [f"{table.where(number)}: {words}" for number, words in sorted(problems.items())[:_MOST_NAMED]]
        more = f"… and {len(problems) - _MOST_NAMED:,} more" if len(problems) > _MOST_NAMED else ""
        summary = f"{len(problems):,} of {total} rows have no prediction"
        help = "fill in these rows, or leave them as they are: `problem` names the reason in the output"
        found.append(diagnostic("FTC690", summary, notes=[*notes, *([more] if more else [])], help=help))
    if cut:
        summary = f"{len(cut):,} of {total} rows are longer than {max_length:,} tokens and were truncated"
        help = "shorten these rows, or train with a larger `data.max_length`"
        found.append(diagnostic("FTC691", summary, notes=table.places(cut), help=help))
    return tuple(found)


def _unusable(run: Run, why: str, help: str) -> Refusal:
    return Refusal([diagnostic("FTC687", f"run `{run.record.id}` can't be used for predictions", notes=why, help=help)])
