"""`ftc schema`: the recipe language for editors and other programs."""

from __future__ import annotations

from argparse import Namespace

from ftc.cli.arguments import Parser
from ftc.cli.terminal import print_json
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments: none."""


def run(_args: Namespace) -> int:
    """Prints the JSON Schema."""
    from ftc import api

    print_json(api.schema())
    return ExitCode.FINE
