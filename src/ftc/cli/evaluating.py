"""`ftc run eval`: a finished run measured again, here, on a harness's tasks or on a server."""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace

from ftc.cli.arguments import RUN, Command, Example, Parser, add_offline, add_quiet, count_of
from ftc.cli.output import following
from ftc.cli.serving import add_server_arguments, on_server, server_misuse
from ftc.cli.terminal import page, print_json, show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["COMMANDS"]


def eval_arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help=f"a finished run: {RUN}")
    parser.add_argument("--data", metavar="FILE", help="rows to measure on, with the run's columns (its test split)")
    parser.add_argument("--harness", metavar="TASK,…", help="tasks of the lm-evaluation-harness instead of rows")
    parser.add_argument("--tasks", metavar="FOLDER", help="further such tasks; Python that they name is run")
    parser.add_argument("--limit", metavar="N", type=count_of("rows"), help="rows of such a task at most (all)")
    add_server_arguments(parser)
    add_offline(parser)
    add_quiet(parser, "show no progress")


def run_eval(args: Namespace) -> int:
    """Measures it; a broken gate gives 7, as in `ftc apply`."""
    if problem := _eval_misuse(args):
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    from ftc import api

    gc.enable()  # the command starts without; measuring may take hours
    if args.server is not None:
        return on_server(args)
    if args.harness is not None:
        return _on_harness(args)
    with following(args) as listener:
        found = api.evaluate(args.run, data=args.data, on_event=listener)
    show_diagnostics(found.findings, {}, args)
    if args.json:
        print_json(
            {
                "run": found.run.record.id,
                "data": found.data,
                "stream_sha256": found.plan.data["test"].stream_digest,
                "passed": found.passed,
                "left_out": list(found.left_out),
                "evaluation": found.evaluation.to_json(),
            }
        )
    else:
        from ftc.views.run import evaluation_text

        title = f"run {found.run.record.id} on {found.data or 'its test split'}"
        text = evaluation_text(found.plan, found.evaluation, title, found.left_out, page=page(sys.stdout, args))
        write(text)
    return ExitCode.FINE if found.passed else ExitCode.GATE_FAILED


def _eval_misuse(args: Namespace) -> str:
    if problem := server_misuse(args):
        return problem
    if args.harness is None:
        names = [name for name in ("tasks", "limit") if getattr(args, name) is not None]
        return f"--{names[0]} is for --harness" if names else ""
    if args.data is not None:
        return "--harness brings rows of its own; leave out --data"
    return "" if args.harness.strip(", ") else "--harness names no task"


def _on_harness(args: Namespace) -> int:
    from ftc import api

    if args.offline:  # the harness's libraries ask for these as they are imported
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    tasks = [name.strip() for name in args.harness.split(",") if name.strip()]
    with following(args) as listener:
        found = api.evaluate_on_harness(args.run, tasks, task_folder=args.tasks, limit=args.limit, on_event=listener)
    if args.json:
        print_json(found.to_json())
    else:
        from ftc.views.comparison import harness_text

        write(harness_text(found, page(sys.stdout, args)))
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "run eval": Command(
        eval_arguments,
        run_eval,
        examples=(
            Example("ftc run eval 3f2a --data new.csv", "on rows of your own; gates exit with 7"),
            Example("ftc run eval 3f2a --harness arc_easy,boolq --limit 100", "on tasks of the lm-evaluation-harness"),
            Example("ftc run eval 3f2a --server http://127.0.0.1:8000/v1", "a server that should serve its model"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
