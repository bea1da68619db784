"""An audit's verdict: what was compared, what differs, what nobody looked at."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.audit import AuditReport, Finding
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import INDENT, PLAIN, Page, shorten

__all__ = ["audit_text"]


def audit_text(report: AuditReport, *, page: Page = PLAIN) -> str:
    """The report for people, the verdict last, where the eye ends.

    Every finding shows both values, so that a reader can judge it without opening a file.
    """
    looked = f"{numbers.plural(report.checked_files, 'file')} ({numbers.byte_size(report.checked_bytes)})"
    parts = [*map(escaped, report.checked)] or [looked]
    lines = page.flow(report.level, parts, end=numbers.duration(report.seconds))
    if report.checked:
        lines += page.flow("", [f"{looked} read and hashed"])
    for finding in report.findings:
        lines += ["", *_finding(finding, page)]
    if report.not_checked:
        lines += ["", *page.flow("unchecked", map(escaped, report.not_checked))]
    return "\n".join([*lines, "", _verdict(report, page)]) + "\n"


def _finding(finding: Finding, page: Page) -> Iterator[str]:
    room = page.columns - INDENT - 2
    yield f"{page.bad(finding.code)}  {page.strong(shorten(finding.subject, room))}"
    yield f"  recorded {shorten(finding.expected, room)}"
    yield f"  found    {shorten(finding.found, room)}"
    if finding.hint:
        yield from page.flow("  = help:", [shorten(finding.hint, 4 * page.columns)])


def _verdict(report: AuditReport, page: Page) -> str:
    words = {
        "CONSISTENT": (page.good, "everything compared is as the record says"),
        "TAMPERED": (page.bad, f"{numbers.plural(len(report.findings), 'difference')} from the record"),
        "INCONCLUSIVE": (page.alert, "what is left of the run does not allow a verdict"),
    }
    paint, meaning = words[report.verdict]
    text = f"{paint(report.verdict)}: run {escaped(report.run_id)}, {meaning}"
    end = f"exit {report.exit_code}" if report.exit_code else ""
    return "\n".join(page.flow("", [text], indent=0, end=end))
