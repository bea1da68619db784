"""What can be shown of a hosted job: that its record, rows, request and files agree, and nothing of its training."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.audit import AuditReport, Finding, Level
from ftc.spec.documents.hosted import HOSTED_FILE, HostedJob
from ftc.spec.documents.launch import HostedSettings, LaunchSettings
from ftc.spec.documents.ledger import HostedCreated, read_ledger
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.plan import Plan
from ftc.spec.exit_codes import ExitCode
from ftc.spec.providers import PROVIDERS, Asked, ProviderCard, request_text, setting_uses
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import parse_json
from ftc.spec.storage.run_folders import read_document
from ftc.verbs.hosted.sent_rows import written_rows
from ftc.verbs.launch import Launch

__all__ = ["audit_hosted"]

_STATED = (
    "n_epochs",
    "batch_size",
    "learning_rate",
    "warmup_ratio",
    "max_grad_norm",
    "weight_decay",
    "seed",
    "random_seed",
)
"""Numbers that a request and a service's description of its job call the same."""


@dataclass(slots=True)
class _Seen:
    """What an audit has compared."""

    findings: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0

    def compare(self, subject: str, expected: object, found: object, hint: str) -> None:
        """Notes a difference."""
        if expected != found:
            said = {"expected": str(expected)[:200], "found": str(found)[:200]}
            self.findings.append(Finding(code="FTC799", subject=subject, hint=hint, **said))


def audit_hosted(folder: Path, level: Level) -> AuditReport:
    """Compares a hosted job's record with everything that is here. Connects to nothing, and needs no key.

    Args:
        folder: The job's folder.
        level: `static`; training can't be done again at any other level, since the service does it.

    Raises:
        Refusal: A document can't be read (FTC524).
    """
    from ftc.compiler.resolve.files.safe_files import project_root

    began, seen = time.perf_counter(), _Seen()
    job = read_document(folder / HOSTED_FILE, HostedJob)
    plan = read_document(folder / "plan.json", Plan)
    root = project_root(folder.resolve() / "recipe")
    restore = "restore the folder from a copy"
    seen.compare("hosted.json", job.sha256, job.expected_sha256(), restore)
    seen.compare("the request's digest", job.request_sha256, job.expected_request_sha256(), restore)
    seen.compare("plan.json", plan.sha256, plan.expected_sha256(), restore)
    seen.compare("plan.json", job.plan_sha256, plan.sha256, restore)
    seen.compare("plan.json, its job", job.plan_job_sha256, plan.job_sha256(), restore)
    seen.checked.append("record and plan")
    if (lock := RunFolder(folder).recipe_lock).exists():
        seen.compare(lock.name, job.locked(plan.lock).digest(), read_document(lock, Lock).digest(), restore)
        seen.checked.append("the lock, with what the service leaves open")
    card = next((one for one in PROVIDERS if one.name == job.provider), None)
    if card is None:
        seen.unchecked.append(f"settings and rows: this release knows no service `{job.provider}`")
    else:
        _sent(Launch(plan, folder / "plan.json", root, LaunchSettings(ftc_launch=1)), card, job, seen)
    _files(folder, job, seen)
    _stated(job, seen)
    noted = [one for one in read_ledger(root) if isinstance(one, HostedCreated) and one.run_id == job.id]
    if job.job is not None and noted:
        seen.compare("the ledger's job", job.job.id, noted[-1].job, restore)
        seen.compare("the ledger's rows", job.train.facts.sha256, noted[-1].rows_sha256, restore)
        seen.checked.append("the ledger's entry")
    seen.unchecked += [*(card.not_proved if card else ()), *(f"not pinned: {one}" for one in job.not_pinned)]
    seen.unchecked += [] if lock.exists() else [f"{lock.name}: there is none, as earlier releases wrote none"]
    seen.unchecked += [] if job.fetched else ["the result: it is not here yet"]
    if level != "static":
        seen.unchecked.append(f"--level {level}: the service trains, so that nobody here can do it again")
    is_open = level != "static" and not seen.findings
    code = ExitCode.INTEGRITY if seen.findings else ExitCode.INCONCLUSIVE if is_open else ExitCode.FINE
    return AuditReport(
        run_id=job.id,
        level=level,
        verdict="TAMPERED" if seen.findings else "INCONCLUSIVE" if is_open else "CONSISTENT",
        findings=tuple(seen.findings),
        checked=tuple(seen.checked),
        checked_files=seen.files,
        checked_bytes=seen.size,
        num_steps=plan.settings.train.num_steps,
        seconds=time.perf_counter() - began,
        not_checked=tuple(seen.unchecked),
        in_ledger=bool(noted),
        exit_code=code,
    )


