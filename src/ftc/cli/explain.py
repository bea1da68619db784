"""`ftc explain`: what a code means and how to mend it."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser
from ftc.cli.terminal import page, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("code", metavar="CODE", help="such as FTC104")


def run(args: Namespace) -> int:
    """Prints the lesson of a code; `ftc104` and `104` are understood too."""
    from ftc.spec.codes import CODES
    from ftc.spec.language.did_you_mean import nearest
    from ftc.views.diagnostics import explain_text
    from ftc.views.page import escaped

    asked = f"FTC{args.code.upper().removeprefix('FTC')}"
    if asked not in CODES:
        near = nearest(asked, CODES)
        meant = f"; did you mean `{near}`?" if near else "; codes are `FTC` and three digits"
        sys.stderr.write(f"error: there is no code `{escaped(args.code)}`{meant}\n")
        return ExitCode.USAGE
    write(explain_text(CODES[asked], page=page(sys.stdout, args)))
    return ExitCode.FINE
