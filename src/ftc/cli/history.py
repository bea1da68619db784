"""The verbs that show and compare what was planned and run."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import (
    JSON,
    RUN,
    TEXT,
    Command,
    Example,
    Parser,
    add_detailed_exitcode,
    add_force,
    add_output,
    add_overrides,
    add_personal_data,
    add_run,
    port_number,
)
from ftc.cli.output import run_json, show_run, write_out
from ftc.cli.terminal import STDOUT, page, print_json, show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from ftc.rating.ballots import Contest
    from ftc.spec.documents.plan import Plan

__all__ = ["COMMANDS"]

MARKDOWN, HTML = "markdown", "html"


def show_arguments(parser: Parser) -> None:
    add_run(parser, "target", or_plan=True)
    parser.add_argument("--origins", action="store_true", help="list every value of the plan and where it came from")
    add_output(parser, "with `--format html`: write the report to a file")
    add_force(parser)
    add_personal_data(parser)


def run_show(args: Namespace) -> int:
    """Shows what the target is."""
    from ftc import api

    if args.target.endswith(".json"):
        _show_plan(api.load_plan(args.target), args)
        return ExitCode.FINE
    from ftc.verbs.hosted.found import hosted_folder
    from ftc.verbs.standing import as_left

    if (hosted := hosted_folder(args.target, ".")) is not None:
        _show_hosted(hosted, args)
        return ExitCode.FINE
    found = api.find_run(args.target)
    if args.format == HTML:
        from ftc.spec.storage.outputs import OutputKind
        from ftc.verbs.doubts import changed_documents
        from ftc.verbs.pages import report_page

        show_diagnostics(changed_documents(found), {}, args)
        return write_out(report_page(found, shows_personal_data=args.shows_personal_data), OutputKind.REPORT, args)
    if args.origins and not args.json:
        _show_origins(found.plan, args)
    elif args.json:
        print_json(run_json(found))
    else:
        show_run(as_left(found), args)
    return ExitCode.FINE


def _show_hosted(folder: Path, args: Namespace) -> None:
    from ftc.spec.documents.hosted import HOSTED_FILE, HostedJob
    from ftc.spec.storage.run_folders import read_document
    from ftc.views.hosted import hosted_text

    job = read_document(folder / HOSTED_FILE, HostedJob)
    write(job.to_text() if args.json else hosted_text(job, f"{folder}", page=page(sys.stdout, args)))


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


_NAMED = 5
"""Folders that are named at most."""


def run_runs(args: Namespace) -> int:
    """Lists the runs, the newest first."""
    from ftc import api
    from ftc.cli.output import run_json
    from ftc.verbs.hosted.found import hosted_jobs
    from ftc.verbs.runs import unreadable_runs
    from ftc.verbs.standing import as_left
    from ftc.views.hosted import hosted_line
    from ftc.views.page import escaped
    from ftc.views.run import runs_text

    found = api.runs()
    if args.json:
        empty = {"record": None, "evaluation": None}
        jobs = [{"folder": f"runs/{one.name}/{one.id}", **empty, "hosted": one.to_json()} for one in hosted_jobs()]
        print_json([*map(run_json, found), *jobs])
    else:
        entries = [(one.plan, one.record, one.evaluation) for one in map(as_left, found)]
        write(runs_text(entries, page=page(sys.stdout, args)))
        for job in hosted_jobs():
            write(hosted_line(job))
    if hidden := unreadable_runs(found):
        named = ", ".join(hidden[:_NAMED]) + (" and others" if len(hidden) > _NAMED else "")
        sys.stderr.write(f"not listed, since they can't be read: {escaped(named)}; `ftc show NAME` shows why\n")
    return ExitCode.FINE


def diff_arguments(parser: Parser) -> None:
    help = f"a recipe, a lock or a saved plan, also as FILE@REVISION of git; or a run: {RUN}"
    parser.add_argument("old", metavar="OLD", help=help)
    parser.add_argument("new", metavar="NEW", nargs="?", help="the same; with --set it may be left out")
    add_overrides(parser)
    add_detailed_exitcode(parser, "something has to be done", alias="--exit-code")


def run_diff(args: Namespace) -> int:
    """Compares and shows."""
    from ftc import api
    from ftc.views.difference import difference_markdown, difference_text

    if args.new is None and not args.overrides:
        sys.stderr.write("error: NEW is missing: what OLD is compared with; or change OLD by `--set`\n")
        return ExitCode.USAGE
    found = api.diff(args.old, args.new or args.old, overrides=args.overrides)
    if args.json:
        write(found.to_text())
    elif args.format == MARKDOWN:
        write(difference_markdown(found))
    else:
        write(difference_text(found, page=page(sys.stdout, args)))
    return ExitCode.CHANGES if args.detailed_exitcode and found.action != "nothing" else ExitCode.FINE


def compare_arguments(parser: Parser) -> None:
    parser.add_argument("first", metavar="RUN", help="the run that the others are compared with")
    parser.add_argument("others", metavar="RUN", nargs="+", help="another run")
    add_output(parser, "write the comparison to a file; `-` is the terminal")
    add_force(parser)
    add_personal_data(parser)


def run_compare(args: Namespace) -> int:
    """Compares them."""
    from ftc import api
    from ftc.spec.storage.outputs import OutputKind
    from ftc.verbs.doubts import changed_documents

    for one in (args.first, *args.others):
        show_diagnostics(changed_documents(api.find_run(one)), {}, args)
    return write_out(_comparison(args), OutputKind.COMPARISON, args)


def _comparison(args: Namespace) -> str:
    import json

    from ftc import api
    from ftc.verbs.compare import comparison_page
    from ftc.views.comparison import comparison_markdown, comparison_text
    from ftc.views.page import PLAIN

    runs = [args.first, *args.others]
    if args.format == HTML:
        return comparison_page(runs, shows_personal_data=args.shows_personal_data)
    found = api.compare(runs)
    if args.json:
        return json.dumps(found.to_json(), ensure_ascii=False, indent=2) + "\n"
    if args.format == MARKDOWN:
        return comparison_markdown(found)
    is_file = args.output and args.output != STDOUT
    return comparison_text(found, page=PLAIN if is_file else page(sys.stdout, args))


def rate_arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run: its base model against its tuned one")
    parser.add_argument("other", metavar="RUN", nargs="?", help="another run: tuned against tuned, on the same rows")
    parser.add_argument("--rater", metavar="NAME", help="who rates; each has a file and an order of rows (yourself)")
    parser.add_argument("--seed", type=int, default=0, help="seed of order and sides (0)")
    parser.add_argument("--port", type=port_number, default=0, help="port on this machine (any that is free)")
    parser.add_argument("--no-browser", action="store_true", help="show the address and open nothing")
    parser.add_argument("--result", action="store_true", help="show what all raters said, and end")
    add_personal_data(parser)


def run_rate(args: Namespace) -> int:
    """Serves the page until Ctrl-C, or shows the result."""
    from ftc import api
    from ftc.rating.ballots import contest_of
    from ftc.spec.storage.paths import streams_folder

    runs = [api.find_run(text) for text in (args.run, args.other) if text]
    contest = contest_of(runs)
    folder = runs[0].root / "ratings" / contest.name
    if args.result or args.json:
        _show_tally(contest, folder, args)
    else:
        _serve_ballot(contest, folder, streams_folder(runs[0].plan.stream_key), args)
    return ExitCode.FINE


def _show_tally(contest: Contest, folder: Path, args: Namespace) -> None:
    from ftc.rating.ballots import ballots, tally
    from ftc.views.comparison import tally_text

    result = tally(contest, ballots(folder))
    if args.json:
        print_json(result.to_json())
    else:
        write(tally_text(result, page=page(sys.stdout, args)))


def _serve_ballot(contest: Contest, folder: Path, streams: Path, args: Namespace) -> None:
    import getpass
    import re
    import webbrowser

    from ftc.rating.ballots import open_ballot
    from ftc.rating.server import RatingServer
    from ftc.spec.documents.stream_images import StreamImages
    from ftc.views.numbers import count, plural

    if not contest.pairs:
        write("no row has different answers, so there is nothing to rate\n")
        return
    own_name = re.sub(r"[^\w.-]+", "-", getpass.getuser())[:60] or "rater"
    ballot = open_ballot(folder, args.rater or own_name)
    opened = RatingServer(
        contest,
        ballot,
        StreamImages(streams),
        seed=args.seed,
        port=args.port,
        shows_personal_data=args.shows_personal_data,
    )
    with opened as server:
        left = sum(choice is None for choice in server.state()["choices"])
        write(f"{plural(len(contest.pairs), 'row')} with different answers, {count(left)} to rate as {ballot.rater}\n")
        write(
            f"open {server.url}\nCtrl-C ends; every decision is kept in {ballot.file.relative_to(folder.parents[1])}\n"
        )
        if not args.no_browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            write("\n")
    _show_tally(contest, folder, args)


def unlock_arguments(parser: Parser) -> None:
    parser.add_argument("lock", metavar="ID", help="name of the lock, as `ftc apply` showed it")


def run_unlock(args: Namespace) -> int:
    """Frees it."""
    from ftc import api

    run = api.unlock(args.lock)
    if args.json:
        print_json({"schema": "ftc.unlocked/1", "run": run})
    else:
        write(f"run {run} is free; `ftc apply` goes on with it.\n")
    return ExitCode.FINE


_SHOW = Command(
    show_arguments,
    run_show,
    formats=(TEXT, JSON, HTML),
    examples=(
        Example("ftc show 3f2a", "a run's result, by the beginning of its id"),
        Example("ftc show 3f2a --format html -o report.html", "its report as a page"),
        Example("ftc show tickets.plan.json --origins", "where each value of a saved plan is from"),
    ),
)
_DIFF = Command(
    diff_arguments,
    run_diff,
    formats=(TEXT, JSON, MARKDOWN),
    examples=(
        Example("ftc diff tickets.yaml@HEAD tickets.yaml", "what the last edits change"),
        Example("ftc diff tickets.yaml --set train.epochs=5", "what a variation would change"),
        Example("ftc diff 3f2a tickets.yaml --format markdown", "for a pull request: a run and the recipe"),
    ),
)

COMMANDS: dict[str, Command] = {
    "show": _SHOW,
    "run show": _SHOW,
    "diff": _DIFF,
    "run diff": _DIFF,
    "run list": Command(
        lambda _: None, run_runs, examples=(Example("ftc run list --json", "all runs with their results, for scripts"),)
    ),
    "run compare": Command(
        compare_arguments,
        run_compare,
        formats=(TEXT, JSON, MARKDOWN, HTML),
        examples=(
            Example("ftc run compare 3f2a b81c", "is b81c better than 3f2a, by more than chance?"),
            Example("ftc run compare 3f2a b81c --format html -o compared.html", "the same as a page"),
        ),
    ),
    "run rate": Command(
        rate_arguments,
        run_rate,
        examples=(
            Example("ftc run rate 3f2a", "a page of this machine: base against tuned"),
            Example("ftc run rate 3f2a b81c --result", "win rate and agreement of all raters"),
        ),
    ),
    "run unlock": Command(
        unlock_arguments, run_unlock, examples=(Example("ftc run unlock 7f3a91c0", "the id that `ftc apply` showed"),)
    ),
}
"""What a command line reaches here, by verb."""
