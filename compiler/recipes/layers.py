"""The files and flags that a recipe is made of: read along `extends`, then laid on top of each other.

Apart from `ftc.compiler.rules.check`, which needs none of this for a recipe that stands alone.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, read_named, safe_path
from ftc.spec.diagnostics import Diagnostic, Refusal, Related, diagnostic
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.overlay import as_flags, merge, moved, read_flags
from ftc.spec.language.parse import version_fault
from ftc.spec.language.source import FLAGS, LARGEST_FILE, Entry, Mapping, Scalar, Source, read_source_bytes, shown_lines

__all__ = ["LONGEST_CHAIN", "Layered", "Override", "layered"]

LONGEST_CHAIN = 8
"""Files that build on each other, the recipe included."""

Override = str | Path
"""What `--set` was given, such as `train.epochs=1`; or a file that lies on top of the recipe."""

Lines = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Layered:
    """A recipe with what it extends below and what the command line says on top.

    Attributes:
        source: The outcome; every node keeps the place where it was written.
        lines: Lines of every file but the recipe, and of the flags, by the name that places carry.
        overrides: What flags and files on top say, as texts for `--set`, so that a plan can be made again.
    """

    source: Source
    lines: Lines
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Layer:
    source: Source
    file: Path

    def seen_from(self, folder: Path) -> Source:
        """The source with its paths as seen from the recipe's folder."""
        if self.source.file == FLAGS:
            return self.source
        own = self.file.parent
        return moved(
            self.source,
            Path(os.path.relpath(own, folder)).as_posix(),
            lambda base: base.startswith(".") or (own / base.partition("/")[0]).exists(),
        )


def layered(main: Source, file: Path, overrides: Sequence[Override]) -> Layered:
    """Reads and merges all that a recipe is made of.

    Args:
        main: The recipe's own text.
        file: Where it lies.
        overrides: What lies on top, the last one topmost.

    Raises:
        Refusal: A file or flag can't be used. Its `sources` are the lines that the findings point into.
        OSError: A file of `overrides` can't be read.
    """
    lines: Lines = {}
    found: list[Diagnostic] = []
    extended = list(_gathered(_chain(main, file, lines), found))
    on_top = list(_gathered(_on_top(overrides, lines), found))
    _stop(found, lines)
    folder = file.resolve().parent
    below, above = [[layer.seen_from(folder) for layer in layers] for layers in (extended, on_top)]
    merged, unfit = merge([*reversed(below), *above], main)
    _stop(unfit, lines)
    entries = {key: entry for key, entry in merged.root.entries.items() if key != "extends"}
    source = Source(merged.file, merged.lines, Mapping(entries, merged.root.span), merged.flags)
    texts = [[one] if isinstance(one, str) else as_flags(over) for one, over in zip(overrides, above, strict=True)]
    return Layered(source, lines, tuple(chain.from_iterable(texts)))


def _stop(found: Sequence[Diagnostic], lines: Lines) -> None:
    if found:
        refusal = Refusal(found)
        refusal.sources = lines
        raise refusal


def _gathered(layers: Iterator[_Layer], found: list[Diagnostic]) -> Iterator[_Layer]:
    """The layers up to the first that can't be read; what is wrong with it is found beside faults of other kinds."""
    try:
        yield from layers
    except Refusal as refusal:
        found.extend(refusal.diagnostics)


def _chain(main: Source, file: Path, lines: Lines) -> Iterator[_Layer]:
    """The recipe, what it extends, what that extends, and so on."""
    layer, root = _Layer(main, file.resolve()), project_root(file)
    seen = [layer]
    yield layer
    while entry := layer.source.root.entries.get("extends"):
        if isinstance(entry.node, Scalar) and entry.node.value is None:
            return
        layer = _extended(layer, entry, root, seen, lines)
        seen.append(layer)
        yield layer


def _extended(layer: _Layer, entry: Entry, root: Path, seen: Sequence[_Layer], lines: Lines) -> _Layer:
    if not isinstance(entry.node, Scalar):
        label = "expected one file"
        raise Refusal([diagnostic("FTC102", "`extends` must be text", entry.node.span, label=label, path="extends")])
    text, span = entry.node.text, entry.node.span
    try:
        file = safe_path(root, text, layer.file.parent)
    except UnsafePath as error:
        raise Refusal([error.diagnostic(span, "extends")]) from None
    if again := next((one for one in seen if one.file == file), None):
        spans = [one.source.root.entries["extends"].node.span for one in seen[seen.index(again) : -1]]
        name = "itself" if again is seen[-1] else f"`{again.source.file}`, which leads here"
        fault = diagnostic(
            "FTC022",
            f"`{seen[-1].source.file}` extends {name}",
            span,
            label="closes the circle",
            related=[Related(place, "leads here") for place in spans],
            help="remove `extends` from one of the files",
            path="extends",
        )
        raise Refusal([fault])
    if len(seen) == LONGEST_CHAIN:
        summary = f"more than {LONGEST_CHAIN} files extend each other"
        help = "move shared values into fewer files"
        raise Refusal([diagnostic("FTC023", summary, span, label="one too many", help=help, path="extends")])
    name = posixpath.normpath(posixpath.join(posixpath.dirname(layer.source.file), text))
    try:
        return _Layer(_read(file, name, lines), file)
    except OSError:
        siblings = [item.name for item in file.parent.iterdir()] if file.parent.is_dir() else []
        near = nearest(file.name, siblings) if not file.exists() else None
        fault = diagnostic(
            "FTC021",
            f"`{text}` can't be read" if file.exists() else f"there is no file `{text}`",
            span,
            label=f"did you mean `{text.removesuffix(file.name) + near}`?" if near else "no recipe file",
            help="name a recipe file relative to the folder of this one",
            path="extends",
        )
        raise Refusal([fault]) from None


def _read(file: Path, name: str, lines: Lines) -> Source:
    """Reads one file; its lines are kept, whatever comes of it.

    Raises:
        Refusal: It is no recipe's text, or one of another version of the language.
        OSError: It can't be read, or is no file.
    """
    data = read_named(file, name, LARGEST_FILE)
    source, found = read_source_bytes(data, name)
    lines[name] = source.lines if source else shown_lines(data)
    if source is None:
        raise Refusal(found)
    if fault := version_fault(source):  # else the recipe's own version would hide it
        raise Refusal([fault])
    return source


def _on_top(overrides: Sequence[Override], lines: Lines) -> Iterator[_Layer]:
    """Flags and files from the command line, in their order; a flag lies where the recipe lies."""
    sources, found, shown = read_flags([one for one in overrides if isinstance(one, str)])
    if shown:
        lines[FLAGS] = shown
    if found:
        raise Refusal(found)
    flags = iter(sources)
    for one in overrides:
        if isinstance(one, str):
            yield _Layer(next(flags), Path())
        else:
            source = _read(one, one.as_posix(), lines)
            if entry := source.root.entries.get("extends"):
                summary = "a file given with `--set-file` can't use `extends`"
                help = "pass the other file with its own `--set-file` before this one"
                raise Refusal([diagnostic("FTC025", summary, entry.key_span, help=help, path="extends")])
            yield _Layer(source, one.resolve())
