"""The way into the verbs.

Nothing heavy is imported here, and of the verbs only the one that runs, so that `ftc --help` costs little more than
the interpreter and argparse.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from argparse import REMAINDER, SUPPRESS, Namespace
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import ftc
from ftc.cli import faults
from ftc.cli.arguments import Parser, add_color, settle, verb_parser
from ftc.cli.faults import Restart
from ftc.cli.verbs import GROUPS, MOVED, SECTIONS, VERBS, Group, Verb, verb_named
from ftc.spec.exit_codes import ExitCode

__all__ = ["console", "main", "parse"]


def main(argv: Sequence[str] | None = None, *, may_restart: bool = False) -> int:
    """Runs one command and gives its exit code; what can go wrong is reported on standard error.

    Args:
        argv: Words after the program's name; those of the process where left out.
        may_restart: Whether the process belongs to the command, so that it may be started again, or several times.

    Raises:
        Restart: The command has to begin in another environment.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        return faults.guarded(_parse_and_run, Namespace(verb=" ".join(words[:1]), words=words, may_restart=may_restart))
    except SystemExit as stop:  # argparse has said what there is to say
        return stop.code if isinstance(stop.code, int) else ExitCode.USAGE


def console() -> None:
    """The `ftc` command."""
    _start_lightly()
    _open_closed_streams()
    _end_tidily()
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")  # an old code page shows `?` instead of failing
    try:
        _need_unicode_names()
        code = main(may_restart=True)
    except Restart as asked:
        code = asked.follow()
    if not gc.isenabled():  # nothing is gained by searching for garbage as the process ends
        gc.freeze()  # a long command's libraries would take what is never collected for a leak, and say so
    sys.exit(faults.flushed(code))


def _need_unicode_names() -> None:
    """An ASCII locale whose fixing is switched off leaves names with accents that no call can open.

    Raises:
        Restart: This is such a process.
    """
    if sys.getfilesystemencoding().lower() in ("ascii", "us-ascii", "ansi_x3.4-1968"):
        raise Restart({"PYTHONUTF8": "1"})


def _open_closed_streams() -> None:
    """Where a shell closed a stream, as with `>&-`, Python has none: nothing is to be read, and nobody hears a word."""
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def _start_lightly() -> None:
    """Keeps Python and pydantic from work that costs a quarter of `ftc validate` and finds nothing."""
    gc.disable()  # what importing makes stays; `ftc apply`, which alone runs for long, enables it again
    # Else pydantic reads the metadata of every installed package, and loads code that no recipe asked for.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def _end_tidily() -> None:
    """SIGTERM, and a terminal that is closed, end a command as an exit does: copies of rows don't stay behind.

    A launcher's processes end at once: the first one tells what happened, and a launcher asks how they ended.
    """

    def leave(number: int, _frame: Any) -> None:
        raise SystemExit(ExitCode.SIGNALED + number)

    for name in ("SIGTERM", "SIGHUP") if "RANK" not in os.environ else ():
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # `nohup` means it
            signal.signal(number, leave)


def _parse_and_run(args: Namespace) -> int:
    """Parses the command line and runs the verb; an error in writing `--help` is reported as any other is."""
    vars(args).update(vars(parse(args.words)))
    if args.may_restart and args.typed in MOVED and sys.stderr.isatty():
        sys.stderr.write(f"note: `ftc {args.typed}` is now `ftc {args.verb}`\n")
    return _run(args)


def _run(args: Namespace) -> int:
    """Runs the verb; with `--verbose` the time that it took comes last."""
    from time import perf_counter

    started = perf_counter()
    code = VERBS[args.verb].command.run(settle(args))
    if args.verbose:
        sys.stderr.write(f"{args.verb} took {perf_counter() - started:.2f} s (ftc {ftc.__version__})\n")
    return code


