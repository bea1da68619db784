"""`ftc drift RUN --data FILE`: are new rows like those of a run, and does its model still answer them?

The run's own rows are those of its validation split, as the lock names them: the model has not seen them, and no test
row is evaluated again. Where rows have labels the recipe's metrics are computed, beside what the run scored.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.data_drift import MOST_ROWS, DataDrift, MetricDrift, Verdict
from ftc.spec.documents.package_metrics import judged_metrics
from ftc.verbs.drift_sides import Asked, copied, reference_split, sides
from ftc.verbs.evaluate import finished_run, noting
from ftc.verbs.predict import usable_inputs
from ftc.verbs.runs import Run

if TYPE_CHECKING:
    from ftc.compiler.resolve.rows.table import Table
    from ftc.spec.documents.events import EventListener

__all__ = ["LEVEL", "ROWS", "Drifted", "data_drift", "drift_level"]

LEVEL = 0.01
"""Share of reports without any drift that say `drift` at most."""
ROWS = MOST_ROWS
"""Most rows of each side that are compared."""


@dataclass(frozen=True, slots=True)
class Drifted:
    """New rows beside a run's own.

    Attributes:
        run: The run.
        report: What was found.
    """

    run: Run
    report: DataDrift


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
        level: Significance level: share of reports without any drift that say `drift` at most.
        rows: Most rows of each side that are compared, evenly spread.
        on_event: Called with each event.
        folder: Any folder of the project in which a name is looked up.

    Raises:
        Refusal: The run can't be used (FTC685, FTC687), it has no rows to compare with (FTC757), or the new rows can't
            be read (FTC350 to FTC362, FTC688).
        ValueError: The level or the number of rows is none.
    """
    from ftc.compiler.tokens.other_rows import read_other

    level = drift_level(level)
    if rows < 1:
        raise ValueError(f"{rows} rows of each side can't be compared")
    found = finished_run(run, folder)
    table = read_other(found.plan, Path(data), str(data))
    with tempfile.TemporaryDirectory(prefix="ftc-drift-") as scratch:
        listen = on_event or (lambda event: None)
        asked = Asked(found, usable_inputs(found), str(data), rows, level, Path(scratch), listen)
        return Drifted(found, _compared(asked, table))


def drift_level(said: float | str) -> float:
    """A significance level.

    Raises:
        ValueError: It is none: no report could ever say `drift`, or every one would.
    """
    try:
        level = float(said)
    except ValueError:
        level = math.nan
    if not 0 < level < 1:
        raise ValueError(f"a level of `{said}` is not a share between 0 and 1, such as {LEVEL:g}")
    return level


