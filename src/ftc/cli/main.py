"""The way into the verbs.

Nothing heavy is imported here, and of the verbs only the one that runs, so that `ftc --help` costs little more than
the interpreter and argparse.
"""

from __future__ import annotations

import gc
import os
import sys
from argparse import REMAINDER, SUPPRESS, Namespace
from collections.abc import Sequence

import ftc
from ftc.cli import faults
from ftc.cli.arguments import Parser, add_color
from ftc.cli.faults import Restart
from ftc.cli.verbs import GROUPS, VERBS
from ftc.spec.exit_codes import ExitCode

__all__ = ["console", "main"]


def main(argv: Sequence[str] | None = None, *, may_restart: bool = False) -> int:
    """Runs one command and gives its exit code; what can go wrong is told on standard error.

    Args:
        argv: Words after the program's name; those of the process where left out.
        may_restart: Whether the process belongs to the command, so that it may be started anew, or several times.

    Raises:
        Restart: The command has to begin in another environment.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        args = _parse(words)
        args.may_restart, args.words = may_restart, words
    except SystemExit as stop:  # argparse has said what there is to say
        return stop.code if isinstance(stop.code, int) else ExitCode.USAGE
    return faults.guarded(VERBS[args.verb].command.run, args)


def console() -> None:
    """The `ftc` command."""
    _start_lightly()
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")  # an old code page shows `?` instead of failing
    try:
        _need_unicode_names()
        code = main(may_restart=True)
    except Restart as asked:
        code = asked.follow()
    if not gc.isenabled():  # nothing is gained by searching for garbage as the process ends
        gc.freeze()  # a long command's libraries would take what is never collected for a leak, and say so
    sys.exit(faults.flushed(code))


def _need_unicode_names() -> None:
    """An ASCII locale whose fixing is switched off leaves names with accents that no call can open.

    Raises:
        Restart: This is such a process.
    """
    if sys.getfilesystemencoding().lower() in ("ascii", "us-ascii", "ansi_x3.4-1968"):
        raise Restart({"PYTHONUTF8": "1"})


def _open_closed_streams() -> None:
    """Where a shell closed a stream, as with `>&-`, Python has none, and nobody hears what is said."""
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


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
        raise SystemExit(ExitCode.USAGE)
    if common.verb not in VERBS:
        from ftc.spec.language.did_you_mean import nearest

        meant = nearest(common.verb, VERBS)
        hint = f"; did you mean `{meant}`?" if meant else f"; one of {', '.join(VERBS)}"
        top.error(f"unknown verb `{common.verb}`{hint}")
    verb = VERBS[common.verb]
    parser = Parser(prog=f"ftc {verb.name}", description=f"{verb.help[0].upper()}{verb.help[1:]}.")
    verb.command.add_arguments(parser)
    add_color(parser, default=common.color)
    return parser.parse_args(common.rest, Namespace(verb=common.verb))


def _top_parser() -> Parser:
    width = max(map(len, VERBS)) + 2
    listed = "\n\n".join(
        "\n".join((f"{title}:", *(f"  {verb.name:<{width}}{verb.help}" for verb in group)))
        for title, group in GROUPS.items()
    )
    parser = Parser(
        prog="ftc",
        usage="ftc [--color WHEN] VERB ...",
        description="The fine-tuning compiler: a typed recipe, a plan that fits, a run that can be audited.",
        epilog=f"{listed}\n\n`ftc VERB --help` tells more. Start with `ftc init`.",
    )
    parser.add_argument("--version", action="version", version=f"ftc {ftc.__version__}")
    add_color(parser, default="auto")
    parser.add_argument("verb", nargs="?", help=SUPPRESS)
    parser.add_argument("rest", nargs=REMAINDER, help=SUPPRESS)
    return parser
