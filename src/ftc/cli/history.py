"""The verbs that show and compare what was planned and run."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Command, Parser, add_json
from ftc.cli.output import run_json, show_run
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from ftc.rating.ballots import Contest
    from ftc.spec.documents.plan import Plan

__all__ = ["COMMANDS"]


def show_arguments(parser: Parser) -> None:
    parser.add_argument("target", metavar="RUN|PLAN", help="a run's id, its beginning or its folder; or a plan's file")
    parser.add_argument("--origins", action="store_true", help="list every value of the plan and where it came from")
    add_json(parser)


def run_show(args: Namespace) -> int:
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


_NAMED = 5
"""Folders that are named at most."""


def runs_arguments(parser: Parser) -> None:
    add_json(parser)


def run_runs(args: Namespace) -> int:
    """Lists the runs, the newest first."""
    from ftc import api
    from ftc.cli.output import run_json
    from ftc.verbs.runs import unreadable_runs
    from ftc.views.page import escaped
    from ftc.views.run import runs_text

    found = api.runs()
    if args.json:
        print_json([run_json(one) for one in found])
    else:
        entries = [(one.plan, one.record, one.evaluation) for one in found]
        write(runs_text(entries, page=page(sys.stdout, args)))
    if hidden := unreadable_runs(found):
        named = ", ".join(hidden[:_NAMED]) + (" and others" if len(hidden) > _NAMED else "")
        sys.stderr.write(f"not listed, since they can't be read: {escaped(named)}; `ftc show NAME` tells why\n")
    return ExitCode.FINE


def diff_arguments(parser: Parser) -> None:
    help = "a recipe, a lock or a saved plan, also as FILE@REVISION of git; or a run's id, its beginning or its folder"
    parser.add_argument("old", metavar="OLD", help=help)
    parser.add_argument("new", metavar="NEW", help="the same")
    parser.add_argument(
        "--format",
        choices=("text", "json", "markdown"),
        default="text",
        help="text, json, or markdown for pull requests",
    )
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    parser.add_argument("--exit-code", action="store_true", help="exit with 2 where something has to be done")


def run_diff(args: Namespace) -> int:
    """Compares and shows."""
    from ftc import api
    from ftc.views.difference import difference_markdown, difference_text

    found = api.diff(args.old, args.new)
    match args.format:
        case "json":
            write(found.to_text())
        case "markdown":
            write(difference_markdown(found))
        case _:
            write(difference_text(found, page=page(sys.stdout, args)))
    return ExitCode.CHANGES if args.exit_code and found.action != "nothing" else ExitCode.FINE


def compare_arguments(parser: Parser) -> None:
    parser.add_argument("first", metavar="RUN", help="the run that the others are held against")
    parser.add_argument("others", metavar="RUN", nargs="+", help="another run")
    parser.add_argument(
        "--format", choices=("text", "json", "markdown", "html"), default="text", help="form of the answer (text)"
    )


def run_compare(args: Namespace) -> int:
    """Compares them."""
    from ftc import api
    from ftc.verbs.compare import comparison_page
    from ftc.views.comparison import comparison_markdown, comparison_text

    if args.format == "html":
        write(comparison_page([args.first, *args.others]))
        return ExitCode.FINE
    found = api.compare([args.first, *args.others])
    if args.format == "json":
        print_json(found.to_json())
    elif args.format == "markdown":
        write(comparison_markdown(found))
    else:
        write(comparison_text(found, page=page(sys.stdout, args)))
    return ExitCode.FINE


_LAST_PORT = 65_535


def rate_arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run: its base model against its tuned one")
    parser.add_argument("other", metavar="RUN", nargs="?", help="another run: tuned against tuned, on the same rows")
    parser.add_argument("--rater", metavar="NAME", help="who rates; each has a file and an order of rows (yourself)")
    parser.add_argument("--seed", type=int, default=0, help="seed of order and sides (0)")
    parser.add_argument("--port", type=_port, default=0, help="port on this machine (any that is free)")
    parser.add_argument("--no-browser", action="store_true", help="show the address and open nothing")
    parser.add_argument("--result", action="store_true", help="show what all raters said, and end")
    add_json(parser)


def run_rate(args: Namespace) -> int:
    """Serves the page until Ctrl-C, or tells the result."""
    from ftc import api
    from ftc.rating.ballots import contest_of

    runs = [api.find_run(text) for text in (args.run, args.other) if text]
    contest = contest_of(runs)
    folder = runs[0].root / "ratings" / contest.name
    if args.result or args.json:
        _show_tally(contest, folder, args)
    else:
        _serve_ballot(contest, folder, args)
    return ExitCode.FINE


def _show_tally(contest: Contest, folder: Path, args: Namespace) -> None:
    from ftc.rating.ballots import ballots, tally
    from ftc.views.comparison import tally_text

    result = tally(contest, ballots(folder))
    if args.json:
        print_json(result.to_json())
    else:
        write(tally_text(result, page=page(sys.stdout, args)))


def _serve_ballot(contest: Contest, folder: Path, args: Namespace) -> None:
    import getpass
    import re
    import webbrowser

    from ftc.rating.ballots import open_ballot
    from ftc.rating.server import RatingServer
    from ftc.views.numbers import count, plural

    if not contest.pairs:
        write("no row has different answers, so there is nothing to rate\n")
        return
    own_name = re.sub(r"[^\w.-]+", "-", getpass.getuser())[:60] or "rater"
    ballot = open_ballot(folder, args.rater or own_name)
    try:
        opened = RatingServer(contest, ballot, seed=args.seed, port=args.port)
    except OSError as error:
        words = (
            f"port {args.port} can't be had ({error.strerror}); name another by `--port`, or none for any that is free"
        )
        raise OSError(error.errno, words) from None
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


def _port(text: str) -> int:
    """A port's number.

    Raises:
        ArgumentTypeError: There is no such port.
    """
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise ArgumentTypeError(f"`{text}` is no port; those are 1 to {_LAST_PORT}, and 0 for any that is free")
    return int(text)


def unlock_arguments(parser: Parser) -> None:
    parser.add_argument("lock", metavar="ID", help="name of the lock, as `ftc apply` told it")


def run_unlock(args: Namespace) -> int:
    """Frees it."""
    from ftc import api

    write(f"run {api.unlock(args.lock)} is free; `ftc apply` goes on with it.\n")
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "show": Command(show_arguments, run_show),
    "runs": Command(runs_arguments, run_runs),
    "diff": Command(diff_arguments, run_diff),
    "compare": Command(compare_arguments, run_compare),
    "rate": Command(rate_arguments, run_rate),
    "unlock": Command(unlock_arguments, run_unlock),
}
"""What a command line reaches here, by verb."""
