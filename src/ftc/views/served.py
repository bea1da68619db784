"""What `ftc run eval RUN --server URL` says of a server. Pure functions."""

from __future__ import annotations

from ftc.spec.documents.served import Latency, ServedAnswers, ServedModel
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped

__all__ = ["served_text"]


def served_text(report: ServedModel, *, page: Page = PLAIN) -> str:
    """The answer of the verb.

    Args:
        report: What was measured.
        page: Width and colors.
    """
    asked = f"{numbers.plural(report.rows, 'row')} of {escaped(report.data)}"
    lines = page.flow("server", [f"{escaped(report.model)} at {escaped(report.url)}", f"run {report.run_id}", asked])
    if (prompts := report.prompts) is not None:
        lines += page.flow("prompts", [f"{prompts.same} of {prompts.rows} the same by {prompts.by}"])
    if (parity := report.parity) is not None:
        lines += page.flow(
            "scores",
            [
                f"log-probabilities differ by at most {parity.largest_difference:.2g} nats",
                f"{100 * parity.share:.2g} % of the range of scores",
                f"{100 * parity.allowed:.2g} % is allowed",
                f"{parity.same_choices} of {parity.places} likeliest tokens the same",
            ],
        )
    if report.answers is not None:
        lines += _answers(report.answers, page)
    if report.first_token is not None:
        lines += page.flow("first token", [_percentiles(report.first_token)], indent=13)
    if report.whole is not None:
        lines += page.flow("whole answer", [_percentiles(report.whole)], indent=13)
        parts = [f"{numbers.plural(report.at_once, 'request')} at once"]
        parts += [f"{report.answered / report.seconds:.2g} answers/s"] if report.seconds else []
        parts += [f"{report.tokens / report.seconds:.3g} tokens/s"] if report.tokens and report.seconds else []
        lines += page.flow("load", parts, indent=13)
    for one in report.failed:
        lines += page.flow("failed", [f"{one.count:,} x {escaped(one.reason)}"])
    for note in report.notes:
        lines += page.flow("note", [note])
    return "\n".join(lines) + "\n"


def _answers(found: ServedAnswers, page: Page) -> list[str]:
    lines: list[str] = []
    for name, value in found.metrics.items():
        sure = found.intervals.get(name)
        parts = [f"{name} {value:.3f}" + (f" ({sure.low:.3f} to {sure.high:.3f})" if sure else "")]
        if (change := found.changes.get(name)) is not None:
            reach = change.interval
            between = f" ({reach.low:+.3f} to {reach.high:+.3f})" if reach else ""
            parts.append(f"{change.value:+.3f}{between} to the tuned model")
        lines += page.flow("answers" if not lines else "", parts)
    if found.same_answers is not None:
        lines += page.flow("", [f"{found.same_answers} of {found.rows} equal to the tuned model's"])
    if found.cut:
        lines += page.flow("", [f"{found.cut} of {found.rows} ended at the most tokens"])
    for gate in found.gates:
        word = page.good("holds") if gate.passed else page.bad("failed")
        lines += page.flow("gate", [f"{escaped(gate.metric)} {gate.bound}: {word}"])
    if found.unchecked:
        lines += page.flow("unchecked", [f"gates of {', '.join(map(escaped, found.unchecked))}"])
    return lines


def _percentiles(found: Latency) -> str:
    return ", ".join(f"p{share} {numbers.duration(getattr(found, f'p{share}'))}" for share in (50, 95, 99))
