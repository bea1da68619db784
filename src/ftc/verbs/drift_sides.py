"""Both sides of `ftc drift`: a finished run's own rows, and new ones, with its model's answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.text_forms import form_card
from ftc.verbs.runs import Run

if TYPE_CHECKING:
    from ftc.compiler.resolve.rows.table import Table
    from ftc.runtime.evaluation.drift_samples import Rows
    from ftc.runtime.evaluation.two_samples import Counts
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.predictions import RowPrediction
    from ftc.spec.documents.streams import Split

__all__ = ["Asked", "copied", "reference_split", "sides"]

_ENCODING, _EMPTY, _LONG = "rows with encoding errors", "rows with empty or unusable values", "truncated or too long"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared.

    Attributes:
        run: The run.
        inputs: What its model is loaded with.
        name: The new rows' file as the user calls it.
        rows: Most rows of each side.
        level: Share of false alarms.
        folder: Where streams may be written.
        listen: Called with each event.
    """

    run: Run
    inputs: Inputs
    name: str
    rows: int
    level: float
    folder: Path
    listen: EventListener


def reference_split(run: Run) -> Split:
    """Which of the run's rows are compared with: training rows only where it has no others."""
    report = run.plan.data.get("validation")
    return "validation" if report is not None and report.rows else "train"


def sides(asked: Asked, table: Table, split: Split) -> tuple[Rows, Rows, list[str]]:
    """The run's rows and the new ones, with the model's answers where they say something, and remarks."""
    from ftc.compiler.tokens.unlabeled_rows import check_columns, compile_unlabeled, text_columns
    from ftc.runtime.evaluation.drift_samples import reads_own_form, rows_of
    from ftc.spec.documents.streams import open_stream

    plan, known, new = asked.run.plan, asked.folder / "known", asked.folder / "new"
    for folder in (known, new):
        folder.mkdir()
    if reads_own_form(plan):
        return _in_own_form(asked, table, split, known, new)
    check_columns(plan, table)
    _write_reference(asked, split, known)
    asked_rows = compile_unlabeled(plan, asked.inputs.model_folder, table, new)
    if asked_rows.plan is None:
        places = [f"{table.where(number)}: {words}" for number, words in sorted(asked_rows.problems.items())[:5]]
        help = "fix these rows, or name another file"
        raise Refusal([diagnostic("FTC758", f"no row of {asked.name} can be compared", notes=places, help=help)])
    said: tuple[list[RowPrediction], list[RowPrediction]] = [], []
    notes = ["answers are not compared: the run has no validation rows, and its model has seen training rows"]
    if split == "validation":
        said, notes = _answers(asked, asked_rows.plan, known, new), []
    unfit = len(asked_rows.unfit)
    before, now = _damaged(plan, table, len(asked_rows.problems) - unfit, len(asked_rows.cut) + unfit)
    streams = open_stream(known / "test.arrow"), open_stream(new / "test.arrow")
    text = 0  # which of several texts that become vectors the new rows have first
    if form_card(plan.settings.text.form).has_texts:
        text = next(number for number, name in enumerate(text_columns(plan)) if name in table.columns)
    return (
        rows_of(plan, streams[0], said[0], text=text, damaged=before),
        rows_of(plan, streams[1], said[1], damaged=now),
        notes,
    )


def _in_own_form(asked: Asked, table: Table, split: Split, known: Path, new: Path) -> tuple[Rows, Rows, list[str]]:
    """Both sides as the run was trained on them, where a row alone has no form of its own."""
    from ftc.compiler.tokens.other_rows import check_labeled, compile_table, labeled_rows
    from ftc.runtime.evaluation.drift_samples import rows_of
    from ftc.spec.documents.streams import open_stream

    plan = asked.run.plan
    check_labeled(plan, table)
    _write_reference(asked, split, known)
    usable = labeled_rows(plan, table)
    report = compile_table(plan, asked.inputs.model_folder, copied(table, usable), new).data["test"]
    unusable, unfit = len(table.rows) - len(usable), report.truncated_rows + report.dropped_rows
    before, now = _damaged(plan, table, unusable, unfit)
    found = rows_of(plan, open_stream(new / "test.arrow"), (), damaged=now)
    return (
        rows_of(plan, open_stream(known / "test.arrow"), (), damaged=before),
        replace(found, numbers=[usable[number] for number in found.numbers]),
        ["answers are not compared: a single row has none"],
    )


