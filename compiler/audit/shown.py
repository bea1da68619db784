"""The single rows that eval.json shows, beside all rows of `predictions.ndjson`: a report shows the former."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftc.compiler.audit.tally import difference
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.record import Evaluation

__all__ = ["check_shown"]

_ROWS = "predictions.ndjson"
_CUT = "…"


def check_shown(measured: Evaluation, rows: Sequence[Outcome]) -> Iterator[Finding]:
    """Compares the sample, which is the first rows of all, and the explained rows."""
    for number, (shown, row) in enumerate(zip(measured.predictions, rows, strict=False)):
        known = {"row": row.row, "place": row.place, "expected": row.expected or "", "tuned": row.tuned.text}
        known["base"] = row.base.text if row.base else None
        whole = row.prompt
        if shown.text != whole and not (shown.text.endswith(_CUT) and whole.startswith(shown.text[:-1])):
            known["text"] = whole
        for part, value in known.items():
            yield from difference(f"eval.json: predictions.{number}.{part}", getattr(shown, part), value, _ROWS)
    by_number = {row.row: row for row in rows}
    for number, one in enumerate(measured.attributions):
        subject = f"eval.json: attributions.{number}"
        found = by_number.get(one.row)
        if found is None:
            yield from difference(f"{subject}.row", one.row, "a row of the test split", _ROWS)
            continue
        yield from difference(f"{subject}.place", one.place, found.place, _ROWS)
        yield from difference(f"{subject}.label", one.label, found.tuned.text, _ROWS)