def _sent(launch: Launch, card: ProviderCard, job: HostedJob, seen: _Seen) -> None:
    """Whether the plan still has these settings, and its rows still give the bytes that were sent."""
    left = [one.path for one in job.settings if one.how == "fixed"]
    uses, refused = setting_uses(card, launch.plan, left)
    seen.compare("settings", [], [one.path for one in refused], "the plan has settings that were not sent")
    seen.compare("settings", job.settings, uses, "the record says otherwise what became of them")
    expected = _asked_for(card, launch.plan, job)
    seen.compare("the request", expected, job.request, "the plan calls for another request")
    seen.checked.append(f"{len(uses)} settings")
    with tempfile.TemporaryDirectory(prefix="ftc-rows-") as scratch:
        for part, sent in (("train", job.train), ("validation", job.validation)):
            if sent is None:
                continue
            try:
                again = written_rows(launch, card, part, Path(scratch) / part)
            except Refusal as refusal:
                seen.unchecked.append(f"the {part} rows that were sent: {refusal.diagnostics[0].summary}")
                continue
            seen.compare(f"{part} rows", sent.facts.sha256, again.facts.sha256, "the plan's tokens give other rows")
            seen.compare(f"{part} tokens", sent.tokens, again.tokens, "the plan's tokens give other rows")
            seen.checked.append(f"{sent.rows:,} {part} rows made again, the bytes that were sent")


def _files(folder: Path, job: HostedJob, seen: _Seen) -> None:
    for name, facts in job.outputs.items():
        file = folder / name
        found = file_digest(file) if file.is_file() else "no such file"
        seen.compare(name, facts.sha256, found, "fetch it again: delete the job's folder and run `ftc launch` again")
        seen.files += 1
        seen.size += facts.size
    if job.outputs:
        seen.checked.append(f"{len(job.outputs)} fetched files")


def _stated(job: HostedJob, seen: _Seen) -> None:
    """Whether the service says of its job what was asked for."""
    if job.job is None:
        seen.unchecked.append("the service's own description: there is no job yet")
        return
    told = dict(_numbers(job.job.values))
    asked = dict(_numbers({name: json.dumps(value) for name, value in _request(job).items()}))
    both = [name for name in _STATED if name in told and name in asked]
    for name in both:
        seen.compare(f"{name} at the service", asked[name], told[name], "the service trained with another value")
    seen.checked.append(f"{len(both)} numbers that the service states")


def _request(job: HostedJob) -> dict[str, Any]:
    """The request in a record; empty where somebody wrote something else there."""
    try:
        found = parse_json(job.request)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _asked_for(card: ProviderCard, plan: Plan, job: HostedJob) -> str:
    """The request that the plan calls for, as a record writes it.

    The base's name and OpenAI's multiplier are the site's, and stand in the record alone.
    """
    numbers = _request(job)
    for name in ("method", "supervised", "hyperparameters"):
        numbers = found if isinstance(found := numbers.get(name), dict) else {}
    multiplier = numbers.get("learning_rate_multiplier")
    is_possible = isinstance(multiplier, int | float) and 0 < multiplier <= 1000
    site = HostedSettings(learning_rate_multiplier=multiplier if is_possible else None)
    epochs = plan.settings.train.num_steps // plan.settings.train.steps_per_epoch
    asked = Asked(plan, site, job.model, epochs, "", "", "" if job.validation else None)
    return request_text(card, asked)


def _numbers(values: dict[str, str]) -> Iterator[tuple[str, float]]:
    for name, text in values.items():
        try:
            yield name, float(text)
        except ValueError:
            continue
