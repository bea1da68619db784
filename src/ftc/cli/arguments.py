"""What the parsers of all verbs have in common: every option that several verbs have is declared here, once."""

from __future__ import annotations

import os
import re
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ftc.spec.exit_codes import ExitCode
from ftc.spec.switches import OFFLINE, is_switched_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from _typeshed import SupportsWrite

__all__ = [
    "JSON",
    "RUN",
    "TEXT",
    "Command",
    "Example",
    "Parser",
    "add_color",
    "add_detailed_exitcode",
    "add_force",
    "add_locked",
    "add_offline",
    "add_output",
    "add_overrides",
    "add_personal_data",
    "add_quiet",
    "add_recipe",
    "add_recipes",
    "add_run",
    "add_waive",
    "count_of",
    "one_of",
    "override_words",
    "port_number",
    "settle",
    "verb_parser",
]

RUN = "its id or the beginning of it, its folder, or the recipe's name for its newest run, trials of a sweep aside"
"""How a run is named on a command line."""
TEXT, JSON = "text", "json"
"""The formats that almost every verb has."""

_WIDEST = 100
_LAST_PORT = 65_535


class _Help(RawDescriptionHelpFormatter):
    """Help as wide as the terminal; argparse would import `shutil` and three compressors to find out."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Lines as they are; longer ones go on below their own beginning, in a list below what follows the name."""
        lines = []
        for line in text.splitlines():
            if len(indent + line) > width:
                import textwrap  # which argparse imports only where help is shown, too

                head = re.match(r" *(?:\S+ {2,})?", line)
                hang = indent + " " * (head.end() if head else 0)
                line = textwrap.fill(line, width, initial_indent=indent, subsequent_indent=hang)
            else:
                line = indent + line
            lines.append(line)
        return "\n".join(lines)


def _columns() -> int:
    try:
        return min(os.get_terminal_size().columns, _WIDEST)
    except OSError:
        return _WIDEST


