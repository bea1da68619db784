"""Both sides of `ftc drift`: a finished run's own rows, and new ones, with its model's answers to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.text_forms import form_card
from ftc.verbs.runs import Run

if TYPE_CHECKING:
    from ftc.compiler.resolve.rows.table import Table
    from ftc.runtime.evaluation.drift_samples import Floats, Rows
    from ftc.runtime.evaluation.two_samples import Counts
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.tasks.scorer import ModelWithScorer
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.predictions import RowPrediction
    from ftc.spec.documents.record import RunRecord
    from ftc.spec.documents.streams import Split
    from ftc.spec.storage.paths import RunFolder

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
    from ftc.compiler.tokens.row_inputs import check_columns, text_columns
    from ftc.compiler.tokens.unlabeled_rows import compile_unlabeled
    from ftc.runtime.evaluation.drift_samples import reads_own_form, rows_of
    from ftc.spec.documents.streams import open_stream

    plan, new = asked.run.plan, asked.folder / "new"
    new.mkdir()
    if reads_own_form(plan):
        return _in_own_form(asked, table, split, new)
    check_columns(plan, table)
    text = 0  # which of several texts that become vectors the new rows have first
    if form_card(plan.settings.text.form).has_texts:
        text = next(number for number, name in enumerate(text_columns(plan)) if name in table.columns)
    known, notes = _known(asked, split, "they are of another of the row's texts" if text else "")
    asked_rows = compile_unlabeled(plan, asked.inputs.model_folder, table, new)
    if asked_rows.plan is None:
        places = [f"{table.where(number)}: {words}" for number, words in sorted(asked_rows.problems.items())[:5]]
        help = "fix these rows, or name another file"
        raise Refusal([diagnostic("FTC758", f"no row of {asked.name} can be compared", notes=places, help=help)])
    model = _Model(asked, asked_rows.plan)
    said_before: list[RowPrediction] = []
    said_now: list[RowPrediction] = []
    if split != "validation":
        notes += ["answers are not compared: the run has no validation rows, and its model has seen training rows"]
    elif known.folder is not None and not known.has_answers:
        said_before, said_now = model.said(model.of_known(), known.folder), model.said(asked_rows.plan, new)
    elif known.has_answers:
        said_now = model.said(asked_rows.plan, new)
    else:
        notes += ["answers are not compared: the run keeps none of what it writes"]
    unfit = len(asked_rows.unfit)
    before, now = _damaged(plan, table, len(asked_rows.problems) - unfit, len(asked_rows.cut) + unfit)
    states = model.states(asked_rows.plan, new) if known.has_states else None
    made = rows_of(plan, open_stream(new / "test.arrow"), said_now, damaged=now, states=states)
    return known.as_rows(plan, said_before, text, before), made, notes


@dataclass(frozen=True, slots=True)
class _Known:
    """The run's own rows.

    Attributes:
        kept: What the run keeps of them; None where that is not used.
        folder: Where they are as tokens; None where these are gone.
    """

    kept: Rows | None
    folder: Path | None

    @property
    def has_answers(self) -> bool:
        """Whether the answers to them are kept."""
        sample = None if self.kept is None else self.kept.sample
        return sample is not None and bool(sample.names or sample.numbers or sample.flags or sample.vectors is not None)

    @property
    def has_states(self) -> bool:
        """Whether what the model makes of them is kept."""
        return self.kept is not None and self.kept.sample.states is not None

    def as_rows(self, plan: Plan, said: Sequence[RowPrediction], text: int, damaged: Mapping[str, Counts]) -> Rows:
        """One side of the comparison, with what is known by tokens and by what is kept."""
        from ftc.runtime.evaluation.drift_samples import rows_of
        from ftc.spec.documents.streams import open_stream

        read = None
        if self.folder is not None:
            read = rows_of(plan, open_stream(self.folder / "test.arrow"), said, text=text, damaged=damaged)
        if self.kept is None:
            assert read is not None, "without either it was refused"
            return read
        sample = replace(self.kept.sample, damaged=damaged)
        if read is not None:
            figures = {} if self.has_answers else {name: getattr(read.sample, name) for name in _ANSWERS}
            sample = replace(sample, tokens=read.sample.tokens, **figures)
        return replace(self.kept, sample=sample)


_ANSWERS = ("names", "numbers", "flags", "vectors")
"""Fields of a sample that are of answers."""


def _known(asked: Asked, split: Split, unfit: str = "") -> tuple[_Known, list[str]]:
    """The run's rows, at most as many as are asked for, by their tokens and by what the run keeps of them.

    Args:
        asked: What is compared.
        split: Whose rows they are.
        unfit: Why what is kept can't be used; empty where nothing speaks against it.

    Raises:
        Refusal: There is neither (FTC757).
    """
    from ftc.compiler.tokens.stream_manifest import kept_streams
    from ftc.runtime.evaluation.drift_reference import read_drift_reference
    from ftc.runtime.evaluation.reference import evenly
    from ftc.spec.documents.streams import open_stream
    from ftc.spec.storage.paths import RunFolder

    run, plan = asked.run, asked.run.plan
    found: Rows | str = unfit
    if split != "validation":
        found = "it keeps nothing of training rows"
    elif not unfit:
        found = read_drift_reference(RunFolder(run.folder), run.record, plan)
    streams, gone = kept_streams(plan), f"its {split} rows as tokens are not in the cache as they were made"
    stream = None if streams is None else open_stream(streams / f"{split}.arrow")
    numbers = [] if stream is None else sorted(set(stream.rows.tolist()))
    if not isinstance(found, str) and len(found.numbers) < min(asked.rows, len(numbers)):
        found = f"it keeps {len(found.numbers):,} rows, fewer than `--rows`"
    if isinstance(found, str):
        if streams is None:
            raise _without_rows(asked, [gone, found])
        chosen = [numbers[one] for one in evenly(len(numbers), asked.rows)]
        notes = [f"the run's own rows are read again: {found}"] if split == "validation" else []
        return _Known(None, _part(asked, streams, split, chosen)), notes
    places = evenly(len(found.numbers), asked.rows)
    chosen = [found.numbers[place] for place in places]
    kept = replace(found, numbers=chosen, sample=found.sample.kept(places))
    if streams is None:
        return _Known(kept, None), [f"words are not compared: {gone}"]
    return _Known(kept, _part(asked, streams, split, chosen)), []


def _part(asked: Asked, streams: Path, split: Split, rows: Collection[int]) -> Path:
    """Writes some of the run's own rows as the rows to predict for, and gives their folder."""
    from ftc.runtime.evaluation.drift_samples import write_part
    from ftc.spec.documents.stream_images import IMAGES_FILE

    folder = asked.folder / "known"
    folder.mkdir()
    write_part(streams / f"{split}.arrow", folder / "test.arrow", rows)
    if (streams / IMAGES_FILE).exists():
        (folder / IMAGES_FILE).symlink_to(streams / IMAGES_FILE)
    return folder


