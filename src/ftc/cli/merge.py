"""`ftc merge`: the adapter of a finished run as part of its base model's weights."""

from __future__ import annotations

import gc
import sys
from argparse import ArgumentTypeError, Namespace

from ftc.cli.arguments import Parser, add_json
from ftc.cli.following import following
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]

_LEAST = 2**20


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("run", metavar="RUN", help="a finished run: its folder or the beginning of its name")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="a new folder for the whole model")
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="type of the weights (auto: as the base has them, or the run if in fewer bits)",
    )
    parser.add_argument(
        "--shard-size", type=_size, metavar="SIZE", help="most weights in one file, such as 2GB or 500MiB (5GB)"
    )
    add_json(parser)


def run(args: Namespace) -> int:
    """Merges, and tells what was merged and how alike it answers."""
    from ftc import api
    from ftc.verbs.merge import SHARD_BYTES

    gc.enable()  # the command starts without; a model that is let go of has to go
    as_json, args.json = args.json, False  # events go to standard error whatever the answer's form is
    try:
        with following(args) as listener:
            found = api.merge(
                args.run,
                args.output,
                dtype=args.dtype,
                shard_bytes=args.shard_size or SHARD_BYTES,
                on_event=listener,
            )
    finally:
        args.json = as_json
    if as_json:
        answer = {"folder": args.output, "merge": found.model.to_json(), "room": found.room.to_json()}
        print_json(answer)
    else:
        from ftc.views.comparison import merged_text

        write(merged_text(found.run.plan, found.model, found.room, args.output, page=page(sys.stdout, args)))
    return ExitCode.FINE


def _size(text: str) -> int:
    """Bytes.

    Raises:
        ArgumentTypeError: It is no size, or one that hardly a weight fits into.
    """
    from ftc.spec.base import parse_bytes

    try:
        size = parse_bytes(text)
    except ValueError as problem:
        raise ArgumentTypeError(f"`{text}`: {problem}") from None
    if size < _LEAST:
        raise ArgumentTypeError(f"`{text}` is less than 1MiB")
    return size
