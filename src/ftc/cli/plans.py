"""The verbs before a run: what it would be, whether it fits, and how fast this machine is."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import (
    Command,
    Example,
    Parser,
    add_detailed_exitcode,
    add_force,
    add_locked,
    add_offline,
    add_output,
    add_overrides,
    add_personal_data,
    add_quiet,
    add_recipe,
    add_waive,
    count_of,
)
from ftc.cli.output import planning, show_planned
from ftc.cli.terminal import page, print_json, show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.api import Planned
    from ftc.compiler.lock.renew import Relocked

__all__ = ["COMMANDS"]


def plan_arguments(parser: Parser) -> None:
    add_recipe(parser)
    add_overrides(parser)
    add_waive(parser)
    add_output(parser, "save the plan for `ftc apply FILE`; ends in .json")
    add_force(parser)
    parser.add_argument("--origins", action="store_true", help="list every value and where it came from")
    add_locked(parser)
    parser.add_argument("--no-trace", action="store_true", help="estimate a GPU's memory by formula, without torch")
    add_detailed_exitcode(parser, "something has to be done, or has moved; leave the lock file as it is")
    parser.add_argument(
        "--refresh-only", action="store_true", help="show what moved under the lock, here and upstream; change nothing"
    )
    about = "processes that check and tokenize rows on Linux, with the same result (one for each core)"
    parser.add_argument("--jobs", type=count_of("processes"), metavar="N", help=about)
    add_offline(parser)
    add_quiet(parser)


def run_plan(args: Namespace) -> int:
    """Plans, saves the plan where asked to, and shows it."""
    if problem := _plan_misuse(args):
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    from ftc import api
    from ftc.compiler.resolve.rows.in_processes import with_jobs
    from ftc.verbs.policy import waivers_of

    if args.refresh_only:
        return _refresh(args)
    with planning(args) as tell, with_jobs(args.jobs):
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
    _plan_show(planned, args)
    is_settled = _plan_is_done(planned) and (planned.lock_state == "up to date" or bool(args.overrides))
    return ExitCode.CHANGES if args.detailed_exitcode and not is_settled else ExitCode.FINE


def _plan_misuse(args: Namespace) -> str | None:
    """What can't go together, or would be of no use, in words."""
    if args.output and not args.output.endswith(".json"):
        return f"`{args.output}`: a saved plan is a .json file, so that `ftc apply` can distinguish it from a recipe"
    plans = {
        "--set or --set-file": args.overrides,
        "--waive": args.waive,
        "-o": args.output,
        "--force": args.force,
        "--origins": args.origins,
        "--locked": args.locked,
        "--no-trace": args.no_trace,
        "--jobs": args.jobs,
    }
    if args.refresh_only and (given := [flag for flag, value in plans.items() if value]):
        return f"--refresh-only makes no plan; leave out {', '.join(given)}"
    return None


def _plan_show(planned: Planned, args: Namespace) -> None:
    if args.json:
        print_json(_plan_json(planned))
        return
    if args.origins:
        from ftc.views.plan import origins_text

        write(origins_text(planned.plan, page=page(sys.stdout, args)) + "\n")
    hint = _hint_of_saved(planned, args.output) if args.output else "Not saved; -o FILE saves it for apply."
    show_planned(planned, args, hint="" if _plan_is_done(planned) and not args.output else hint, stream=sys.stdout)


def _hint_of_saved(planned: Planned, file: str) -> str:
    from pathlib import Path

    from ftc.compiler.resolve.files.safe_files import project_root

    if project_root(Path(file)) == planned.root.resolve():
        return f"Saved; `ftc apply {file}` runs it."
    return f"Saved outside of its project; to run it, move it to {planned.root.resolve()}."


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


def _plan_is_done(planned: Planned) -> bool:
    return planned.run is not None and planned.run.record.is_finished


def _plan_json(planned: Planned) -> dict[str, object]:
    import json

    from ftc.views.diagnostics import render_json

    return {
        "plan": planned.plan.to_json(),
        "lock": {"file": str(planned.lock_file), "state": planned.lock_state, "changes": list(planned.lock_changes)},
        "run": planned.run.record.id if planned.run else None,
        "diagnostics": json.loads(render_json(planned.diagnostics))["diagnostics"],
    }


def lock_arguments(parser: Parser) -> None:
    add_recipe(parser)
    add_overrides(parser)
    add_locked(parser)
    add_detailed_exitcode(parser, "the lock is stale, and write nothing", alias="--check")
    parser.add_argument(
        "--upgrade", action="store_true", help="look up every model and data set on the hub, and every address, again"
    )
    parser.add_argument(
        "--upgrade-package",
        action="append",
        default=[],
        metavar="NAME",
        help="let only NAME move: model, rows, validation, test, or an installed package; repeatable",
    )
    parser.add_argument("--migrate", action="store_true", help="bring a lock of an older format up to this one")
    add_offline(parser)
    add_quiet(parser, "show only findings, and whether the lock changed")


