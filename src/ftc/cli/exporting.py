"""`ftc run export`: statements about a run in the formats of other tools, and its model in those of other programs."""

from __future__ import annotations

import gc
import sys
from argparse import Namespace
from pathlib import Path

from ftc.cli.arguments import Command, Example, Parser, add_force, add_offline, add_output, add_quiet, count_of
from ftc.cli.terminal import STDOUT, page, print_json, write
from ftc.spec.exit_codes import ExitCode
from ftc.spec.model_formats import MODEL_FORMATS, ModelFormat, model_format

__all__ = ["COMMANDS"]

_OF_A_MODEL = {
    "type": "--type",
    "pre_tokenizer": "--pre-tokenizer",
    "converter": "--converter",
    "rows": "--rows",
    "waived": "--waive",
}


def export_arguments(parser: Parser) -> None:
    from ftc.views.exports import FORMATS

    parser.add_argument("target", metavar="RUN", help="a run's id, its beginning or its folder")
    names = [*(one.name for one in MODEL_FORMATS), *(one.name for one in FORMATS)]
    words = [f"{one.name}: {one.about}" for one in MODEL_FORMATS]
    words += [f"{one.name}: {one.about}: {one.standard}" for one in FORMATS]
    parser.add_argument("--format", required=True, choices=names, metavar="FORMAT", help="; ".join(words))
    add_output(parser, "a new folder for a model, or the file of a statement; `-` is the terminal", metavar="PATH")
    types = dict.fromkeys(name for one in MODEL_FORMATS for name in one.types)
    parser.add_argument("--type", choices=list(types), metavar="TYPE", help=f"weights of a model: {', '.join(types)}")
    parser.add_argument("--rows", type=count_of("rows"), metavar="N", help="most rows on which gates are checked (200)")
    parser.add_argument(
        "--waive",
        action="append",
        dest="waived",
        metavar="METRIC",
        help="a gate that may fail with the file; repeatable",
    )
    help = (
        "llama.cpp's name of how the tokenizer splits texts, where its converter doesn't know it: gpt-2, llama-bpe, …"
    )
    parser.add_argument("--pre-tokenizer", metavar="NAME", help=help)
    parser.add_argument("--converter", metavar="FILE", help="source archive of the converter, fetched by other means")
    add_offline(parser)
    add_force(parser)
    parser.add_argument("--json", action="store_true", help="with -o: report what was written as JSON")
    add_quiet(parser, "show no progress, and don't name a written file")


def run_export(args: Namespace) -> int:
    """Writes a model, or prints or writes a statement."""
    card = model_format(args.format)
    if problem := _misuse(args, card):
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    return _statement(args) if card is None else _model(args)


def _misuse(args: Namespace, card: ModelFormat | None) -> str | None:
    """What can't go together, in words."""
    if card is None:
        used = [flag for name, flag in _OF_A_MODEL.items() if getattr(args, name) is not None]
        return f"{', '.join(used)} goes with the format of a model" if used else None
    if not args.output or args.output == STDOUT:
        return f"--format {card.name} writes a folder: name it with -o"
    if args.type is not None and args.type not in card.types:
        return f"--format {card.name} writes weights in {', '.join(card.types)}, and not in {args.type}"
    if not card.made_by.endswith("converter") and (args.converter or args.pre_tokenizer):
        return f"--converter and --pre-tokenizer are for llama.cpp's converter, which --format {card.name} doesn't use"
    return None


def _statement(args: Namespace) -> int:
    from ftc import api
    from ftc.spec.storage.atomic_write import write_text
    from ftc.spec.storage.outputs import OutputKind, claim_output

    text = api.export(args.target, args.format)
    if args.output and args.output != STDOUT:
        claim_output(Path(args.output), OutputKind[args.format.upper()], force=args.force)
        write_text(Path(args.output), text)
        if args.json:
            print_json({"schema": "ftc.exported/1", "format": args.format, "file": args.output})
        elif not args.quiet:
            write(f"Wrote {args.output}.\n")
    else:
        write(text)
    return ExitCode.FINE


def _model(args: Namespace) -> int:
    from ftc import api
    from ftc.cli.output import following

    gc.enable()  # the command starts without; a model that is freed has to go
    options = {} if args.rows is None else {"rows": args.rows}
    with following(args) as listener:
        found = api.export_model(
            args.target,
            args.format,
            args.output,
            weight_type=args.type,
            converter=args.converter,
            pre_tokenizer=args.pre_tokenizer,
            waive=args.waived or (),
            offline=args.offline,
            on_event=listener,
            **options,
        )
    if args.json:
        print_json({"folder": args.output, "export": found.model.to_json()})
    else:
        from ftc.views.exported import exported_text

        write(exported_text(found.model, args.output, page=page(sys.stdout, args)))
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "run export": Command(
        export_arguments,
        run_export,
        formats=(),
        examples=(
            Example("ftc run export 3f2a --format gguf --type q8_0 -o dist/tickets", "a file for llama.cpp"),
            Example("ftc run export 3f2a --format slsa -o run.intoto.json", "provenance for others"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
