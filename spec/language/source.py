"""The text of a recipe, read: every value with its place, every fault of the text as a finding.

`read_source` is total: whatever the text, it returns and never raises. Its cost is linear in the text and bounded by
caps on size, depth, nodes and the length of a value. YAML is read strictly: no anchors, aliases, merge keys, tags,
directives, duplicate keys, second documents or interpolation; see `ftc.spec.codes.text` for the whole list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.language.text_checks import MOST_FINDINGS, Text, check_text, masked, odd_spaces
from ftc.spec.language.yaml_events import read_events
from ftc.spec.language.yaml_nodes import Entry, Mapping, Node, Plain, Scalar, Sequence, plain

__all__ = [
    "FLAGS",
    "LARGEST_FILE",
    "Entry",
    "Mapping",
    "Node",
    "Path",
    "Plain",
    "Scalar",
    "Sequence",
    "Source",
    "read_source",
    "read_source_bytes",
    "shown_lines",
]

FLAGS = "--set"
"""The file name in the place of a value that was set on the command line; `Source.flags` are its lines."""

LARGEST_FILE = 256 * 1024
"""Bytes of one file."""

LONGEST_FLAG = 80
"""Characters of a flag where it is named as the place of a value."""

Path: TypeAlias = "tuple[str | int, ...] | str"
"""Steps from the root, as a tuple such as `("data", "source", 0, "path")` or as text such as `data.source[0].path`."""

_SYNTAX = ("FTC001", "FTC002", "FTC010")
"""What the parser says of a text in which a space is none; where one is found, it is the cause."""
_STEP = re.compile(r"\[(\d{1,6})\]|([^.\[\]]+)")
_MERGE = re.compile(r"^<{7} .*\n(?:.*\n)*?={7}\n(?:.*\n)*?>{7} ", re.MULTILINE)
_WIDE_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass(frozen=True, slots=True)
class Source:
    """A recipe's text without faults: its lines and its tree.

    Attributes:
        file: The name that places in the text carry.
        lines: The text; secrets are masked.
        root: The tree. Where recipes are layered (`ftc.spec.language.overlay`), parts of it come from other files.
        flags: What `--set` was given, a line each.
    """

    file: str
    lines: tuple[str, ...]
    root: Mapping
    flags: tuple[str, ...] = ()

    def plain(self) -> dict[str, Plain]:
        """The tree as Python values: dicts, tuples, str, int, float, bool and None."""
        return {key: plain(entry.node) for key, entry in self.root.entries.items()}

    def node(self, path: Path) -> Node | None:
        """The node at a path, or None where there is none."""
        steps = _steps(path)
        reached, node, _ = self._walk(steps)
        return node if reached == len(steps) else None

    def span(self, path: Path) -> Span:
        """The place of the value at a path, or of the nearest value above that exists.

        A flag that sets another value of a section is no place for one that nobody set.
        """
        steps = _steps(path)
        reached, node, _ = self._walk(steps)
        is_set = reached == len(steps)
        while not is_set and reached and isinstance(node, Mapping) and node.span.file == FLAGS:
            reached, node, _ = self._walk(steps[: reached - 1])
        return node.span

    def key_span(self, path: Path) -> Span:
        """The place of the key at a path (for a list item, of the item), or of the nearest above that exists."""
        return self._walk(_steps(path))[2]

    def where(self, path: Path) -> str:
        """Where the value at a path is written, in words: `recipe.yaml:12`, or `--set train.epochs=1`."""
        span = self.span(path)
        if span.file != FLAGS:
            return f"{span.file}:{span.line}"
        flag = self.flags[span.line - 1]
        return flag if len(flag) <= LONGEST_FLAG else f"{flag[: LONGEST_FLAG - 1]}…"

    def _walk(self, steps: tuple[str | int, ...]) -> tuple[int, Node, Span]:
        """Steps taken, the node reached and the place that names it."""
        node: Node = self.root
        named = self.root.span
        for taken, step in enumerate(steps):
            match node, step:
                case Mapping(), str() if step in node.entries:
                    entry = node.entries[step]
                    node, named = entry.node, entry.key_span
                case Sequence(), int() if 0 <= step < len(node.items):
                    node = node.items[step]
                    named = node.span
                case _:
                    return taken, node, named
        return len(steps), node, named


def read_source(text: str, file: str) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """Reads a recipe's text. `file` is the name that spans carry.

    Returns:
        The source and no findings, or None and at least one finding of severity error, in the order of the file.
    """
    if len(text) > LARGEST_FILE or len(text.encode("utf-8", "replace")) > LARGEST_FILE:
        return None, (_too_large(len(text.encode("utf-8", "replace")), file),)
    checked, findings = check_text(_without_mark(text), file)
    if merge := _MERGE.search(checked.content):
        place = checked.span(merge.start(), checked.content.index("\n", merge.start()))
        help = "keep one side of each `<<<<<<<` to `>>>>>>>` and delete the marks"
        return None, (diagnostic("FTC001", "the marks of a merge that was not resolved", place, help=help),)
    root, more = read_events(checked)
    findings += more
    if any(found.code in _SYNTAX for found in more) and (odd := odd_spaces(checked)):
        findings = [*odd, *(found for found in findings if found.code not in _SYNTAX)]
    if not findings and isinstance(root, Mapping):
        return Source(file, checked.lines, root), ()
    if not findings:
        findings = [_no_mapping(root, checked)]
    findings.sort(key=Diagnostic.sort_key)
    if len(findings) >= MOST_FINDINGS:
        last = findings[MOST_FINDINGS - 1]
        note = f"only {MOST_FINDINGS} findings are shown; there may be more"
        findings[MOST_FINDINGS - 1 :] = [replace(last, notes=(*last.notes, note))]
    return None, tuple(findings)


def read_source_bytes(data: bytes, file: str) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    """Reads a recipe as it lies on the disk; like `read_source`, with findings about the encoding."""
    if len(data) > LARGEST_FILE:
        return None, (_too_large(len(data), file),)
    try:
        return read_source(data.decode("utf-8"), file)
    except UnicodeDecodeError as error:
        prefix = Text(data[: error.start].decode("utf-8").removeprefix("\ufeff"), file)
        return None, (
            diagnostic(
                "FTC012",
                f"byte 0x{data[error.start]:02x} at offset {error.start:,} is not UTF-8",
                prefix.span(len(prefix.content), len(prefix.content) + 1),
                label=f"probably {_WIDE_ENCODINGS.get(data[:2], 'another encoding')}",
                help="save the file as UTF-8",
            ),
        )


def shown_lines(text: str | bytes) -> tuple[str, ...]:
    """The lines of a file as a snippet may show them: secrets masked, unseen characters replaced.

    The same lines that spans count. A view that shows findings of a file without a `Source` takes them from here.
    """
    content = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return Text(masked(_without_mark(content[:LARGEST_FILE])), "").lines


def _without_mark(text: str) -> str:
    return text.removeprefix("\ufeff")


def _steps(path: Path) -> tuple[str | int, ...]:
    if isinstance(path, tuple):
        return path
    return tuple(int(match[1]) if match[1] else match[2] for match in _STEP.finditer(path))


def _too_large(size: int, file: str) -> Diagnostic:
    return diagnostic(
        "FTC013",
        f"a file of {size / 1024:,.0f} KiB; the largest recipe has {LARGEST_FILE // 1024} KiB",
        Span(file, 1, 1, 1, 1),
        help="move data into data files",
    )


def _no_mapping(root: Node | None, text: Text) -> Diagnostic:
    if root is None or (isinstance(root, Scalar) and root.value is None):
        help = "start with `ftc: 1`, `name:`, `task:`, `data:`, `model:` and `strategy:`, or let `ftc init` write one"
        return diagnostic("FTC008", "the file is empty", text.span(0, 0), label="no value here", help=help)
    found = "a list" if isinstance(root, Sequence) else "a single value"
    summary = f"a recipe is a mapping, but this is {found}"
    return diagnostic("FTC009", summary, root.span, label="expected `key: value`", help="start with `ftc: 1`")
