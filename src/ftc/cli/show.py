"""`ftc show`: a run or a saved plan."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser, add_json
from ftc.cli.results import run_json, show_run
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("target", metavar="RUN|PLAN", help="a run's id, its beginning or its folder; or a plan's file")
    parser.add_argument("--origins", action="store_true", help="list every value of the plan and where it came from")
    add_json(parser)


def run(args: Namespace) -> int:
    """Shows what the target is."""
    from ftc import api

    if args.target.endswith(".json"):
        _show_plan(api.load_plan(args.target), args)
        return ExitCode.FINE
    found = api.find_run(args.target)
    if args.origins and not args.json:
        _show_origins(found.plan, args)
    elif args.json:
        print_json(run_json(found))
    else:
        show_run(found, args)
    return ExitCode.FINE


def _show_plan(plan: Plan, args: Namespace) -> None:
    from ftc.views.plan import plan_text

    if args.json:
        write(plan.to_text())
    elif args.origins:
        _show_origins(plan, args)
    else:
        write(plan_text(plan, hint=f"`ftc apply {args.target}` runs it.", page=page(sys.stdout, args)))


def _show_origins(plan: Plan, args: Namespace) -> None:
    from ftc.views.plan import origins_text

    write(origins_text(plan, page=page(sys.stdout, args)))
