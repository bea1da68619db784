"""`ftc drift RUN --data FILE`: are new rows like those of a run, and does its model still answer them?

The run's own rows are those of its validation split, as the lock names them: the model has not seen them, and no test
row is evaluated again. Where rows have labels the recipe's metrics are computed, beside what the run scored.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.data_drift import DataDrift, DriftTest, MetricDrift, Verdict
from ftc.spec.text_forms import form_card
from ftc.verbs.evaluate import finished_run, noting
from ftc.verbs.predict import usable_inputs
from ftc.verbs.runs import Run

if TYPE_CHECKING:
    from ftc.compiler.resolve.rows.table import Table
    from ftc.runtime.evaluation.drift_samples import Rows
    from ftc.runtime.evaluation.two_samples import Counts
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.predictions import RowPrediction
    from ftc.spec.documents.record import Evaluation, GateResult
    from ftc.spec.documents.streams import Split

__all__ = ["LEVEL", "ROWS", "Drifted", "data_drift"]

LEVEL = 0.01
"""Share of reports without any drift that say `drift` at most."""
ROWS = 1_000
"""Most rows of each side that are compared."""

_ENCODING, _EMPTY, _LONG = "rows with encoding errors", "rows with empty or unusable values", "truncated or too long"


@dataclass(frozen=True, slots=True)
class Drifted:
    """New rows beside a run's own.

    Attributes:
        run: The run.
        report: What was found.
    """

    run: Run
    report: DataDrift


@dataclass(frozen=True, slots=True)
class _Asked:
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


def data_drift(
    run: Run | Path | str,
    data: Path | str,
    *,
    level: float = LEVEL,
    rows: int = ROWS,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Drifted:
    """Compares new rows with a finished run's validation rows: inputs, damage, answers, and metrics where labels are.

    Args:
        run: The run, its folder, or the beginning of its name.
        data: A file of rows with the run's columns; labels are not needed.
        level: Share of reports without any drift that say `drift` at most.
        rows: Most rows of each side that are compared, evenly spread.
        on_event: Called with each event.
        folder: Any folder of the project in which a name is looked up.

    Raises:
        Refusal: The run can't be used (FTC685, FTC687), it has no rows to compare with (FTC757), or the new rows can't
            be read (FTC350 to FTC360, FTC688).
    """
    from ftc.compiler.tokens.other_rows import read_other

    found = finished_run(run, folder)
    table = read_other(found.plan, Path(data), str(data))
    with tempfile.TemporaryDirectory(prefix="ftc-drift-") as scratch:
        listen = on_event or (lambda event: None)
        asked = _Asked(found, usable_inputs(found), str(data), rows, level, Path(scratch), listen)
        return Drifted(found, _compared(asked, table))


def _compared(asked: _Asked, table: Table) -> DataDrift:
    from ftc.runtime.evaluation.drift_samples import CLASSES, novel_rows
    from ftc.runtime.evaluation.drift_tests import FEWEST_ROWS, compared, damage_tests, metric_tests, settled
    from ftc.runtime.evaluation.reference import evenly
    from ftc.spec.documents.streams import TextDecoder

    total, split, run = len(table.rows), _reference_split(asked.run), asked.run
    notes = []
    if total > asked.rows:
        table = table.kept(evenly(total, asked.rows))
        notes.append(f"{len(table.rows):,} of {total:,} rows are compared, evenly spread; `--rows` compares more")
    known, new, remarks = _sides(asked, table, split)
    measured = _measured(asked, table)
    tests = [*damage_tests(known.sample, new.sample), *metric_tests(measured.metrics, measured.test_rows)]
    novel, has_enough = [], min(len(known.numbers), len(new.numbers)) >= FEWEST_ROWS
    if has_enough:
        found = compared(known.sample, new.sample, asked.level)
        tests = [*found.tests, *tests]
        for number, one in novel_rows(new, known, found, TextDecoder(asked.inputs.model_folder)):
            novel.append(one.model_copy(update={"place": table.where(number)}))
        if repeated := len(new.numbers) - len(found.kept):
            notes.append(f"{repeated:,} rows repeat another one; each text counts once in all other tests")
    done = settled(tests, asked.level)
    smallest = done[0].smallest if has_enough else None
    return DataDrift(
        run_id=run.record.id,
        name=run.plan.name,
        data=asked.name,
        rows=total,
        reference=split,
        reference_rows=len(known.numbers),
        new_rows=len(new.numbers),
        level=asked.level,
        verdict=_verdict(done, smallest),
        smallest_auc=smallest,
        tests=done,
        novel=tuple(novel),
        classes=_shares(known.sample.names.get(CLASSES, ()), new.sample.names.get(CLASSES, ())),
        metrics=measured.metrics,
        failed_gates=measured.failed_gates,
        notes=(*notes, *remarks, *measured.notes),
    )


def _verdict(tests: Sequence[DriftTest], smallest: float | None) -> Verdict:
    from ftc.runtime.evaluation.drift_tests import LARGEST_UNSEEN

    if any(one.drifted for one in tests):
        return "drift"
    return "too few rows" if smallest is None or smallest > LARGEST_UNSEEN else "no drift"


def _shares(known: Sequence[Sequence[str]], new: Sequence[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """Share of the rows on both sides that have a name, the most frequent first."""
    before, now = (Counter(name for row in side for name in row) for side in (known, new))
    names = sorted({*before, *now}, key=lambda name: (-before[name], -now[name], name))
    return {name: (before[name] / len(known), now[name] / len(new)) for name in names}


def _reference_split(run: Run) -> Split:
    """Which of the run's rows are compared with: training rows only where it has no others."""
    report = run.plan.data.get("validation")
    return "validation" if report is not None and report.rows else "train"


