"""The verb that trains: `apply`."""

from __future__ import annotations

import functools
import gc
import os
import sys
from argparse import ArgumentTypeError, Namespace
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from ftc.cli.arguments import (
    Command,
    Example,
    Parser,
    add_locked,
    add_offline,
    add_overrides,
    add_quiet,
    add_recipe,
    add_waive,
    override_words,
)
from ftc.cli.faults import Restart
from ftc.cli.output import following, planning, print_result, show_planned, show_run
from ftc.cli.terminal import declined, page, show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from ftc.api import Planned, Run
    from ftc.spec.documents.events import Event, EventListener

__all__ = ["COMMANDS"]

_EXIT_CODES = {
    "finished": ExitCode.FINE,
    "gate_failed": ExitCode.GATE_FAILED,
    "interrupted": ExitCode.INTERRUPTED,
    "paused": ExitCode.FINE,
    "pruned": ExitCode.INTERRUPTED,
    "failed": ExitCode.COULD_NOT_WORK,
    "running": ExitCode.COULD_NOT_WORK,
}


def apply_arguments(parser: Parser) -> None:
    about = "a recipe, a plan that `ftc plan -o` saved, or a hosted job, whose result is measured here"
    add_recipe(parser, "target", metavar="RECIPE|PLAN|JOB", about=about)
    add_overrides(parser)
    add_waive(parser)
    parser.add_argument("--yes", action="store_true", help="don't ask")
    parser.add_argument("--again", action="store_true", help="run once more, even when this plan has run")
    about = "pause after this step, or `train`: before the test split is measured; `ftc apply` continues"
    parser.add_argument("--until", type=_until, metavar="STEP|train", help=about)
    about = "run only the plan with this digest, or of the job with this digest; its first 8 characters are enough"
    parser.add_argument("--expect", metavar="DIGEST", help=about)
    about = "continue this run, which stopped, with other `budget.devices`, `budget.nodes` or `train.sharding`"
    parser.add_argument("--from", dest="source", metavar="RUN", help=about)
    add_locked(parser)
    add_offline(parser)
    add_quiet(parser)


def _until(text: str) -> int | Literal["train"]:
    """A step, or the end of training.

    Raises:
        ArgumentTypeError: It is neither.
    """
    if text == "train":
        return "train"
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ArgumentTypeError(f"`{text}` is neither a step from 1 nor `train`")


def run_apply(args: Namespace) -> int:
    """Runs the plan unless it has run; what it showed last tells how it went.

    Raises:
        Restart: Every bit counts, and the environment isn't what it has to be before Python starts.
    """
    from ftc.runtime.execution.agreement import arriving
    from ftc.runtime.execution.end_watch import seen_by_others
    from ftc.spec.storage.processes import contract, unpinned
    from ftc.verbs.hosted.found import hosted_folder

    os.environ.update(contract(os.environ))
    gc.enable()  # the command starts without; training runs for hours
    if args.target.endswith(".json") and (args.overrides or args.waive or args.locked):
        words = "`--set`, `--set-file`, `--waive`, `--locked` go with its recipe"
        sys.stderr.write(f"error: a saved plan is run as it is; {words}\n")
        return ExitCode.USAGE
    if (job := hosted_folder(args.target, ".")) is not None:
        return _run_result(job, args)
    with arriving():
        if args.may_restart and (wrong := unpinned(os.environ)) and _counts_bits(args):
            raise Restart(wrong)
    if not args.may_restart:
        return _applied(args)
    with seen_by_others():
        return _applied(args)


