"""`ftc verify`: whether a folder is the one that was signed."""

from __future__ import annotations

from argparse import Namespace

from ftc.cli.arguments import Parser, add_json
from ftc.cli.results import print_signature
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("target", metavar="RUN|FOLDER", help="a run, or any folder that was signed")
    parser.add_argument("--key", required=True, metavar="FILE", help="public key of whoever should have signed it")
    parser.add_argument("--signature", metavar="FILE", help="the signature; model.sig in the folder if not given")
    add_json(parser)


def run(args: Namespace) -> int:
    """Compares; a signature that doesn't hold is refused with what differs."""
    from ftc import api

    print_signature("verified", api.verify(args.target, key=args.key, signature=args.signature), args)
    return ExitCode.FINE
