"""`ftc validate`: text, schema and rules of recipes, in the time that it takes to read them."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ftc.cli.arguments import USAGE_ERROR, Parser, add_overrides
from ftc.cli.terminal import show_diagnostics, write

if TYPE_CHECKING:
    from ftc.spec.diagnostics import Diagnostic

    Findings = tuple[Sequence[Diagnostic], Mapping[str, Sequence[str]]]
    """What is found in one recipe, and the lines that places point into."""

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("recipes", nargs="+", metavar="RECIPE", help="recipes to check")
    add_overrides(parser)
    parser.add_argument("--fix", action="store_true", help="make the safe fixes in the files, then check what is left")
    parser.add_argument("--diff", action="store_true", help="show what --fix would change, and write nothing")
    parser.add_argument(
        "--format",
        choices=("text", "json", "sarif", "github"),
        help="default: text, or github in a GitHub workflow",
    )
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")


def run(args: Namespace) -> int:
    """Tells everything that is wrong at once; the exit code is that of the first error."""
    from ftc.spec.diagnostics import Refusal

    if args.diff and args.format not in (None, "text"):
        sys.stderr.write(f"error: `--diff` prints text, not {args.format}\n")
        return USAGE_ERROR
    look = _difference if args.diff else _fixed if args.fix else _checked
    results = [look(recipe, args) for recipe in args.recipes]
    found = [one for diagnostics, _ in results for one in diagnostics]
    sources = {file: lines for _, files in results for file, lines in files.items()}
    errors = [one for one in found if one.is_error]
    form = args.format or ("github" if os.environ.get("GITHUB_ACTIONS") == "true" and not args.diff else "text")
    if form == "text":
        _tell(args, found, sources, is_valid=not errors)
    else:
        write(_rendered(found, form))
    return Refusal(errors).exit_code if errors else 0


def _checked(recipe: str, args: Namespace) -> Findings:
    from ftc import api

    checked = api.validate(recipe, overrides=args.overrides)
    return checked.diagnostics, checked.sources


def _fixed(recipe: str, args: Namespace) -> Findings:
    """Writes the fixes, names them, and gives what is found afterwards."""
    from ftc import api

    mended = api.fix(recipe, overrides=args.overrides)
    sys.stderr.writelines(f"{recipe}: {title}\n" for title in mended.fixes)
    return mended.checked.diagnostics, mended.checked.sources


def _difference(recipe: str, args: Namespace) -> Findings:
    """Shows the fixes as a diff, and gives what is found as long as nobody makes them."""
    from ftc import api
    from ftc.cli.terminal import page
    from ftc.spec.source import shown_lines
    from ftc.views.changes import diff_text

    mended = api.fix(recipe, overrides=args.overrides, write=False)
    before, after = shown_lines(mended.before), shown_lines(mended.after)
    write(diff_text(before, after, recipe, page=page(sys.stdout, args)))
    return _checked(recipe, args)


def _tell(
    args: Namespace, found: Sequence[Diagnostic], sources: Mapping[str, Sequence[str]], *, is_valid: bool
) -> None:
    show_diagnostics(found, sources, args, "" if is_valid else _closing(args, found))
    if is_valid and not args.diff:
        sys.stdout.writelines(f"{recipe} is valid.\n" for recipe in args.recipes)


def _closing(args: Namespace, found: Sequence[Diagnostic]) -> str:
    if args.fix and not args.diff:
        return "Nothing was loaded."
    recipes = {os.path.normpath(recipe) for recipe in args.recipes}
    safe = [fix for one in found for fix in one.fixes if fix.safe]
    is_fixable = not args.diff and any(edit.span.file in recipes for fix in safe for edit in fix.edits)
    return "Nothing was loaded, nothing was written." + " `--fix` mends some." * is_fixable


def _rendered(found: Sequence[Diagnostic], form: str) -> str:
    from ftc.views import diagnostics

    match form:
        case "json":
            return diagnostics.render_json(found)
        case "sarif":
            return diagnostics.render_sarif(found)
        case _:
            return diagnostics.render_github(found)
