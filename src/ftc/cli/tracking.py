"""`ftc run track`: sends a run to an experiment tracker."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Command, Example, Parser, add_quiet, one_of
from ftc.cli.terminal import print_json, write
from ftc.spec.exit_codes import ExitCode
from ftc.spec.trackers import TRACKERS

__all__ = ["COMMANDS"]


def track_arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's id, its beginning or its folder")
    places = ", ".join(f"{card.name}:{card.place.upper()}" for card in TRACKERS)
    about = f"{one_of([card.name for card in TRACKERS])}, also with a place: {places}; the rest is as in the recipe"
    parser.add_argument("--to", required=True, metavar="TRACKER[:PLACE]", help=about)
    parser.add_argument("--weights", action="store_true", help="send the adapter or model too")
    register = "also register the model with its base under this name, for `mlflow models serve`; mlflow alone "
    register += "(the recipe's `registered_model`, if the run passed its gates)"
    parser.add_argument("--register", metavar="NAME", help=register)
    add_quiet(parser, "show no progress")


def run_track(args: Namespace) -> int:
    """Sends it, and shows where it is found."""
    from ftc import api

    try:
        done = api.track(args.run, args.to, weights=args.weights, register=args.register)
    except ValueError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    if args.json:
        print_json(
            {
                "schema": "ftc.tracked/1",
                "run": done.run.record.id,
                "tracker": done.target.card.name,
                "values": done.values,
                "where": done.where,
            }
        )
    elif not args.quiet:
        write(f"{done.target.card.title} has run {done.run.record.id}: {done.values:,} values by step.\n{done.where}\n")
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "run track": Command(
        track_arguments,
        run_track,
        examples=(
            Example("ftc run track 3f2a --to tensorboard", "event files in the project's `tensorboard/`"),
            Example("ftc run track 3f2a --to mlflow:http://127.0.0.1:5000", "to a tracking server"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
