"""A finished run evaluated again: its weights on a test split, or on tasks of the lm-evaluation-harness.

Nothing is written into the run's folder. What is heavy is imported where it is used, since memory and threads are
configured before torch is.
"""

from __future__ import annotations

import importlib.metadata
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.runtime.execution.execute import Inputs, expand_segments, let_threads_sleep
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.events import EventListener
from ftc.spec.documents.outcomes import HarnessMetric, HarnessReport, Outcome
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, Gain, Interval, RunRecord
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from ftc.runtime.evaluation.evaluate import Subject
    from ftc.runtime.execution.session import Session

__all__ = ["evaluate_again", "on_harness", "reopened", "row_outcomes"]


def evaluate_again(plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, listen: EventListener) -> Evaluation:
    """Evaluates what a run exported on the plan's test split, by the code that evaluated it at its end.

    Raises:
        Refusal: The weights are not those of the record, model or stream not the plan's, or the judge's key is not
            there (FTC649).
        KeyboardInterrupt: Somebody asked to stop.
    """
    from ftc.runtime.evaluation.evaluate import measure
    from ftc.runtime.evaluation.results import evaluation
    from ftc.runtime.execution.verify import verify_inputs, verify_key

    verify_key(plan)
    with reopened(plan, inputs, run, record, listen) as session:
        with session.journal.phase("verify", f"{len(plan.lock.model.files) + 1} files"):
            verify_inputs(plan, inputs)
        base = measure(session, "base") if plan.settings.eval.baseline else None
        tuned = measure(session, "tuned")
        assert tuned is not None, "the plan has test rows"
        return evaluation(session, base, tuned)


def row_outcomes(
    plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, listen: EventListener
) -> tuple[Outcome, ...]:
    """What a run's exported weights make of each row of the plan's test split; nothing is summed up.

    Raises:
        Refusal: The weights are not those of the record, or model or stream not the plan's.
        KeyboardInterrupt: Somebody asked to stop.
    """
    from ftc.runtime.evaluation.evaluate import measure
    from ftc.runtime.evaluation.results import outcomes
    from ftc.runtime.execution.verify import verify_inputs

    with reopened(plan, inputs, run, record, listen) as session:
        verify_inputs(plan, inputs)
        tuned = measure(session, "tuned")
        assert tuned is not None, "the plan has rows"
        return tuple(outcomes(session, None, tuned))


@contextmanager
def reopened(plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, listen: EventListener) -> Iterator[Session]:
    """A session on a finished run's weights, whose own files go to a scratch folder.

    Raises:
        KeyboardInterrupt: Somebody asked to stop.
    """
    let_threads_sleep()
    expand_segments(plan)
    # One process that holds the model whole, however many have trained it: measuring needs no more.
    one = {"world_size": 1, "tensor_parallel": 1, "sharding": "none", "offload": "none"}
    train = plan.settings.train.model_copy(update=one)
    device = plan.settings.device.model_copy(update={"count": 1})
    settings = plan.settings.model_copy(update={"train": train, "device": device})
    alone = plan.model_copy(update={"settings": settings})
    from ftc.runtime.execution.accelerator import make_accelerator
    from ftc.runtime.execution.journal import AnswersFile, Journal, StepLogFile
    from ftc.runtime.execution.session import Session
    from ftc.runtime.execution.state import RunState
    from ftc.runtime.training.seeding import deterministic
    from ftc.runtime.training.signals import Interrupted, stop_on_signals
    from ftc.spec.documents.sampled import answer_kind

    with (
        stop_on_signals(lambda number: None) as stop,
        deterministic(plan.settings),
        tempfile.TemporaryDirectory(prefix="ftc-eval-") as scratch,
    ):
        accelerator = make_accelerator(settings)
        folder = RunFolder(Path(scratch))
        if run.judged.is_file():
            shutil.copyfile(run.judged, folder.judged)  # what the run's judge said isn't asked and paid again
        state = RunState(folder, record, writes=False)
        with (
            Journal(folder.events, listen, silent=not accelerator.is_main_process) as journal,
            StepLogFile(folder.step_log, silent=True) as step_log,
            AnswersFile(folder.answers, answer_kind(earns=settings.train.sampling is not None), silent=True) as answers,
        ):
            session = Session(
                alone,
                plan.job_sha256(),
                inputs,
                folder,
                state,
                journal,
                step_log,
                answers,
                accelerator,
                stop,
                weights=run,
            )
            try:
                yield session
            except Interrupted:  # nothing waits to be gone on with, as a run would
                raise KeyboardInterrupt from None


