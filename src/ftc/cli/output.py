"""Plans, runs and their progress, as several verbs show them."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from ftc.cli.terminal import STDOUT, is_interactive, page, show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from ftc.api import Planned, Run
    from ftc.spec.documents.events import Event, EventListener
    from ftc.spec.documents.ledger import Merged
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.provenance import SignedFolder
    from ftc.spec.storage.outputs import OutputKind
    from ftc.views.page import Page

__all__ = [
    "following",
    "planning",
    "print_result",
    "print_signature",
    "run_json",
    "show_planned",
    "show_run",
    "write_out",
]


@contextmanager
def following(args: Namespace, *, as_lines: bool = False) -> Iterator[EventListener]:
    """A listener for as long as the run goes on.

    It writes to standard error, or nothing with `--quiet`; where `as_lines`, JSON lines to standard output.

    Meanwhile the libraries' warnings, which speak to their callers and not to users, are kept still, unless `-W` or
    `PYTHONWARNINGS` asks for them.
    """
    from ftc.views.progress import JsonProgress, LiveProgress, PlainProgress

    look = page(sys.stderr, args)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        if as_lines:
            yield _while_heard(JsonProgress(sys.stdout))
        elif args.quiet:
            yield lambda _: None
        elif is_interactive(sys.stderr, os.environ):
            with LiveProgress(sys.stderr, page=look) as live:
                yield _while_heard(live)
        else:
            yield _while_heard(PlainProgress(sys.stderr, page=look))


def _while_heard(listener: EventListener) -> EventListener:
    """Tells until nobody reads any longer, which is no reason to stop a run."""
    is_heard = True

    def tell(event: Event) -> None:
        nonlocal is_heard
        if is_heard:
            try:
                listener(event)
            except BrokenPipeError:
                is_heard = False

    return tell


@contextmanager
def planning(args: Namespace) -> Iterator[Callable[[int], None]]:
    """Shows how far a plan is with its rows, and that it waits for the memory trace, of which what is yielded hears.

    On a terminal that is a line that goes away; elsewhere a line a minute about the rows; with `--quiet` nothing.
    """
    from ftc.compiler.stages import with_stages
    from ftc.views.stages import LiveStages, PlainStages

    look = page(sys.stderr, args)
    if args.quiet:
        yield lambda _: None
        return
    if not is_interactive(sys.stderr, os.environ):
        with with_stages(PlainStages(sys.stderr, page=look)):
            yield lambda _: None
        return
    live = LiveStages(sys.stderr, page=look)

    def tell(number: int) -> None:
        words = "loading the libraries" if number == 0 else f"training step {number + 1}"
        live.draw(look.faint(f"tracing memory: {words} …"))

    try:
        with with_stages(live):
            yield tell
    finally:
        live.clear()


def show_planned(planned: Planned, args: Namespace, *, hint: str, stream: TextIO) -> None:
    """Writes warnings to standard error and the plan to a stream; with `--quiet` its last line alone."""
    from ftc.spec.diagnostics import Severity
    from ftc.views.plan import plan_text, verdict_lines

    show_diagnostics(planned.diagnostics, planned.sources, args)
    if planned.diagnostics:
        sys.stderr.write("\n")
    record, look = planned.run.record if planned.run else None, page(stream, args)
    warnings = sum(one.severity is Severity.WARNING for one in planned.diagnostics)
    if args.quiet:
        stream.write("\n".join(verdict_lines(planned.plan, warnings, record, look)) + "\n")
        stream.flush()
        return
    text = plan_text(
        planned.plan,
        lock_state=planned.lock_state,
        lock_changes=planned.lock_changes,
        warnings=warnings,
        record=record,
        standing=planned.standing,
        hint=hint,
        shown={one.code for one in planned.diagnostics},
        verbose=args.verbose,
        track=planned.compiled.track,
        page=look,
    )
    sys.stderr.write(_unheeded_threads(planned.plan, look))
    stream.write(text)
    stream.flush()


def _unheeded_threads(plan: Plan, look: Page) -> str:
    """A line where the environment asks for other threads than the plan, which pins them as they change last bits."""
    threads, asked = plan.settings.device.threads, os.environ.get("OMP_NUM_THREADS", "")
    is_open = plan.settings.device.kind == "cpu" and plan.recipe.budget.threads == "auto"
    if not is_open or not asked.isdecimal() or int(asked) in (0, threads):
        return ""
    words = f"The plan uses {threads} threads, not OMP_NUM_THREADS={asked}. `--set budget.threads={asked}` changes it."
    return "\n".join(look.wrap(words)) + "\n"


def show_run(found: Run, args: Namespace) -> None:
    """Writes a run's result to standard output."""
    from ftc.spec.storage.paths import RunFolder
    from ftc.verbs.doubts import changed_documents
    from ftc.verbs.pages import write_missing_pages
    from ftc.verbs.runs import load_events
    from ftc.views.report.training import history, overfitting_words
    from ftc.views.run import run_text

    undrawn = write_missing_pages(found)
    text = run_text(
        found.plan,
        found.record,
        found.evaluation,
        _as_typed(found.folder),
        has_report=RunFolder(found.folder).report.exists(),
        curves=overfitting_words(history(load_events(found.folder)), found.record),
        evaluations=_evaluations(found),
        merges=_merges(found),
        page=page(sys.stdout, args),
    )
    write(text)
    show_diagnostics((*changed_documents(found), *undrawn), {}, args)


