"""The question before a run."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.results import show_planned
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.api import Planned

__all__ = ["declined"]


def declined(planned: Planned, args: Namespace) -> int | None:
    """Shows the plan and asks; None where the user agrees, else the exit code."""
    show_planned(planned, args, hint="", stream=sys.stderr if args.json else sys.stdout)
    sys.stderr.write("\n")
    if args.yes:
        return None
    if not sys.stdin.isatty():
        sys.stderr.write("error: nobody is here to ask; `--yes` applies the plan without asking\n")
        return ExitCode.USAGE
    sys.stderr.write("Apply this plan? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        sys.stderr.write("\n")
        return None
    sys.stderr.write("Nothing was done.\n")
    return ExitCode.INTERRUPTED
