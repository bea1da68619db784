"""Where text goes and how it may look there: the only place that asks the terminal and the environment."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.spec.diagnostics import Diagnostic
    from ftc.views.page import Page

STDOUT = "-"
"""Stands for standard output where a verb writes a file."""

__all__ = ["STDOUT", "declined", "is_interactive", "page", "print_json", "show_diagnostics", "wants_color", "write"]


def wants_color(stream: TextIO, choice: str, environ: Mapping[str, str]) -> bool:
    """Whether to color what goes to a stream; `NO_COLOR` and `FORCE_COLOR` count where they are not empty."""
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] != "0"
    return is_interactive(stream, environ)


def is_interactive(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a stream is a terminal that can move its cursor."""
    return stream.isatty() and environ.get("TERM") != "dumb"


def page(stream: TextIO, args: Namespace) -> Page:
    """How text is set for a stream: as wide as its terminal, but no wider than can be read well; 100 for a pipe."""
    import shutil

    from ftc.views.page import WIDTH, Page

    columns = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) if stream.isatty() else WIDTH
    return Page(wants_color(stream, args.color, os.environ), columns)


def write(text: str) -> None:
    """Writes an answer to standard output."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """Writes a JSON value to standard output."""
    import json

    write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def show_diagnostics(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, Sequence[str]], args: Namespace, closing: str = ""
) -> None:
    """Writes findings, their number and a closing sentence to standard error; nothing where there are none."""
    found = tuple(diagnostics)
    if not found:
        return
    from ftc.views.diagnostics import count, render_text

    look = page(sys.stderr, args)
    text = render_text(found, sources, color=look.color, width=look.columns)
    sys.stderr.write(f"{text}\n{count(found)}.{' ' if closing else ''}{closing}\n")
    sys.stderr.flush()


def declined(question: str, without_asking: str) -> int | None:
    """Asks a person to agree; None where they do, else the exit code.

    Args:
        question: What is asked.
        without_asking: What `--yes` does, for a standard input that nobody types into.
    """
    if not sys.stdin.isatty():
        sys.stderr.write(f"error: nobody is here to ask; `--yes` {without_asking} without asking\n")
        return ExitCode.USAGE
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return None
    sys.stderr.write("Nothing was done.\n")
    return ExitCode.INTERRUPTED
