"""`ftc validate`: text, schema and rules of recipes, in the time that it takes to read them."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser, add_overrides
from ftc.cli.inputs import STDIN, recipes_in, stdin_text
from ftc.cli.terminal import show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.spec.diagnostics import Diagnostic

    Findings = tuple[Sequence[Diagnostic], Mapping[str, Sequence[str]]]
    """What is found in one recipe, and the lines that places point into."""

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "recipes",
        nargs="+",
        metavar="RECIPE",
        help="recipes to check; of a folder all below it; `-` for standard input",
    )
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

    if fault := _fault_of_usage(args):
        sys.stderr.write(f"error: {fault}\n")
        return ExitCode.USAGE
    recipes = list(recipes_in(args.recipes))
    if not recipes:
        sys.stderr.write(f"error: no recipe below {', '.join(args.recipes)}; a recipe says `ftc:` at its top level\n")
        return ExitCode.COULD_NOT_WORK
    results, unread = _looked_at(recipes, args)
    found = [one for diagnostics, _ in results.values() for one in diagnostics]
    sources = {file: lines for _, files in results.values() for file, lines in files.items()}
    errors = [one for one in found if one.is_error]
    form = args.format or ("github" if os.environ.get("GITHUB_ACTIONS") == "true" and not args.diff else "text")
    if form == "text":
        show_diagnostics(found, sources, args, _closing(args, recipes, found) if errors else "")
        _name_valid_ones(args, results)
    else:
        write(_rendered(found, form))
    sys.stderr.writelines(f"error: {name}: {reason}\n" for name, reason in unread.items())
    return ExitCode.COULD_NOT_WORK if unread else Refusal(errors).exit_code if errors else ExitCode.FINE


def _fault_of_usage(args: Namespace) -> str | None:
    if args.diff and args.format not in (None, "text"):
        return f"`--diff` prints text, not {args.format}"
    if (args.diff or args.fix) and STDIN in args.recipes:
        return f"`--{'diff' if args.diff else 'fix'}` needs a file; `-` is standard input"
    return None


def _looked_at(recipes: Sequence[str], args: Namespace) -> tuple[dict[str, Findings], dict[str, str]]:
    """What is found in each recipe, and why others can't be read: one of them stops none of the others."""
    look = _difference if args.diff else _fixed if args.fix else _checked
    results: dict[str, Findings] = {}
    unread: dict[str, str] = {}
    for recipe in recipes:
        try:
            results[recipe] = look(recipe, args)
        except OSError as error:
            unread[str(error.filename or recipe)] = error.strerror or str(error)
    return results, unread


def _name_valid_ones(args: Namespace, results: Mapping[str, Findings]) -> None:
    if args.diff:
        return
    for recipe, (found, _) in results.items():
        if not any(one.is_error for one in found):
            sys.stdout.write(f"{'standard input' if recipe == STDIN else recipe} is valid.\n")


def _checked(recipe: str, args: Namespace) -> Findings:
    from ftc.verbs import text  # beside it, `ftc.api` would load every other verb

    if recipe == STDIN:
        checked = text.validate("<stdin>", text=stdin_text(), overrides=args.overrides)
    else:
        checked = text.validate(recipe, overrides=args.overrides)
    return checked.diagnostics, checked.sources


def _fixed(recipe: str, args: Namespace) -> Findings:
    """Writes the fixes, names them, and gives what is found afterwards."""
    from ftc.verbs import text  # beside it, `ftc.api` would load every other verb

    fixed = text.fix(recipe, overrides=args.overrides)
    sys.stderr.writelines(f"{recipe}: {title}\n" for title in fixed.fixes)
    return fixed.checked.diagnostics, fixed.checked.sources


def _difference(recipe: str, args: Namespace) -> Findings:
    """Shows the fixes as a diff, and gives what is found as long as nobody makes them."""
    from ftc.cli.terminal import page
    from ftc.spec.language.source import shown_lines
    from ftc.verbs import text  # beside it, `ftc.api` would load every other verb
    from ftc.views.difference import diff_text

    fixed = text.fix(recipe, overrides=args.overrides, write=False)
    before, after = shown_lines(fixed.before), shown_lines(fixed.after)
    write(diff_text(before, after, recipe, page=page(sys.stdout, args)))
    return _checked(recipe, args)


def _closing(args: Namespace, names: Sequence[str], found: Sequence[Diagnostic]) -> str:
    if args.fix and not args.diff:
        return "Nothing was loaded."
    recipes = {os.path.normpath(recipe) for recipe in names}
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