class Parser(ArgumentParser):
    """An argument parser that exits with 64 and takes no shortened options: new ones would break them."""

    def __init__(self, **settings: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **settings)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and where to find help."""
        message = message.replace("invalid int value:", "not a whole number:")
        _, is_unknown, words = message.partition("unrecognized arguments: ")
        options = [word.partition("=")[0] for word in words.split() if word.startswith("-")]
        if is_unknown and options and (meant := self._meant(options[0])):
            message += f"; did you mean `{meant}`?"
        sys.stderr.write(f"error: {message}\n{self.format_usage()}`{self.prog} --help` shows more.\n")
        raise SystemExit(ExitCode.USAGE)

    def _meant(self, word: str) -> str | None:
        """The option that an unknown one was meant to be: of a letter, the only one that begins with it."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        if len(word) == 2 and word[0] == "-":
            found = [option for option in known if option[2] == word[1]]
            return found[0] if len(found) == 1 else None
        from ftc.spec.language.did_you_mean import nearest

        return nearest(word, known) if word.startswith("--") else None

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Writes help. argparse would say nothing where the disk is full, and the exit code would be 0."""
        (file or sys.stderr).write(message)


class Example(NamedTuple):
    """A command line that `--help` shows; a test parses it."""

    command: str
    meaning: str


class Command(NamedTuple):
    """A verb of the command line."""

    add_arguments: Callable[[Parser], None]
    """Declares the arguments that the verb alone has, and those of this module that it shares with some."""
    run: Callable[[Namespace], int]
    """Does it, and gives the exit code."""
    formats: tuple[str, ...] = (TEXT, JSON)
    """Forms of the answer, for `--format`; the first is the default. Empty for a verb that says so itself."""
    examples: tuple[Example, ...] = ()
    takes_words: bool = False
    """Whether any number of words follow the first one; options may then stand between them."""


def verb_parser(name: str, about: str, command: Command, *, color: str = "auto") -> Parser:
    """The parser of one verb, with what every verb has.

    Args:
        name: The verb as it is typed, such as `run list`.
        about: What it does, in a line.
        command: Its arguments.
        color: What `--color` was before the verb.
    """
    parser = Parser(
        prog=f"ftc {name}",
        description=f"{about[0].upper()}{about[1:]}{'' if about.endswith('.') else '.'}",
        epilog=_examples_text(command.examples),
    )
    command.add_arguments(parser)
    if command.formats:
        parser.add_argument(
            "--format",
            choices=command.formats,
            metavar="FORMAT",
            help=f"{one_of(command.formats)} (default: {command.formats[0]})",
        )
        if JSON in command.formats:
            parser.add_argument(
                "--json", action="store_const", const=JSON, dest="format", help="short for `--format json`"
            )
    parser.add_argument("-v", "--verbose", action="store_true", help="show more: reasons, and the time it took")
    add_color(parser, default=color)
    return parser


def _examples_text(examples: Sequence[Example]) -> str | None:
    if not examples:
        return None
    width = max(len(one.command) for one in examples)
    if 4 + width + max(len(one.meaning) for one in examples) <= _columns() - 2:
        lines = [f"  {one.command:<{width}}  {one.meaning}" for one in examples]
    else:
        lines = [f"  {one.command}\n      {one.meaning}" for one in examples]
    return "\n".join(["examples:", *lines])


def one_of(words: Iterable[str]) -> str:
    """Words as a sentence offers them: `bash, zsh or fish`."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def settle(args: Namespace) -> Namespace:
    """The arguments with what follows from them, so that a verb finds each of these on any namespace.

    Raises:
        Refusal: The recipe is left out, and the folder has none or several (FTC603, FTC604); the run is left out, and
            the project has none (FTC520).
    """
    given = vars(args)
    args.format = given.get("format")
    args.json = given.get("json", args.format == JSON)
    args.quiet = given.get("quiet", False)
    for name, value in given.items():
        if isinstance(value, _LeftOut):
            setattr(args, name, value.find())
        elif isinstance(value, list) and value and isinstance(value[0], _LeftOut):
            setattr(args, name, [value[0].find()])
    return args


class _LeftOut:
    """Stands for an argument that the user left out, until somebody looks into the folder."""

    def __init__(self, about: str, find: Callable[[], str]) -> None:
        self._about = about
        self.find = find

    def __repr__(self) -> str:
        return self._about


def _only_recipe() -> str:
    from ftc.cli.recipe_files import only_recipe

    return only_recipe()


def _newest_run() -> str:
    from ftc.verbs.runs import newest_run

    return str(newest_run().folder)


_ONLY_RECIPE = _LeftOut("recipe.yaml, or the only recipe here", _only_recipe)
_NEWEST_RUN = _LeftOut("the newest run of all", _newest_run)


def add_recipe(parser: Parser, dest: str = "recipe", *, metavar: str = "RECIPE", about: str = "the recipe") -> None:
    """Adds the positional recipe, which may be left out."""
    parser.add_argument(dest, nargs="?", default=_ONLY_RECIPE, metavar=metavar, help=f"{about} (default: %(default)s)")


def add_recipes(parser: Parser, dest: str, *, about: str) -> None:
    """Adds any number of recipes, which may be left out."""
    parser.add_argument(
        dest, nargs="*", default=[_ONLY_RECIPE], metavar="RECIPE", help=f"{about} (default: {_ONLY_RECIPE})"
    )


def add_run(parser: Parser, dest: str = "run", *, which: str = "a run", or_plan: bool = False) -> None:
    """Adds the positional run, which may be left out; with `or_plan` a plan's file may stand there, too."""
    metavar, more = ("RUN|PLAN", "; or a plan's file") if or_plan else ("RUN", "")
    help = f"{which}: {RUN}{more} (default: {_NEWEST_RUN})"
    parser.add_argument(dest, nargs="?", default=_NEWEST_RUN, metavar=metavar, help=help)