def _evaluations(found: Run) -> list[str]:
    """Purposes of all evaluations on the run's test rows, by whichever run."""
    from ftc.spec.documents.ledger import evaluations_of, read_ledger

    test = found.plan.data.get("test")
    return [one.purpose for one in evaluations_of(read_ledger(found.root), test.stream_digest)] if test else []


def _merges(found: Run) -> tuple[Merged, ...]:
    """What was made of the run's adapter."""
    from ftc.spec.documents.ledger import merges_of, read_ledger

    return merges_of(read_ledger(found.root), found.record.id)


def run_json(found: Run) -> dict[str, object]:
    """A run's documents as one JSON value; `left` says why its process is gone where the record can't."""
    from ftc.verbs.standing import left_words

    return {
        "folder": _as_typed(found.folder),
        "plan_sha256": found.plan.sha256,
        "record": found.record.to_json(),
        "left": left[0] if (left := left_words(found)) else None,
        "evaluation": found.evaluation.to_json() if found.evaluation else None,
        "test_evaluations": _evaluations(found),
        "test_looks": _evaluations(found),  # its name before, for one release more
        "merges": [one.to_json() for one in _merges(found)],
    }


def print_result(done: Run) -> None:
    """Writes the last line of a run that is followed as JSON lines."""
    import json

    write(json.dumps({"kind": "result", **run_json(done)}, ensure_ascii=False, separators=(",", ":")) + "\n")


def _as_typed(folder: Path) -> str:
    """A path as a user here would type it."""
    here = folder.cwd()
    whole = folder.absolute()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(folder)


def print_signature(done: str, found: SignedFolder, args: Namespace) -> None:
    """Writes what was signed or verified, and what is not covered by it."""
    from pathlib import Path

    from ftc.views.numbers import digest, plural
    from ftc.views.page import escaped, table

    if args.json or args.quiet:
        write(found.to_text() if args.json else "")
        return
    rows = [
        (done, f"{_as_typed(Path(found.folder))} · {plural(found.files, 'file')} · {digest(found.files_sha256)}"),
        ("key", digest(found.key_sha256)),
        ("signature", _as_typed(Path(found.signature))),
        ("not covered", ", ".join(found.not_covered)),
    ]
    write("\n".join(table([(label, escaped(text)) for label, text in rows])) + "\n")


def write_out(text: str, kind: OutputKind, args: Namespace) -> int:
    """Writes a text where `-o` says, or to standard output."""
    if not args.output or args.output == STDOUT:
        write(text)
        return ExitCode.FINE
    from pathlib import Path

    from ftc.spec.storage.atomic_write import write_text
    from ftc.spec.storage.outputs import claim_output

    claim_output(Path(args.output), kind, force=args.force)
    write_text(Path(args.output), text)
    write(f"Wrote {args.output}.\n")
    return ExitCode.FINE
