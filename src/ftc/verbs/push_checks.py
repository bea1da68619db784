"""Whether a run may be shared: its base's license and terms, its gates, its files, and what its documents say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.base_models import BASE_MODELS
from ftc.spec.companions import COMPANIONS
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.pushed import WAIVABLE
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.licenses import forbids_derivatives
from ftc.verbs.push_files import plan_for_others

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan
    from ftc.verbs.runs import Run

__all__ = ["require_shareable"]

_MOST_NAMED = 3


def require_shareable(
    run: Run, waived: Sequence[str], is_gated: Callable[[str, str | None], bool | None] | None
) -> list[str]:
    """Lets pass a finished run that was trained here and that nothing keeps from being shared.

    Args:
        run: The run.
        waived: What may be passed over, by name.
        is_gated: Asks the hub whether a base model at a commit needs consent; None where only ftc's table is asked.

    Returns:
        What isn't known, in words.

    Raises:
        Refusal: FTC770 to FTC773.
    """
    from ftc.verbs.audit import Asked, audit_run

    if refused := list(_nothing_to_push(run, waived)):
        raise Refusal(refused)
    found = list(_license(run)) if "license" not in waived else []
    for gate in run.evaluation.gates if run.evaluation else ():
        if not gate.passed and gate.metric not in waived:
            value = "unknown" if gate.value is None else f"{gate.value:.4g}"
            summary = f"gate `{gate.metric} {gate.bound}` of run `{run.record.id}` failed: it is {value}"
            help = f"train a better model, or push it as it is with `--waive {gate.metric}`"
            found.append(diagnostic("FTC772", summary, help=help))
    report = None if "audit" in waived else audit_run(run, Asked(), lambda step, last: None)
    if report is not None and report.verdict == "TAMPERED":  # what can't be compared here proves nothing
        notes = [f"{one.subject}: {one.code}" for one in report.findings[:_MOST_NAMED]]
        summary = f"the static audit of run `{run.record.id}` says {report.verdict}"
        help = f"`ftc audit {run.record.id}` shows why; restore the run from a copy"
        found.append(diagnostic("FTC772", summary, help=help, notes=notes))
    found += [] if "personal-data" in waived else _personal(run, plan_for_others(run.plan, run.root))
    model, gated = run.plan.settings.model, None
    if model.commit is None:
        gated = False  # a folder here
    elif is_gated is None:
        gated = next((one.gated for one in BASE_MODELS if one.name == model.base), None)
    else:
        gated = is_gated(model.base, model.commit)
    if gated and "gated-base" not in waived:
        helps = (
            "read the terms: they say whether a tuned model may be shared, and under which name",
            "where they allow it, push with `--waive gated-base`",
        )
        summary = f"the base model `{model.base}` asks for consent before it is given"
        found.append(diagnostic("FTC771", summary, help=helps))
    if found:
        raise Refusal(found)
    unknown = [] if gated is not None else [f"whether `{model.base}` asks for consent is not known here"]
    return (
        unknown
        if run.plan.lock.model.license
        else [*unknown, "the base model states no license, nor does its model card"]
    )


def _nothing_to_push(run: Run, waived: Sequence[str]) -> Iterator[Diagnostic]:
    """Why there is no run to push, and names that stand for nothing that is checked."""
    if not run.record.is_finished:
        help = f"`ftc apply {run.plan.recipe_file}` continues it"
        why = f"run `{run.record.id}` can't be pushed: it is {run.record.status.replace('_', ' ')}"
        yield diagnostic("FTC770", why, help=help)
    if run.is_pulled:
        help = "push from the project where it was trained; on the hub a repository can be duplicated"
        why = f"run `{run.record.id}` was pulled, and lacks what the checks before a push need"
        yield diagnostic("FTC770", why, help=help)
    known = [*WAIVABLE, *(gate.metric for gate in (run.evaluation.gates if run.evaluation else ()))]
    for name in waived:
        if name not in known:
            near = nearest(name, known)
            help = f"did you mean `{near}`?" if near else f"`--waive` takes {', '.join(known)}"
            yield diagnostic("FTC770", f"nothing that a push checks is called `{name}`", help=help)


def _license(run: Run) -> Iterator[Diagnostic]:
    licenses: dict[str, str | None] = {"base model": run.plan.lock.model.license}
    for card in COMPANIONS:
        if card.shapes_weights and card.pinned(run.plan.settings):
            licenses[card.title] = card.license(run.plan.settings)
    for whose, license in licenses.items():
        if forbids_derivatives(license):
            summary = f"the license of the {whose}, `{license}`, forbids sharing what is made of it"
            help = "keep the model, or push with `--waive license` where its owner allows it to you"
            yield diagnostic("FTC771", summary, help=help)
    from ftc.compiler.policy import judged, read_policy

    read = read_policy(run.root)
    passed_over = {one.rule for one in run.plan.policy if one.waived is not None}
    for result in judged(read, run.plan, {})[0] if read else ():
        is_broken = result.rule == "licenses" and not result.passed and result.level != "advisory"
        if is_broken and result.rule not in passed_over:
            summary = f"the project's policy doesn't allow it: {result.found}"
            yield diagnostic("FTC771", summary, help="ask the policy's owner, or push with `--waive license`")


def _personal(run: Run, plan: Plan) -> Iterator[Diagnostic]:
    from ftc.compiler.lock.lockfile import leaves
    from ftc.spec.personal_data import in_decoded

    said = {"recipe": plan.recipe.to_json(), "settings": plan.settings.to_json(), "name": plan.name}
    for path, value in leaves(said):
        if path == "settings.text.labels":
            continue  # the run's classes, which are never personal
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        found = dict.fromkeys(words for text in texts if isinstance(text, str) for words in in_decoded(text))
        if found:
            summary = f"plan.json holds {', '.join(found)}, in `{path}`"
            help = "train without it, or push with `--waive personal-data` where everybody may read it"
            yield diagnostic("FTC773", summary, help=help)
    seen = [*run.record.observed.processes, *(one for part in run.record.segments for one in part.processes)]
    if hosts := sorted({one.host for one in seen if one.host}):
        summary = f"record.json names {', '.join(hosts[:_MOST_NAMED])}, on which the run's processes ran"
        help = "push with `--waive personal-data` where everybody may read that"
        yield diagnostic("FTC773", summary, help=help)
    here = {str(run.root): "the project's folder", str(Path.home()): "your home folder"}
    for document, text in (("plan.json", plan.to_text()), ("record.json", run.record.to_text())):
        for folder, whose in here.items():
            if len(Path(folder).parts) > 1 and folder in text:
                help = "name models and rows relative to the recipe, or push with `--waive personal-data`"
                yield diagnostic("FTC773", f"{document} names {whose} on this machine", help=help)
                break
