"""`ftc compare`: runs side by side on the same test rows."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("first", metavar="RUN", help="the run that the others are held against")
    parser.add_argument("others", metavar="RUN", nargs="+", help="another run")
    parser.add_argument(
        "--format", choices=("text", "json", "markdown", "html"), default="text", help="form of the answer (text)"
    )


def run(args: Namespace) -> int:
    """Compares them."""
    from ftc import api
    from ftc.verbs.compare import comparison_page
    from ftc.views.comparison import comparison_markdown, comparison_text

    if args.format == "html":
        write(comparison_page([args.first, *args.others]))
        return ExitCode.FINE
    found = api.compare([args.first, *args.others])
    if args.format == "json":
        print_json(found.to_json())
    elif args.format == "markdown":
        write(comparison_markdown(found))
    else:
        write(comparison_text(found, page=page(sys.stdout, args)))
    return ExitCode.FINE
