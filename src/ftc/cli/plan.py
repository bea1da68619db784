"""`ftc plan`: everything that a run would do, decided and written down."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser, add_force, add_json, add_overrides, add_waive
from ftc.cli.following import tracing
from ftc.cli.results import show_planned
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.api import Planned

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help="the recipe")
    add_overrides(parser)
    add_waive(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="save the plan for `ftc apply FILE`; ends in .json")
    add_force(parser)
    parser.add_argument("--origins", action="store_true", help="list every value and where it came from")
    parser.add_argument("--locked", action="store_true", help="refuse where the lock file would change")
    parser.add_argument("--no-trace", action="store_true", help="estimate a card's memory by formula, without torch")
    parser.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help="exit with 2 where something is to be done or moved; the lock file stays as it is",
    )
    parser.add_argument(
        "--refresh-only", action="store_true", help="tell what moved under the lock, here and upstream; change nothing"
    )
    parser.add_argument("--offline", action="store_true", help="use only what is on this machine")
    add_json(parser)


def run(args: Namespace) -> int:
    """Plans, saves the plan where asked to, and shows it."""
    if problem := _misuse(args):
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    from ftc import api
    from ftc.verbs.policy import waivers_of

    if args.refresh_only:
        return _refresh(args)
    with tracing(args) as tell:
        planned = api.plan(
            args.recipe,
            overrides=args.overrides,
            locked=args.locked,
            keep_lock=args.detailed_exitcode,
            offline=args.offline,
            trace=not args.no_trace,
            on_trace=tell,
            waive=waivers_of(args.waive),
        )
    if args.output:
        planned = api.save_plan(planned, args.output, force=args.force)
    _show(planned, args)
    is_settled = _is_done(planned) and (planned.lock_state == "up to date" or bool(args.overrides))
    return ExitCode.CHANGES if args.detailed_exitcode and not is_settled else ExitCode.FINE


def _misuse(args: Namespace) -> str | None:
    """What can't go together, or would be of no use, in words."""
    if args.output and not args.output.endswith(".json"):
        return f"`{args.output}`: a saved plan is a .json file, by which `ftc apply` tells it from a recipe"
    plans = {
        "--set or --set-file": args.overrides,
        "--waive": args.waive,
        "-o": args.output,
        "--force": args.force,
        "--origins": args.origins,
        "--locked": args.locked,
        "--no-trace": args.no_trace,
    }
    if args.refresh_only and (given := [flag for flag, value in plans.items() if value]):
        return f"--refresh-only makes no plan; leave out {', '.join(given)}"
    return None


def _show(planned: Planned, args: Namespace) -> None:
    if args.json:
        print_json(_json(planned))
        return
    saved = f"Saved; `ftc apply {args.output}` runs it." if args.output else "Not saved; -o FILE saves it for apply."
    show_planned(planned, args, hint="" if _is_done(planned) and not args.output else saved, stream=sys.stdout)
    if args.origins:
        from ftc.views.plan import origins_text

        write("\n" + origins_text(planned.plan, page=page(sys.stdout, args)))


def _refresh(args: Namespace) -> int:
    from ftc import api

    found = api.drift(args.recipe, offline=args.offline)
    if args.json:
        print_json(found.to_json())
    else:
        lines = [*(f"  ~ {line}" for line in found.here), *(f"  ^ {line}  upstream" for line in found.upstream)]
        lines += [f"  not checked: {line}" for line in found.not_checked]
        write("\n".join([f"{found.lock}  {found.summary}", *lines]) + "\n")
    return ExitCode.CHANGES if args.detailed_exitcode and (found.here or found.upstream) else ExitCode.FINE


def _is_done(planned: Planned) -> bool:
    return planned.run is not None and planned.run.record.status in ("finished", "gate_failed")


def _json(planned: Planned) -> dict[str, object]:
    import json

    from ftc.views.diagnostics import render_json

    return {
        "plan": planned.plan.to_json(),
        "lock": {"file": str(planned.lock_file), "state": planned.lock_state, "changes": list(planned.lock_changes)},
        "run": planned.run.record.id if planned.run else None,
        "diagnostics": json.loads(render_json(planned.diagnostics))["diagnostics"],
    }
