"""What the project's ledger says about a run: which plan began, how it ended, and every evaluation on the test set."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ftc.compiler.audit.tally import Tally, finding, plural
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.ledger import Begun, Ended, Entry, NotedEvaluation, Opened
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.prompted import prompted_apart
from ftc.spec.documents.record import Evaluation, RunRecord

__all__ = ["check_ledger"]

_DISTRUST = "restore the ledger from a copy; what it says about runs can't be trusted"
_LEFT = "restore it from a copy or from git; the project's ledger has the checksum of what the run left"


def check_ledger(
    tally: Tally,
    plan: Plan,
    record: RunRecord,
    measured: Evaluation | None,
    entries: Sequence[Entry],
    torn: Sequence[str],
) -> bool:
    """Compares a run with the ledger's entries about it.

    A ledger without any entry of the run, as after its folder was copied to another project, says nothing.

    Returns:
        Whether there are entries of the run.
    """
    tally.findings += [finding("FTC538", "ledger.ndjson", "a chain of entries", fault, _DISTRUST) for fault in torn]
    own = [one for one in entries if isinstance(one, Begun | Ended | NotedEvaluation) and one.run_id == record.id]
    tally.findings += _cut(plan, entries)
    if not any(isinstance(one, Begun | Ended) for one in own):
        tally.not_checked.append("the project's ledger: it has no entry for this run")
        return False
    tally.findings += [*_documents(plan, record, own), *_end(record, own), *_evaluations(plan, measured, own)]
    evaluations = sum(isinstance(one, NotedEvaluation) for one in own)
    tally.checked.append(f"the ledger's entries of the run, {plural(evaluations, 'evaluation')} among them")
    return True


def _documents(plan: Plan, record: RunRecord, own: Sequence[Entry]) -> Iterator[Finding]:
    """The record of a run that began and was killed changed after the last entry, so that only an end speaks of it."""
    states = [one for one in own if not isinstance(one, NotedEvaluation)]
    pairs = (
        ("plan.json", plan.sha256, [one.plan_sha256 for one in states if isinstance(one, Begun)]),
        ("record.json", record.sha256, [one.record_sha256 for one in states[-1:] if isinstance(one, Ended)]),
    )
    for subject, here, noted in pairs:
        if noted and noted[-1] != here:
            yield finding("FTC538", subject, noted[-1], here, _LEFT)


def _end(record: RunRecord, own: Sequence[Entry]) -> Iterator[Finding]:
    """A run that is over was noted as such, unless the machine lost power in the moment between."""
    states = [one for one in own if not isinstance(one, NotedEvaluation)]
    last = states[-1]
    if record.is_finished and isinstance(last, Begun):
        hint = "restore the ledger from a copy; only a power failure in the run's last moment leaves it so"
        yield finding("FTC526", "ledger.ndjson: run_ended", f"an entry, as the run is {record.status}", "none", hint)
    elif isinstance(last, Ended) and last.status != record.status:
        yield finding("FTC538", "record.json: status", last.status, record.status, _LEFT)


def _evaluations(plan: Plan, measured: Evaluation | None, own: Sequence[Entry]) -> Iterator[Finding]:
    """Each model that was measured was noted before, after the run began for the last time."""
    begins = [place for place, one in enumerate(own) if isinstance(one, Begun)]
    if measured is None or not begins or "test" not in plan.data:
        return
    digest = plan.data["test"].stream_digest
    since = itertools.takewhile(
        lambda one: not isinstance(one, Ended), own[begins[-1] :]
    )  # later ones are `ftc eval`'s
    noted = sum(isinstance(one, NotedEvaluation) and one.stream_sha256 == digest for one in since)
    models = 1 if measured.base is None else 2
    models += len(prompted_apart(plan.settings.eval.baselines))
    if noted < models:
        hint = "restore the ledger from a copy; each evaluation on the test set is noted before it begins"
        yield finding("FTC527", "ledger.ndjson: evaluations on the test set", f"{models} or more", noted, hint)


def _cut(plan: Plan, entries: Sequence[Entry]) -> Iterator[Finding]:
    """A plan that was saved names the last run that had begun by then: a ledger that has no such entry was cut."""
    lineage = next((one.lineage for one in entries if isinstance(one, Opened)), "")
    if plan.state is None or plan.state.serial < 0 or plan.state.lineage != lineage:
        return
    known = {one.serial for one in entries if isinstance(one, Begun) and one.name == plan.name}
    if plan.state.serial not in known:
        wanted = f"entry {plan.state.serial}, a run that began before the plan was saved"
        yield finding("FTC538", "ledger.ndjson", wanted, "no such entry", _DISTRUST)
