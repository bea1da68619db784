"""`ftc validate`: text, schema and rules of recipes, in the time that it takes to read them."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser
from ftc.cli.terminal import show_diagnostics, write

if TYPE_CHECKING:
    from ftc.spec.diagnostics import Diagnostic

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("recipes", nargs="+", metavar="RECIPE", help="recipes to check")
    parser.add_argument(
        "--format",
        choices=("text", "json", "sarif", "github"),
        help="default: text, or github in a GitHub workflow",
    )
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")


def run(args: Namespace) -> int:
    """Tells everything that is wrong at once; the exit code is that of the first error."""
    from ftc import api
    from ftc.spec.diagnostics import Refusal

    checked = [api.validate(recipe) for recipe in args.recipes]
    found = [one for result in checked for one in result.diagnostics]
    sources = {file: lines for result in checked for file, lines in result.sources.items()}
    errors = [one for one in found if one.is_error]
    form = args.format or ("github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text")
    if form == "text":
        _tell(args, found, sources, is_valid=not errors)
    else:
        write(_rendered(found, form))
    return Refusal(errors).exit_code if errors else 0


def _tell(
    args: Namespace, found: Sequence[Diagnostic], sources: Mapping[str, Sequence[str]], *, is_valid: bool
) -> None:
    show_diagnostics(found, sources, args, "" if is_valid else "Nothing was loaded, nothing was written.")
    if is_valid:
        sys.stdout.writelines(f"{recipe} is valid.\n" for recipe in args.recipes)


def _rendered(found: Sequence[Diagnostic], form: str) -> str:
    from ftc.views import diagnostics

    match form:
        case "json":
            return diagnostics.render_json(found)
        case "sarif":
            return diagnostics.render_sarif(found)
        case _:
            return diagnostics.render_github(found)
