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
_TOOLS = {"trl": 1, "llamafactory-cli": 1}
"""Programs whose next word says what they do."""


def command_root(text: Text, file: str) -> yaml_nodes.Mapping:
    """The options of the only command of a file that has any, as a configuration's keys.

    Raises:
        Refusal: Quotes that don't close, or not exactly one such command (FTC390).
    """
    found = [words for words in _commands(text, file) if sum(word.startswith("--") for word, _ in words) > 1]
    if len(found) != 1:
        summary = f"{len(found)} command lines with options are in the file, where one is imported"
        place = found[1][0][1] if len(found) > 1 else Span(file, 1, 1, 1, 1)
        raise Refusal([diagnostic("FTC390", summary, place, help="keep one command in the file")])
    words, entries = found[0], dict[str, Entry]()
    start = next((at for at, (word, _) in enumerate(words) if word in _TOOLS or word.endswith(".py")), None)
    if start is not None:
        word, place = words[start]
        is_tool = word in _TOOLS and start + 1 < len(words)
        name, rest = (words[start + 1][0], start + 2) if is_tool else (PurePath(word).stem, start + 1)
        entries[SCRIPT] = Entry(place, Scalar(name, True, place))
        if launcher := " ".join(one for one, _ in words[:start] if one not in ("python", "python3", "uv", "run")):
            entries[LAUNCHER] = Entry(words[0][1], Scalar(launcher, True, words[0][1]))
        words = words[rest:]
    for key, place, values in _options(words):
        node: Node = Scalar(*values[0]) if len(values) == 1 else Sequence(tuple(Scalar(*one) for one in values), place)
        entries[key] = Entry(place, node)
    return yaml_nodes.Mapping(entries, Span(file, 1, 1, 1, 1))


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
        goes_on = line.rstrip().endswith("\\")
        try:
            split = shlex.split(line.rstrip().removesuffix("\\"), comments=True)
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
