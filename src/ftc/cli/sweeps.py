"""The verbs of `ftc sweep`: plan, run, show, pick and audit a search over settings of a recipe."""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.cli.arguments import (
    JSON,
    TEXT,
    Command,
    Example,
    Parser,
    add_force,
    add_offline,
    add_output,
    add_quiet,
)
from ftc.cli.output import following, write_out
from ftc.cli.terminal import declined, page, print_json, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.spec.documents.sweep_report import SweepReport
    from ftc.sweep.files import SweepFile
    from ftc.sweep.planning import PlannedSweep
    from ftc.sweep.study import Study, Trial
    from ftc.sweep.trials import Began, Listener

__all__ = ["COMMANDS"]

HTML = "html"


def _add_file(parser: Parser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", help="the sweep's file, NAME.sweep.yaml; with a flag below a recipe")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--curve", choices=("data",), help="SWEEP is a recipe: its learning curve, by training rows")
    kinds.add_argument("--folds", type=int, metavar="K", help="SWEEP is a recipe: its cross-validation on K folds")


def _file(args: Namespace, *, writes: bool = False) -> Path:
    """The sweep's file; of a recipe's curve or folds the one beside the recipe."""
    if args.curve is None and args.folds is None:
        return Path(args.sweep)
    from ftc.sweep.planning import asked_sweep

    offline = getattr(args, "offline", False)
    path = asked_sweep(Path(args.sweep), args.curve, args.folds, offline=offline, writes=writes)
    args.sweep, args.curve, args.folds = str(path), None, None  # as what is said from here on calls it
    return path


def plan_arguments(parser: Parser) -> None:
    _add_file(parser)
    add_offline(parser)


def run_plan(args: Namespace) -> int:
    """Plans the sweep's corners and first trials; nothing is trained."""
    from ftc.views.sweep import forecast_text

    planned = _planned(args)
    if args.json:
        print_json(planned.forecast.to_json())
    else:
        write(forecast_text(planned.forecast, page=page(sys.stdout, args)))
    return ExitCode.FINE


def apply_arguments(parser: Parser) -> None:
    _add_file(parser)
    parser.add_argument("--yes", action="store_true", help="don't ask")
    parser.add_argument("--join", action="store_true", help="only run trials beside another process that applies it")
    add_offline(parser)
    add_quiet(parser, "show no progress of single steps")


def run_apply(args: Namespace) -> int:
    """Runs trials until there are as many as asked for, and compares the best with the recipe's own values."""
    from ftc.sweep.results import compared_of, remember_own, report_of, verdict_of
    from ftc.sweep.study import Study
    from ftc.sweep.trials import Interrupted, helpers, own_runs, run_trials
    from ftc.views.sweep import forecast_text, sweep_text

    gc.enable()  # the command starts without; training runs for hours
    if args.join:
        return _join(args)
    planned = _planned(args)
    file, settings = planned.file, planned.own.plan.settings
    stream = sys.stderr if args.json else sys.stdout
    stream.write(forecast_text(planned.forecast, page=page(stream, args)))
    stream.flush()
    if not args.yes and (code := declined("Run this sweep?", "runs the sweep")) is not None:
        return code
    study = Study(file.sweep, file.folder, settings.train.num_steps)
    words = ["sweep", "apply", args.sweep, "--join", *(["--offline"] if args.offline else [])]
    tell = _telling(args, file)
    try:
        with following(args, as_lines=False) as listen:
            remember_own(file, own_runs(file, tell, listen, offline=args.offline))
            with helpers(file, words, on_cuda=settings.device.kind == "cuda"):
                reason = run_trials(file, study, tell, listen, offline=args.offline)
    except Interrupted:
        sys.stderr.write(f"`ftc sweep apply {args.sweep}` goes on from there.\n")
        return ExitCode.INTERRUPTED
    if reason:
        sys.stderr.write(f"{reason}: {len(study.trials)} of {file.sweep.trials} trials were begun\n")
    compared = compared_of(file, study.trials)
    if compared is not None:
        verdict_of(file, compared)  # it is kept, for the report
    report = report_of(file, study)
    if args.json:
        print_json(report.to_json())
    else:
        write("\n" + sweep_text(report, page=page(sys.stdout, args)) + _next_step(report, args))
    return _code(report)


def _join(args: Namespace) -> int:
    from ftc.sweep.files import read_sweep
    from ftc.sweep.planning import plan_trial
    from ftc.sweep.study import Study
    from ftc.sweep.trials import Interrupted, run_trials

    _needs_optuna()
    file = read_sweep(_file(args))
    steps = plan_trial(file, {}, offline=args.offline).plan.settings.train.num_steps
    study = Study(file.sweep, file.folder, steps)
    try:
        run_trials(file, study, lambda _: None, lambda _: None, offline=args.offline)
    except Interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.FINE


def show_arguments(parser: Parser) -> None:
    _add_file(parser)
    add_output(parser, "with `--format html`: write the page to a file")
    add_force(parser)


def run_show(args: Namespace) -> int:
    """Shows all trials; loads no model."""
    from ftc.sweep.results import report_of
    from ftc.views.sweep import sweep_text

    file, study = _opened(args)
    report = report_of(file, study)
    if args.json:
        print_json(report.to_json())
    elif args.format == HTML:
        from ftc.spec.storage.outputs import OutputKind
        from ftc.views.report.sweep import sweep_html

        return write_out(sweep_html(report), OutputKind.SWEEP, args)
    else:
        write(sweep_text(report, page=page(sys.stdout, args)))
    return ExitCode.FINE


def pick_arguments(parser: Parser) -> None:
    _add_file(parser)
    parser.add_argument("--trial", type=int, metavar="N", help="this one instead of the best")
    parser.add_argument(
        "--write", action="store_true", help="edit the recipe, renew its lock and evaluate on test rows"
    )
    parser.add_argument("--anyway", action="store_true", help="even where the trial is not shown to be better")
    add_offline(parser)
    add_quiet(parser, "show no progress")


def run_pick(args: Namespace) -> int:
    """Shows or makes the edits; 8 where the trial is not shown to be better than what the recipe has."""
    from ftc.sweep.pick import chosen_trial, write_into
    from ftc.sweep.results import report_of, verdict_of
    from ftc.views.sweep import edits_text, sweep_text

    file, study = _opened(args)
    trial = chosen_trial(file, study, args.trial)
    verdict = verdict_of(file, trial)
    report = report_of(file, study).model_copy(update={"best": (trial.number,), "verdict": verdict})
    done = None
    if args.write and (args.anyway or _code(report) == ExitCode.FINE):
        with following(args) as listen:
            done = write_into(file, trial, listen, offline=args.offline)
    if args.json:
        print_json({"trial": trial.number, "written": done is not None, "sweep": report.to_json()})
    else:
        look = page(sys.stdout, args)
        write(sweep_text(report, page=look) + "\n")
        write(edits_text(report, report.trials[trial.number], written=done is not None, page=look))
        if done is not None:
            from ftc.cli.output import show_run

            write("\n")
            show_run(done, args)
        elif args.write:
            write("Nothing was written; `--anyway` writes it all the same.\n")
    return ExitCode.FINE if done is not None else _code(report)


def audit_arguments(parser: Parser) -> None:
    _add_file(parser)


def run_audit(args: Namespace) -> int:
    """Draws every trial again and reads its runs; 6 where something contradicts the journal."""
    from ftc.sweep.results import audit_sweep

    file, study = _opened(args)
    faults, unchecked = audit_sweep(file, study)
    verdict = "CONTRADICTED" if faults else "CONSISTENT"
    if args.json:
        print_json({"verdict": verdict, "trials": len(study.trials), "faults": faults, "unchecked": unchecked})
    else:
        look = page(sys.stdout, args)
        lines = [line for one in faults for line in look.flow(look.bad("fault"), [one])]
        lines += [line for one in unchecked for line in look.flow("unchecked", [one])]
        paint = look.bad if faults else look.good
        write("\n".join([*lines, *look.flow("verdict", [paint(verdict), f"{len(study.trials)} trials"])]) + "\n")
    return ExitCode.INTEGRITY if faults else ExitCode.FINE


def _needs_optuna() -> None:
    from ftc.spec.diagnostics import Refusal, diagnostic

    if find_spec("optuna") is None:
        note, help = "`optuna` is not installed", "pip install 'ftc[sweep]'"
        raise Refusal([diagnostic("FTC650", "`sweep` needs more packages", help=help, notes=note)])


def _planned(args: Namespace) -> PlannedSweep:
    _needs_optuna()
    from ftc.cli.terminal import is_interactive
    from ftc.sweep.files import read_sweep
    from ftc.sweep.planning import plan_sweep

    is_live = is_interactive(sys.stderr, os.environ)

    def tell(done: int, total: int) -> None:
        if is_live:
            sys.stderr.write(f"\r\x1b[Kplanning: {done} of {total} points …" if done < total else "\r\x1b[K")
            sys.stderr.flush()

    return plan_sweep(read_sweep(_file(args, writes=True)), offline=args.offline, tell=tell)


def _opened(args: Namespace) -> tuple[SweepFile, Study]:
    """A sweep that was begun.

    Raises:
        Refusal: It wasn't (FTC588), or the packages are missing (FTC650).
    """
    _needs_optuna()
    from ftc.spec.diagnostics import Refusal, diagnostic
    from ftc.spec.storage.paths import SWEEP_JOURNAL
    from ftc.sweep.files import read_sweep
    from ftc.sweep.study import Study

    file = read_sweep(_file(args))
    if not (file.folder / SWEEP_JOURNAL).exists():
        help = f"`ftc sweep apply {args.sweep}` runs it"
        raise Refusal([diagnostic("FTC588", f"sweep `{file.name}` has no trials yet", help=help)])
    return file, Study(file.sweep, file.folder)


def _code(report: SweepReport) -> int:
    if report.kind == "repeats":
        return ExitCode.FINE if report.means else ExitCode.COULD_NOT_WORK
    if report.verdict is None:
        return ExitCode.COULD_NOT_WORK if report.trials else ExitCode.FINE
    return ExitCode.FINE if report.verdict.is_better else ExitCode.INCONCLUSIVE


def _next_step(report: SweepReport, args: Namespace) -> str:
    if report.verdict is None or not report.verdict.is_better or report.kind != "search":
        return ""
    return (
        f"\n`ftc sweep pick {args.sweep} --write` puts its values into {report.recipe} and evaluates it on test rows.\n"
    )


def _telling(args: Namespace, file: SweepFile) -> Listener:
    """Tells on standard error of each trial's beginning and end."""
    from ftc.sweep.results import as_reported
    from ftc.sweep.trials import Began
    from ftc.views.sweep import trial_line

    metrics = [one.metric for one in file.sweep.objectives]
    look = page(sys.stderr, args)

    def tell(one: Began | Trial) -> None:
        if isinstance(one, Began):
            what = "the recipe's own values" if one.number is None else f"trial {one.number} of {one.total}"
            sys.stderr.write(f"{look.faint(': '.join(filter(None, (what, ' '.join(one.overrides)))))}\n")
        else:
            sys.stderr.write(trial_line(as_reported(one), metrics, page=look))
        sys.stderr.flush()

    return tell


COMMANDS: dict[str, Command] = {
    "sweep plan": Command(
        plan_arguments,
        run_plan,
        examples=(
            Example("ftc sweep plan tickets.sweep.yaml", "every corner against memory, time and money"),
            Example("ftc sweep plan tickets.yaml --curve data", "would more rows help? writes the sweep's file"),
        ),
    ),
    "sweep apply": Command(
        apply_arguments,
        run_apply,
        examples=(
            Example("ftc sweep apply tickets.sweep.yaml", "plan, ask, and run what is missing"),
            Example(
                "ftc sweep apply tickets.sweep.yaml --join", "help from another terminal, or a task of an array job"
            ),
        ),
    ),
    "sweep show": Command(
        show_arguments,
        run_show,
        formats=(TEXT, JSON, HTML),
        examples=(Example("ftc sweep show tickets.sweep.yaml --format html -o sweep.html", "a page with pictures"),),
    ),
    "sweep pick": Command(
        pick_arguments,
        run_pick,
        examples=(Example("ftc sweep pick tickets.sweep.yaml --write", "edit the recipe, and evaluate it once"),),
    ),
    "sweep audit": Command(
        audit_arguments,
        run_audit,
        examples=(Example("ftc sweep audit tickets.sweep.yaml", "draw each trial again from the seed"),),
    ),
}
"""What a command line reaches here, by verb."""