def parse(argv: Sequence[str]) -> Namespace:
    """The arguments of a command line; `verb` is the verb's name, `typed` what was typed for it.

    Raises:
        SystemExit: Help was asked for and shown, or the words are no command; standard error says why.
    """
    top = _top_parser()
    common = top.parse_args(argv)
    if common.version:
        if common.json:
            from ftc.cli.terminal import print_json

            print_json(_versions())
        else:
            sys.stdout.write(f"ftc {ftc.__version__}\n")
        raise SystemExit(ExitCode.FINE)
    words = [common.verb, *common.rest]
    if common.verb is None:
        top.print_help(sys.stderr)
        raise SystemExit(ExitCode.USAGE)
    if common.verb == "help":
        words = [*common.rest, "--help"]
        if not common.rest:
            top.print_help()
            raise SystemExit(ExitCode.FINE)
    verb, rest = verb_named(words)
    if verb is None:
        _refuse_words(top, words)
    parser = verb_parser(verb.name, verb.help, verb.command, color=common.color)
    read = parser.parse_intermixed_args if verb.command.takes_words else parser.parse_args
    return read(rest, Namespace(verb=verb.name, typed=" ".join(words[: len(words) - len(rest)])))


_PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "tokenizers", "safetensors",
             "pydantic", "numpy", "pyarrow")  # fmt: skip
"""What a report of a fault needs the versions of."""


def _versions() -> dict[str, Any]:
    """ftc, Python, the machine and the packages that compute, without importing any of them."""
    import platform  # only a report of a fault needs it
    from importlib.metadata import PackageNotFoundError, version

    def found(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return {
        "schema": "ftc.version/1",
        "ftc": ftc.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: found(name) for name in _PACKAGES},
    }


def _refuse_words(top: Parser, words: Sequence[str]) -> NoReturn:
    """Shows the help of a group that was named alone, or says that there is no such verb."""
    first, *others = words
    group = GROUPS.get(first)
    if group is None:
        known = [one.name for section in SECTIONS.values() for one in section]
        hint = _meant(first, {*known, *MOVED}) or f"; one of {', '.join(known)}"
        top.error(f"unknown verb `{first}`{hint}")
    parser = _group_parser(group)
    if not others or others[0] in ("-h", "--help"):
        parser.print_help(sys.stdout if others else sys.stderr)
        raise SystemExit(ExitCode.FINE if others else ExitCode.USAGE)
    known = [verb.name.partition(" ")[2] for verb in group.verbs]
    hint = _meant(others[0], known) or f"; one of {', '.join(known)}"
    parser.error(f"`{first}` has no verb `{others[0]}`{hint}")


def _meant(word: str, known: Iterable[str]) -> str:
    from ftc.spec.language.did_you_mean import nearest

    meant = nearest(word, known)
    return f"; did you mean `{meant}`?" if meant else ""


def _top_parser() -> Parser:
    width = max(len(one.name) for section in SECTIONS.values() for one in section) + 2
    listed = "\n".join(
        "\n".join((f"{title}:", *(_line(one, one.name, width) for one in section)))
        for title, section in SECTIONS.items()
    )
    parser = Parser(
        prog="ftc",
        usage="ftc [--color WHEN] VERB ...",
        description="The fine-tuning compiler: a typed recipe, a plan that fits, a run that can be audited.",
        epilog=f"{listed}\n\n`ftc help VERB` shows more, with examples. Start with `ftc init`.",
    )
    parser.add_argument("--version", action="store_true", help="show the version; with --json that of what it runs on")
    parser.add_argument("--json", action="store_true", help=SUPPRESS)
    add_color(parser, default="auto")
    parser.add_argument("verb", nargs="?", help=SUPPRESS)
    parser.add_argument("rest", nargs=REMAINDER, help=SUPPRESS)
    return parser


def _group_parser(group: Group) -> Parser:
    names = {verb: verb.name.partition(" ")[2] for verb in group.verbs}
    width = max(map(len, names.values())) + 2
    listed = "\n".join(_line(verb, name, width) for verb, name in names.items())
    return Parser(
        prog=f"ftc {group.name}",
        usage=f"ftc {group.name} VERB ...",
        description=f"{group.help[0].upper()}{group.help[1:]}.",
        epilog=f"verbs:\n{listed}\n\n`ftc help {group.name} VERB` shows more.",
    )


def _line(one: Verb | Group, name: str, width: int) -> str:
    return f"  {name:<{width}}{one.help}" + (" …" if isinstance(one, Group) else "")