def _applied(args: Namespace) -> int:
    """Runs the plan in this process, which is the run's only one, its first, or one that follows.

    Raises:
        Refusal: It can't be run; see `ftc.apply`.
    """
    from ftc import api
    from ftc.runtime.execution.agreement import arriving
    from ftc.spec.storage.processes import is_follower, is_one_of_several
    from ftc.verbs.heartbeat import with_heartbeat
    from ftc.verbs.plan import refuse_other
    from ftc.verbs.policy import waivers_of

    is_alone = not is_one_of_several(os.environ)
    if not is_alone and not args.yes and not args.target.endswith(".json"):  # in all of them, or some would wait
        sys.stderr.write("error: several processes can't ask; start them with a saved plan, or with `--yes`\n")
        return ExitCode.USAGE
    if not is_alone and args.source is not None:
        sys.stderr.write("error: `--from` is for `ftc apply` alone; launch the plan afterwards, without it\n")
        return ExitCode.USAGE
    if is_follower(os.environ):
        return _follow(args)
    if args.target.endswith(".json"):  # a saved plan was reviewed, so nothing is asked
        done = _run_of_saved(args.target) if is_alone and args.expect is None else None
        if _is_done(done, args):
            return _has_run(done, args)
        begun = args.source is None or _begun_elsewhere(api.current(args.target, offline=args.offline), args)
        return _carried_out(args.target, args) if begun else ExitCode.FINE
    with planning(args) as tell, arriving(), with_heartbeat():
        planned = api.plan(
            args.target,
            overrides=args.overrides,
            locked=args.locked,
            offline=args.offline,
            on_trace=tell,
            waive=waivers_of(args.waive),
        )
        if args.expect is not None:
            refuse_other(planned.plan, args.expect)
    if is_alone and _is_done(planned.run, args):
        return _up_to_date(planned.run, args)
    code = _declined(planned, args)
    if code is not None:
        return code
    begun = planned if args.source is None else _begun_elsewhere(planned, args)
    return ExitCode.FINE if begun is None else _carried_out(begun, args)


def _run_result(job: Path, args: Namespace) -> int:
    """Takes in what a hosted service trained, and measures it here."""
    from ftc.verbs.hosted.result import planned_result
    from ftc.verbs.plan import refuse_other

    if args.overrides or args.waive or args.locked or args.source is not None:
        words = "`--set`, `--set-file`, `--waive`, `--locked` and `--from` are for what trains here"
        sys.stderr.write(f"error: a hosted job's result is taken as it is; {words}\n")
        return ExitCode.USAGE
    planned = planned_result(job)
    if args.expect is not None:
        refuse_other(planned.plan, args.expect)
    return _up_to_date(planned.run, args) if _is_done(planned.run, args) else _carried_out(planned, args)


def _begun_elsewhere(planned: Planned, args: Namespace) -> Planned | None:
    """The plan with a run that goes on from another one; None where a launcher has to start its processes."""
    from ftc.verbs.continuing import begin_from
    from ftc.views.words import continued_words

    begun = begin_from(planned, args.source)
    if begun.run is not None:
        sys.stderr.write("".join(f"Continues {line}.\n" for line in continued_words(begun.run.record)))
    if begun.plan.settings.train.nodes == 1:
        return begun
    sys.stderr.write("Start it on all machines with `ftc launch PLAN`.\n")
    return None


def _follow(args: Namespace) -> int:
    """Takes part in a run whose first process speaks for all: shows nothing, and leaves the lock to it."""
    import warnings

    from ftc import api
    from ftc.runtime.execution.agreement import arriving
    from ftc.verbs.heartbeat import with_heartbeat
    from ftc.verbs.policy import waivers_of

    saved = args.target.endswith(".json")
    plan = functools.partial(
        api.plan,
        overrides=args.overrides,
        offline=args.offline,
        keep_lock=True,
        waive=waivers_of(args.waive),
    )
    with arriving(), with_heartbeat():
        target = args.target if saved else plan(args.target)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        stop = _Stop()
        done = api.apply(target, on_event=stop.hear, **_how(args))
        return _exit_code(done, stop)


def _how(args: Namespace) -> dict[str, Any]:
    """The options of `ftc.apply` by those of the command."""
    return {"again": args.again, "until": args.until, "offline": args.offline, "expect": args.expect}


def _counts_bits(args: Namespace) -> bool:
    """Whether the run is to be the same to the bit."""
    from ftc import api

    if args.target.endswith(".json"):
        return api.load_plan(args.target).settings.train.determinism.kernels == "exact"
    recipe = api.validate(args.target, overrides=args.overrides).recipe
    return recipe is not None and recipe.train.determinism in ("best_effort", "bitwise")