class _Model:
    """The run's model, which is loaded once, and only where it is asked."""

    def __init__(self, asked: Asked, new: Plan) -> None:
        self._asked, self._new = asked, new
        self._work: ModelWithScorer | None = None

    def of_known(self) -> Plan:
        """The run's plan with its own rows as those to predict for, answered as the new ones are."""
        from ftc.compiler.tokens.other_rows import measuring, without_probes

        plan = self._asked.run.plan
        known = without_probes(measuring(plan, plan.data["validation"], None))
        return known.model_copy(
            update={"settings": known.settings.model_copy(update={"eval": self._new.settings.eval})}
        )

    def said(self, plan: Plan, folder: Path) -> list[RowPrediction]:
        """What it says of a folder's rows."""
        from ftc.runtime.evaluation.predict import predict_rows

        return predict_rows(*self._given(plan, folder))

    def states(self, plan: Plan, folder: Path) -> Mapping[int, Floats] | None:
        """What it makes of a folder's rows."""
        from ftc.runtime.evaluation.drift_reference import states_of_rows

        return states_of_rows(*self._given(plan, folder))

    def _given(
        self, plan: Plan, folder: Path
    ) -> tuple[Plan, Inputs, RunFolder, RunRecord, ModelWithScorer, EventListener]:
        from ftc.runtime.evaluation.predict import load_tuned
        from ftc.runtime.execution.execute import Inputs
        from ftc.spec.storage.paths import RunFolder

        asked, run = self._asked, self._asked.run
        place = RunFolder(run.folder)
        self._work = self._work or load_tuned(run.plan, asked.inputs, place, run.record, asked.listen)
        inputs = Inputs(asked.inputs.model_folder, folder, run.record.observed.environment)
        return plan, inputs, place, run.record, self._work, asked.listen


def _in_own_form(asked: Asked, table: Table, split: Split, new: Path) -> tuple[Rows, Rows, list[str]]:
    """Both sides as the run was trained on them, where a row alone has no form of its own."""
    from ftc.compiler.tokens.other_rows import check_labeled, compile_table, labeled_rows
    from ftc.runtime.evaluation.drift_samples import rows_of
    from ftc.spec.documents.streams import open_stream

    plan = asked.run.plan
    check_labeled(plan, table)
    known, notes = _known(asked, split)
    usable = labeled_rows(plan, table)
    compiled = compile_table(plan, asked.inputs.model_folder, copied(table, usable), new)
    report = compiled.data["test"]
    unusable, unfit = len(table.rows) - len(usable), report.truncated_rows + report.dropped_rows
    before, now = _damaged(plan, table, unusable, unfit)
    states = _Model(asked, compiled).states(compiled, new) if known.has_states else None
    found = rows_of(plan, open_stream(new / "test.arrow"), (), damaged=now, states=states)
    return (
        known.as_rows(plan, (), 0, before),
        replace(found, numbers=[usable[number] for number in found.numbers]),
        [*notes, "answers are not compared: a single row has none"],
    )


def copied(table: Table, rows: Sequence[int]) -> Table:
    """Some rows that may be changed."""
    kept = table.kept(rows)
    return replace(kept, rows=[dict(row) for row in kept.rows])


def _without_rows(asked: Asked, why: Sequence[str]) -> Refusal:
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
    return Refusal([diagnostic("FTC757", summary, notes=[*why, *changed], help=help)])


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
