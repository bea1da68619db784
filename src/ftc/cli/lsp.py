"""`ftc lsp`: the language server for editors, on standard input and output."""

from __future__ import annotations

import gc
from argparse import Namespace

from ftc.cli.arguments import Parser
from ftc.spec.exit_codes import ExitCode

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declares the arguments: clients of the protocol name the way to talk, and there is one."""
    parser.add_argument("--stdio", action="store_true", help="talk over standard input and output; the default")


def run(_args: Namespace) -> int:
    """Serves until the client ends the talk.

    Raises:
        Refusal: The packages of the server are missing (FTC650).
    """
    from ftc.spec.diagnostics import Refusal, diagnostic

    try:
        from ftc.lsp.server import make_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("lsprotocol", "pygls"):
            raise
        note = f"`{error.name}` is not installed"
        help = "`pip install 'ftc[lsp]'` brings what the server needs"
        raise Refusal([diagnostic("FTC650", "`lsp` needs more packages", help=help, notes=note)]) from None
    gc.enable()  # the command starts without; an editor keeps the server for days
    make_server().start_io()
    return ExitCode.FINE
