"""`ftc rate`: compare answers by hand without knowing whose they are."""

from __future__ import annotations

import getpass
import re
import sys
from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser, add_json
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from ftc.rating.ballots import Ballot
    from ftc.rating.pairs import Contest
    from ftc.rating.server import RatingServer

__all__ = ["add_arguments", "run"]

_LAST_PORT = 65_535


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("run", metavar="RUN", help="a run: its base model against its tuned one")
    parser.add_argument("other", metavar="RUN", nargs="?", help="another run: tuned against tuned, on the same rows")
    parser.add_argument("--rater", metavar="NAME", help="who rates; each has a file and an order of rows (yourself)")
    parser.add_argument("--seed", type=int, default=0, help="seed of order and sides (0)")
    parser.add_argument("--port", type=_port, default=0, help="port on this machine (any that is free)")
    parser.add_argument("--no-browser", action="store_true", help="show the address and open nothing")
    parser.add_argument("--result", action="store_true", help="show what all raters said, and end")
    add_json(parser)


def run(args: Namespace) -> int:
    """Serves the page until Ctrl-C, or tells the result."""
    from ftc import api
    from ftc.rating.pairs import contest_of

    runs = [api.find_run(text) for text in (args.run, args.other) if text]
    contest = contest_of(runs)
    folder = runs[0].root / "ratings" / contest.name
    if args.result or args.json:
        _tell(contest, folder, args)
    else:
        _serve(contest, folder, args)
    return ExitCode.FINE


def _tell(contest: Contest, folder: Path, args: Namespace) -> None:
    from ftc.rating.ballots import ballots
    from ftc.rating.tally import tally
    from ftc.views.comparison import tally_text

    result = tally(contest, ballots(folder))
    if args.json:
        print_json(result.to_json())
    else:
        write(tally_text(result, page=page(sys.stdout, args)))


def _serve(contest: Contest, folder: Path, args: Namespace) -> None:
    import webbrowser

    from ftc.rating.ballots import open_ballot
    from ftc.views.numbers import count, plural

    if not contest.pairs:
        write("no row has different answers, so there is nothing to rate\n")
        return
    ballot = open_ballot(folder, args.rater or _own_name())
    with _server(contest, ballot, args) as server:
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
    _tell(contest, folder, args)


def _server(contest: Contest, ballot: Ballot, args: Namespace) -> RatingServer:
    """The page's server.

    Raises:
        OSError: Its port can't be had.
    """
    from ftc.rating.server import RatingServer

    try:
        return RatingServer(contest, ballot, seed=args.seed, port=args.port)
    except OSError as error:
        words = (
            f"port {args.port} can't be had ({error.strerror}); name another by `--port`, or none for any that is free"
        )
        raise OSError(error.errno, words) from None


def _port(text: str) -> int:
    """A port's number.

    Raises:
        ArgumentTypeError: There is no such port.
    """
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise ArgumentTypeError(f"`{text}` is no port; those are 1 to {_LAST_PORT}, and 0 for any that is free")
    return int(text)


def _own_name() -> str:
    return re.sub(r"[^\w.-]+", "-", getpass.getuser())[:60] or "rater"
