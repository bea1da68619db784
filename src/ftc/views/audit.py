"""An audit's verdict: what was compared, what differs, what nobody looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import assert_never

from ftc.spec.documents.audit import AuditReport, Finding, Replay, SignatureSeen
from ftc.views import numbers
from ftc.views.page import INDENT, PLAIN, Page, escaped, shorten

__all__ = ["audit_text"]


def audit_text(report: AuditReport, *, quiet: bool = False, page: Page = PLAIN) -> str:
    """The report for people, the verdict last, where the eye ends.

    Every finding shows both values, so that a reader can judge it without opening a file. Where `quiet`, nothing comes
    before the findings and nothing between them and the verdict.
    """
    if quiet:
        shown = [line for finding in report.findings for line in (*_finding(finding, page), "")]
        return "\n".join([*shown, *_verdict(report, page)]) + "\n"
    looked = f"{numbers.plural(report.checked_files, 'file')} ({numbers.byte_size(report.checked_bytes)})"
    parts = [*map(escaped, report.checked)] or [looked]
    lines = page.flow("static", parts, end=numbers.duration(report.seconds))
    if report.checked:
        lines += page.flow("", [f"{looked} read and hashed"])
    if report.replay:
        lines += ["", *_replay(report, report.replay, page)]
    if report.repetitions:
        # What came out with other seeds.
        found = report.repetitions
        end = numbers.duration(sum(one.seconds for one in found))
        repeated = page.flow("full", [f"{numbers.plural(len(found), 'run')} with other seeds"], end=end)
        for name in found[0].metrics:
            values = sorted(one.metrics[name] for one in found if name in one.metrics)
            repeated += page.flow("", [f"{escaped(name)} {values[0]:.4g} to {values[-1]:.4g}"])
        lines += ["", *repeated]
    for finding in report.findings:
        lines += ["", *_finding(finding, page)]
    if report.not_checked:
        lines += ["", *page.flow("unchecked", map(escaped, report.not_checked))]
    return "\n".join([*lines, "", *_verdict(report, page)]) + "\n"


def _verdict(report: AuditReport, page: Page) -> list[str]:
    paint, meaning = _meaning(report, page)
    text = f"{paint(report.verdict)}: run {escaped(report.run_id)}, {meaning}{_stopped(report)}{_trust(report)}"
    return page.flow("", [text], indent=0, end=f"exit {report.exit_code}" if report.exit_code else "")


def _replay(report: AuditReport, replay: Replay, page: Page) -> list[str]:
    """What was done again, on what, and what of it is equal."""
    here = report.machine.here if report.machine else None
    same = "same class" if report.machine and report.machine.equal else page.alert("another class")
    words = [f"steps {replay.first_step}–{numbers.count(replay.reached_step)}", same]
    if here:
        threads = numbers.plural(here.threads, "thread")
        words += [escaped(here.device), f"{here.kernels} kernels", threads, f"torch {here.torch.partition(' ')[0]}"]
    lines = page.flow(report.level, words, end=numbers.duration(replay.seconds))
    equal = (
        [] if replay.first_difference else [("batches, random numbers, losses and gradient norms equal in every bit")]
    )
    if replay.equal_rungs:
        equal.append(f"weights and optimizer equal at {' '.join(map(str, replay.equal_rungs))}")
    if replay.first_difference:
        equal.append(page.bad(f"first difference: {replay.first_difference}"))
    return lines + page.flow("", equal)


def _finding(finding: Finding, page: Page) -> Iterator[str]:
    room = page.columns - INDENT - 2
    yield f"{page.bad(finding.code)}  {page.strong(shorten(finding.subject, room))}"
    if finding.expected:
        yield f"  recorded {shorten(finding.expected, room)}"
    if finding.found:
        yield f"  found    {shorten(finding.found, room)}"
    if finding.hint:
        yield from page.flow("  = help:", [shorten(finding.hint, 4 * page.columns)])


def _stopped(report: AuditReport) -> str:
    return "; its inputs changed while it ran (FTC515): it continued from the last proved step" * report.inputs_changed


def _trust(report: AuditReport) -> str:
    """What the verdict rests on; where a signature is the only defense against a forger, that there is none."""
    alone = "" if report.in_ledger else "; the project's ledger has no entry of it"
    match report.signature:
        case None:
            return alone
        case SignatureSeen(state="unsigned"):
            return f"{alone}; unsigned: a forger could have written this"
        case SignatureSeen(state="unverified"):
            return f"{alone}; signed, but nobody verified it: give the signer's public key with --key"
        case SignatureSeen(state="valid") as found:
            return f"{alone}; signed with the key {escaped(found.key)} ({numbers.digest(found.key_sha256)})"
        case SignatureSeen():
            return f"{alone}; its signature does not hold"


def _undecided(report: AuditReport) -> str:
    """Why a run whose files show no forgery has no verdict."""
    unfinished = next((one.found for one in report.findings if one.code == "FTC525"), None)
    if unfinished is None:
        return "what remains of the run does not allow a verdict"
    rest = ", and what is here does not allow a verdict"
    if len(report.findings) == 1:
        rest = "; everything that was compared so far matches the record"
    return f"the run is not finished ({escaped(unfinished)}){rest}"


def _meaning(report: AuditReport, page: Page) -> tuple[Callable[[str], str], str]:
    """How a verdict is painted, and what it says."""
    replay = report.replay
    match report.verdict:
        case "CONSISTENT":
            return page.good, "everything that was compared matches the record"
        case "TAMPERED":
            return page.bad, f"{numbers.plural(len(report.findings), 'difference')} from the record"
        case "INCONCLUSIVE":
            if report.replay is None and any(finding.code == "FTC531" for finding in report.findings):
                return page.alert, "another class of machine or code; nothing was executed"
            return page.alert, _undecided(report)
        case "REPRODUCED_PREFIX":
            steps = f"{replay.first_step}–{replay.last_step}" if replay else ""
            return page.good, f"bitwise, steps {steps} of {numbers.count(report.num_steps)}"
        case "REPRODUCED_BITWISE":
            return (
                page.good,
                f"all {numbers.count(report.num_steps)} steps, the weights and the evaluation, bit for bit",
            )
        case "REPRODUCED_STATISTICAL":
            return page.good, f"its scores are in the range of {len(report.repetitions)} runs with other seeds"
        case "NOT_REPRODUCED" if report.repetitions:
            return page.bad, "its scores are outside the range of runs with other seeds"
        case "NOT_REPRODUCED":
            where = f" at {replay.first_difference}" if replay and replay.first_difference else " in its result"
            return page.bad, f"it differs{where}"
        case _:
            assert_never(report.verdict)
