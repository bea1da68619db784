"""The verbs that prove what a run is, to oneself and to others."""

from __future__ import annotations

import sys
from argparse import SUPPRESS, Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Command, Example, Parser, add_force, add_output, add_quiet, add_run
from ftc.cli.output import print_signature
from ftc.cli.terminal import page, print_json, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.spec.documents.provenance import Origin, Provenance
    from ftc.verbs.audit import StepListener

__all__ = ["COMMANDS"]

_OF_A_REPLAY = {"steps": "--steps", "first": "--from-step", "last": "--to-step"}
_FEWEST_SEEDS, _MOST_SEEDS = 3, 10


def audit_arguments(parser: Parser) -> None:
    add_run(parser, "target")
    parser.add_argument(
        "--level",
        choices=("static", "replay", "full"),
        default="static",
        metavar="LEVEL",
        help="static: compare files; replay: train some steps again; full: do the whole plan again",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="steps of a replay; 20 where not given")
    parser.add_argument("--from-step", type=int, dest="first", metavar="STEP", help="begin at this checkpoint")
    parser.add_argument("--from", type=int, dest="first", help=SUPPRESS)
    parser.add_argument("--to-step", type=int, dest="last", metavar="STEP", help="end at this step")
    parser.add_argument("--to", type=int, dest="last", help=SUPPRESS)
    parser.add_argument("--threads", type=int, metavar="N", help="threads inside an operation, instead of the run's")
    parser.add_argument("--force", action="store_true", help="execute even on a machine of another class")
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="with full: do the plan N times with other seeds, and compare the scores"
    )
    help = "accuse of what an honest run may show too: other line endings, packages that differ, interruptions"
    parser.add_argument("--strict", action="store_true", help=help)
    parser.add_argument("--key", metavar="FILE", help="public key of whoever should have signed the run")
    add_quiet(parser, "show only findings and the verdict")


def run_audit(args: Namespace) -> int:
    """Shows the report; the exit code is the verdict's."""
    if problem := _audit_misuse(args):
        sys.stderr.write(f"error: {problem}\n")
        return ExitCode.USAGE
    from ftc import api
    from ftc.views.audit import audit_text

    report = api.audit(
        args.target,
        level=args.level,
        first=args.first or 0,
        last=args.last,
        **({"steps": args.steps} if args.steps else {}),
        threads=args.threads,
        force=args.force,
        seeds=args.seeds or 0,
        strict=args.strict,
        key=args.key,
        on_step=_audit_progress(args),
    )
    if args.json:
        write(report.to_text())
    else:
        write(audit_text(report, quiet=args.quiet, page=page(sys.stdout, args)))
    return report.exit_code


def _audit_misuse(args: Namespace) -> str | None:
    """What can't go together, in words."""
    used = [flag for name, flag in _OF_A_REPLAY.items() if getattr(args, name) is not None]
    if used and args.level != "replay":
        return f"{', '.join(used)} goes with --level replay"
    if args.level == "static" and (args.threads is not None or args.force):
        return "--threads and --force go with --level replay or full: static executes nothing"
    if args.seeds is not None and (
        args.level != "full" or args.force or not _FEWEST_SEEDS <= args.seeds <= _MOST_SEEDS
    ):
        return f"--seeds takes {_FEWEST_SEEDS} to {_MOST_SEEDS}, goes with --level full, and needs no --force"
    if args.steps is not None and args.last is not None:
        return "--steps and --to-step both say where the replay ends"
    if any(value is not None and value < 1 for value in (args.steps, args.threads)):
        return "--steps and --threads are at least 1"
    return None


def _audit_progress(args: Namespace) -> StepListener | None:
    """A line on a terminal that tells how far the replay has come."""
    import os

    from ftc.cli.terminal import is_interactive

    if args.json or args.quiet or not is_interactive(sys.stderr, os.environ):
        return None

    def tell(step: int, last: int) -> None:
        sys.stderr.write(f"\r{args.level:<10}step {step:,}/{last:,}" + ("\r\033[K" if step == last else ""))
        sys.stderr.flush()

    return tell


def provenance_arguments(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="a safetensors file, or the folder of an adapter or a model")


def run_provenance(args: Namespace) -> int:
    """Shows what the file says and what records confirm."""
    from ftc import api

    found = api.provenance(args.file)
    write(found.to_text() if args.json else _provenance_text(found))
    return ExitCode.FINE


