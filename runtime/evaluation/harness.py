"""Tasks of the lm-evaluation-harness on a run's model and its base, by that library's own `simple_evaluate`."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.runtime.artifacts.export import load_exported
from ftc.runtime.evaluation.evaluate import Subject
from ftc.runtime.evaluation.evaluate_again import reopened
from ftc.runtime.evaluation.scoring import as_base, still
from ftc.runtime.execution.verify import verify_model
from ftc.runtime.metrics.bootstrap import intervals
from ftc.runtime.metrics.sums import difference, mean_of, share_of
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.outcomes import HarnessMetric, HarnessReport
from ftc.spec.documents.record import Gain, Interval

if TYPE_CHECKING:
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.execution.session import Session
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import RunRecord
    from ftc.spec.storage.paths import RunFolder

__all__ = ["on_harness"]


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
    """Measures base and tuned model on tasks of the harness.

    Args:
        plan: The run's plan.
        inputs: Where the model is; its rows aren't looked at.
        run: The run's folder, which holds the weights.
        record: Its record.
        listen: Hears of every event.
        tasks: Names of tasks or of groups of them.
        folder: Further tasks as YAML files, which may name Python functions that the harness runs.
        limit: Rows of a task at most.

    Raises:
        Refusal: The harness knows no such task (FTC686), the weights are not those of the record, or the model isn't
            the plan's.
    """
    from lm_eval.tasks import TaskManager

    manager: Any = TaskManager(include_path=str(folder) if folder else None)
    if unknown := [name for name in tasks if name not in manager.all_tasks]:
        raise Refusal([_unknown(unknown)])
    with reopened(plan, inputs, run, record, listen) as session:
        with session.journal.phase("verify", f"{len(plan.lock.model.files)} files"):
            verify_model(plan, inputs)
        found = [_measured(session, subject, manager, tasks, limit) for subject in ("base", "tuned")]
    base, tuned = found
    return HarnessReport(
        run=record.id,
        lm_eval=importlib.metadata.version("lm_eval"),
        versions={task: str(version) for task, version in sorted(tuned["versions"].items())},
        limit=limit,
        metrics=tuple(_metrics(base, tuned)),
    )


def _measured(session: Session, subject: Any, manager: Any, tasks: Sequence[str], limit: int | None) -> dict[str, Any]:
    from lm_eval import simple_evaluate

    which: Subject = subject
    settings = session.plan.settings
    work = session.pristine or session.build()
    session.pristine = work
    if which == "tuned":
        session.pristine = None  # it is pristine no longer
        load_exported(session, work.model)
    with still(work.model), as_base(settings, work.model) if which == "base" else nullcontext():
        wrapped = _wrapped(session, work.model)
        found: dict[str, Any] = simple_evaluate(model=wrapped, tasks=list(tasks), task_manager=manager, limit=limit)
    return found


def _wrapped(session: Session, model: Any) -> Any:
    """The loaded model as the harness wants it."""
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    settings = session.plan.settings
    tokenizer = AutoTokenizer.from_pretrained(session.inputs.model_folder, local_files_only=True)
    backend = "seq2seq" if settings.model.family == "encoder_decoder" else "causal"
    return HFLM(pretrained=model, tokenizer=tokenizer, backend=backend, batch_size=settings.eval.batch_size)


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


def _unknown(names: Sequence[str]) -> Any:
    summary = f"the harness knows no task `{'`, `'.join(names)}`"
    help = "`lm-eval ls tasks` lists its own; `--tasks FOLDER` names a folder of further ones"
    return diagnostic("FTC686", summary, help=help)
