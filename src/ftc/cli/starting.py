"""The verb that starts: `init`, a recipe for rows as they are."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from importlib.util import find_spec

from ftc.cli.arguments import Command, Example, Parser
from ftc.cli.terminal import is_interactive, page, print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["COMMANDS"]


def init_arguments(parser: Parser) -> None:
    from ftc.spec.tasks import TASKS

    parser.add_argument("file", nargs="?", default="recipe.yaml", metavar="FILE", help="default: recipe.yaml")
    tasks = [task.name() for task in TASKS]
    parser.add_argument(
        "--task", choices=tasks, metavar="KIND", help="default: from the columns of `--data`, or classification"
    )
    about = (
        "the rows; their columns are filled in. Also a folder of files, or a pattern such as 'parts/*.csv' in quotes"
    )
    parser.add_argument("--data", metavar="FILE", help=about)
    parser.add_argument("--base", metavar="MODEL", help="the base model: a folder, or an id on the hub")
    parser.add_argument(
        "--no-calibrate",
        action="store_true",
        help="do not benchmark this machine, which `init --data` does once in a terminal (about a minute)",
    )


def run_init(args: Namespace) -> int:
    """Writes the recipe; a file that exists stays as it is. In a terminal an unknown machine is benchmarked, too."""
    from pathlib import Path

    from ftc import api

    data = Path(args.data) if args.data else None
    started = api.init(Path(args.file), task=args.task, data=data, base=args.base)
    if args.json:
        print_json(started.to_json())
        return ExitCode.FINE
    from ftc.views.started import next_step, started_text

    look = page(sys.stdout, args)
    write(started_text(started, page=look))
    is_calibrated = started.is_calibrated or _calibrates(args)
    write(next_step(started, is_calibrated=is_calibrated, page=look))
    return ExitCode.FINE


def _calibrates(args: Namespace) -> bool:
    """Benchmarks this machine where somebody watches and torch is there; a failure or Ctrl-C costs nothing else."""
    if args.no_calibrate or not args.data or not is_interactive(sys.stdout, os.environ) or not find_spec("torch"):
        return False
    from ftc import api
    from ftc.spec.diagnostics import Refusal

    write("\nMeasuring this machine once, so that plans estimate time: about a minute; Ctrl-C skips it …\n")
    try:
        api.calibrate()
    except (Refusal, OSError, KeyboardInterrupt):
        return False
    return True


COMMANDS: dict[str, Command] = {
    "init": Command(
        init_arguments,
        run_init,
        examples=(
            Example("ftc init --data data/tickets.csv", "recipe.yaml, filled in from the columns"),
            Example("ftc init chat.yaml --task chat", "a starter for another task, in another file"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
