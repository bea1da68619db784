"""`ftc lock`: what the recipe asks for beside what that stands for, brought up to date or checked."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser, add_json
from ftc.cli.terminal import print_json, show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.compiler.lock.renew import Relocked

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help="the recipe")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 2 where the lock is stale")
    parser.add_argument("--upgrade", action="store_true", help="look up every model and data set of the hub anew")
    parser.add_argument(
        "--upgrade-package",
        action="append",
        default=[],
        metavar="NAME",
        help="let only NAME move: model, rows, validation, test, or an installed package; repeatable",
    )
    parser.add_argument("--migrate", action="store_true", help="bring a lock of an older format up to this one")
    parser.add_argument("--offline", action="store_true", help="use only what is on this machine")
    add_json(parser)


def run(args: Namespace) -> int:
    """Locks, and tells what moved."""
    from ftc import api

    moves = bool(args.upgrade) + bool(args.upgrade_package)
    if args.check and (moves or args.migrate):
        sys.stderr.write("error: `--check` changes nothing; leave out `--upgrade`, `--upgrade-package`, `--migrate`\n")
        return ExitCode.USAGE
    if moves > 1:
        sys.stderr.write("error: `--upgrade` names everything; leave out `--upgrade-package`\n")
        return ExitCode.USAGE
    found = api.lock(
        args.recipe,
        check=args.check,
        upgrade=True if args.upgrade else args.upgrade_package,
        migrate=args.migrate,
        offline=args.offline,
    )
    show_diagnostics(found.diagnostics, {}, args)
    if args.json:
        print_json(_json(found))
    else:
        write(_text(found))
    return ExitCode.FINE


def _text(found: Relocked) -> str:
    lines = [f"{found.file.name}  {_state(found)}"]
    if found.old is not None and not found.was_older:
        lines += [f"  ~ {line}" for line in found.changes]
    lines += [f"  not checked: {line}" for line in found.not_checked]
    return "\n".join(lines) + "\n"


def _state(found: Relocked) -> str:
    if found.old is None:
        return "new"
    if found.was_older:
        return "migrated; what it pins stays"
    return "changed" if found.changes else "up to date"


def _json(found: Relocked) -> dict[str, object]:
    return {
        "schema": "ftc.locked/1",
        "file": str(found.file),
        "state": "migrated" if found.was_older else _state(found),
        "changes": list(found.changes),
        "not_checked": list(found.not_checked),
    }