def _run_of_saved(file: str) -> Run | None:
    """The newest run of a saved plan, in the plan's project."""
    from pathlib import Path

    from ftc import api

    job = api.load_plan(file).run_id
    return next((one for one in api.runs(Path(file).parent) if one.plan.run_id == job), None)


def _is_done(found: Run | None, args: Namespace) -> TypeGuard[Run]:
    return found is not None and found.record.is_finished and not args.again


def _has_run(done: Run, args: Namespace) -> int:
    from ftc import api
    from ftc.verbs.standing import note_of_saved

    code = _up_to_date(done, args)
    sys.stderr.write(note_of_saved(done.root, api.load_plan(args.target)))
    return code


def _up_to_date(done: Run, args: Namespace) -> int:
    from ftc.verbs.pages import write_missing_pages
    from ftc.verbs.storing import store_rest
    from ftc.views.plan import up_to_date_text

    undrawn = write_missing_pages(done)
    store_rest(done, lambda event: None)
    if args.json:
        print_result(done)
    else:
        write(up_to_date_text(done.plan, done.record, done.evaluation, page=page(sys.stdout, args)))
    show_diagnostics(undrawn, {}, args)
    return _EXIT_CODES[done.record.status]


def _carried_out(target: Planned | str, args: Namespace) -> int:
    import shlex

    from ftc import api
    from ftc.cli.companions import companions, handed_down, needs_companions

    if not args.quiet and "torch" not in sys.modules and find_spec("torch"):  # importing it takes seconds
        sys.stderr.write("Loading torch …\n")
        sys.stderr.flush()
    stop, plan = _Stop(), api.load_plan(target) if isinstance(target, str) else target.plan
    count = plan.settings.train.world_size
    has_others = needs_companions(count, os.environ) and args.may_restart
    if has_others and plan.settings.train.nodes > 1:
        from ftc.verbs.launch import several_machines

        raise several_machines(plan)
    with ExitStack() as stack:
        if has_others:  # they get the plan that was shown, not the recipe, which may have been edited since
            file = target if isinstance(target, str) else stack.enter_context(handed_down(target))
            words = ["apply", file, "--expect", plan.sha256]
            words += ["--again"] if args.again else []
            words += ["--offline"] if args.offline else []
            stack.enter_context(
                companions(count, words if args.until is None else [*words, "--until", str(args.until)])
            )
        listener = stack.enter_context(following(args, as_lines=args.json))
        done = api.apply(target, on_event=stop.heard_by(listener), **_how(args))
    if args.json:
        print_result(done)
    elif done.record.status in ("interrupted", "paused"):
        command = shlex.join(["ftc", "apply", args.target, *override_words(args)])
        sys.stderr.write(f"`{command}` goes on from there.\n")
    elif args.quiet:
        from ftc.views.run import run_line

        write(run_line(done.record, done.evaluation) + "\n")
    else:
        write("\n")
        show_run(done, args)
    return _exit_code(done, stop)


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


def _declined(planned: Planned, args: Namespace) -> int | None:
    """Shows the plan and asks; None where the user agrees, else the exit code."""
    show_planned(planned, args, hint="", stream=sys.stderr if args.json else sys.stdout)
    train = planned.plan.settings.train
    is_asked = train.writing is not None and not train.writing.here
    if is_asked and not (train.sampling is not None and train.sampling.writer_memory):
        from ftc.verbs.launch import writer_url

        sys.stderr.write(f"\nThe prompts of the training rows are sent to {writer_url(planned.root, planned.plan)}.\n")
    sys.stderr.write("\n")
    if args.yes:
        return None
    code = declined("Apply this plan?", "applies the plan")
    if code is None:
        sys.stderr.write("\n")
    return code


COMMANDS: dict[str, Command] = {
    "apply": Command(
        apply_arguments,
        run_apply,
        examples=(
            Example("ftc apply", "plan this folder's recipe, ask, train and evaluate"),
            Example("ftc apply tickets.plan.json", "run a saved plan"),
            Example("ftc apply tickets.yaml --yes --locked --json", "for CI: no question, events as JSON lines"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
