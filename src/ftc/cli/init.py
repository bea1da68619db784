"""`ftc init`: a recipe to start from."""

from __future__ import annotations

from argparse import Namespace

from ftc.cli.arguments import Parser
from ftc.cli.terminal import write
from ftc.spec.exit_codes import ExitCode
from ftc.spec.tasks import TASKS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("file", nargs="?", default="recipe.yaml", metavar="FILE", help="default: recipe.yaml")
    tasks = [task.name() for task in TASKS]
    parser.add_argument("--task", choices=tasks, help="default: what the columns of `--data` tell, or classification")
    parser.add_argument("--data", metavar="FILE", help="the rows; their columns are filled in")
    parser.add_argument("--base", metavar="MODEL", help="the base model: a folder, or an id on the hub")


def run(args: Namespace) -> int:
    """Writes the recipe; a file that exists stays as it is."""
    from pathlib import Path

    from ftc import api

    data = Path(args.data) if args.data else None
    written = api.init(Path(args.file), task=args.task, data=data, base=args.base)
    write(f"Wrote {written}. Next: `ftc plan {written}`\n")
    return ExitCode.FINE
