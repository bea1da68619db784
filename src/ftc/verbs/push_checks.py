"""Whether a run may be shared: its base's license and terms, its gates, its files, and what its documents say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.companions import COMPANIONS
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.pushed import WAIVABLE
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.licenses import forbids_derivatives

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan
    from ftc.verbs.runs import Run

__all__ = ["gated_finding", "local_findings", "unknown_waivers"]

_MOST_NAMED = 3


def unknown_waivers(run: Run, waived: Sequence[str]) -> list[Diagnostic]:
    """A finding for each name that stands for nothing that a push checks."""
    gates = [gate.metric for gate in run.evaluation.gates] if run.evaluation else []
    known = [*WAIVABLE, *gates]
    found = []
    for name in waived:
        if name not in known:
            near = nearest(name, known)
            help = f"did you mean `{near}`?" if near else f"`--waive` takes {', '.join(known)}"
            found.append(diagnostic("FTC770", f"nothing that a push checks is called `{name}`", help=help))
    return found


def local_findings(run: Run, plan: Plan, waived: Sequence[str]) -> list[Diagnostic]:
    """Everything that keeps a run from being shared and that is known here.

    Args:
        run: The run.
        plan: Its plan as it would be pushed.
        waived: What may be passed over, by name.
    """
    found = list(_license(run)) if "license" not in waived else []
    found += _gates(run, waived)
    if "audit" not in waived:
        found += _audit(run)
    return found if "personal-data" in waived else [*found, *_personal(run, plan)]


def gated_finding(base: str, *, is_gated: bool | None) -> Diagnostic | None:
    """A finding where the base model is given only to people who accept terms."""
    if not is_gated:
        return None
    helps = (
        "read the terms: they say whether a tuned model may be shared, and under which name",
        "where they allow it, push with `--waive gated-base`",
    )
    return diagnostic("FTC771", f"the base model `{base}` asks for consent before it is given", help=helps)


def _license(run: Run) -> Iterator[Diagnostic]:
    licenses: dict[str, str | None] = {"base model": run.plan.lock.model.license}
    for card in COMPANIONS:
        if card.shapes_weights and card.pinned(run.plan.settings):
            licenses[card.role] = card.license(run.plan.settings)
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


def _gates(run: Run, waived: Sequence[str]) -> Iterator[Diagnostic]:
    for gate in run.evaluation.gates if run.evaluation else ():
        if not gate.passed and gate.metric not in waived:
            value = "unknown" if gate.value is None else f"{gate.value:.4g}"
            summary = f"gate `{gate.metric} {gate.bound}` of run `{run.record.id}` failed: it is {value}"
            help = f"train a better model, or push it as it is with `--waive {gate.metric}`"
            yield diagnostic("FTC772", summary, help=help)


def _audit(run: Run) -> Iterator[Diagnostic]:
    from ftc.verbs.audit import Asked, audit_run

    report = audit_run(run, Asked(), lambda step, last: None)
    if report.verdict != "TAMPERED":
        return  # what can't be compared here proves nothing
    notes = [f"{one.subject}: {one.code}" for one in report.findings[:_MOST_NAMED]]
    summary = f"the static audit of run `{run.record.id}` says {report.verdict}"
    help = f"`ftc audit {run.record.id}` shows why; restore the run from a copy"
    yield diagnostic("FTC772", summary, help=help, notes=notes)


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
