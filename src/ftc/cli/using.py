"""The verbs that use finished runs' models: `predict`, `run combine`, and `run merge` for other tools."""

from __future__ import annotations

import gc
import os
import re
import sys
from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import (
    JSON,
    RUN,
    TEXT,
    Command,
    Example,
    Parser,
    add_force,
    add_output,
    add_quiet,
    count_of,
)
from ftc.cli.output import following
from ftc.cli.terminal import STDOUT, page, print_json, show_diagnostics, write
from ftc.spec.combining import COMBINATIONS
from ftc.spec.exit_codes import ExitCode
from ftc.spec.precisions import NUMBER_TYPES

if TYPE_CHECKING:
    from ftc.verbs.predict import Predictions, RowLike

__all__ = ["COMMANDS"]

_CSV, _LINES, _TABS = "csv", "jsonl", ".tsv"
_FORMATS = {".csv": _CSV, _TABS: _CSV, ".jsonl": _LINES, ".ndjson": _LINES, ".json": JSON}
"""Form of the answer by the suffix of the file that it is written to, or that the rows come from."""


def predict_arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help=f"a finished run: {RUN}")
    parser.add_argument(
        "text",
        nargs="*",
        metavar="TEXT",
        help='texts to predict for, or objects such as \'{"question": "…", "context": "…"}\'; '
        "`-` reads one a line from standard input",
    )
    parser.add_argument("--data", metavar="FILE", help="a file of rows with the run's columns; labels are not needed")
    add_output(parser, "write to a file; its suffix says the format: `.csv`, `.tsv`, `.jsonl` or `.json`")
    parser.add_argument(
        "--max-new-tokens",
        type=count_of("tokens"),
        metavar="N",
        help="longest written answer, in tokens (the run's limit)",
    )
    add_force(parser)
    add_quiet(parser, "show no progress")


def run_predict(args: Namespace) -> int:
    """Predicts for each row; rows without a prediction are named on standard error."""
    if problem := _misuse(args):
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    from pathlib import Path

    from ftc import api

    target = Path(args.output) if args.output and args.output != STDOUT else None
    if target is not None:
        from ftc.spec.storage.outputs import OutputKind, claim_output

        claim_output(target, OutputKind.PREDICTIONS, force=args.force)
    gc.enable()  # the command starts without; a large file takes long
    rows = Path(args.data) if args.data else _typed(args.text)
    with following(args) as listener:
        found = api.predict(args.run, rows, max_new_tokens=args.max_new_tokens, on_event=listener)
    show_diagnostics(found.findings, {}, args)
    text = _as_asked(found, _form(args), args)
    if target is None:
        write(text)
    else:
        from ftc.spec.storage.atomic_write import write_text
        from ftc.views.numbers import plural

        write_text(target, text)
        sys.stderr.write(f"Wrote {plural(len(found.predictions), 'prediction')} to {target}.\n")
    return ExitCode.FINE


def _misuse(args: Namespace) -> str:
    if args.data and args.text:
        return "name a file with `--data`, or give texts, and not both"
    if not args.data and not args.text:
        first = f"the first argument, `{args.run}`, names the run"
        return f"{first}: give a text behind it, `-` to read texts from standard input, or a file with `--data`"
    if STDOUT in args.text and len(args.text) > 1:
        return "`-` reads all texts from standard input; leave out the others"
    if args.output and args.output != STDOUT and args.format is None and _suffix(args.output) not in _FORMATS:
        ways = "use `.csv`, `.tsv`, `.jsonl` or `.json`, or `--format`"
        return f"`{args.output}` has no suffix that says the format: {ways}"
    for word in args.text:
        if _suffix(word) and os.path.isfile(word):  # noqa: PTH113 - a text may be no path at all
            from ftc.spec.row_files import SUFFIXES

            if _suffix(word) not in SUFFIXES:
                continue
            return f"`{word}` is a file: `--data {word}` predicts for its rows; `-` reads a text of that name"
    return ""


