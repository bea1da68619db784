"""`ftc apply`: executes a plan, or a recipe once its plan has been shown and agreed to."""

from __future__ import annotations

import functools
import gc
import os
import sys
from argparse import Namespace
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeGuard

from ftc.cli.arguments import Parser, add_json, add_overrides, add_waive, override_words
from ftc.cli.companions import companions, needs_companions
from ftc.cli.consent import declined
from ftc.cli.following import following, tracing
from ftc.cli.results import print_result, show_run
from ftc.cli.terminal import page, write
from ftc.spec.exit_codes import ExitCode
from ftc.spec.storage.processes import is_follower

if TYPE_CHECKING:
    from ftc.api import Planned, Run
    from ftc.spec.documents.events import Event, EventListener

__all__ = ["add_arguments", "run"]

_EXIT_CODES = {
    "finished": ExitCode.FINE,
    "gate_failed": ExitCode.GATE_FAILED,
    "interrupted": ExitCode.INTERRUPTED,
    "failed": ExitCode.COULD_NOT_WORK,
    "running": ExitCode.COULD_NOT_WORK,
}


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("target", metavar="RECIPE|PLAN", help="a recipe, or a plan that `ftc plan -o` saved")
    add_overrides(parser)
    add_waive(parser)
    parser.add_argument("--yes", action="store_true", help="don't ask")
    parser.add_argument("--offline", action="store_true", help="use only what is on this machine")
    parser.add_argument("--again", action="store_true", help="run once more, even when this plan has run")
    add_json(parser, "print events and the result as JSON lines")


def run(args: Namespace) -> int:
    """Runs the plan unless it has run; what it showed last tells how it went."""
    from ftc import api
    from ftc.verbs.policy import waivers_of

    gc.enable()  # the command starts without; training runs for hours
    if args.target.endswith(".json") and (args.overrides or args.waive):
        sys.stderr.write("error: a saved plan is run as it is; `--set`, `--set-file`, `--waive` go with its recipe\n")
        return ExitCode.USAGE
    _pin(args)
    if is_follower(os.environ):
        return _follow(args)
    if args.target.endswith(".json"):  # a saved plan was reviewed, so nothing is asked
        done = _run_of_saved(args.target)
        return _up_to_date(done, args) if _is_done(done, args) else _carried_out(args.target, args)
    with tracing(args) as tell:
        planned = api.plan(
            args.target,
            overrides=args.overrides,
            offline=args.offline,
            on_trace=tell,
            waive=waivers_of(args.waive),
        )
    if _is_done(planned.run, args):
        return _up_to_date(planned.run, args)
    code = declined(planned, args)
    return _carried_out(planned, args) if code is None else code


def _follow(args: Namespace) -> int:
    """Takes part in a run whose first process speaks for all: shows nothing, and leaves the lock to it."""
    import warnings

    from ftc import api
    from ftc.verbs.policy import waivers_of

    saved = args.target.endswith(".json")
    plan = functools.partial(
        api.plan,
        overrides=args.overrides,
        offline=args.offline,
        keep_lock=True,
        waive=waivers_of(args.waive),
    )
    target = args.target if saved else plan(args.target)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        stop = _Stop()
        return _exit_code(api.apply(target, on_event=stop.hear, again=args.again, offline=args.offline), stop)


def _pin(args: Namespace) -> None:
    """Begins anew where every bit counts and the environment isn't what it has to be before Python starts.

    Raises:
        Restart: It isn't.
    """
    from ftc.cli.restart import Restart
    from ftc.spec.storage.processes import unpinned

    if args.may_restart and (wrong := unpinned(os.environ)) and _counts_bits(args):
        raise Restart(wrong)


def _counts_bits(args: Namespace) -> bool:
    from ftc import api

    if args.target.endswith(".json"):
        return api.load_plan(args.target).settings.train.determinism.kernels == "exact"
    recipe = api.validate(args.target, overrides=args.overrides).recipe
    return recipe is not None and recipe.train.determinism in ("best_effort", "bitwise")


def _command(args: Namespace) -> str:
    import shlex

    return shlex.join(["ftc", "apply", args.target, *override_words(args)])


def _run_of_saved(file: str) -> Run | None:
    """The newest run of a saved plan, in the plan's project."""
    from pathlib import Path

    from ftc import api

    job = api.load_plan(file).run_id
    return next((one for one in api.runs(Path(file).parent) if one.plan.run_id == job), None)


def _is_done(found: Run | None, args: Namespace) -> TypeGuard[Run]:
    return found is not None and found.record.status in ("finished", "gate_failed") and not args.again


def _up_to_date(done: Run, args: Namespace) -> int:
    from ftc.views.plan import up_to_date_text

    if args.json:
        print_result(done)
    else:
        write(up_to_date_text(done.plan, done.record, done.evaluation, page=page(sys.stdout, args)))
    return _EXIT_CODES[done.record.status]


def _carried_out(target: Planned | str, args: Namespace) -> int:
    from ftc import api

    stop, plan = _Stop(), api.load_plan(target) if isinstance(target, str) else target.plan
    count = plan.settings.train.world_size
    with companions(count, args.words) if needs_companions(count, os.environ) and args.may_restart else nullcontext():
        done = _executed(target, stop, args)
    return _ended(done, stop, args)


def _executed(target: Planned | str, stop: _Stop, args: Namespace) -> Run:
    from ftc import api

    with following(args) as listener:
        return api.apply(target, on_event=stop.heard_by(listener), again=args.again, offline=args.offline)


class _Stop:
    """Which signal asked a run to stop, if one did."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def hear(self, event: Event) -> None:
        if event.kind == "stop_requested":
            self.signal = event.signal

    def heard_by(self, listener: EventListener) -> EventListener:
        """A listener that hears before another one does."""

        def tell(event: Event) -> None:
            self.hear(event)
            listener(event)

        return tell


def _exit_code(done: Run, stop: _Stop) -> int:
    if done.record.status == "interrupted" and stop.signal is not None:
        return ExitCode.SIGNALED + stop.signal
    return _EXIT_CODES[done.record.status]


def _ended(done: Run, stop: _Stop, args: Namespace) -> int:
    if args.json:
        print_result(done)
    elif done.record.status == "interrupted":
        sys.stderr.write(f"`{_command(args)}` goes on from there.\n")
    else:
        write("\n")
        show_run(done, args)
    return _exit_code(done, stop)
