"""`ftc audit`: whether a run is still what its record says."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser, add_json
from ftc.cli.terminal import page, write

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run's id, its beginning or its folder")
    add_json(parser)


def run(args: Namespace) -> int:
    """Shows the report; the exit code is the verdict's."""
    from ftc import api
    from ftc.views.audit import audit_text

    report = api.audit(args.target)
    if args.json:
        write(report.to_text())
    else:
        write(audit_text(report, page=page(sys.stdout, args)))
    return report.exit_code
