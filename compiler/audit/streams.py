"""The token streams of a run, where ftc's cache still has them, and what the plan shows of the rows in them."""

from __future__ import annotations

from pathlib import Path

from ftc.compiler.audit.tally import Tally, difference, finding, plural
from ftc.compiler.tokens.stream_manifest import kept_manifest
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.probes import GROUPS, planned_probes
from ftc.spec.storage.native import LibraryFault, native

__all__ = ["check_streams"]

_CACHE = "what ftc's cache says of the token streams"


def check_streams(tally: Tally, plan: Plan, folder: Path | None, *, ours: bool) -> None:
    """The cache may be emptied at any time, which proves nothing; what is in it must be right."""
    if folder is None:
        tally.not_checked.append("the token streams: not in the cache as they were made; `ftc plan` creates them again")
        return
    for name, report in plan.data.items():
        found = _stream_digest(folder / f"{name}.arrow") or "nothing readable"
        if found != report.stream_digest:
            tally.other_rows = True
            hint = "delete the folder in the cache; `ftc plan` creates it again"
            tally.findings.append(finding("FTC521", f"token stream `{name}`", report.stream_digest, found, hint))
    probes = list(planned_probes(plan.settings, folder))
    for probe in probes:
        if probe.found != probe.wanted:
            tally.other_rows |= probe.name == GROUPS
            found = probe.found or "nothing readable"
            hint = "delete the folder in the cache; `ftc plan` creates it again"
            tally.findings.append(finding("FTC521", f"`{probe.name}` of the streams", probe.wanted, found, hint))
    beside = f" and {plural(len(probes), 'set')} beside them" if probes else ""
    tally.checked.append(plural(len(plan.data), "token stream") + beside)
    made = kept_manifest(folder, plan.stream_key)
    if made is None or not ours:
        why = "another release of ftc counted them" if made else "this cache can't be believed about them"
        tally.not_checked.append(f"what plan.json says of the rows: {why}")
        return
    others: list[Finding] = []
    for split, report in plan.data.items():
        said, told = report.to_json(), made.splits[split].to_json() if split in made.splits else {}
        for name, value in said.items():
            others += difference(f"plan.json: data.{split}.{name}", value, told.get(name), _CACHE)
    prompts, known = ([one.to_json() for one in side] for side in (plan.settings.eval.baselines, made.baselines))
    others += difference("plan.json: settings.eval.baselines", prompts, known, _CACHE)
    others += difference("plan.json: quality", plan.quality.to_json(), made.quality.to_json(), _CACHE)
    for check in made.checks:
        if check not in plan.checks:
            others.append(
                finding(
                    "FTC537",
                    f"plan.json: checks, {check.name}",
                    check.result,
                    "another result",
                    f"compare it with {_CACHE}",
                )
            )
    tally.findings += others
    tally.checked.append("what the plan shows of the rows")


def _stream_digest(file: Path) -> str | None:
    """None of a file that is no stream, or a damaged one: Arrow has errors of many kinds for those."""
    from ftc.spec.documents.streams import open_stream

    try:
        return native(lambda: open_stream(file).digest())
    except LibraryFault:
        return None
