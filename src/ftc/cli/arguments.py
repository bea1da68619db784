"""What the parsers of all verbs have in common."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Command", "Parser", "add_color", "add_force", "add_json", "add_overrides", "add_waive", "override_words"]

_WIDEST = 100


class _Help(RawDescriptionHelpFormatter):
    """Help as wide as the terminal; argparse would import `shutil` and three compressors to find out."""

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size().columns
        except OSError:
            columns = _WIDEST
        super().__init__(prog, width=min(columns, _WIDEST) - 2)


class Parser(ArgumentParser):
    """An argument parser that exits with 64 and takes no shortened options: new ones would break them."""

    def __init__(self, **settings: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **settings)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and where to find help."""
        message = message.replace("invalid int value:", "no whole number:")
        sys.stderr.write(f"error: {message}\n{self.format_usage()}`{self.prog} --help` tells more.\n")
        raise SystemExit(ExitCode.USAGE)


class Command(NamedTuple):
    """A verb of the command line."""

    add_arguments: Callable[[Parser], None]
    """Declares its arguments."""
    run: Callable[[Namespace], int]
    """Does it, and gives the exit code."""


def add_color(parser: Parser, *, default: str) -> None:
    """Adds `--color`."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default=default,
        metavar="WHEN",
        help="auto (on a terminal), always or never",
    )


def add_json(parser: Parser, help: str = "print JSON instead of text") -> None:
    """Adds `--json`."""
    parser.add_argument("--json", action="store_true", help=help)


def add_overrides(parser: Parser) -> None:
    """Adds `--set` and `--set-file`, whose values stand in `overrides` in the order of the command line."""
    parser.add_argument(
        "--set",
        action="append",
        dest="overrides",
        default=[],
        metavar="PATH=VALUE",
        help="set a value of the recipe, such as train.epochs=1 or eval.metrics[0]=mcc; repeatable, the last one wins",
    )
    parser.add_argument(
        "--set-file",
        action="append",
        type=_file,
        dest="overrides",
        metavar="FILE",
        help="lay a file with part of a recipe on top; repeatable, in one order with --set",
    )


def add_force(parser: Parser) -> None:
    """Adds `--force`, for what a verb writes where the user says."""
    parser.add_argument("--force", action="store_true", help="let `-o` replace a file that ftc didn't write")


def add_waive(parser: Parser) -> None:
    """Adds `--waive`."""
    parser.add_argument(
        "--waive",
        action="append",
        default=[],
        metavar="RULE=REASON",
        help="pass over a soft rule of ftc.policy.yaml; the plan keeps the reason; repeatable",
    )


def override_words(args: Namespace) -> tuple[str, ...]:
    """The overrides as words of a command line."""
    return tuple(
        word
        for one in args.overrides
        for word in (("--set", one) if isinstance(one, str) else ("--set-file", str(one)))
    )


def _file(text: str) -> Path:
    from pathlib import Path

    return Path(text)