def _typed(words: list[str]) -> list[RowLike]:
    """Rows of the command line, or of standard input: texts, and objects in JSON.

    Raises:
        Refusal: There is none (FTC689), one is no UTF-8 (FTC354), or begins as an object in JSON and is none (FTC355).
    """
    from ftc.spec.diagnostics import Refusal, diagnostic

    is_piped = words == [STDOUT]
    lines = [line.rstrip("\r\n") for line in sys.stdin] if is_piped else words
    rows = [
        _row(line, f"line {number} of standard input" if is_piped else f"text {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not rows:
        help = "write one text, or one JSON object, a line"
        raise Refusal([diagnostic("FTC689", "there is no text to predict for", help=help)])
    return rows


_OBJECT = re.compile(r'\s*\{\s*["}]')
"""How an object in JSON begins, and hardly any text."""


def _row(line: str, place: str) -> RowLike:
    """A text as a row. Bytes that are no UTF-8 arrive as halves of pairs; a broken object is never read as a text."""
    from ftc.compiler.resolve.rows.json_rows import parsed_object
    from ftc.spec.diagnostics import Refusal, diagnostic

    try:
        line.encode()
        return parsed_object(line) if _OBJECT.match(line) else line
    except UnicodeEncodeError:
        help = "convert it to UTF-8"
        raise Refusal([diagnostic("FTC354", f"{place} holds a character that is none", help=help)]) from None
    except ValueError as error:
        helps = ("fix the object", 'or, where it is a text that begins so, write `{"text": "…"}` with the text quoted')
        raise Refusal([diagnostic("FTC355", f"{place} is not a JSON object: {error}", help=helps)]) from None


def _suffix(file: str) -> str:
    return os.path.splitext(file)[1].lower()  # noqa: PTH122 - a name, whether or not there is such a file


def _form(args: Namespace) -> str:
    if args.format is not None:
        return str(args.format)
    if args.output and args.output != STDOUT:
        return _FORMATS[_suffix(args.output)]
    return _FORMATS.get(_suffix(args.data), _LINES) if args.data else TEXT


def _as_asked(found: Predictions, form: str, args: Namespace) -> str:
    from ftc.views.predictions import as_json, as_json_lines, as_text

    match form:
        case "csv":
            return _separated(found, args)
        case "jsonl":
            return as_json_lines(found.rows, found.predictions)
        case "json":
            return as_json(found.rows, found.predictions)
        case _:
            return as_text(found.predictions, page(sys.stdout, args))


def _separated(found: Predictions, args: Namespace) -> str:
    """CSV as the file of rows has it, so that what opens the one opens the other; a file named `.tsv` has tabs."""
    from ftc.views.predictions import as_csv

    own, source, target = found.dialect, _suffix(args.data or ""), _suffix(args.output or "")
    delimiter = own.delimiter if own and not (source == _TABS and target) else ","
    text = as_csv(found.columns, found.rows, found.predictions, "\t" if target == _TABS else delimiter)
    return f"\ufeff{text}" if own and own.has_mark else text


_LEAST = 2**20


def merge_arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help=f"a finished run: {RUN}")
    add_output(parser, "a new folder for the whole model", metavar="FOLDER", required=True)
    parser.add_argument(
        "--dtype",
        choices=("auto", *(one.name for one in NUMBER_TYPES)),
        default="auto",
        metavar="TYPE",
        help="float32, bfloat16, float16 or auto: as the base has them, or the run if in fewer bits (default: auto)",
    )
    parser.add_argument(
        "--shard-size", type=_size, metavar="SIZE", help="most weights in one file, such as 2GB or 500MiB (5GB)"
    )
    add_quiet(parser, "show no progress")


def run_merge(args: Namespace) -> int:
    """Merges, and shows what was merged and how close its answers are."""
    from ftc import api
    from ftc.verbs.merge import SHARD_BYTES

    gc.enable()  # the command starts without; a model that is freed has to go
    shard_bytes = args.shard_size or SHARD_BYTES
    with following(args) as listener:
        found = api.merge(args.run, args.output, dtype=args.dtype, shard_bytes=shard_bytes, on_event=listener)
    if args.json:
        answer = {"folder": args.output, "merge": found.model.to_json(), "room": found.room.to_json()}
        print_json(answer)
    else:
        from ftc.views.comparison import merged_text

        write(merged_text(found.run.plan, found.model, found.room, args.output, page=page(sys.stdout, args)))
    return ExitCode.FINE


def combine_arguments(parser: Parser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"finished runs: {RUN}")
    parser.add_argument(
        "--weights", nargs="+", type=float, metavar="W", help="what each run counts (default: equal, 1 in all)"
    )
    words = "; ".join(f"{one.name}: {one.about}" for one in COMBINATIONS)
    names = [one.name for one in COMBINATIONS]
    parser.add_argument(
        "--method", choices=names, default=names[0], metavar="METHOD", help=f"{words} (default: {names[0]})"
    )
    parser.add_argument("--density", type=float, metavar="SHARE", help="share of the numbers that TIES and DARE keep")
    parser.add_argument("--seed", type=int, metavar="N", help="which numbers DARE drops (default: 0)")
    parser.add_argument("--name", metavar="NAME", help="name of the new run (default: the first run's, with -combined)")
    add_quiet(parser, "show no progress")


def run_combine(args: Namespace) -> int:
    """Combines, evaluates, and shows the new run."""
    from ftc import api
    from ftc.cli.output import run_json, show_run

    gc.enable()
    asked = {"method": args.method, "density": args.density, "seed": args.seed, "name": args.name}
    with following(args) as listener:
        found = api.combine(args.runs, weights=args.weights, on_event=listener, **asked)
    if args.json:
        print_json(run_json(found))
    else:
        show_run(found, args)
    return ExitCode.FINE if found.record.status == "finished" else ExitCode.GATE_FAILED


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


COMMANDS: dict[str, Command] = {
    "predict": Command(
        predict_arguments,
        run_predict,
        formats=(TEXT, JSON, _LINES, _CSV),
        takes_words=True,
        examples=(
            Example('ftc predict 7f3a2b "Where is my parcel?"', "one text"),
            Example("ftc predict 7f3a2b --data new.csv -o answers.csv", "a file of rows"),
            Example("ftc predict 7f3a2b - --format jsonl", "one text, or one JSON object, a line of standard input"),
        ),
    ),
    "run combine": Command(
        combine_arguments,
        run_combine,
        examples=(
            Example("ftc run combine 3f2a 9b1c --weights 0.7 0.3", "a weighted sum, evaluated on the first run's rows"),
            Example("ftc run combine 3f2a 9b1c --method ties --density 0.5", "TIES, which keeps the largest half"),
        ),
    ),
    "run merge": Command(
        merge_arguments,
        run_merge,
        examples=(Example("ftc run merge 3f2a -o models/tickets", "a whole model for inference servers"),),
    ),
}
"""What a command line reaches here, by verb."""