def _compared(asked: Asked, table: Table) -> DataDrift:
    from ftc.runtime.evaluation.drift_samples import CLASSES, novel_rows
    from ftc.runtime.evaluation.drift_tests import (
        FEWEST_ROWS,
        LARGEST_UNSEEN,
        compared,
        damage_tests,
        metric_tests,
        settled,
    )
    from ftc.runtime.evaluation.reference import evenly
    from ftc.spec.documents.decoded import TextDecoder
    from ftc.spec.storage.own_tokenizer import tokenizer_folder

    total, split, run = len(table.rows), reference_split(asked.run), asked.run
    notes = [one.summary for one in table.warnings]
    if total > asked.rows:
        table = table.kept(evenly(total, asked.rows))
        notes.append(f"{len(table.rows):,} of {total:,} rows are compared, evenly spread; `--rows` compares more")
    known, new, remarks = sides(asked, table, split)
    measured = _measured(asked, table)
    tests = [*damage_tests(known.sample, new.sample), *metric_tests(measured.metrics, measured.test_rows)]
    novel, has_enough = [], min(len(known.numbers), len(new.numbers)) >= FEWEST_ROWS
    if has_enough:
        found = compared(known.sample, new.sample, asked.level)
        tests = [*found.tests, *tests]
        texts = tokenizer_folder(asked.inputs.model_folder, run.plan.settings.model.tokenizer)
        for number, one in novel_rows(new, known, found, TextDecoder(texts)):
            novel.append(one.model_copy(update={"place": table.where(number)}))
        if repeated := len(new.numbers) - len(found.kept):
            notes.append(f"{repeated:,} rows repeat another one; each text counts once in all other tests")
    done = settled(tests, asked.level)
    smallest = done[0].minimum_detectable if has_enough else None
    unseen: Verdict = "too few rows" if smallest is None or smallest > LARGEST_UNSEEN else "no drift"
    return DataDrift(
        run_id=run.record.id,
        name=run.plan.name,
        data=asked.name,
        rows=total,
        reference=split,
        reference_rows=len(known.numbers),
        new_rows=len(new.numbers),
        significance_level=asked.level,
        verdict="drift" if any(one.drifted for one in done) else unseen,
        minimum_detectable_auc=smallest,
        tests=done,
        novel=tuple(novel),
        classes=_shares(known.sample.names.get(CLASSES, ()), new.sample.names.get(CLASSES, ())),
        metrics=measured.metrics,
        failed_gates=measured.failed_gates,
        notes=(*notes, *remarks, *measured.notes),
    )


def _shares(known: Sequence[Sequence[str]], new: Sequence[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """Share of the rows on both sides that have a name, the most frequent first."""
    before, now = (Counter(name for row in side for name in row) for side in (known, new))
    names = sorted({*before, *now}, key=lambda name: (-before[name], -now[name], name))
    return {name: (before[name] / len(known), now[name] / len(new)) for name in names}


@dataclass(frozen=True, slots=True)
class _Measured:
    """What rows with labels gave.

    Attributes:
        metrics: Beside the run's test rows.
        test_rows: How many these are.
        failed_gates: In words.
        notes: Why there are no metrics, where labels can't be used.
    """

    metrics: dict[str, MetricDrift]
    test_rows: int = 0
    failed_gates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _measured(asked: Asked, table: Table) -> _Measured:
    """The recipe's metrics on the rows that have labels, by the code that evaluated the run.

    It is the tuned model alone, and nobody grades, since grading costs money and time of its own.
    """
    from ftc.compiler.tokens.other_rows import compile_table, labeled_rows
    from ftc.runtime.evaluation.evaluate_again import evaluate_again
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.storage.paths import RunFolder

    run, folder = asked.run, asked.folder / "labeled"
    labeled = labeled_rows(run.plan, table)
    if not labeled or not run.plan.settings.eval.metrics:
        return _Measured({})
    if judged_metrics(run.plan.settings):
        return _Measured({}, notes=("no metrics: another model rewards the answers, and is not asked about new rows",))
    folder.mkdir()
    try:
        plan = compile_table(run.plan, asked.inputs.model_folder, copied(table, labeled), folder)
    except Refusal as refusal:
        return _Measured({}, notes=(f"no metrics: {refusal.diagnostics[0].summary}",))
    others = dict.fromkeys(("judge", "classifier", "reward_model"))
    alone: dict[str, Any] = {**others, "baseline": False, "slices": (), "samples": 0}
    settings = plan.settings.model_copy(update={"eval": plan.settings.eval.model_copy(update=alone)})
    plan = plan.model_copy(update={"settings": settings})
    inputs = Inputs(asked.inputs.model_folder, folder, run.record.observed.environment)
    listen = noting(run, plan, asked.name, asked.listen)
    found = evaluate_again(plan, inputs, RunFolder(run.folder), run.record, listen)
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
    failed = tuple(
        f"{gate.metric} {gate.bound}, and is {'unknown' if gate.value is None else f'{gate.value:.4g}'}"
        for gate in found.gates
        if not gate.passed
    )
    return _Measured(metrics, before.rows if before else 0, failed)
