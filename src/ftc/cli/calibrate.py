"""`ftc calibrate`: how fast this machine's device is, for the time that later plans tell."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser, add_json
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; those that a run would use otherwise")
    add_json(parser)


def run(args: Namespace) -> int:
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
