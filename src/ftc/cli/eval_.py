"""`ftc eval`: a finished run measured once more, on its test split or on a file of one's own."""

from __future__ import annotations

import gc
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser
from ftc.cli.following import following
from ftc.cli.terminal import page, print_json, write

if TYPE_CHECKING:
    from ftc.measuring import Remeasured

__all__ = ["add_arguments", "run"]

_GATE_FAILED = 7


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("run", metavar="RUN", help="a finished run: its folder or the beginning of its name")
    parser.add_argument("--data", metavar="FILE", help="rows to measure on, with the run's columns (its test split)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="form of the answer (text)")


def run(args: Namespace) -> int:
    """Measures it; a broken gate gives 7, as in `ftc apply`."""
    from ftc import api

    gc.enable()  # the command starts without; measuring may take hours
    args.json = False  # events go to standard error whatever the answer's form is
    with following(args) as listener:
        found = api.evaluate(args.run, data=args.data, on_event=listener)
    if args.format == "json":
        print_json(_json(found))
    else:
        from ftc.views.run import evaluation_text

        title = f"run {found.run.record.id} on {found.data or 'its test split'}"
        write(evaluation_text(found.plan, found.evaluation, title, page=page(sys.stdout, args)))
    return 0 if found.passed else _GATE_FAILED


def _json(found: Remeasured) -> dict[str, object]:
    return {
        "run": found.run.record.id,
        "data": found.data,
        "stream_sha256": found.plan.data["test"].stream_digest,
        "passed": found.passed,
        "evaluation": found.evaluation.to_json(),
    }