def _provenance_text(found: Origin) -> str:
    from ftc.views.numbers import digest
    from ftc.views.page import escaped, table

    rows = [("file", f"{found.file} · tensors {digest(found.content_sha256)}")]
    if says := found.says:
        commit = f" at commit {says.base_commit[:12]}" if says.base_commit else ""
        taught = " · ".join(map(digest, (says.teacher_files_sha256 or {}).values()))
        data = " · ".join(f"{use} {digest(value)}" for use, value in says.rows_sha256.items())
        rows += [
            ("run", f"{says.run_id} of {says.name}, by ftc {says.ftc_version}"),
            ("recipe", f"{says.recipe_file} · {digest(says.recipe_sha256)}"),
            ("data", data),
            ("base", f"{says.base}{commit} · tensors {digest(says.base_content_sha256)}{_of_run(found, 'base')}"),
            *([("parent", _goes_on(found, says))] if says.parent_run else []),
            *([("teacher", f"{says.teacher} · {taught}{_of_run(found, 'teacher')}")] if says.teacher else []),
            *([("merged", f"adapter {digest(says.adapter_sha256)} into the base")] if says.adapter_sha256 else []),
        ]
    else:
        rows.append(("header", "says nothing"))
    where = f", run {' and '.join(found.runs)}" if found.runs else "; what the file says can't be confirmed"
    rows.append(("records", f"{found.confirmed}{where}"))
    return "\n".join(table([(label, escaped(text)) for label, text in rows])) + "\n"


def _goes_on(found: Origin, says: Provenance) -> str:
    """The earlier run, and whether this project's records know its weights."""
    from ftc.views.numbers import digest

    seen = found.parents.get("parent")
    known = "not in this project" if seen is None else f"known as those of run {seen}"
    return f"run {says.parent_run} · tensors {digest(says.parent_weights_sha256 or '')}, {known}"


def _of_run(found: Origin, part: str) -> str:
    return f" · of run {found.parents[part]}" if part in found.parents else ""


def used_by_arguments(parser: Parser) -> None:
    help = "a sha256 or its first 8 digits, of a file, a row, tensors, a package, a plan; or a file"
    parser.add_argument("digest", metavar="DIGEST|FILE", help=help)


def run_used_by(args: Namespace) -> int:
    """Lists them, a line each."""
    from ftc import api
    from ftc.views.page import table

    found = api.used_by(args.digest)
    if args.json:
        print_json({"schema": "ftc.uses/1", "uses": [use.to_json() for use in found]})
    elif found:
        rows = [(use.kind, use.name, use.status, f"{use.file}: {use.path}") for use in found]
        write("\n".join(table(rows)) + "\n")
    else:
        write("No lock and no run of this project holds it.\n")
    return ExitCode.FINE


def sign_arguments(parser: Parser) -> None:
    parser.add_argument("target", metavar="RUN|FOLDER", help="a finished run, or a folder such as its adapter")
    parser.add_argument("--key", required=True, metavar="FILE", help="private key: elliptic curve, PEM, no password")
    add_output(parser, "where it goes (default: model.sig in the folder)")
    add_force(parser)
    add_quiet(parser, "show nothing unless it fails")


def run_sign(args: Namespace) -> int:
    """Signs, and tells what is signed."""
    from ftc import api

    print_signature("signed", api.sign(args.target, key=args.key, signature=args.output, force=args.force), args)
    return ExitCode.FINE


def verify_arguments(parser: Parser) -> None:
    parser.add_argument("target", metavar="RUN|FOLDER", help="a run, or any folder that was signed")
    parser.add_argument("--key", required=True, metavar="FILE", help="public key of whoever should have signed it")
    parser.add_argument("--signature", metavar="FILE", help="the signature (default: model.sig in the folder)")
    add_quiet(parser, "show nothing unless it fails")


def run_verify(args: Namespace) -> int:
    """Compares; a signature that doesn't hold is refused with what differs."""
    from ftc import api

    print_signature("verified", api.verify(args.target, key=args.key, signature=args.signature), args)
    return ExitCode.FINE


COMMANDS: dict[str, Command] = {
    "audit": Command(
        audit_arguments,
        run_audit,
        examples=(
            Example("ftc audit 3f2a", "do files, data and model still match the record?"),
            Example("ftc audit 3f2a --level replay --steps 50", "train the first 50 steps again, and compare each"),
            Example("ftc audit 3f2a --level full --seeds 3", "train again with other seeds, and compare the scores"),
        ),
    ),
    "provenance": Command(
        provenance_arguments,
        run_provenance,
        examples=(Example("ftc provenance adapter/adapter_model.safetensors", "recipe, data, base and run"),),
    ),
    "used-by": Command(
        used_by_arguments,
        run_used_by,
        examples=(Example("ftc used-by data/tickets.csv", "locks and runs of a file"),),
    ),
    "run sign": Command(
        sign_arguments, run_sign, examples=(Example("ftc run sign 3f2a --key key.pem", "writes model.sig"),)
    ),
    "run verify": Command(
        verify_arguments, run_verify, examples=(Example("ftc run verify 3f2a --key key.pub.pem", "does it hold?"),)
    ),
}
"""What a command line reaches here, by verb."""