def copied(table: Table, rows: Sequence[int]) -> Table:
    """Some rows that may be changed."""
    kept = table.kept(rows)
    return replace(kept, rows=[dict(row) for row in kept.rows])


def _write_reference(asked: Asked, split: Split, folder: Path) -> None:
    """Writes the run's own rows, at most so many, as the rows to predict for.

    Raises:
        Refusal: They are gone, or others than the lock names (FTC757).
    """
    from ftc.compiler.tokens.stream_manifest import kept_streams
    from ftc.runtime.evaluation.drift_samples import write_part
    from ftc.runtime.evaluation.reference import evenly
    from ftc.spec.documents.stream_images import IMAGES_FILE
    from ftc.spec.documents.streams import open_stream

    streams = kept_streams(asked.run.plan)
    if streams is None:
        raise _without_rows(asked, f"its {split} rows as tokens are not in the cache as they were made")
    stream = open_stream(streams / f"{split}.arrow")
    numbers = sorted(set(stream.rows.tolist()))
    write_part(
        streams / f"{split}.arrow", folder / "test.arrow", {numbers[one] for one in evenly(len(numbers), asked.rows)}
    )
    if (streams / IMAGES_FILE).exists():
        (folder / IMAGES_FILE).symlink_to(streams / IMAGES_FILE)


def _without_rows(asked: Asked, why: str) -> Refusal:
    """Says as well whether the files are still there from which the rows came."""
    from ftc.compiler.audit.locate import source_files
    from ftc.compiler.resolve.files.digests import DigestCache
    from ftc.spec.storage.cached import DIGESTS
    from ftc.spec.storage.paths import cache_folder

    run, digests = asked.run, DigestCache(DIGESTS.under(cache_folder()))
    changed = [
        f"`{name}` {'is gone' if file is None else 'has changed since'}"
        for _, name, sha256, file in source_files(run.plan, run.root)
        if file is None or digests.file(file).sha256 != sha256
    ]
    help = f"`ftc plan {run.plan.recipe_file}` tokenizes them again"
    if changed:
        help = "restore these files as they were, then " + help
    summary = f"run `{run.record.id}` has no rows to compare with"
    return Refusal([diagnostic("FTC757", summary, notes=[why, *changed], help=help)])


def _answers(
    asked: Asked, new: Plan, known_folder: Path, new_folder: Path
) -> tuple[list[RowPrediction], list[RowPrediction]]:
    """What the run's model says of both sides."""
    from ftc.compiler.tokens.other_rows import measuring, without_probes
    from ftc.runtime.evaluation.predict import load_tuned, predict_rows
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.storage.paths import RunFolder

    run, place = asked.run, RunFolder(asked.run.folder)
    known = without_probes(measuring(run.plan, run.plan.data["validation"], None))
    known = known.model_copy(update={"settings": known.settings.model_copy(update={"eval": new.settings.eval})})
    work = load_tuned(run.plan, asked.inputs, place, run.record, asked.listen)

    def said(plan: Plan, folder: Path) -> list[RowPrediction]:
        inputs = Inputs(asked.inputs.model_folder, folder, run.record.observed.environment)
        return predict_rows(plan, inputs, place, run.record, work, asked.listen)

    return said(known, known_folder), said(new, new_folder)


def _damaged(plan: Plan, table: Table, unusable: int, unfit: int) -> tuple[dict[str, Counts], dict[str, Counts]]:
    """By title, how many of all rows of the run, and of the new ones, can't be used as they are."""
    from ftc.compiler.quality.texts import damage, row_text
    from ftc.compiler.resolve.rows.columns import Columns

    columns = Columns(plan.settings.text.columns)
    broken = sum(any(True for _ in damage(row_text(row, columns))) for row in table.rows)
    parts, sources = plan.data.values(), plan.lock.data.sources.values()
    read, known = sum(one.rows_read for one in parts), plan.quality.findings
    before = {
        _ENCODING: (min(read, sum(one.rows for one in known if one.kind == "encoding")), read),
        _EMPTY: (sum(one.dropped_rows for one in sources), sum(one.rows for one in sources)),
        _LONG: (sum(one.truncated_rows + one.dropped_rows for one in parts), read),
    }
    now = {_ENCODING: broken, _EMPTY: unusable, _LONG: unfit}
    return before, {title: (count, len(table.rows)) for title, count in now.items()}