def _sides(asked: _Asked, table: Table, split: Split) -> tuple[Rows, Rows, list[str]]:
    """The run's rows and the new ones, with the model's answers where they say something, and remarks."""
    from ftc.compiler.tokens.unlabeled_rows import check_columns, compile_unlabeled
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
    before, now = _damaged(plan, split, table, len(asked_rows.problems) - unfit, len(asked_rows.cut) + unfit)
    streams = open_stream(known / "test.arrow"), open_stream(new / "test.arrow")
    text = _first_text(plan, table)
    return (
        rows_of(plan, streams[0], said[0], text=text, damaged=before),
        rows_of(plan, streams[1], said[1], damaged=now),
        notes,
    )


def _in_own_form(asked: _Asked, table: Table, split: Split, known: Path, new: Path) -> tuple[Rows, Rows, list[str]]:
    """Both sides as the run was trained on them, where a row alone has no form of its own."""
    from ftc.compiler.tokens.other_rows import check_labeled, compile_table, labeled_rows
    from ftc.runtime.evaluation.drift_samples import rows_of
    from ftc.spec.documents.streams import open_stream

    plan = asked.run.plan
    check_labeled(plan, table)
    _write_reference(asked, split, known)
    usable = labeled_rows(plan, table)
    report = compile_table(plan, asked.inputs.model_folder, _copied(table, usable), new).data["test"]
    unusable, unfit = len(table.rows) - len(usable), report.truncated_rows + report.dropped_rows
    before, now = _damaged(plan, split, table, unusable, unfit)
    found = rows_of(plan, open_stream(new / "test.arrow"), (), damaged=now)
    return (
        rows_of(plan, open_stream(known / "test.arrow"), (), damaged=before),
        replace(found, numbers=[usable[number] for number in found.numbers]),
        ["answers are not compared: a single row has none"],
    )


def _copied(table: Table, rows: Sequence[int]) -> Table:
    """Some rows that may be changed."""
    kept = table.kept(rows)
    return replace(kept, rows=[dict(row) for row in kept.rows])


def _first_text(plan: Plan, table: Table) -> int:
    """Number of the text, of several that become vectors, that the new rows have first."""
    if not form_card(plan.settings.text.form).has_texts:
        return 0
    from ftc.compiler.tokens.unlabeled_rows import text_columns

    return next(number for number, name in enumerate(text_columns(plan)) if name in table.columns)


def _write_reference(asked: _Asked, split: Split, folder: Path) -> None:
    """Writes the run's own rows, at most so many, as the rows to predict for.

    Raises:
        Refusal: They are gone, or others than the lock names (FTC757).
    """
    from ftc.runtime.evaluation.drift_samples import write_part
    from ftc.runtime.evaluation.reference import evenly
    from ftc.spec.documents.stream_images import IMAGES_FILE
    from ftc.spec.documents.streams import open_stream

    plan, streams = asked.run.plan, asked.inputs.streams_folder
    try:
        stream = open_stream(streams / f"{split}.arrow")
        is_same = stream.digest() == plan.data[split].stream_digest
    except OSError:
        raise _without_rows(asked, f"its {split} rows as tokens are no longer in the cache") from None
    except ValueError:
        is_same = False
    if not is_same:
        raise _without_rows(asked, f"its {split} rows in the cache are not those that its lock names")
    numbers = sorted(set(stream.rows.tolist()))
    write_part(
        streams / f"{split}.arrow", folder / "test.arrow", {numbers[one] for one in evenly(len(numbers), asked.rows)}
    )
    if (streams / IMAGES_FILE).exists():
        (folder / IMAGES_FILE).symlink_to(streams / IMAGES_FILE)


