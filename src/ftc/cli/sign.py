"""`ftc sign`: a signature over a finished run, or another folder."""

from __future__ import annotations

from argparse import Namespace

from ftc.cli.arguments import Parser, add_force, add_json
from ftc.cli.results import print_signature
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("target", metavar="RUN|FOLDER", help="a finished run, or a folder such as its adapter")
    parser.add_argument("--key", required=True, metavar="FILE", help="private key: elliptic curve, PEM, no password")
    parser.add_argument("-o", "--output", metavar="FILE", help="where it goes; model.sig in the folder if not given")
    add_force(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Signs, and tells what is signed."""
    from ftc import api

    print_signature("signed", api.sign(args.target, key=args.key, signature=args.output, force=args.force), args)
    return ExitCode.FINE
