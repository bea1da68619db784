"""`ftc fmt`: recipes in their usual layout."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser
from ftc.cli.inputs import STDIN, stdin_text
from ftc.cli.terminal import write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="recipes, or parts of them; `-` lays out standard input"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 2 where a file would change")
    parser.add_argument("--diff", action="store_true", help="the same, and show what would change")


def run(args: Namespace) -> int:
    """Lays out each file, and names those that changed or would; one that can't be read stops none of the others."""
    from ftc.spec.diagnostics import Refusal

    refusals: list[Refusal] = []
    num_changed = 0
    for file in args.files:
        try:
            num_changed += _is_changed(file, args)
        except Refusal as refusal:
            refusals.append(refusal)
    if refusals:
        whole = Refusal(found for refusal in refusals for found in refusal.diagnostics)
        whole.sources = {file: lines for refusal in refusals for file, lines in refusal.sources.items()}
        raise whole
    return ExitCode.CHANGES if num_changed and _is_trial(args) else ExitCode.FINE


def _is_trial(args: Namespace) -> bool:
    return bool(args.check or args.diff)


def _is_changed(file: str, args: Namespace) -> bool:
    """Lays out one file, or only looks, and tells whether that makes a difference."""
    from ftc.verbs import text  # beside it, `ftc.api` would load every other verb

    if file == STDIN:
        before, after = text.format("<stdin>", text=stdin_text())
        if not _is_trial(args):
            write(after.decode("utf-8"))
            return False
    else:
        before, after = text.format(file, write=not _is_trial(args))
    if before == after:
        return False
    if args.diff:
        _show(file, before, after, args)
    sys.stderr.write(f"{file}: {'would change' if _is_trial(args) else 'changed'}\n")
    return True


def _show(file: str, before: bytes, after: bytes, args: Namespace) -> None:
    from ftc.cli.terminal import page
    from ftc.spec.language.source import shown_lines
    from ftc.views.difference import diff_text

    write(diff_text(shown_lines(before), shown_lines(after), file, page=page(sys.stdout, args)))
