"""`ftc devices`: the cards that a plan can be made for, and what this machine has."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser, add_json
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="one device with its sources, such as rtx-4090")
    add_json(parser)


def run(args: Namespace) -> int:
    """Lists the catalog with this machine's device first, or tells all of one device.

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
