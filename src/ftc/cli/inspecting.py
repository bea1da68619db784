"""The verbs that look into a run: `run inspect` and `run profile`."""

from __future__ import annotations

import gc
import sys
from argparse import Namespace
from collections.abc import Callable

from ftc.cli.arguments import JSON, TEXT, Command, Example, Parser, add_force, add_output, add_quiet, add_run, count_of
from ftc.cli.output import following, write_out
from ftc.cli.terminal import STDOUT, page, print_json, write
from ftc.spec.base import Document
from ftc.spec.exit_codes import ExitCode

__all__ = ["COMMANDS"]

_HTML = "html"


def inspect_arguments(parser: Parser) -> None:
    add_run(parser, which="a finished run")
    parser.add_argument("--weights-only", action="store_true", help="compare no states: no rows are needed")
    add_output(parser, "with `--format html`: write the page to a file")
    add_force(parser)
    add_quiet(parser, "show no progress")


def run_inspect(args: Namespace) -> int:
    """Measures, and shows."""
    from ftc import api
    from ftc.spec.storage.outputs import OutputKind, claim_output

    if args.format == _HTML and args.output and args.output != STDOUT:
        from pathlib import Path

        claim_output(Path(args.output), OutputKind.INSPECTION, force=args.force)
    gc.enable()  # the command starts without; a model that is freed has to go
    with following(args) as listener:
        report = api.inspect(args.run, states=not args.weights_only, on_event=listener).report
    if args.format == _HTML:
        from ftc.views.report.inspected import inspected_html

        return write_out(inspected_html(report), OutputKind.INSPECTION, args)
    from ftc.views.inspected import inspected_text

    return _said(args, report, lambda: inspected_text(report, page=page(sys.stdout, args)))


def profile_arguments(parser: Parser) -> None:
    add_run(parser, which="a run, finished or not")
    parser.add_argument("--steps", type=count_of("steps"), metavar="N", help="steps that are measured, after 2 (3)")
    about = "write the timeline to a file that Perfetto and Chrome show; `.gz` at its end compresses it"
    parser.add_argument("--trace", metavar="FILE", help=about)
    add_output(parser, "with `--format html`: write the page to a file")
    add_force(parser)
    add_quiet(parser, "show no progress")


def run_profile(args: Namespace) -> int:
    """Measures, and shows."""
    from pathlib import Path

    from ftc import api
    from ftc.spec.storage.outputs import OutputKind, claim_output
    from ftc.verbs.profile import STEPS

    if args.format == _HTML and args.output and args.output != STDOUT:
        claim_output(Path(args.output), OutputKind.PROFILE, force=args.force)
    if args.trace:
        claim_output(Path(args.trace), OutputKind.TRACE, force=args.force)
    with following(args) as listener:
        report = api.profile(args.run, steps=args.steps or STEPS, trace=args.trace, on_event=listener).report
    if args.format == _HTML:
        from ftc.views.report.profiled import profiled_html

        return write_out(profiled_html(report), OutputKind.PROFILE, args)
    from ftc.views.profiled import profiled_text

    return _said(args, report, lambda: profiled_text(report, page=page(sys.stdout, args)))


def _said(args: Namespace, report: Document, text: Callable[[], str]) -> int:
    """Prints a document as JSON or for people."""
    if args.json:
        print_json(report.to_json())
    else:
        write(text())
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "run inspect": Command(
        inspect_arguments,
        run_inspect,
        formats=(TEXT, JSON, _HTML),
        examples=(
            Example("ftc run inspect 7f3a2b", "how far each module and layer moved, and what that does to states"),
            Example("ftc run inspect 7f3a2b --format html -o inside.html", "a page with pictures"),
        ),
    ),
    "run profile": Command(
        profile_arguments,
        run_profile,
        formats=(TEXT, JSON, _HTML),
        examples=(
            Example("ftc run profile 7f3a2b", "where the time of a training step goes"),
            Example("ftc run profile 7f3a2b --trace steps.json.gz", "also the timeline, for ui.perfetto.dev"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
