"""The verbs that bring a saved plan to another machine: `pack` and `unpack`."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Command, Example, Parser, add_force
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["COMMANDS"]


def pack_arguments(parser: Parser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="a plan that `ftc plan -o` saved")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the package, a tar file")
    about = "all that the run needs, only local ones, which no hub has, or none (all)"
    parser.add_argument("--models", choices=("all", "local", "none"), default="all", help=about)
    add_force(parser)


def run_pack(args: Namespace) -> int:
    """Packs, and shows what is in it."""
    from ftc import api

    done = api.pack(args.plan, args.output, models=args.models, force=args.force)
    if args.json:
        print_json(done.to_json())
    else:
        from ftc.views.packed import packed_text

        write(packed_text(done, page=page(sys.stdout, args)))
    return ExitCode.FINE


def unpack_arguments(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="what `ftc pack` wrote")
    about = "where the project goes: a new folder, or one without other files of these names (the job's name)"
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help=about)
    about = "unpack only the package, plan or job with this digest; its first 8 characters are enough"
    parser.add_argument("--expect", metavar="DIGEST", help=about)


def run_unpack(args: Namespace) -> int:
    """Compares everything, puts it in place, and shows how to run it."""
    from ftc import api

    done = api.unpack(args.file, args.folder, expect=args.expect)
    if args.json:
        print_json(done.to_json())
    else:
        from ftc.views.packed import unpacked_text

        write(unpacked_text(done, page=page(sys.stdout, args)))
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "pack": Command(
        pack_arguments,
        run_pack,
        examples=(
            Example("ftc pack job.plan.json -o job.tar", "with models: for a machine without rows and hub"),
            Example("ftc pack job.plan.json -o job.tar --models local", "models of the hub are there already"),
        ),
    ),
    "unpack": Command(
        unpack_arguments,
        run_unpack,
        examples=(
            Example("ftc unpack job.tar", "into a folder with the job's name"),
            Example("ftc unpack job.tar /scratch/job --expect 41c09a7be210", "this package, and no other"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