def on_harness(
    plan: Plan,
    inputs: Inputs,
    run: RunFolder,
    record: RunRecord,
    listen: EventListener,
    *,
    tasks: Sequence[str],
    folder: Path | None,
    limit: int | None,
) -> HarnessReport:
    """Evaluates base and tuned model on tasks of the harness, by their names or those of groups of them.

    `folder` has further tasks as YAML files, which may name Python functions that the harness runs; `limit` is the most
    rows of a task.

    Raises:
        Refusal: The harness knows no such task (FTC686), the weights are not those of the record, or the model isn't
            the plan's.
    """
    from lm_eval.tasks import TaskManager

    from ftc.runtime.execution.verify import verify_model, verify_parent

    manager: Any = TaskManager(include_path=str(folder) if folder else None)
    if unknown := [name for name in tasks if name not in manager.all_tasks]:
        summary = f"the harness has no task `{'`, `'.join(unknown)}`"
        help = "`lm-eval ls tasks` lists its own tasks; `--tasks FOLDER` adds a folder with others"
        raise Refusal([diagnostic("FTC686", summary, help=help)])
    with reopened(plan, inputs, run, record, listen) as session:
        with session.journal.phase("verify", f"{len(plan.lock.model.files)} files"):
            verify_model(plan, inputs)
            verify_parent(plan, inputs)
        base = _measured(session, "base", manager, tasks, limit)
        tuned = _measured(session, "tuned", manager, tasks, limit)
    return HarnessReport(
        run=record.id,
        lm_eval=importlib.metadata.version("lm_eval"),
        versions={task: str(version) for task, version in sorted(tuned["versions"].items())},
        limit=limit,
        metrics=tuple(_metrics(base, tuned)),
    )


def _measured(
    session: Session, subject: Subject, manager: Any, tasks: Sequence[str], limit: int | None
) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    from ftc.runtime.artifacts.export import load_exported
    from ftc.runtime.evaluation.scoring import as_base, eval_mode

    settings = session.plan.settings
    work = session.base or session.build()
    session.base = work
    if subject == "tuned":
        session.base = None  # it is the base no longer
        load_exported(session, work.model)
    with eval_mode(work.model), as_base(settings, work.model) if subject == "base" else nullcontext():
        texts = tokenizer_folder(session.inputs.model_folder, settings.model.tokenizer)
        tokenizer = AutoTokenizer.from_pretrained(texts, local_files_only=True)
        backend = "seq2seq" if settings.model.family == "encoder_decoder" else "causal"
        wrapped = HFLM(pretrained=work.model, tokenizer=tokenizer, backend=backend, batch_size=settings.eval.batch_size)
        found: dict[str, Any] = simple_evaluate(model=wrapped, tasks=list(tasks), task_manager=manager, limit=limit)
    return found


def _metrics(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> Iterator[HarnessMetric]:
    for task, values in sorted(tuned["results"].items()):
        for key, value in sorted(values.items()):
            name, comma, kind = key.partition(",")
            if not comma or name.endswith("_stderr") or not _is_number(value):
                continue
            before, error = base["results"][task][key], f"{name}_stderr,{kind}"
            yield HarnessMetric(
                task=task,
                metric=name,
                filter=kind,
                rows=tuned["n-samples"].get(task, {}).get("effective", 0),
                higher_is_better=tuned["higher_is_better"].get(task, {}).get(name),
                base=before,
                base_error=_number_or_none(base["results"][task].get(error)),
                tuned=value,
                tuned_error=_number_or_none(values.get(error)),
                gain=Gain(value=value - before, interval=_paired(base, tuned, task, name, kind)),
            )


def _paired(base: Mapping[str, Any], tuned: Mapping[str, Any], task: str, name: str, kind: str) -> Interval | None:
    """Interval of the gain over the task's rows, where the metric is the mean of what each row adds."""
    from ftc.runtime.metrics.statistics import difference, intervals, mean_of, share_of

    apart = []
    for found in (base, tuned):
        rows = [one for one in found["samples"].get(task, ()) if one["filter"] == kind]
        scores = [one.get(name) for one in sorted(rows, key=lambda one: int(one["doc_id"]))]
        if not scores or not all(map(_is_number, scores)):
            return None
        one = (share_of if set(scores) <= {0, 1} else mean_of)([float(score) for score in scores])
        if not math.isclose(one.observed, found["results"][task][f"{name},{kind}"], abs_tol=1e-9):
            return None
        apart.append(one)
    if len(apart[0].rows) != len(apart[1].rows):
        return None
    return intervals([difference(apart[0], apart[1])])[0]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number_or_none(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
