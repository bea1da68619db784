"""What ftc says when something is wrong: one frozen type, found in one pass, rendered elsewhere.

A diagnostic is data. It carries a stable code, the place in the user's file, what is wrong, why, and the smallest
edit that fixes it. This module is a leaf: of ftc it imports nothing but the tables of codes, with the first
finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ftc.spec.exit_codes import ExitCode
from ftc.spec.severity import Severity

__all__ = ["Diagnostic", "Fix", "Refusal", "Related", "Severity", "Span", "TextEdit", "diagnostic", "rewritten"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a text file. Lines and columns count characters from 1; the end column is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


class Related(NamedTuple):
    """A second place that explains the first, such as where a name was defined before."""

    span: Span
    label: str


class TextEdit(NamedTuple):
    """Replace what `span` covers by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """An edit that a program can make; `ftc validate --fix` makes `safe` ones, which their finding names exactly."""

    title: str
    edits: tuple[TextEdit, ...]
    safe: bool = False


def rewritten(span: Span, text: str) -> tuple[Fix, ...]:
    """The fix that writes a text in place of a value, for a finding that names that very edit."""
    return (Fix(f"write `{text}`", (TextEdit(span, text),), safe=True),)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    Attributes:
        code: Stable identifier, such as `FTC104`; `ftc explain` and `docs/errors.md` tell more.
        summary: The problem in one line, without a full stop.
        severity: Errors stop the verb; warnings and notes don't.
        span: The place, where there is one in a text file.
        label: Words beside the carets.
        related: Other places that explain this one.
        help: What to do, in the imperative, the smallest edit first.
        notes: Facts and figures behind the summary.
        fixes: Mends that a program could make.
        rows: Every row that is meant, by name; people are shown the first few in the notes.
        remedy: Values of the recipe that fix it, by dotted path, such as `("data.empty", "drop")`.
        path: Dotted path of the recipe value concerned, such as `train.learning_rate`.
        more: Further findings of this kind, which are counted and not listed.
    """

    code: str
    summary: str
    severity: Severity
    span: Span | None = None
    label: str = ""
    related: tuple[Related, ...] = ()
    help: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    path: str | None = None
    rows: tuple[str, ...] = ()
    remedy: tuple[tuple[str, str], ...] = ()
    more: int = 0

    @property
    def is_error(self) -> bool:
        """Whether this finding stops the verb."""
        return self.severity is Severity.ERROR

    def sort_key(self) -> tuple[str, int, int, str]:
        """Order for showing: by place, then by code; findings without a place come last."""
        place = self.span
        return (place.file, place.line, place.column, self.code) if place else ("\uffff", 0, 0, self.code)


def diagnostic(
    code: str,
    summary: str,
    span: Span | None = None,
    *,
    label: str = "",
    related: Iterable[Related] = (),
    help: str | Iterable[str] = (),
    notes: str | Iterable[str] = (),
    fixes: Iterable[Fix] = (),
    path: str | None = None,
    severity: Severity | None = None,
    rows: Iterable[str] = (),
    remedy: Iterable[tuple[str, str]] = (),
) -> Diagnostic:
    """Makes a finding, with the severity that the code table gives unless told otherwise.

    Raises:
        KeyError: `code` stands in no table; that is a bug of the caller.
    """
    from ftc.spec.codes import CODES  # thirty modules that a recipe without a finding doesn't need

    return Diagnostic(
        code=code,
        summary=summary,
        severity=severity or CODES[code].severity,
        span=span,
        label=label,
        related=tuple(related),
        help=(help,) if isinstance(help, str) else tuple(help),
        notes=(notes,) if isinstance(notes, str) else tuple(notes),
        fixes=tuple(fixes),
        path=path,
        rows=tuple(rows),
        remedy=tuple(remedy),
    )


class Refusal(Exception):
    """Raised at the edges of the library when findings of severity error stop a verb. Never a bug of ftc."""

    drawn_by: ClassVar[Callable[[Refusal], str] | None] = None
    """What draws the findings with their places, as text for people; `ftc.api` sets it, since nothing here shows."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(sorted(diagnostics, key=Diagnostic.sort_key))
        self.sources: dict[str, tuple[str, ...]] = {}
        """Lines of the files that places point into, by name; filled in where the files are known."""
        super().__init__("; ".join(f"{d.code}: {d.summary}" for d in self.diagnostics if d.is_error))

    @property
    def exit_code(self) -> int:
        """The exit code of the first error's stage; see `ExitCode`."""
        from ftc.spec.codes import CODES

        return next((CODES[d.code].exit_code for d in self.diagnostics if d.is_error), ExitCode.COULD_NOT_WORK)

    def _drawn(self) -> str:
        draw = type(self).drawn_by
        return draw(self) if draw else str(self)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback: the findings, and no frame of ftc's."""
        return self._drawn().splitlines()

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(self._drawn())}</pre>"
