"""`ftc tokens`: rows as the model is fed them, and what of them is learned."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser, add_json, add_overrides
from ftc.cli.terminal import page, print_json, show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help="the recipe")
    parser.add_argument(
        "--row", type=int, action="append", default=[], metavar="N", help="row of the file, from 1; default: three rows"
    )
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default="train",
        help="part of the data (default: train); a look at test is noted",
    )
    parser.add_argument("--ids", action="store_true", help="list each token with its id")
    parser.add_argument("--offline", action="store_true", help="use only what is on this machine")
    add_overrides(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Plans the recipe, leaves its lock alone, and shows rows of its streams."""
    from ftc import api

    planned = api.plan(args.recipe, overrides=args.overrides, offline=args.offline, keep_lock=True)
    found = api.tokens(planned, split=args.split, rows=args.row)
    if args.json:
        print_json(found.to_json())
        return ExitCode.FINE
    from ftc.views.tokens import tokens_text

    show_diagnostics(planned.diagnostics, planned.sources, args)
    write(tokens_text(found, listed=args.ids, page=page(sys.stdout, args)))
    return ExitCode.FINE
