"""`ftc whence`: which recipe, data, base and run made a file of weights."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from ftc.cli.arguments import Parser, add_json
from ftc.cli.terminal import write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.spec.documents.provenance import Origin

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments."""
    parser.add_argument("file", metavar="FILE", help="a safetensors file, or the folder of an adapter or a model")
    add_json(parser)


def run(args: Namespace) -> int:
    """Shows what the file says and what records confirm."""
    from ftc import api

    found = api.whence(args.file)
    write(found.to_text() if args.json else _text(found))
    return ExitCode.FINE


def _text(found: Origin) -> str:
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
            *([("teacher", f"{says.teacher} · {taught}{_of_run(found, 'teacher')}")] if says.teacher else []),
            *([("merged", f"adapter {digest(says.adapter_sha256)} into the base")] if says.adapter_sha256 else []),
        ]
    else:
        rows.append(("header", "says nothing"))
    where = f", run {' and '.join(found.runs)}" if found.runs else "; what the file says can't be confirmed"
    rows.append(("records", f"{found.confirmed}{where}"))
    return "\n".join(table([(label, escaped(text)) for label, text in rows])) + "\n"


def _of_run(found: Origin, part: str) -> str:
    return f" · of run {found.parents[part]}" if part in found.parents else ""
