"""`ftc unlock`: frees a run whose holder is gone."""

from __future__ import annotations

from argparse import Namespace

from ftc.cli.arguments import Parser
from ftc.cli.terminal import write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("lock", metavar="ID", help="name of the lock, as `ftc apply` told it")


def run(args: Namespace) -> int:
    """Frees it."""
    from ftc import api

    write(f"run {api.unlock(args.lock)} is free; `ftc apply` goes on with it.\n")
    return ExitCode.FINE
