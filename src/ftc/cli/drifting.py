"""The verb that compares new rows with those of a finished run: `drift`."""

from __future__ import annotations

import gc
import sys
from argparse import ArgumentTypeError, Namespace

from ftc.cli.arguments import JSON, TEXT, Command, Example, Parser, add_force, add_output, add_quiet, add_run, count_of
from ftc.cli.output import following, write_out
from ftc.cli.terminal import STDOUT, page, print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["COMMANDS"]

_HTML = "html"


def drift_arguments(parser: Parser) -> None:
    add_run(parser, which="a finished run")
    parser.add_argument(
        "--data", metavar="FILE", required=True, help="new rows with the run's columns; labels are not needed"
    )
    about = "significance level: share of reports without any drift that say `drift` at most (0.01)"
    parser.add_argument("--level", type=_level, metavar="SHARE", help=about)
    parser.add_argument(
        "--rows", type=count_of("rows"), metavar="N", help="most rows of each side that are compared (1,000)"
    )
    add_output(parser, "with `--format html`: write the page to a file")
    add_force(parser)
    add_quiet(parser, "show no progress")


def _level(text: str) -> float:
    from ftc.verbs.drift import drift_level

    try:
        return drift_level(text)
    except ValueError as fault:
        raise ArgumentTypeError(str(fault)) from None


def run_drift(args: Namespace) -> int:
    """Compares; drift and failed gates give 7, too few rows 8."""
    from ftc import api
    from ftc.spec.storage.outputs import OutputKind, claim_output

    if args.format == _HTML and args.output and args.output != STDOUT:
        from pathlib import Path

        claim_output(Path(args.output), OutputKind.DRIFT, force=args.force)
    gc.enable()  # the command starts without; a model may answer for hours
    given = {name: value for name in ("level", "rows") if (value := getattr(args, name)) is not None}
    with following(args) as listener:
        report = api.data_drift(args.run, args.data, on_event=listener, **given).report
    if args.json:
        print_json(report.to_json())
    elif args.format == _HTML:
        from ftc.views.report.drift import drift_html

        write_out(drift_html(report), OutputKind.DRIFT, args)
    else:
        from ftc.views.drift import drift_text

        write(drift_text(report, page=page(sys.stdout, args)))
    if report.failed_gates:
        return ExitCode.GATE_FAILED
    codes = {"drift": ExitCode.DRIFT, "no drift": ExitCode.FINE, "too few rows": ExitCode.INCONCLUSIVE}
    return codes[report.verdict]


COMMANDS: dict[str, Command] = {
    "drift": Command(
        drift_arguments,
        run_drift,
        formats=(TEXT, JSON, _HTML),
        examples=(
            Example(
                "ftc drift 7f3a2b --data new.jsonl", "exits with 7 where they differ, with 8 where they are too few"
            ),
            Example("ftc drift 7f3a2b --data new.csv --format html -o drift.html", "a page with pictures"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
