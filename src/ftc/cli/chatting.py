"""`ftc chat`: a conversation with a run's model in the terminal, or a line in and an answer out in a pipe."""

from __future__ import annotations

import gc
import math
import sys
import warnings
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ftc.cli.arguments import JSON, TEXT, Command, Example, Parser, add_quiet, add_run, count_of, port_number
from ftc.cli.output import following
from ftc.cli.terminal import page, show_diagnostics, write
from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ftc.verbs.chat import Chat, Reply, Subject

__all__ = ["COMMANDS"]


def chat_arguments(parser: Parser) -> None:
    add_run(parser, which="a finished run whose model writes text")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--base", action="store_const", const=("base",), dest="subjects", help="the base model answers")
    both = "both models answer, side by side where the terminal has 80 columns"
    who.add_argument("--both", action="store_const", const=("tuned", "base"), dest="subjects", help=both)
    parser.add_argument("--system", metavar="TEXT", help="the system message, in place of the run's own")
    parser.add_argument(
        "--temperature", type=_number(0, math.inf), default=0.0, metavar="T", help="sample; 0 is greedy (0)"
    )
    parser.add_argument(
        "--top-p", type=_number(0, 1, above=True), default=1.0, metavar="P", help="sample from this probability (1)"
    )
    parser.add_argument("--top-k", type=count_of("tokens"), metavar="K", help="sample from the K likeliest tokens")
    parser.add_argument("--seed", type=_seed, metavar="N", help="make a sampled conversation repeatable")
    parser.add_argument(
        "--max-new-tokens", type=count_of("tokens"), metavar="N", help="longest answer in tokens (the run's limit)"
    )
    parser.add_argument(
        "--page", action="store_true", help="chat on a page in the browser, tuned model and base side by side"
    )
    parser.add_argument(
        "--port",
        type=port_number,
        default=None,
        metavar="PORT",
        help="with --page: port on this machine (any that is free)",
    )
    parser.add_argument("--no-browser", action="store_true", help="with --page: show the address and open nothing")
    add_quiet(parser, "show no progress, and no opening lines")


