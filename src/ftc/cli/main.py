"""The table of verbs and the way into them.

Nothing heavy is imported here, and of the verbs only the one that runs, so that `ftc --help` costs little more than
the interpreter and argparse.
"""

from __future__ import annotations

import gc
import os
import sys
from argparse import REMAINDER, SUPPRESS, Namespace
from collections.abc import Sequence
from typing import Protocol

import ftc
from ftc.cli import faults
from ftc.cli.arguments import USAGE_ERROR, Parser, add_color

__all__ = ["VERBS", "console", "main"]

VERBS = {
    "init": "write a starter recipe",
    "validate": "check a recipe without loading anything; --fix mends",
    "fmt": "lay out a recipe as all recipes are",
    "import": "turn another tool's configuration into a recipe",
    "plan": "compile a recipe: what would run, and whether it fits",
    "apply": "train and evaluate what a recipe or a saved plan says",
    "show": "show a run or a saved plan",
    "runs": "list the runs of this project",
    "audit": "check that a run's files are what its record says",
    "lsp": "serve editors while a recipe is written",
    "schema": "print the recipe language as JSON Schema, for editors",
    "explain": "explain a diagnostic code",
}
"""Every verb with its help, in the order in which a newcomer meets them. The module of each has its name, but for
`import_`."""


class Verb(Protocol):
    """What the module of a verb offers."""

    def add_arguments(self, parser: Parser, /) -> None:
        """Declares the verb's arguments."""

    def run(self, args: Namespace, /) -> int:
        """Does it, and gives the exit code."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code; what can go wrong is told on standard error.

    Args:
        argv: Words after the program's name; those of the process where left out.
    """
    try:
        args = _parse(sys.argv[1:] if argv is None else argv)
    except SystemExit as stop:  # argparse has said what there is to say
        return stop.code if isinstance(stop.code, int) else USAGE_ERROR
    return faults.guarded(_verb(args.verb).run, args)


def console() -> None:
    """The `ftc` command."""
    _start_lightly()
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")  # an old code page shows `?` instead of failing
    code = main()
    gc.freeze()  # the process ends: nothing is gained by searching what it holds for garbage once more
    sys.exit(faults.flushed(code))


def _start_lightly() -> None:
    """Keeps Python and pydantic from work that costs a quarter of `ftc validate` and finds nothing."""
    gc.disable()  # what importing makes stays; `ftc apply`, which alone runs for long, enables it again
    # Else pydantic reads the metadata of every installed package, and loads code that no recipe asked for.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def _parse(argv: Sequence[str]) -> Namespace:
    top = _top_parser()
    common = top.parse_args(argv)
    if common.verb is None:
        top.print_help(sys.stderr)
        raise SystemExit(USAGE_ERROR)
    if common.verb not in VERBS:
        top.error(_unknown(common.verb))
    text = VERBS[common.verb]
    parser = Parser(prog=f"ftc {common.verb}", description=f"{text[0].upper()}{text[1:]}.")
    _verb(common.verb).add_arguments(parser)
    add_color(parser, default=common.color)
    return parser.parse_args(common.rest, Namespace(verb=common.verb))


def _top_parser() -> Parser:
    listed = "\n".join(f"  {name:<10}{text}" for name, text in VERBS.items())
    parser = Parser(
        prog="ftc",
        usage="ftc [--color WHEN] VERB ...",
        description="The fine-tuning compiler: a typed recipe, a plan that fits, a run that can be audited.",
        epilog=f"verbs:\n{listed}\n\n`ftc VERB --help` tells more. Start with `ftc init`.",
    )
    parser.add_argument("--version", action="version", version=f"ftc {ftc.__version__}")
    add_color(parser, default="auto")
    parser.add_argument("verb", nargs="?", help=SUPPRESS)
    parser.add_argument("rest", nargs=REMAINDER, help=SUPPRESS)
    return parser


def _unknown(word: str) -> str:
    from ftc.spec.nearest import nearest

    meant = nearest(word, VERBS)
    return f"unknown verb `{word}`" + (f"; did you mean `{meant}`?" if meant else f"; one of {', '.join(VERBS)}")


def _verb(name: str) -> Verb:  # noqa: C901, PLR0911, PLR0912  # one a verb
    match name:
        case "init":
            from ftc.cli import init

            return init
        case "import":
            from ftc.cli import import_

            return import_
        case "validate":
            from ftc.cli import validate

            return validate
        case "fmt":
            from ftc.cli import fmt

            return fmt
        case "plan":
            from ftc.cli import plan

            return plan
        case "apply":
            from ftc.cli import apply

            return apply
        case "show":
            from ftc.cli import show

            return show
        case "runs":
            from ftc.cli import runs

            return runs
        case "audit":
            from ftc.cli import audit

            return audit
        case "lsp":
            from ftc.cli import lsp

            return lsp
        case "schema":
            from ftc.cli import schema

            return schema
        case "explain":
            from ftc.cli import explain

            return explain
        case _:
            raise AssertionError(f"{name} stands in VERBS and has no module")
