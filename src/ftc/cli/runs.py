"""`ftc runs`: what has been run in this project."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser, add_json
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]

_NAMED = 5
"""Folders that are named at most."""


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    add_json(parser)


def run(args: Namespace) -> int:
    """Lists the runs, the newest first."""
    from ftc import api
    from ftc.cli.results import run_json
    from ftc.verbs.runs import unreadable_runs
    from ftc.views.page import escaped
    from ftc.views.run import runs_text

    found = api.runs()
    if args.json:
        print_json([run_json(one) for one in found])
    else:
        entries = [(one.plan, one.record, one.evaluation) for one in found]
        write(runs_text(entries, page=page(sys.stdout, args)))
    if hidden := unreadable_runs(found):
        named = ", ".join(hidden[:_NAMED]) + (" and others" if len(hidden) > _NAMED else "")
        sys.stderr.write(f"not listed, since they can't be read: {escaped(named)}; `ftc show NAME` tells why\n")
    return ExitCode.FINE
