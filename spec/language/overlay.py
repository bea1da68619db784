"""Recipes in layers: a file on top of the one that it extends, and values from the command line on top of both.

Trees are merged before they mean anything, and every node keeps its place, so that a finding points into the file, or
at the flag, where the value was written. Pure: who reads the files is `ftc.compiler.recipes.layers`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from ftc.spec.diagnostics import Diagnostic, Related, Span, diagnostic
from ftc.spec.language.section_tree import sections_at
from ftc.spec.language.source import FLAGS, Entry, Mapping, Node, Scalar, Source, read_source
from ftc.spec.language.source import Sequence as List
from ftc.spec.language.text_checks import check_text
from ftc.spec.language.yaml_nodes import plain

__all__ = ["as_flags", "merge", "moved", "read_flags"]

_LEAD = f"{FLAGS} "
_FLAG = re.compile(rf"{_LEAD}([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*|\.[0-9]{{1,5}}|\[[0-9]{{1,5}}\])*)=(.*)")
_STEP = re.compile(r"[a-z0-9_]+")
_Path = tuple[str | int, ...]
_LINE_END = re.compile(r"\r\n|\r|\n")
_ABSOLUTE = re.compile(r"[/~]|[A-Za-z]:|.*\\", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Item(List):
    """What a flag says about one item of a list, as a list that holds nothing but it.

    Attributes:
        position: Which item, from 0.
        place: Of the flag's path, for a finding.
    """

    position: int
    place: Span


def merge(layers: Sequence[Source], main: Source) -> tuple[Source, tuple[Diagnostic, ...]]:
    """One source from several, of which a later one wins.

    Mappings merge key by key. Everything else is replaced as a whole, and so is a mapping that takes another form:
    another `kind`, or keys of another alternative such as `hub` in place of `path`. A flag for one item of a list
    replaces that item, or lays a mapping on it; the position behind the last one adds an item.

    Args:
        layers: At least one, the one that all others build on first.
        main: The recipe that the user named; what is missing is missing there.

    Returns:
        The source, and what is wrong with flags for items that no list has.
    """
    flags = next((layer.flags for layer in layers if layer.flags), ())  # the same of every flag
    merging = _Merging()
    empty = Mapping({}, layers[0].root.span)
    root = reduce(lambda below, above: merging.mapping(below, above, ()), (layer.root for layer in layers), empty)
    source = Source(main.file, main.lines, Mapping(root.entries, main.root.span), flags)
    return source, tuple(merging.findings)


class _Merging:
    """Lays nodes on nodes and collects what does not fit."""

    def __init__(self) -> None:
        self.findings: list[Diagnostic] = []

    def mapping(self, below: Mapping, above: Mapping, path: _Path) -> Mapping:
        """A mapping on another, key by key."""
        entries = dict(below.entries)
        for key, entry in above.entries.items():
            under, inner = entries.get(key), (*path, key)
            node = self.node(under.node if under else None, entry.node, inner)
            is_same = under is not None and _are_one(under.node, entry.node, inner)
            entries[key] = Entry(_place(under.key_span, entry.key_span) if under and is_same else entry.key_span, node)
        return Mapping(entries, _place(below.span, above.span))

    def node(self, below: Node | None, above: Node, path: _Path) -> Node:
        """A node on another, or on nothing."""
        match below, above:
            case _, _Item():
                return self._with_item(below, above, path)
            case Mapping(), Mapping() if _are_one(below, above, path):
                return self.mapping(below, above, path)
            case _, Mapping():  # there may be items of lists further in
                return self.mapping(Mapping({}, above.span), above, path)
            case _:
                return above

    def _with_item(self, below: Node | None, above: _Item, path: _Path) -> Node:
        """A list with one item changed or added; it counts as written by the flag."""
        items = below.items if isinstance(below, List) else ()
        is_list = isinstance(below, List) or below is None or (isinstance(below, Scalar) and below.value is None)
        if not is_list or above.position > len(items):
            name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
            if below is not None and not isinstance(below, List):
                written = below.text if isinstance(below, Scalar) else "a mapping"
                summary = (
                    f"`{name}` is not a list but `{written}`" if isinstance(below, Scalar) else f"`{name}` is {written}"
                )
                help = f"set it as a whole, such as `--set '{name}=[…]'`"
            else:
                number = len(below.items) if below else 0
                summary = (
                    f"`{name}` has {number} {'item' if number == 1 else 'items'}, but none at position {above.position}"
                )
                help = f"positions start at 0; `{name}[{number}]` adds an item"
            related = (Related(below.span, "is set here"),) if below and below.span.file != FLAGS else ()
            self.findings.append(diagnostic("FTC027", summary, above.place, related=related, help=help, path=name))
            return above
        under = items[above.position] if above.position < len(items) else None
        item = self.node(under, above.items[0], (*path, above.position))
        return List((*items[: above.position], item, *items[above.position + 1 :]), above.span)


def _place(below: Span, above: Span) -> Span:
    """Where a merged mapping is said to be: in the later file; a flag changes values inside it and not its place."""
    return below if above.file == FLAGS else above


def _are_one(below: Node, above: Node, path: _Path) -> bool:
    """Whether two nodes are parts of one mapping."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return False
    forms = sections_at(tuple(step for step in path if isinstance(step, str)))  # items have the forms of their list
    kinds = [node.entries["kind"].node for node in (below, above) if "kind" in node.entries]
    if any("kind" in form.model_fields for form in forms):
        return len(kinds) < 2 or plain(kinds[0]) == plain(kinds[1])
    if len(forms) < 2:
        return True
    now = max(forms, key=lambda form: sum(key in form.model_fields for key in below.entries)).model_fields
    return all(key in now or not any(key in form.model_fields for form in forms) for key in above.entries)


