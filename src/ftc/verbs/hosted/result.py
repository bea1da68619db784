"""What a hosted service trained, as a run of the project: taken in, and measured here beside the base."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.hosted import HOSTED_FILE, HostedJob
from ftc.spec.documents.lineage import ADAPTER_FILES, Fetched
from ftc.spec.documents.plan import FetchStep, Plan
from ftc.spec.providers import provider_title
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import LARGEST_DOCUMENT, parse_json, read_regular
from ftc.spec.storage.run_folders import read_document
from ftc.verbs.ready_made import ready_made_plan

if TYPE_CHECKING:
    from ftc.verbs.plan import Planned

__all__ = ["planned_result"]

_ADAPTER = "adapter"
_SCALES: dict[str, Any] = {"use_dora": False, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}
"""What else scales an adapter, with what peft takes where its file is silent, which is all that services are sent."""


def planned_result(folder: Path) -> Planned:
    """The run that takes what a hosted job made, in the place of training, and evaluates it as any other.

    Args:
        folder: The job's folder.

    Raises:
        Refusal: There is no adapter yet, or another than was asked for (FTC798), a document can't be read (FTC524), or
            the base model or the rows as tokens aren't here (FTC704).
    """
    from ftc.compiler.resolve.files.safe_files import project_root
    from ftc.verbs.plan import located_plan

    job, sent = read_document(folder / HOSTED_FILE, HostedJob), read_document(folder / "plan.json", Plan)
    root = project_root(folder.resolve() / "recipe")
    if obstacles := [*_obstacles(folder, job, sent)]:
        raise Refusal(obstacles)
    plan = _plan(folder.resolve().relative_to(root).as_posix(), job, sent)
    help = f"`ftc plan {plan.recipe_file}` finds or makes them"

    def missing() -> Planned:
        summary = "the plan's model or rows as tokens are not here"
        raise Refusal([diagnostic("FTC704", summary, help=help)])

    planned = located_plan(plan, root, missing, help=help)
    recipe = RunFolder(folder).recipe
    return replace(planned, recipe_text=read_regular(recipe) if recipe.is_file() else b"")


def _obstacles(folder: Path, job: HostedJob, sent: Plan) -> Iterator[Diagnostic]:
    """Why a job's result is no run."""
    again = f"`ftc launch PLAN --on {job.provider}` follows the job, and fetches what it made"
    names = {HOSTED_FILE: job.sha256 == job.expected_sha256(), "plan.json": job.plan_sha256 == sent.expected_sha256()}
    if changed := [name for name, is_same in names.items() if not is_same]:
        help = f"restore it from a copy; `ftc audit {job.id}` compares the others"
        yield diagnostic("FTC798", f"{' and '.join(changed)} of `{job.id}` changed since the job was sent", help=help)
    elif not job.fetched:
        yield diagnostic("FTC798", f"what `{job.id}` makes is not here yet", help=again)
    elif missing := [name for name in ADAPTER_FILES if f"{_ADAPTER}/{name}" not in job.outputs]:
        why = "a run takes an adapter, with the file that says its scale; whole models and results that stay at the"
        notes = f"{why} service are none: there is no {' and no '.join(missing)}"
        help = "use the job's files as they are; `ftc audit` compares them with the record"
        yield diagnostic("FTC798", f"`{job.id}` left no adapter that a run can take", notes=notes, help=help)
    else:
        yield from _other_scale(folder, job, sent)


def _other_scale(folder: Path, job: HostedJob, sent: Plan) -> Iterator[Diagnostic]:
    """In what the adapter is scaled otherwise than was asked; its tensors alone don't tell."""
    file = folder / _ADAPTER / ADAPTER_FILES[0]
    try:
        said = parse_json(read_regular(file, LARGEST_DOCUMENT))
    except (OSError, ValueError):
        said = None
    adapter: Any = getattr(sent.settings.strategy, "adapter", None)
    if not isinstance(said, dict) or adapter is None:
        help = "restore the job's folder from a copy"
        yield diagnostic("FTC798", f"`{_ADAPTER}/{file.name}` of `{job.id}` can't be read as one", help=help)
        return
    asked = {"r": adapter.rank, "lora_alpha": adapter.alpha}
    told = {name: said.get(name) for name in asked}
    asked |= _SCALES
    told |= {name: usual if said.get(name) is None else said[name] for name, usual in _SCALES.items()}
    notes = [
        f"{name} is {str(told[name])[:60]}, asked for {value}" for name, value in asked.items() if told[name] != value
    ]
    if notes:
        help = "see at the service what the job trained; its files stay where they are"
        summary = f"the adapter that `{job.id}` made has another scale than the plan's"
        yield diagnostic("FTC798", summary, notes=notes, help=help)


def _plan(place: str, job: HostedJob, sent: Plan) -> Plan:
    assert job.job is not None, "what is fetched is a job's"
    title = provider_title(job.provider)
    result = Fetched(
        provider=job.provider,
        base_url=job.base_url,
        job=job.job.id,
        folder=place,
        request_sha256=job.request_sha256,
        plan_sha256=job.plan_sha256,
        num_steps=sent.settings.train.num_steps,
        fixed=tuple(one.path for one in job.settings if one.how == "fixed"),
        told=job.job.values,
        files=job.outputs,
    )
    return ready_made_plan(
        sent.model_copy(update={"lock": job.locked(sent.lock)}),
        result,
        FetchStep(kind="fetch", artifact="adapter", provider=job.provider),
        f"trained by {title}, job {job.job.id}, on the rows of plan {job.plan_sha256[:12]}",
        not_checked=(*sent.not_checked, *(f"not pinned at {title}: {one}" for one in job.not_pinned)),
    )
