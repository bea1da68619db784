"""`ftc import`: a recipe from another tool's configuration, and a word on each of its keys."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser, add_json
from ftc.cli.inputs import STDOUT
from ftc.cli.terminal import page, print_json, show_diagnostics, write
from ftc.spec.documents.imported import TOOLS
from ftc.spec.exit_codes import ExitCode
from ftc.spec.tasks import TASKS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("file", metavar="FILE", help="the configuration: YAML or JSON")
    parser.add_argument("-o", "--output", metavar="RECIPE", help="write the recipe to a new file; `-` is the terminal")
    parser.add_argument("--from", dest="tool", choices=sorted(TOOLS), help="whose it is; default: what its keys tell")
    tasks = [task.name() for task in TASKS if task.CARD.is_imported]
    parser.add_argument("--task", choices=tasks, help="what the rows are, where no key tells")
    parser.add_argument("--data", metavar="FILE", help="the rows, in place of those that the configuration names")
    parser.add_argument("--hub-file", metavar="FILE", help="which file of its data set on the hub holds the rows")
    parser.add_argument("--base", metavar="MODEL", help="the base model, in place of the one that it names")
    add_json(parser, "print the recipe and the fate of every key as JSON")


def run(args: Namespace) -> int:
    """Prints or writes the recipe, and the report on standard error; 3 where no recipe comes out."""
    from ftc import api
    from ftc.spec.diagnostics import Refusal
    from ftc.views.imported import imported_json, imported_text

    output = None if args.output == STDOUT else args.output
    result = api.import_recipe(
        args.file,
        output=output,
        tool=args.tool,
        task=args.task,
        data=args.data,
        hub_file=args.hub_file,
        base=args.base,
    )
    if args.json:
        print_json(imported_json(result))
        return Refusal(result.reasons).exit_code if result.reasons else ExitCode.FINE
    sys.stderr.write(imported_text(result, page=page(sys.stderr, args)))
    if result.recipe is None:
        sys.stderr.write("\n")
        show_diagnostics(result.reasons, {result.file: result.lines}, args, "No recipe was written.")
        return Refusal(result.reasons).exit_code
    write(f"Wrote {output}. Next: `ftc plan {output}`\n" if output else result.recipe)
    return ExitCode.FINE
