"""`ftc eval`: a finished run measured once more, on its test split or on a file of one's own."""

from __future__ import annotations

import gc
import sys
from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser
from ftc.cli.following import following
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.verbs.evaluate import Remeasured

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("run", metavar="RUN", help="a finished run: its folder or the beginning of its name")
    parser.add_argument("--data", metavar="FILE", help="rows to measure on, with the run's columns (its test split)")
    parser.add_argument("--harness", metavar="TASK,…", help="tasks of the lm-evaluation-harness instead of rows")
    parser.add_argument("--tasks", metavar="FOLDER", help="further such tasks; Python that they name is run")
    parser.add_argument("--limit", metavar="N", type=_count, help="rows of such a task at most (all)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="form of the answer (text)")


def run(args: Namespace) -> int:
    """Measures it; a broken gate gives 7, as in `ftc apply`."""
    if problem := _misuse(args):
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    from ftc import api

    gc.enable()  # the command starts without; measuring may take hours
    args.json = False  # events go to standard error whatever the answer's form is
    if args.harness is not None:
        return _on_harness(args)
    with following(args) as listener:
        found = api.evaluate(args.run, data=args.data, on_event=listener)
    if args.format == "json":
        print_json(_json(found))
    else:
        from ftc.views.run import evaluation_text

        title = f"run {found.run.record.id} on {found.data or 'its test split'}"
        write(evaluation_text(found.plan, found.evaluation, title, page=page(sys.stdout, args)))
    return ExitCode.FINE if found.passed else ExitCode.GATE_FAILED


def _misuse(args: Namespace) -> str:
    if args.harness is None:
        names = [name for name in ("tasks", "limit") if getattr(args, name) is not None]
        return f"--{names[0]} is for --harness" if names else ""
    if args.data is not None:
        return "--harness brings rows of its own; leave out --data"
    return "" if args.harness.strip(", ") else "--harness names no task"


def _count(text: str) -> int:
    """A number of rows.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"`{text}` is no number of rows")
    return int(text)


def _on_harness(args: Namespace) -> int:
    from ftc import api

    tasks = [name.strip() for name in args.harness.split(",") if name.strip()]
    with following(args) as listener:
        found = api.evaluate_on_harness(args.run, tasks, task_folder=args.tasks, limit=args.limit, on_event=listener)
    if args.format == "json":
        print_json(found.to_json())
    else:
        from ftc.views.comparison import harness_text

        write(harness_text(found, page(sys.stdout, args)))
    return ExitCode.FINE


def _json(found: Remeasured) -> dict[str, object]:
    return {
        "run": found.run.record.id,
        "data": found.data,
        "stream_sha256": found.plan.data["test"].stream_digest,
        "passed": found.passed,
        "evaluation": found.evaluation.to_json(),
    }