def _without_rows(asked: _Asked, why: str) -> Refusal:
    """Says as well whether the files are still there from which the rows came."""
    run = asked.run
    changed = [f"`{name}` {words}" for name, words in _changed_sources(run)]
    help = f"`ftc plan {run.plan.recipe_file}` tokenizes them again"
    if changed:
        help = "restore these files as they were, then " + help
    summary = f"run `{run.record.id}` has no rows to compare with"
    return Refusal([diagnostic("FTC757", summary, notes=[why, *changed], help=help)])


def _changed_sources(run: Run) -> Iterator[tuple[str, str]]:
    """Data files of a run that are gone, or no longer what its lock names, each with what is wrong."""
    from ftc.compiler.audit.locate import source_files
    from ftc.compiler.resolve.files.digests import DigestCache
    from ftc.spec.storage.paths import cache_folder

    for _, name, sha256, file in source_files(run.plan, run.root):
        if file is None:
            yield name, "is gone"
        elif DigestCache(cache_folder() / "digests").file(file).sha256 != sha256:
            yield name, "has changed since"


def _answers(
    asked: _Asked, new: Plan, known_folder: Path, new_folder: Path
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


def _damaged(
    plan: Plan, split: Split, table: Table, unusable: int, unfit: int
) -> tuple[dict[str, Counts], dict[str, Counts]]:
    """By title, how many rows of the run and of the new ones can't be used as they are."""
    from ftc.compiler.quality.texts import damage, row_text
    from ftc.compiler.resolve.rows.columns import Columns

    columns = Columns(plan.settings.text.columns)
    broken = sum(any(True for _ in damage(row_text(row, columns))) for row in table.rows)
    report, sources = plan.data[split], plan.lock.data.sources.values()
    known = sum(one.rows for one in plan.quality.findings if one.kind == "encoding" and one.split == split)
    before = {
        _ENCODING: (min(known, report.rows_read), report.rows_read),
        _EMPTY: (sum(one.dropped_rows for one in sources), sum(one.rows for one in sources)),
        _LONG: (report.truncated_rows + report.dropped_rows, report.rows_read),
    }
    now = {_ENCODING: broken, _EMPTY: unusable, _LONG: unfit}
    return before, {title: (count, len(table.rows)) for title, count in now.items()}


@dataclass(frozen=True, slots=True)
class _Measured:
    """What rows with labels gave.

    Attributes:
        metrics: Beside the run's test rows.
        test_rows: How many these are.
        failed_gates: In words.
        notes: Why there are no metrics, where labels can't be used.
    """

    metrics: Mapping[str, MetricDrift]
    test_rows: int = 0
    failed_gates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _measured(asked: _Asked, table: Table) -> _Measured:
    """The recipe's metrics on the rows that have labels, by the code that evaluated the run."""
    from ftc.compiler.tokens.other_rows import compile_table, labeled_rows

    run, folder = asked.run, asked.folder / "labeled"
    labeled = labeled_rows(run.plan, table)
    if not labeled or not run.plan.settings.eval.metrics:
        return _Measured({})
    folder.mkdir()
    try:
        plan = compile_table(run.plan, asked.inputs.model_folder, _copied(table, labeled), folder)
    except Refusal as refusal:
        return _Measured({}, notes=(f"no metrics: {refusal.diagnostics[0].summary}",))
    found = _evaluated(asked, plan, folder)
    before = run.evaluation.tuned if run.evaluation else None
    metrics = {
        name: MetricDrift(
            rows=found.tuned.rows,
            value=value,
            interval=found.tuned.intervals.get(name),
            test_value=before.metrics.get(name) if before else None,
            test_interval=before.intervals.get(name) if before else None,
        )
        for name, value in found.tuned.metrics.items()
    }
    failed = tuple(_gate_words(gate) for gate in found.gates if not gate.passed)
    return _Measured(metrics, before.rows if before else 0, failed)


def _gate_words(gate: GateResult) -> str:
    return f"{gate.metric} {gate.bound}, and is {'unknown' if gate.value is None else f'{gate.value:.4g}'}"


def _evaluated(asked: _Asked, plan: Plan, folder: Path) -> Evaluation:
    """The tuned model alone on a plan's test split; nobody grades, since grading costs money and time of its own."""
    from ftc.runtime.evaluation.evaluate_again import evaluate_again
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.storage.paths import RunFolder

    run = asked.run
    alone: dict[str, Any] = {"baseline": False, "judge": None, "classifier": None, "slices": (), "samples": 0}
    settings = plan.settings.model_copy(update={"eval": plan.settings.eval.model_copy(update=alone)})
    plan = plan.model_copy(update={"settings": settings})
    inputs = Inputs(asked.inputs.model_folder, folder, run.record.observed.environment)
    listen = noting(run, plan, asked.name, asked.listen)
    return evaluate_again(plan, inputs, RunFolder(run.folder), run.record, listen)