def read_flags(flags: Sequence[str]) -> tuple[tuple[Source, ...], tuple[Diagnostic, ...], tuple[str, ...]]:
    """What `--set` was given, one source a flag, each with one value.

    Args:
        flags: Texts such as `train.epochs=1`.

    Returns:
        The sources, none where there are findings; the findings; and the lines into which their places point.
    """
    text, found = check_text("\n".join(_LEAD + _LINE_END.sub(" ", flag) for flag in flags), FLAGS)
    sources = []
    for number, (flag, line) in enumerate(zip(flags, text.lines, strict=True), 1):
        source, more = _read_flag(flag, line, number)
        found += more
        sources += [replace(source, flags=text.lines)] if source else []
    return (() if found else tuple(sources)), tuple(found), text.lines


def _read_flag(flag: str, line: str, number: int) -> tuple[Source | None, tuple[Diagnostic, ...]]:
    match = _FLAG.fullmatch(line)
    whole = Span(FLAGS, number, len(_LEAD) + 1, number, len(line) + 1)
    if _LINE_END.search(flag):
        help = r'write it as "first line\nsecond line", or put it into a file for `--set-file`'
        return None, (diagnostic("FTC024", "a value of several lines", whole, help=help),)
    if not match:
        help = "write the keys, joined by dots, then `=` and the value, such as `--set train.epochs=1`"
        return None, (
            diagnostic("FTC024", "`--set` needs `path=value`", whole, label="no path with a value", help=help),
        )
    if match[1].split(".")[0] == "extends":
        help = "use `--set-file FILE` to add a file"
        return None, (diagnostic("FTC025", "a flag can't set `extends`", whole, help=help),)
    # The value stands under a short key in its own column and line, so that the reader gives the right places.
    padded = "\n" * (number - 1) + "v:".ljust(match.start(2)) + match[2]
    source, found = read_source(padded, FLAGS)
    if source is None:
        return None, tuple(replace(one, path=match[1]) for one in found)
    node = source.root.entries["v"].node
    for step in reversed(list(_STEP.finditer(match[1]))):
        start = len(_LEAD) + 1 + step.start()
        place = Span(FLAGS, number, start, number, start + len(step[0]))
        if step[0].isdigit():
            node = _Item((node,), node.span, int(step[0]), place)
        else:
            node = Mapping({step[0]: Entry(place, node)}, whole)
    assert isinstance(node, Mapping)
    return Source(FLAGS, source.lines, node), ()


def as_flags(source: Source) -> tuple[str, ...]:
    """The texts for `--set` that say what a file says, one a section: so a plan can hold what a file changed."""
    return tuple(f"{key}={_flow(entry.node)}" for key, entry in source.root.entries.items())


def _flow(node: Node) -> str:
    """A node in one line. Numbers stay as they are written; all text is quoted."""
    match node:
        case Mapping():
            return "{" + ", ".join(f"{key}: {_flow(entry.node)}" for key, entry in node.entries.items()) + "}"
        case List():
            return "[" + ", ".join(map(_flow, node.items)) + "]"
        case Scalar():
            if isinstance(node.value, str):
                return re.sub(r"\$(?=[{(])", r"\\u0024", json.dumps(node.text, ensure_ascii=False))
            return node.text or "null"


def moved(source: Source, folder: str, is_folder: Callable[[str], bool]) -> Source:
    """A source whose relative paths are meant from another folder.

    Args:
        source: A layer that lies elsewhere than the recipe.
        folder: Its folder as seen from the recipe's, with `/`.
        is_folder: Whether a text of `model.base` names a folder beside the layer, and not a model of the hub.
    """
    if folder == ".":
        return source
    entries = dict(source.root.entries)
    if data := entries.get("data"):
        entries["data"] = replace(data, node=_with_paths(data.node, lambda text: _seen_from(folder, text)))
    if (model := entries.get("model")) and isinstance(model.node, Mapping) and (base := model.node.entries.get("base")):
        if isinstance(base.node, Scalar) and is_folder(base.node.text):
            # A path without a dot in front could be taken for an id on the hub.
            base = replace(
                base, node=_moved(base.node, lambda text: re.sub(r"^(?!\.)", "./", _seen_from(folder, text)))
            )
        entries["model"] = replace(model, node=replace(model.node, entries={**model.node.entries, "base": base}))
    return replace(source, root=replace(source.root, entries=entries))


def _with_paths(node: Node, move: Callable[[str], str]) -> Node:
    match node:
        case Mapping():
            entries: dict[str, Entry] = {}
            for key, entry in node.entries.items():
                is_path = key == "path" and isinstance(entry.node, Scalar)
                entries[key] = replace(
                    entry, node=_moved(entry.node, move) if is_path else _with_paths(entry.node, move)
                )
            return replace(node, entries=entries)
        case List():
            return replace(node, items=tuple(_with_paths(item, move) for item in node.items))
        case Scalar():
            return node


def _moved(node: Node, move: Callable[[str], str]) -> Node:
    if not isinstance(node, Scalar) or not node.text or node.value is None:
        return node
    return node if _ABSOLUTE.match(node.text) else Scalar(move(node.text), True, node.span)


def _seen_from(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))
