"""A finished run measured once more, on its test split or on a file of one's own; every look is noted in the ledger.

So is a person's look at test rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.heads import head_card
from ftc.verbs.runs import Run, bring_base, bring_model, find_run

if TYPE_CHECKING:
    from ftc.spec.companions import Role
    from ftc.spec.documents.events import Event, EventListener
    from ftc.spec.documents.outcomes import HarnessReport, Outcome
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import Evaluation
    from ftc.spec.documents.tokenized import TokenizedRows
    from ftc.verbs.plan import Planned

__all__ = ["Remeasured", "evaluate", "evaluate_on_harness", "noting", "tokens_of", "validation_outcomes"]

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Remeasured:
    """A run's weights on rows.

    Attributes:
        run: The run.
        plan: Its plan with the rows that were measured as test split.
        data: The rows' file as the user calls it; None for the run's own test split.
        evaluation: What was measured, gates included.
        left_out: What the run's own evaluation has and this one hasn't, each with its reason.
        findings: Warnings about how the file was read, where that is in doubt.
    """

    run: Run
    plan: Plan
    data: str | None
    evaluation: Evaluation
    left_out: tuple[str, ...] = ()
    findings: tuple[Diagnostic, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.evaluation.gates)


def evaluate(
    run: Run | Path | str,
    *,
    data: Path | str | None = None,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Remeasured:
    """Measures the weights that a finished run left, by the run's own plan: metrics, slices and gates.

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        data: A file of rows with the columns that the run's data has; None for the run's test split.
        on_event: Hears of what goes on.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: The run has no result, its model or rows aren't here (FTC685), or the file's rows can't be used.
    """
    found = finished_run(run, folder)
    model, left_out, findings = _model(found), tuple[str, ...](), tuple[Diagnostic, ...]()
    with tempfile.TemporaryDirectory(prefix="ftc-rows-") as scratch:
        if data is None:
            plan, streams = _own_rows(found)
        else:
            from ftc.compiler.tokens.other_rows import compile_table, read_other

            scorers, absent = _scorers(found)
            table = read_other(found.plan, Path(data), str(data))
            findings = table.warnings
            streams, left_out = Path(scratch), (*_of_own_rows(found.plan), *absent)
            plan = compile_table(found.plan, model, table, streams, scorers)
        from ftc.runtime.evaluation.evaluate_again import evaluate_again
        from ftc.runtime.execution.execute import Inputs
        from ftc.spec.storage.paths import RunFolder

        inputs = Inputs(model, streams, found.record.observed.environment, companions=_companions(found, plan))
        name = None if data is None else str(data)
        listen = noting(found, plan, name, on_event or (lambda event: None))
        evaluation = evaluate_again(plan, inputs, RunFolder(found.folder), found.record, listen)
    return Remeasured(found, plan, name, evaluation, left_out, findings)


def evaluate_on_harness(
    run: Run | Path | str,
    tasks: Sequence[str],
    *,
    task_folder: Path | str | None = None,
    limit: int | None = None,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> HarnessReport:
    """Measures the weights that a finished run left, and its base, on tasks of the lm-evaluation-harness.

    No test split is looked at, so that the ledger has nothing to note.

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        tasks: Names of tasks or of groups of them.
        task_folder: Further tasks as YAML files. The harness runs Python functions that they name.
        limit: Rows of a task at most; None for all.
        on_event: Hears of what goes on.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: The library isn't installed (FTC650), the run can't be measured (FTC685), or there is no such task
            (FTC686).
    """
    found = finished_run(run, folder)
    if find_spec("lm_eval") is None:
        help, note = "`pip install 'ftc[harness]'` installs what `--harness` needs", "`lm_eval` is not installed"
        raise Refusal([diagnostic("FTC650", "`eval` needs more packages", help=help, notes=note)])
    if head_card(found.plan.settings.model.head).is_new:
        why = f"a {found.plan.recipe.task.kind.replace('_', ' ')} task has a head that the harness can't use"
        raise refused(found, why, "evaluate it on rows with `--data`")
    model = _model(found)
    from ftc.runtime.evaluation.evaluate_again import on_harness
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.storage.paths import RunFolder, streams_folder

    environment = found.record.observed.environment
    inputs = Inputs(
        model, streams_folder(found.plan.stream_key), environment, companions=_companions(found, found.plan)
    )
    return on_harness(
        found.plan,
        inputs,
        RunFolder(found.folder),
        found.record,
        on_event or (lambda event: None),
        tasks=tasks,
        folder=Path(task_folder) if task_folder is not None else None,
        limit=limit,
    )


def validation_outcomes(run: Run, metric: str) -> tuple[Outcome, ...]:
    """What a run's weights make of each of its validation rows, for a metric that needs no written answers.

    The weights have to be exported; no test row is evaluated.

    Raises:
        Refusal: Model or rows aren't here (FTC685).
    """
    from ftc.compiler.tokens.other_rows import measuring, without_probes
    from ftc.compiler.tokens.stream_manifest import kept_streams
    from ftc.runtime.evaluation.evaluate_again import row_outcomes
    from ftc.runtime.execution.execute import Inputs
    from ftc.spec.storage.paths import RunFolder

    streams = kept_streams(run.plan)
    if streams is None:
        help = f"`ftc plan {run.plan.recipe_file}` tokenizes them again"
        raise refused(run, "its rows as tokens are no longer in the cache", help)
    plan = without_probes(measuring(run.plan, run.plan.data["validation"], None))
    asked: dict[str, Any] = {
        "metrics": (metric,),
        "gates": {},
        "max_new_tokens": None,
        "samples": 0,
        "judge": None,
        "classifier": None,
    }
    alone = plan.settings.model.model_copy(update={"parent": None})  # the run's own weights alone are measured
    changes = {"eval": plan.settings.eval.model_copy(update=asked), "model": alone}
    settings = plan.settings.model_copy(update=changes)
    plan = plan.model_copy(update={"settings": settings})
    with tempfile.TemporaryDirectory(prefix="ftc-rows-") as scratch:
        (Path(scratch) / "test.arrow").symlink_to(streams / "validation.arrow")
        inputs = Inputs(_model(run), Path(scratch), run.record.observed.environment)
        return row_outcomes(plan, inputs, RunFolder(run.folder), run.record, lambda event: None)


def finished_run(run: Run | Path | str, folder: Path | str) -> Run:
    found = run if isinstance(run, Run) else find_run(str(run), folder)
    if not found.record.is_finished:
        raise refused(found, f"it is {found.record.status.replace('_', ' ')}", "apply its recipe to continue it")
    return found


def noting(run: Run, plan: Plan, data: str | None, listen: EventListener) -> Callable[[Event], None]:
    """A listener that notes each look in the ledger before anybody else hears of it."""
    from ftc.spec.documents.events import PhaseStarted
    from ftc.spec.documents.ledger import note_evaluation

    def hear(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "evaluate":
            test = plan.data["test"]
            purpose = f"ftc eval {event.detail}" + (f" on {data}" if data else "")
            fields = {"stream_sha256": test.stream_digest, "purpose": purpose}
            note_evaluation(run.root, name=run.plan.name, run_id=run.record.id, rows=test.rows, **fields)
        listen(event)

    return hear


def _model(run: Run) -> Path:
    from ftc.compiler.audit.locate import base_absent, model_folder

    found = model_folder(run.plan, run.root)
    if found is None:
        raise refused(run, base_absent(run.plan, run.root), bring_base(run))
    return found


def _companions(run: Run, plan: Plan) -> dict[Role, Path]:
    """Folders of the models that measuring by a plan needs; those that shaped the weights have done their part."""
    from ftc.compiler.audit.locate import companion_folders
    from ftc.spec.companions import COMPANIONS

    found = companion_folders(run.plan, run.root)
    for card in COMPANIONS:
        pinned = card.pinned(plan.settings)
        if not card.measures or pinned is None:
            found.pop(card.role, None)
        elif card.role not in found:
            summary = f"its {card.title} `{pinned.base}` is not here"
            raise refused(run, summary, bring_model(run, pinned.base, pinned.commit))
    return found


def _scorers(run: Run) -> tuple[dict[Role, Path], tuple[str, ...]]:
    """Folders of the reward models that score answers to other rows, and why others score none.

    Raises:
        Refusal: One isn't here whose scores are all that the run is measured by (FTC685).
    """
    from ftc.compiler.audit.locate import companion_folders
    from ftc.spec.companions import companion
    from ftc.spec.documents.probes import scoring_models

    here, absent = companion_folders(run.plan, run.root), list[str]()
    found: dict[Role, Path] = {}
    for role, pinned in scoring_models(run.plan.settings).items():
        card = companion(role)
        if role in here:
            found[role] = here[role]
        elif card.shapes_weights:
            why = f"its {card.title} `{pinned.base}` is not here"
            raise refused(run, why, bring_model(run, pinned.base, pinned.commit))
        else:
            absent.append(f"scores by the reward model `{pinned.base}` and gates on them: it is not on this machine")
    return found, tuple(absent)


def _of_own_rows(plan: Plan) -> Iterator[str]:
    """What lies beside a run's own test rows, and belongs to no others."""
    settings = plan.settings.eval
    if settings.retention_sha256 is not None:
        yield "forgetting and gates on it: the run's own evaluation measured it, and other rows don't change it"
    if settings.baselines:
        yield "prompts for the base model: their examples were drawn for the run's own test rows"
    if settings.swaps_sha256 is not None:
        yield "counterfactual substitutions and gates on them: they were made in the run's own test rows"


