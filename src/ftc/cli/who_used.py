"""`ftc who-used`: which locks and runs hold a digest."""

from __future__ import annotations

from argparse import Namespace

from ftc.cli.arguments import Parser, add_json
from ftc.cli.terminal import print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    help = "a sha256 or its first 8 digits, of a file, a row, tensors, a package, a plan; or a file"
    parser.add_argument("digest", metavar="DIGEST|FILE", help=help)
    add_json(parser)


def run(args: Namespace) -> int:
    """Lists them, a line each."""
    from ftc import api
    from ftc.views.page import table

    found = api.who_used(args.digest)
    if args.json:
        print_json({"schema": "ftc.uses/1", "uses": [use.to_json() for use in found]})
    elif found:
        rows = [(use.kind, use.name, use.status, f"{use.file}: {use.path}") for use in found]
        write("\n".join(table(rows)) + "\n")
    else:
        write("No lock and no run of this project holds it.\n")
    return ExitCode.FINE
