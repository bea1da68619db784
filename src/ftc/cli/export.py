"""`ftc export`: a statement about a finished run for other people's tools."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ftc.cli.arguments import Parser, add_force
from ftc.cli.inputs import STDOUT
from ftc.cli.terminal import write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    from ftc.views.exports import FORMATS

    parser.add_argument("target", metavar="RUN", help="a run's id, its beginning or its folder")
    words = "; ".join(f"{one.name}: {one.about}: {one.standard}" for one in FORMATS)
    parser.add_argument("--format", required=True, choices=[one.name for one in FORMATS], help=words)
    parser.add_argument("-o", "--output", metavar="FILE", help="write it to a file; `-` is the terminal")
    add_force(parser)


def run(args: Namespace) -> int:
    """Prints or writes the statement."""
    from ftc import api
    from ftc.spec.storage.atomic_write import write_text
    from ftc.spec.storage.outputs import OutputKind, claim_output

    text = api.export(args.target, args.format)
    if args.output and args.output != STDOUT:
        claim_output(Path(args.output), OutputKind[args.format.upper()], force=args.force)
        write_text(Path(args.output), text)
        write(f"Wrote {args.output}.\n")
    else:
        write(text)
    return ExitCode.FINE
