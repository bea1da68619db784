"""The verbs that put runs on the hub and bring them back: `run push` and `run pull`."""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentTypeError, Namespace

from ftc.cli.arguments import RUN, Command, Example, Parser, add_offline, add_quiet
from ftc.cli.terminal import is_interactive, page, print_json, write
from ftc.spec.exit_codes import ExitCode

__all__ = ["COMMANDS"]

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})*")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")


def push_arguments(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help=f"a finished run: {RUN}")
    parser.add_argument(
        "repo", metavar="OWNER/NAME", help="a repository of the hub; it is created where it isn't there"
    )
    parser.add_argument(
        "--from",
        dest="made",
        metavar="FOLDER",
        help="push what `ftc run merge` or `ftc run export` made of the run, instead of its adapter",
    )
    parser.add_argument("--public", action="store_true", help="let everybody read it (without: private)")
    parser.add_argument(
        "--parent",
        type=_commit,
        metavar="COMMIT",
        help="commit that the repository has to be at (this project's last push, or a new repository)",
    )
    parser.add_argument(
        "--language",
        action="append",
        type=_language,
        dest="languages",
        metavar="CODE",
        help="a language that the model is for, such as en, for the model card; repeatable",
    )
    parser.add_argument(
        "--waive",
        action="append",
        dest="waived",
        metavar="NAME",
        help="pass over license, gated-base, audit, personal-data, or a gate by its metric; repeatable",
    )
    parser.add_argument("--dry-run", action="store_true", help="show files, sizes and card, and connect to nothing")
    add_offline(parser)
    add_quiet(parser, "show no progress")


def _commit(text: str) -> str:
    """A commit or its beginning.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not _COMMIT.fullmatch(text):
        raise ArgumentTypeError(f"`{text}` is not a commit: write its 40 digits, or the first 7 or more")
    return text


def _language(text: str) -> str:
    """A language's code.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not _LANGUAGE.fullmatch(text):
        raise ArgumentTypeError(f"`{text}` is not a language's code, such as en or pt-BR")
    return text


def run_push(args: Namespace) -> int:
    """Pushes, or shows what would go."""
    from ftc import api

    _keep_still(args)
    done = api.push(
        args.run,
        args.repo,
        made=args.made,
        public=args.public,
        parent=args.parent,
        languages=args.languages or (),
        waive=args.waived or (),
        dry_run=args.dry_run,
        offline=args.offline,
    )
    if args.json:
        print_json({**done.report.to_json(), "card": done.card})
    else:
        from ftc.views.shared import pushed_text

        write(pushed_text(done.report, done.card, page=page(sys.stdout, args)))
    return ExitCode.FINE


def _keep_still(args: Namespace) -> None:
    """Has the hub's library show no bars where nobody wants them, or sees them move."""
    if args.quiet or args.json or not is_interactive(sys.stderr, os.environ):
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        disable_progress_bars()


def pull_arguments(parser: Parser) -> None:
    parser.add_argument(
        "target", metavar="OWNER/NAME", help="a repository that a run was pushed to; `@` and a commit may follow"
    )
    parser.add_argument("--no-base", action="store_true", help="leave out the base model, which is on the hub, too")
    add_offline(parser)
    add_quiet(parser, "show no progress")


def run_pull(args: Namespace) -> int:
    """Pulls, and shows what came."""
    from ftc import api

    _keep_still(args)
    done = api.pull(args.target, fetch_base=not args.no_base, offline=args.offline)
    if args.json:
        print_json(done.report.to_json())
    else:
        from ftc.verbs.runs import bring_base
        from ftc.views.shared import pulled_text

        write(pulled_text(done.report, bring_base(done.run), page=page(sys.stdout, args)))
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "run push": Command(
        push_arguments,
        run_push,
        examples=(
            Example("ftc run push 3f2a me/tickets --dry-run", "files, sizes and the model card; nothing is sent"),
            Example(
                "ftc run push 3f2a me/tickets", "the adapter, its plan, record and scores, in a private repository"
            ),
            Example("ftc run push 3f2a me/tickets-gguf --from dist/tickets", "what `ftc run export` wrote"),
        ),
    ),
    "run pull": Command(
        pull_arguments,
        run_pull,
        examples=(
            Example("ftc run pull me/tickets", "into runs/, where `ftc predict` and `ftc run merge` find it"),
            Example("ftc run pull me/tickets@1a2b3c4", "as it was at a commit"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
