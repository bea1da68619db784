"""The pages of a run for people: made of its documents, written beside them, and drawn again where one is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.storage.paths import RunFolder
from ftc.verbs.runs import Run, load_events, load_outcomes, load_thumbnails

__all__ = ["pages", "report_page", "write_missing_pages", "write_pages"]


def pages(run: Run, *, draws: bool = True) -> dict[str, str]:
    """The pages for people that follow from a run's documents, by file name: the report and the model card.

    Args:
        run: The run.
        draws: Whether charts are drawn, which takes a library; else there are words in their place.
    """
    return {name: draw() for name, draw in _makers(run, draws=draws).items()}


def _makers(run: Run, *, draws: bool = True) -> dict[str, Callable[[], str]]:
    """What makes each page; one that fails says nothing about the other."""
    from ftc.views.card import model_card

    place = RunFolder(run.folder)
    return {
        place.report.name: lambda: report_page(run, draws=draws),
        place.card.name: lambda: model_card(run.plan, run.record, run.evaluation),
    }


def report_page(run: Run, *, draws: bool = True, shows_personal_data: bool = False) -> str:
    """A run's report.

    Args:
        run: The run.
        draws: Whether charts are drawn, where the library for that is installed.
        shows_personal_data: Whether rows that match a rule for personal data are shown as they are.
    """
    from ftc.views.report.charts import Drawer
    from ftc.views.report.run_report import report_html

    return report_html(
        run.plan,
        run.record,
        run.evaluation,
        load_events(run.folder),
        load_outcomes(run.folder),
        None if draws else Drawer(),
        thumbnails=load_thumbnails(run.folder),
        shows_personal_data=shows_personal_data,
    )


def write_pages(run: Run) -> tuple[Diagnostic, ...]:
    """Writes a run's pages, and notes their checksums in the ledger.

    All that was measured is on disk before. A page that can't be drawn is a finding (FTC692) and takes nothing else
    with it.

    Raises:
        OSError: A page or the ledger can't be written.
    """
    import hashlib

    from ftc.spec.documents.ledger import PagesWritten, append_entry
    from ftc.spec.storage.atomic_write import write_text

    texts, findings = dict[str, str](), []
    for name, draw in _makers(run).items():
        try:
            texts[name] = draw()
        except Exception as problem:  # noqa: BLE001 - whatever a view stumbles over, the run is finished
            import traceback

            frame = traceback.extract_tb(problem.__traceback__)[-1]
            note = f"{type(problem).__name__}: {problem} ({Path(frame.filename).name}, line {frame.lineno})"
            help = f"the result is complete; `ftc show {run.record.id}` draws the page again. Please report this"
            findings.append(
                diagnostic("FTC692", f"`{name}` of run `{run.record.id}` can't be drawn", help=help, notes=note)
            )
    for name, text in texts.items():
        write_text(run.folder / name, text)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    append_entry(run.root, PagesWritten, name=run.plan.name, run_id=run.record.id, files_sha256=digests)
    return tuple(findings)


def write_missing_pages(run: Run) -> tuple[Diagnostic, ...]:
    """Draws the pages of a finished run that has none of them, or not all; findings as of `write_pages`.

    A run that was pulled has the card that was pushed, and no rows for a report.
    """
    place = RunFolder(run.folder)
    if not run.record.is_finished or run.is_pulled or (place.report.exists() and place.card.exists()):
        return ()
    try:
        return write_pages(run)
    except OSError:  # somebody else's folder can be looked at all the same
        return ()
