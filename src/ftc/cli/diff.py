"""`ftc diff`: what changed between two recipes, locks, plans or runs, and what that calls for."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser
from ftc.cli.terminal import page, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    help = "a recipe, a lock or a saved plan, also as FILE@REVISION of git; or a run's id, its beginning or its folder"
    parser.add_argument("old", metavar="OLD", help=help)
    parser.add_argument("new", metavar="NEW", help="the same")
    parser.add_argument(
        "--format",
        choices=("text", "json", "markdown"),
        default="text",
        help="text, json, or markdown for pull requests",
    )
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    parser.add_argument("--exit-code", action="store_true", help="exit with 2 where something has to be done")


def run(args: Namespace) -> int:
    """Compares and shows."""
    from ftc import api
    from ftc.views.difference import difference_markdown, difference_text

    found = api.diff(args.old, args.new)
    match args.format:
        case "json":
            write(found.to_text())
        case "markdown":
            write(difference_markdown(found))
        case _:
            write(difference_text(found, page=page(sys.stdout, args)))
    return ExitCode.CHANGES if args.exit_code and found.action != "nothing" else ExitCode.FINE
