"""Reads a command line that starts a training, as TRL's examples and many teams' shell scripts have it.

Nothing of it is run, and no shell looks at it: words are split, values that the same file assigns are put in, and the
environment is never asked.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.language import yaml_nodes
from ftc.spec.language.text_checks import Text
from ftc.spec.language.yaml_nodes import Entry, Node, Scalar, Sequence

__all__ = ["LAUNCHER", "SCRIPT", "SUFFIXES", "command_root"]

SUFFIXES = (".sh", ".bash")
"""Ends of the names of files that hold command lines."""
SCRIPT = "script"
"""Key under which the name of the program stands: `sft` of `trl sft`, and of `sft.py`."""
LAUNCHER = "launcher"
"""Key under which the words before the program stand, such as `accelerate launch`."""

_ASSIGNED = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)=(.*)", re.DOTALL)
_NAMED = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_OPTION = re.compile(r"--([A-Za-z][\w.-]*)(?:=(.*))?", re.DOTALL)
_JOINS = frozenset({"&&", "||", "|", ";", "&"})
_REDIRECTION = re.compile(r"(?:\d|&)?>")
_BEFORE_COMMENT = re.compile(r"""(?:[^\s'"\\#]|\\.|'[^']*'|"(?:[^"\\]|\\.)*"|\s|(?<=\S)#)*(?<!\S)(?=\#)""")
"""What stands before a comment, which begins a word: elsewhere `#` is part of one, as in `run#2`."""
_ALL_ARGUMENTS = ("$@", "$*")
"""What a script is called with, of which its file says nothing."""
_TOOLS = ("trl", "llamafactory-cli")
"""Programs whose next word says what they do."""
_MODULES = "trl.scripts."
"""How the names of the same programs begin behind `python -m`."""


def command_root(text: Text, file: str) -> yaml_nodes.Mapping:
    """The options of the only command of a file that has any, as a configuration's keys.

    Raises:
        Refusal: Quotes that don't close, a command that names a configuration, or not exactly one command (FTC390).
    """
    found = [
        words
        for words in _commands(text, file)
        if (count := sum(word.startswith("--") for word, _ in words)) > 1 or (count and _program(words) is not None)
    ]
    if len(found) != 1:
        summary = f"the file has {len(found)} commands with options, and one is imported"
        place, help = (
            (found[1][0][1], "keep one of them") if found else (Span(file, 1, 1, 1, 1), "name one that trains")
        )
        raise Refusal([diagnostic("FTC390", summary, place, help=help)])
    words, entries = found[0], dict[str, Entry]()
    start = _program(words)
    if start is not None:
        word, place = words[start]
        is_tool = word in _TOOLS and start + 1 < len(words)
        name = PurePath(word).stem if word.endswith(".py") else word.removeprefix(_MODULES)
        name, rest = (words[start + 1][0], start + 2) if is_tool else (name, start + 1)
        entries[SCRIPT] = Entry(place, Scalar(name, True, place))
        if launcher := " ".join(one for one, _ in words[:start] if one not in ("python", "python3", "uv", "run", "-m")):
            entries[LAUNCHER] = Entry(words[0][1], Scalar(launcher, True, words[0][1]))
        words = words[rest:]
    for key, place, values in _options(words):
        node: Node = Scalar(*values[0]) if len(values) == 1 else Sequence(tuple(Scalar(*one) for one in values), place)
        entries[key] = Entry(place, node)
    if SCRIPT in entries and (named := entries.get("config")) is not None:
        where = named.node.text if isinstance(named.node, Scalar) else "it"
        help = f"`ftc import {where}`, and change in the recipe what the command adds"
        raise Refusal([diagnostic("FTC390", "the command names a configuration", named.key_span, help=help)])
    return yaml_nodes.Mapping(entries, Span(file, 1, 1, 1, 1))


def _program(words: list[tuple[str, Span]]) -> int | None:
    """The place of the program among a command's words; None where it is none that could train."""
    programs = (
        at
        for at, (word, _) in enumerate(words)
        if word in _TOOLS or word.startswith(_MODULES) or (word.endswith(".py") and not word.startswith("-"))
    )
    return next(programs, None)


def _options(words: list[tuple[str, Span]]) -> Iterator[tuple[str, Span, list[tuple[str, bool, Span]]]]:
    """Each option with its values; one without any is a switch."""
    at = 0
    while at < len(words):
        word, place = words[at]
        at += 1
        if not (match := _OPTION.fullmatch(word)):
            continue
        key, values = match[1].replace("-", "_"), [] if match[2] is None else [(match[2], False, place)]
        while match[2] is None and at < len(words) and not _OPTION.fullmatch(words[at][0]):
            if words[at][0] not in _ALL_ARGUMENTS:
                values.append((words[at][0], False, words[at][1]))
            at += 1
        is_off = not values and key.startswith("no_")
        yield (
            key.removeprefix("no_") if is_off else key,
            place,
            values or [("false" if is_off else "true", False, place)],
        )


def _filled(word: str, assigned: Mapping[str, str]) -> str:
    """A word with the values of variables that the file assigned before."""
    return _NAMED.sub(lambda match: assigned.get(match[1] or match[2], match[0]), word)


def _commands(text: Text, file: str) -> Iterator[list[tuple[str, Span]]]:
    """The words of each command, with their places, after what the file assigns was put in."""
    assigned: dict[str, str] = {}
    words: list[tuple[str, Span]] = []
    for number, line in enumerate(text.content.splitlines(), start=1):
        before = _BEFORE_COMMENT.match(line)
        goes_on = before is None and line.rstrip().endswith("\\")
        try:
            split = shlex.split(before[0] if before else line.rstrip().removesuffix("\\"))
        except ValueError:
            place = Span(file, number, 1, number, max(1, len(line)))
            help = "keep each quoted value on one line"
            raise Refusal([diagnostic("FTC390", "a quote that this line doesn't close", place, help=help)]) from None
        begin = 0
        for word in split:
            begin = max(line.find(word, begin), 0)
            words.append((_filled(word, assigned), Span(file, number, begin + 1, number, begin + 1 + len(word))))
            begin += len(word)
        if goes_on:
            continue
        assignments = [match for word, _ in words if (match := _ASSIGNED.fullmatch(word))]
        if words and all(word == "export" or _ASSIGNED.fullmatch(word) for word, _ in words):
            assigned |= {match[1]: match[2] for match in assignments}
        yield from _apart(words)
        words = []
    yield from _apart(words)


def _apart(words: list[tuple[str, Span]]) -> Iterator[list[tuple[str, Span]]]:
    """The commands of a line that joins several, each without what is written elsewhere."""
    found: list[list[tuple[str, Span]]] = [[]]
    for word, place in words:
        if word in _JOINS:
            found.append([])
        else:
            found[-1].append((word, place))
    for one in found:
        end = next((at for at, (word, _) in enumerate(one) if _REDIRECTION.match(word)), len(one))
        if one[:end]:
            yield one[:end]