def run_lock(args: Namespace) -> int:
    """Locks, and tells what moved."""
    from ftc import api

    moves = bool(args.upgrade) + bool(args.upgrade_package)
    is_check = args.detailed_exitcode or args.locked
    if is_check and (moves or args.migrate):
        flag = "--locked" if args.locked else "--detailed-exitcode"
        sys.stderr.write(f"error: `{flag}` changes nothing; leave out `--upgrade`, `--upgrade-package`, `--migrate`\n")
        return ExitCode.USAGE
    if args.overrides and (moves or args.migrate):
        sys.stderr.write("error: with `--set` the lock stays as it is; leave out what would change it\n")
        return ExitCode.USAGE
    if moves > 1:
        sys.stderr.write("error: `--upgrade` names everything; leave out `--upgrade-package`\n")
        return ExitCode.USAGE
    with planning(args):
        found = api.lock(
            args.recipe,
            overrides=args.overrides,
            check=is_check,
            upgrade=True if args.upgrade else args.upgrade_package,
            migrate=args.migrate,
            offline=args.offline,
        )
    show_diagnostics(found.diagnostics, {}, args)
    if args.json:
        print_json(
            {
                "schema": "ftc.locked/1",
                "file": str(found.file),
                "state": "migrated" if found.was_older else _state(found),
                "changes": list(found.changes),
                "not_checked": list(found.not_checked),
            }
        )
    else:
        left = "; left as it is: --set is a variation" if args.overrides and found.changes else ""
        lines = [f"{found.file.name}  {_state(found)}{left}"]
        if found.old is not None and not found.was_older and not args.quiet:
            lines += [f"  ~ {line}" for line in found.changes]
        lines += [f"  not checked: {line}" for line in found.not_checked if not args.quiet]
        write("\n".join(lines) + "\n")
    return ExitCode.FINE


def _state(found: Relocked) -> str:
    if found.old is None:
        return "new"
    if found.was_older:
        return "migrated; what it pins stays"
    return "changed" if found.changes else "up to date"


def tokens_arguments(parser: Parser) -> None:
    add_recipe(parser)
    parser.add_argument(
        "--row",
        type=_row,
        action="append",
        default=[],
        metavar="ROW",
        help="a row by file and line, such as data/tickets.csv:38, or by its number from 1; default: three rows",
    )
    parser.add_argument(
        "--split",
        default="train",
        metavar="PART",
        help="train (default), validation, test, or a prompt baseline such as few_shot_4; "
        "that test rows were shown is recorded",
    )
    parser.add_argument("--ids", action="store_true", help="list each token with its id")
    add_overrides(parser)
    add_locked(parser)
    add_offline(parser)
    add_quiet(parser, "show the rows without the plan's warnings")
    add_personal_data(parser)


def _row(text: str) -> int | str:
    """A row's number, or its name."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else text


def run_tokens(args: Namespace) -> int:
    """Plans the recipe, leaves its lock alone, and shows rows of its streams."""
    from ftc import api

    with planning(args):
        planned = api.plan(
            args.recipe, overrides=args.overrides, locked=args.locked, offline=args.offline, keep_lock=True
        )
    found = api.tokens(planned, split=args.split, rows=args.row)
    if args.json:
        print_json(found.to_json())
        return ExitCode.FINE
    from ftc.views.tokens import tokens_text

    if not args.quiet:
        show_diagnostics(planned.diagnostics, planned.sources, args)
    write(
        tokens_text(found, listed=args.ids, shows_personal_data=args.shows_personal_data, page=page(sys.stdout, args))
    )
    return ExitCode.FINE


def devices_arguments(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="the same as `ftc device show NAME`")


def device_arguments(parser: Parser) -> None:
    parser.add_argument("name", metavar="DEVICE", help="a device of `ftc device list`, such as rtx-4090")


def run_devices(args: Namespace) -> int:
    """Lists the catalog with this machine's device first, or shows one device.

    Raises:
        Refusal: There is no such device.
    """
    from ftc import api
    from ftc.views.devices import device_text, devices_text

    if args.name is not None:
        device = api.device(args.name)
        if args.json:
            print_json(device.to_json())
        else:
            write(device_text(device, page=page(sys.stdout, args)))
        return ExitCode.FINE
    found = api.devices()
    if args.json:
        print_json([one.to_json() for one in found])
    else:
        write(devices_text(found, page=page(sys.stdout, args)))
    return ExitCode.FINE


def calibrate_arguments(parser: Parser) -> None:
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: as many as a run would use)")


def run_calibrate(args: Namespace) -> int:
    """Measures, keeps what was measured, and shows it.

    Raises:
        Refusal: The measurement broke off.
    """
    from ftc import api
    from ftc.views.devices import calibration_text

    found = api.calibrate(args.threads)
    if args.json:
        print_json(found.to_json())
    else:
        write(calibration_text(found, page=page(sys.stdout, args)))
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "device list": Command(
        devices_arguments,
        run_devices,
        examples=(Example("ftc device list", "this machine's device, then the catalog"),),
    ),
    "device show": Command(
        device_arguments,
        run_devices,
        examples=(Example("ftc device show rtx-4090", "figures, and where they are from"),),
    ),
    "device calibrate": Command(
        calibrate_arguments,
        run_calibrate,
        examples=(Example("ftc device calibrate", "about a minute; plans then estimate their time"),),
    ),
    "plan": Command(
        plan_arguments,
        run_plan,
        examples=(
            Example("ftc plan", "this folder's recipe"),
            Example("ftc plan tickets.yaml -o tickets.plan.json", "save the plan for review and `ftc apply`"),
            Example(
                "ftc plan tickets.yaml --set train.epochs=1 --origins", "a variation, with where each value is from"
            ),
            Example("ftc plan --detailed-exitcode --locked", "for CI: 2 where something has to be done"),
        ),
    ),
    "tokens": Command(
        tokens_arguments,
        run_tokens,
        examples=(
            Example("ftc tokens", "the first three training rows"),
            Example("ftc tokens tickets.yaml --row 36 --ids", "row 36 of the file, token by token"),
        ),
    ),
    "lock": Command(
        lock_arguments,
        run_lock,
        examples=(
            Example("ftc lock", "bring the lock of this folder's recipe up to date"),
            Example("ftc lock --detailed-exitcode", "for CI: exit with 2 where it is stale"),
            Example("ftc lock tickets.yaml --upgrade-package model", "move to the newest revision of the model"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
