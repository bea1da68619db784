"""The run that an audited one began from: still the one that the plan pins, and itself as it was left?"""

from __future__ import annotations

from pathlib import Path

from ftc.compiler.audit.tally import Tally, finding
from ftc.spec.canonical import file_digest, own_digest
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.plan import Plan
from ftc.spec.storage.paths import RunFolder

__all__ = ["check_parent"]


def check_parent(tally: Tally, plan: Plan, folder: Path | None) -> None:
    """Compares the earlier run's record, and the adapter that was trained further, with what the plan pins.

    What the run left stands by itself, so an earlier run that isn't here is no finding.

    Args:
        tally: Takes what is found.
        plan: The audited run's plan.
        folder: The earlier run's folder; None where it isn't here.
    """
    parent = plan.settings.model.parent
    if parent is None:
        return
    name = f"run {parent.run_id}, from which this one began"
    if folder is None:
        tally.not_checked.append(f"{name}: `{parent.folder}` is not in this project")
        return
    try:
        found = own_digest(RunFolder(folder).record)
    except (OSError, ValueError) as error:
        found = str(error) or type(error).__name__
    hint = "restore its folder from a copy"
    if found != parent.record_sha256:
        tally.findings.append(finding("FTC567", f"{name}: record.json", parent.record_sha256, found, hint))
    tally.findings += [
        Finding(code="FTC567", subject=f"{name}: {file}", expected=facts.sha256, found=sha256, hint=hint)
        for file, facts in parent.files.items()
        if (sha256 := _digest(RunFolder(folder).adapter / file)) != facts.sha256
    ]
    up = f", and {len(parent.ancestors)} before it by name alone" if parent.ancestors else ""
    tally.files += len(parent.files)
    tally.bytes += sum(facts.size for facts in parent.files.values())
    tally.checked.append(f"the record of {name}{up}")


def _digest(file: Path) -> str:
    try:
        return file_digest(file)
    except OSError:
        return "nothing"