def _number(low: float, high: float, *, above: bool = False) -> Callable[[str], float]:
    """What reads an option that is a number from `low`, or above it, to `high`."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or math.isinf(value) or (above and value == low):
            bounds = f"{'above' if above else 'from'} {low:g}{'' if math.isinf(high) else f' to {high:g}'}"
            raise ArgumentTypeError(f"`{text}` is not a number {bounds}")
        return value

    return number


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ArgumentTypeError(f"`{text}` is not a whole number from 0")
    return int(text)


def run_chat(args: Namespace) -> int:
    """Chats until the input ends."""
    sampled = [
        flag
        for flag, value in (("--top-p", args.top_p < 1), ("--top-k", args.top_k), ("--seed", args.seed is not None))
        if value
    ]
    if args.temperature == 0 and sampled:
        sys.stderr.write(f"error: {sampled[0]} is for sampling: set `--temperature`, such as 0.7\n")
        return ExitCode.USAGE
    given = [flag for flag, value in (("--port", args.port is not None), ("--no-browser", args.no_browser)) if value]
    if (given and not args.page) or (args.page and args.json):
        sys.stderr.write(f"error: {given[0]} goes with --page\n" if given else "error: --page writes no JSON\n")
        return ExitCode.USAGE
    from ftc import api
    from ftc.spec.documents.sampling import Sampling

    gc.enable()  # the command starts without; a chat may last
    subjects: tuple[Subject, ...] = args.subjects or ("tuned",)
    sampling = Sampling(temperature=args.temperature, top_p=args.top_p, top_k=args.top_k, seed=args.seed)
    with following(args) as listener:
        chat = api.open_chat(
            args.run, system=args.system, sampling=sampling, max_new_tokens=args.max_new_tokens, on_event=listener
        )
        if "base" in subjects or args.page:
            chat.load_base()
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        if args.page:
            return _on_page(chat, args)
        if sys.stdin.isatty() and sys.stdout.isatty() and not args.json:
            return _Terminal(chat, subjects, args).run()
        return _piped(chat, subjects, args)


def _on_page(chat: Chat, args: Namespace) -> int:
    """Serves the page until Ctrl-C."""
    import webbrowser

    from ftc.chatting.server import ChatServer
    from ftc.views.chat import page_facts

    about = page_facts(chat.run.plan, chat.run.record.id, chat.memory, chat.sampling)
    who = {"who": " ".join(args.subjects or ("tuned", "base"))}
    with ChatServer(chat, {**about, **who}, read=_said, port=args.port or 0) as server:
        write(f"open {server.url}\nCtrl-C ends; nothing of the conversation is kept\n")
        if not args.no_browser:
            webbrowser.open(server.url)
        try:
            server.serve()
        except KeyboardInterrupt:
            write("\n")
    return ExitCode.FINE


_WHO: Mapping[str, tuple[Subject, ...]] = {"/tuned": ("tuned",), "/base": ("base",), "/both": ("tuned", "base")}
_LEAVING = ("/exit", "/quit", "/bye")


class _Terminal:
    """A chat with a person."""

    def __init__(self, chat: Chat, subjects: tuple[Subject, ...], args: Namespace) -> None:
        self._chat, self._subjects, self._args = chat, subjects, args
        self._page = page(sys.stdout, args)

    def run(self) -> int:
        from ftc.views.chat import opening

        chat = self._chat
        if not self._args.quiet:
            plan, most = chat.run.plan, chat.max_new_tokens
            text = opening(
                plan,
                chat.run.record.id,
                chat.memory,
                chat.sampling,
                system=chat.system,
                max_new_tokens=most,
                page=self._page,
            )
            write(text + "\n")
        for line in self._lines():
            self._page = page(sys.stdout, self._args)  # the window may have another width by now
            if not line.startswith("/"):
                self._answer(line)
            elif line.split()[0] in _LEAVING:
                break
            else:
                self._obey(*line.split(maxsplit=1))
        return ExitCode.FINE

    def _lines(self) -> Iterator[str]:
        with suppress(ImportError):  # Windows has none
            import readline  # noqa: F401 - editing and history of the lines that are typed

        while True:
            try:
                line = input("> ").rstrip()
            except (EOFError, KeyboardInterrupt):
                write("\n")
                return
            if line:
                yield line

    def _answer(self, line: str) -> None:
        from ftc.spec.diagnostics import Refusal
        from ftc.views.chat import InTurn, SideBySide, is_wide

        drawn = SideBySide if len(self._subjects) > 1 and is_wide(self._page) else InTurn
        try:
            with drawn(sys.stdout, self._page, self._subjects) as drawing:
                reply = self._chat.ask(_said(line.strip()), self._subjects, drawing.say)
        except Refusal as refusal:
            show_diagnostics(refusal.diagnostics, refusal.sources, self._args)
        except KeyboardInterrupt:
            write(self._page.faint("(stopped; this line is forgotten)") + "\n")
        else:
            show_diagnostics(reply.findings, {}, self._args)
        write("\n")

    def _obey(self, command: str, rest: str = "") -> None:
        from ftc.spec.diagnostics import Refusal
        from ftc.views.chat import help_lines

        chat, faint = self._chat, self._page.faint
        if command in _WHO:
            self._subjects = _WHO[command]
            if "base" in self._subjects and chat.needs_base:
                write(faint("Loading the base model too …") + "\n")
                chat.load_base()
            write(faint(f"{' and '.join(self._subjects)} answer{'' if len(self._subjects) > 1 else 's'}") + "\n\n")
        elif command == "/reset":
            count = chat.turns
            chat.reset()
            write(faint(f"forgot {count} {'line' if count == 1 else 'lines'}") + "\n\n")
        elif command == "/system":
            try:
                chat.say_system(rest or None)
            except Refusal as refusal:
                show_diagnostics(refusal.diagnostics, refusal.sources, self._args)
            else:
                write(faint("system message replaced" if rest else "the run's own system message") + "\n\n")
        else:
            known = "" if command == "/help" else f"No command {command}; a blank before it sends it as text.\n"
            write(known + "\n".join(help_lines(self._page)) + "\n\n")


def _piped(chat: Chat, subjects: tuple[Subject, ...], args: Namespace) -> int:
    """A line in, an answer out; `/reset` begins a new conversation, as does no other word."""
    import json

    from ftc.spec.diagnostics import Refusal

    code = ExitCode.FINE
    for line in sys.stdin:
        text = line.strip()
        if text == "/reset":
            chat.reset()
            continue
        try:
            reply: Reply | None = chat.ask(_said(text), subjects) if text else None
        except Refusal as refusal:
            show_diagnostics(refusal.diagnostics, refusal.sources, args)
            reply, code = None, ExitCode.COULD_NOT_WORK
        else:
            show_diagnostics(reply.findings if reply else (), {}, args)
        texts: Mapping[Subject, str] = reply.texts if reply else {}
        if args.json:
            answers: dict[str, str | None] = {str(name): texts.get(name) for name in subjects}
            write(json.dumps({"line": text, **answers}, ensure_ascii=False) + "\n")
        else:
            write("".join(f"{f'{name}: ' if len(subjects) > 1 else ''}{texts.get(name, '')}\n" for name in subjects))
    return code


def _said(line: str) -> str | dict[str, Any]:
    """What is said: a text, which may begin as an object does, or a row as a JSON object."""
    from ftc.compiler.resolve.rows.json_rows import parsed_object

    if line.startswith("{"):
        with suppress(ValueError):
            return parsed_object(line)
    return line


COMMANDS: dict[str, Command] = {
    "chat": Command(
        chat_arguments,
        run_chat,
        formats=(TEXT, JSON),
        examples=(
            Example("ftc chat 7f3a2b", "in the terminal; /help shows the commands"),
            Example("ftc chat 7f3a2b --both --temperature 0.7", "tuned and base side by side, sampled"),
            Example("ftc chat 7f3a2b --page", "on a page in the browser, tuned and base side by side"),
            Example("ftc chat 7f3a2b --json", "in a pipe: a line in, an answer out as JSON"),
        ),
    ),
}
"""What a command line reaches here, by verb."""
