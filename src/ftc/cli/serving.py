"""`ftc run eval RUN --server URL`: its options, and what it shows."""

from __future__ import annotations

import sys
from argparse import Namespace

from ftc.cli.arguments import Parser, count_of
from ftc.cli.output import following
from ftc.cli.terminal import page, print_json, show_diagnostics, write
from ftc.spec.codes import CODES
from ftc.spec.exit_codes import ExitCode
from ftc.spec.model_formats import FILE_TYPES

__all__ = ["add_server_arguments", "on_server", "server_misuse"]

_OPTIONS = ("model", "test", "rows", "type", "at_once", "timeout", "key_env", "compare")


def add_server_arguments(parser: Parser) -> None:
    """Adds what asking a server takes."""
    group = parser.add_argument_group("a running server")
    about = "measure a server of OpenAI's protocol in place of the run's weights, on validation rows"
    group.add_argument("--server", metavar="URL", help=about)
    group.add_argument("--model", metavar="NAME", help="what the server calls the model (its only one)")
    group.add_argument("--test", action="store_true", help="ask test rows; the ledger notes it")
    group.add_argument("--rows", type=count_of("rows"), metavar="N", help="most rows that are asked (50)")
    names = [one.name for one in FILE_TYPES]
    help = f"type of the server's weights, which says what may differ: {', '.join(names)} (bf16)"
    group.add_argument("--type", choices=names, metavar="TYPE", help=help)
    group.add_argument(
        "--at-once", type=count_of("requests"), metavar="N", help="requests that are out at the same time (4)"
    )
    group.add_argument(
        "--timeout", type=count_of("seconds"), metavar="SECONDS", help="when a request is given up (120)"
    )
    group.add_argument("--key-env", metavar="NAME", help="environment variable that holds the server's key")
    group.add_argument("--compare", action="store_true", help="answer the rows with the tuned model here, too")


def server_misuse(args: Namespace) -> str:
    """What can't go together, in words."""
    if args.server is None:
        used = [name for name in _OPTIONS if getattr(args, name)]
        return f"--{used[0].replace('_', '-')} is for --server" if used else ""
    if args.harness is not None:
        return "--server and --harness exclude each other"
    return "--test and --data exclude each other" if args.test and args.data else ""


def on_server(args: Namespace) -> int:
    """Measures the server; what differs from the run gives 7, requests without an answer 1."""
    from ftc import api
    from ftc.views.served import served_text

    given = {"rows": args.rows, "weight_type": args.type, "at_once": args.at_once, "timeout": args.timeout}
    with following(args) as listener:
        found = api.evaluate_server(
            args.run,
            args.server,
            model=args.model,
            data=args.data,
            test=args.test,
            key_env=args.key_env,
            compare=args.compare,
            on_event=listener,
            **{name: value for name, value in given.items() if value is not None},
        )
    if args.json:
        problems = [{"code": one.code, "severity": one.severity, "summary": one.summary} for one in found.findings]
        print_json({**found.report.to_json(), "findings": problems})
    else:
        write(served_text(found.report, page=page(sys.stdout, args)))
    show_diagnostics(found.findings, {}, args)
    return max((CODES[one.code].exit_code for one in found.findings if one.is_error), default=ExitCode.FINE)