def add_color(parser: Parser, *, default: str) -> None:
    """Adds `--color`."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default=default,
        metavar="WHEN",
        help="auto (on a terminal), always or never",
    )


def add_quiet(parser: Parser, about: str = "show only findings and the last line") -> None:
    """Adds `--quiet`."""
    parser.add_argument("-q", "--quiet", action="store_true", help=about)


def add_locked(parser: Parser) -> None:
    """Adds `--locked`."""
    parser.add_argument("--locked", action="store_true", help="refuse where the lock file would change")


def add_offline(parser: Parser) -> None:
    """Adds `--offline`, which `FTC_OFFLINE` stands for."""
    parser.add_argument(
        "--offline",
        action="store_true",
        default=is_switched_on(OFFLINE),
        help=f"use only what is on this machine (or set {OFFLINE}=1)",
    )


def add_output(parser: Parser, about: str, *, metavar: str = "FILE", required: bool = False) -> None:
    """Adds `-o`."""
    parser.add_argument("-o", "--output", metavar=metavar, required=required, help=about)


def add_detailed_exitcode(parser: Parser, about: str, *, alias: str | None = None) -> None:
    """Adds `--detailed-exitcode`: exit with 2 where something is to be done.

    Args:
        parser: The parser of the verb.
        about: What that is here.
        alias: How the verb called it before, which still works.
    """
    parser.add_argument("--detailed-exitcode", action="store_true", help=f"exit with 2 where {about}")
    if alias:
        parser.add_argument(alias, action="store_true", dest="detailed_exitcode", help=SUPPRESS)


def add_overrides(parser: Parser) -> None:
    """Adds `--set` and `--set-file`, whose values are in `overrides` in the order of the command line."""
    parser.add_argument(
        "--set",
        action="append",
        dest="overrides",
        default=[],
        metavar="PATH=VALUE",
        help="set a value of the recipe, such as train.epochs=1 or eval.metrics[0]=mcc; repeatable, the last one wins",
    )
    parser.add_argument(
        "--set-file",
        action="append",
        type=_file,
        dest="overrides",
        metavar="FILE",
        help="lay a file with part of a recipe on top; repeatable, in one order with --set",
    )


def add_force(parser: Parser) -> None:
    """Adds `--force`, for what a verb writes where the user says."""
    parser.add_argument("--force", action="store_true", help="let `-o` replace a file that ftc didn't write")


def add_personal_data(parser: Parser) -> None:
    """Adds `--show-personal-data`."""
    parser.add_argument(
        "--show-personal-data",
        action="store_true",
        dest="shows_personal_data",
        help="show rows that match rules for personal data or secrets (they are masked)",
    )


def add_waive(parser: Parser) -> None:
    """Adds `--waive`."""
    parser.add_argument(
        "--waive",
        action="append",
        default=[],
        metavar="RULE=REASON",
        help="waive a soft rule of ftc.policy.yaml; the plan keeps the reason; repeatable",
    )


def count_of(things: str) -> Callable[[str], int]:
    """What reads an option that is a number of things, at least 1."""

    def count(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or int(text) < 1:
            raise ArgumentTypeError(f"`{text}` is not a number of {things}")
        return int(text)

    return count


def port_number(text: str) -> int:
    """A port's number.

    Raises:
        ArgumentTypeError: There is no such port.
    """
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise ArgumentTypeError(f"`{text}` is not a port; ports are 1 to {_LAST_PORT}, and 0 for any that is free")
    return int(text)


def override_words(args: Namespace) -> tuple[str, ...]:
    """The overrides as words of a command line."""
    return tuple(
        word
        for one in args.overrides
        for word in (("--set", one) if isinstance(one, str) else ("--set-file", str(one)))
    )


def _file(text: str) -> Path:
    from pathlib import Path

    return Path(text)
