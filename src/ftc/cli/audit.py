"""`ftc audit`: whether a run is still what its record says, and whether it comes out the same again."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser, add_json
from ftc.cli.terminal import page, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.verbs.audit import StepListener

__all__ = ["add_arguments", "run"]

_OF_A_REPLAY = ("steps", "first", "last")
_FEWEST_SEEDS, _MOST_SEEDS = 3, 10


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run's id, its beginning or its folder")
    parser.add_argument(
        "--level",
        choices=("static", "replay", "full"),
        default="static",
        help="static: compare files; replay: train some steps again; full: do the whole plan again",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="steps of a replay; 20 where not given")
    parser.add_argument("--from", type=int, dest="first", metavar="STEP", help="begin at this checkpoint")
    parser.add_argument("--to", type=int, dest="last", metavar="STEP", help="end at this step")
    parser.add_argument("--threads", type=int, metavar="N", help="threads inside an operation, instead of the run's")
    parser.add_argument("--force", action="store_true", help="execute even on a machine of another class")
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="with full: do the plan N times with other seeds, and compare the scores"
    )
    add_json(parser)


def run(args: Namespace) -> int:
    """Shows the report; the exit code is the verdict's."""
    if problem := _misuse(args):
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    from ftc import api
    from ftc.views.audit import audit_text

    report = api.audit(
        args.target,
        level=args.level,
        first=args.first or 0,
        last=args.last,
        **({"steps": args.steps} if args.steps else {}),
        threads=args.threads,
        force=args.force,
        seeds=args.seeds or 0,
        on_step=_progress(args),
    )
    if args.json:
        write(report.to_text())
    else:
        write(audit_text(report, page=page(sys.stdout, args)))
    return report.exit_code


def _misuse(args: Namespace) -> str | None:
    """What can't go together, in words."""
    given = [f"--{'from' if name == 'first' else 'to' if name == 'last' else name}" for name in _OF_A_REPLAY]
    used = [flag for flag, name in zip(given, _OF_A_REPLAY, strict=True) if getattr(args, name) is not None]
    if used and args.level != "replay":
        return f"{', '.join(used)} goes with --level replay"
    if args.level == "static" and (args.threads is not None or args.force):
        return "--threads and --force go with --level replay or full: static executes nothing"
    if args.seeds is not None and (
        args.level != "full" or args.force or not _FEWEST_SEEDS <= args.seeds <= _MOST_SEEDS
    ):
        return f"--seeds takes {_FEWEST_SEEDS} to {_MOST_SEEDS}, goes with --level full, and needs no --force"
    if args.steps is not None and args.last is not None:
        return "--steps and --to both say where the replay ends"
    if any(value is not None and value < 1 for value in (args.steps, args.threads)):
        return "--steps and --threads are at least 1"
    return None


def _progress(args: Namespace) -> StepListener | None:
    """A line on a terminal that tells how far the replay has come."""
    import os

    from ftc.cli.terminal import is_interactive

    if args.json or not is_interactive(sys.stderr, os.environ):
        return None

    def tell(step: int, last: int) -> None:
        sys.stderr.write(f"\r{args.level:<10}step {step:,}/{last:,}" + ("\r\033[K" if step == last else ""))
        sys.stderr.flush()

    return tell
