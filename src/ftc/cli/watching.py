"""`ftc watch`: follows a run in the terminal, or keeps a page of all runs up to date."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import JSON, RUN, TEXT, Command, Example, Parser, add_force, add_output
from ftc.cli.terminal import STDOUT, is_interactive, page, print_json, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.verbs.watch import Follower

__all__ = ["COMMANDS"]

HTML = "html"
_LOOK_SECONDS = 0.5
_PAGE_SECONDS = 5.0


def watch_arguments(parser: Parser) -> None:
    about = f"a run: {RUN} (default: the newest run of all)"
    parser.add_argument("run", metavar="RUN", nargs="?", help=about)
    parser.add_argument("--once", action="store_true", help="show or write the state now, and end")
    add_output(parser, "with `--format html`: the page of all runs, written again while a run goes on")
    add_force(parser)


def run_watch(args: Namespace) -> int:
    """Follows until the run is over, or until Ctrl-C, which ends only the watching."""
    from ftc.verbs.watch import follower

    if fault := _fault_of_usage(args):
        sys.stderr.write(f"error: {fault}\n")
        return ExitCode.USAGE
    try:
        if args.format == HTML:
            return _keep_page(args)
        found = follower(args.run)
        if args.json:
            print_json(_as_json(found))
        elif args.once or not is_interactive(sys.stdout, os.environ):
            from ftc.views.watch import watch_lines

            write("\n".join(watch_lines(found.look(), page(sys.stdout, args))) + "\n")
        else:
            _follow(found, args)
    except KeyboardInterrupt:
        write("\n")
    return ExitCode.FINE


def _fault_of_usage(args: Namespace) -> str | None:
    """What is asked beside something that takes no notice of it."""
    if args.format == HTML and args.run is not None:
        return f"the page is of all runs; `ftc run show {args.run} --format html` writes that of one"
    if args.format != HTML and args.output is not None:
        return "--output is for the page of all runs: add `--format html`"
    return None


def _follow(found: Follower, args: Namespace) -> None:
    """Redraws the picture in place; the last one stays."""
    from rich.console import Console
    from rich.live import Live

    look = page(sys.stdout, args)
    console = Console(file=sys.stdout, force_terminal=True, no_color=not look.color, highlight=False, soft_wrap=True)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            watched = found.look()
            look = page(sys.stdout, args)  # the window may have another width by now
            from rich.text import Text

            from ftc.views.watch import watch_lines

            lines = watch_lines(watched, look)
            live.update(
                Text.from_ansi("\n".join(lines[: max(1, console.size.height - 1)]), no_wrap=True, overflow="ellipsis"),
                refresh=True,
            )
            if watched.is_over:
                return
            time.sleep(_LOOK_SECONDS)


def _as_json(found: Follower) -> dict[str, object]:
    from ftc.views.progress import RunState

    watched = found.look()
    state = RunState(num_steps=watched.plan.settings.train.num_steps)
    for event in watched.events:
        state.add(event)
    return {
        "schema": "ftc.watched/1",
        "run": watched.record.id,
        "status": watched.record.status,
        "step": state.step.step if state.step else 0,
        "steps": state.num_steps,
        "loss": state.step.loss if state.step else None,
        "validation": dict(state.validation.metrics) if state.validation else None,
        "tokens_per_second": state.tokens_per_second,
        "seconds": watched.seconds,
        "training_seconds_left": None if watched.is_over else state.seconds_left,
        "machine": dict(watched.machine),
    }


def _keep_page(args: Namespace) -> int:
    """Writes the page, and writes it again as long as a run goes on."""
    from pathlib import Path

    from ftc.cli.output import write_out
    from ftc.spec.storage.atomic_write import write_text
    from ftc.spec.storage.outputs import OutputKind
    from ftc.verbs.watch import listed_runs
    from ftc.views.report.runs import runs_html

    is_file = bool(args.output) and args.output != STDOUT
    folder = Path(args.output).parent if is_file else Path()
    found = listed_runs()
    code = write_out(runs_html(found, folder), OutputKind.RUNS, args)
    while is_file and not args.once and any(one.is_running for one in found):
        time.sleep(_PAGE_SECONDS)
        found = listed_runs()
        write_text(Path(args.output), runs_html(found, folder))
    return code


COMMANDS: dict[str, Command] = {
    "watch": Command(
        watch_arguments,
        run_watch,
        formats=(TEXT, JSON, HTML),
        examples=(
            Example("ftc watch", "the newest run: curves, speed, memory and time left"),
            Example("ftc watch 3f2a --json", "its state now, for scripts"),
            Example("ftc watch --format html -o runs.html", "a page of all runs, up to date while one goes on"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