def _own_rows(run: Run) -> tuple[Plan, Path]:
    """The plan with its test split alone, and where that lies."""
    from ftc.compiler.tokens.other_rows import measuring
    from ftc.compiler.tokens.stream_manifest import kept_streams

    test = run.plan.data.get("test")
    if test is None or test.rows == 0:
        raise refused(run, "it has no test split", "name a file of rows with `--data`")
    folder = kept_streams(run.plan)
    if folder is None:
        help = f"`ftc plan {run.plan.recipe_file}` tokenizes them again"
        raise refused(run, "its rows as tokens are no longer in the cache", help)
    return measuring(run.plan, test, run.plan.settings.eval.groups_sha256), folder


def refused(run: Run, why: str, help: str) -> Refusal:
    return Refusal([diagnostic("FTC685", f"run `{run.record.id}` can't be evaluated", notes=why, help=help)])


def tokens_of(planned: Planned, split: str, rows: Sequence[int | str]) -> TokenizedRows:
    """Rows of a planned recipe as the model is fed them; test rows are noted in the ledger, since somebody sees them.

    Args:
        planned: The recipe.
        split: The part that the rows belong to, or the name of a prompt baseline, whose rows are test rows.
        rows: Names of rows, such as `data/tickets.csv:38`, or numbers from 1 of those that were read; the first three
            of the part where there are none.

    Raises:
        Refusal: The plan has no such part, or the part no such row (FTC389).
        OSError: The ledger can't be written.
    """
    from ftc.compiler.tokens.tokenized import tokenized_rows
    from ftc.spec.documents.ledger import note_evaluation
    from ftc.spec.row_names import row_list, shown_row

    plan = planned.plan
    found = tokenized_rows(plan, planned.compiled.model_folder, split, rows)
    if split == "test" or split not in plan.data:
        digest = plan.data["test"].stream_digest
        names = [shown_row(row.place, row.row - 1) for row in found.rows[:_MOST_NAMED]]
        purpose = f"show rows {row_list(names, len(found.rows))}"
        note_evaluation(
            planned.root, name=plan.name, run_id="", stream_sha256=digest, rows=len(found.rows), purpose=purpose
        )
    return found
