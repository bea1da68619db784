"""From the bytes of a configuration to a recipe that validates, or to the reasons why there is none."""

from __future__ import annotations

import json
import os
import re
from collections import abc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ftc.compiler.importers import words
from ftc.compiler.importers.axolotl import AXOLOTL
from ftc.compiler.importers.foreign import read_foreign
from ftc.compiler.importers.llamafactory import LLAMAFACTORY
from ftc.compiler.importers.llamafactory_v1 import LLAMAFACTORY_V1
from ftc.compiler.importers.openai_job import OPENAI_JOB
from ftc.compiler.importers.oumi import OUMI
from ftc.compiler.importers.rules import Tool
from ftc.compiler.importers.torchtune import TORCHTUNE
from ftc.compiler.importers.translation import Key, Options, Surroundings, Translation, Value, dotted
from ftc.compiler.importers.trl import TRL
from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, read_named, safe_path
from ftc.compiler.rules.check import check_recipe
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.imported import Fate, Imported, KeyFate
from ftc.spec.language.foreign_yaml import Foreign
from ftc.spec.language.section_tree import section_at
from ftc.spec.language.source import shown_lines
from ftc.spec.language.yaml_nodes import Entry, Mapping, Node, Scalar, Sequence, typed

__all__ = ["TOOLS", "Given", "as_written", "import_configuration", "import_file", "surroundings_of", "write_recipe"]

TOOLS: tuple[Tool, ...] = (OPENAI_JOB, TORCHTUNE, OUMI, AXOLOTL, LLAMAFACTORY, LLAMAFACTORY_V1, TRL)
"""Every tool, the ones with the most telling keys first."""

_ESSENTIALS = {
    "model.base": ("no base model is named", "name it with `--base MODEL`"),
    "data": ("no rows are named", "add the rows with `--data FILE`"),
    "task.kind": ("the format of the rows is not given", "add `--task chat` or `--task generation`"),
    "strategy.kind": ("the training method is not given", "write the recipe by hand, starting from `ftc init`"),
}


def import_configuration(
    data: bytes, file: str, *, tool: str | None = None, options: Options, around: Surroundings
) -> Imported:
    """Turns a configuration into a recipe.

    Args:
        data: The file's bytes.
        file: Its name, for places and for the recipe's name.
        tool: Whose configuration it is; recognized by its keys where left out.
        options: What the user adds.
        around: What may be asked about the disk.

    Raises:
        Refusal: The file can't be read (FTC390), or is of no known tool (FTC391).
    """
    foreign = read_foreign(data, file)
    found = _tool(foreign, tool)
    t = Translation(foreign, found.title, options, around)
    if found.model:
        words.base_model(t, found.model.base, found.model.revision)
        words.attention(t, found.model.attention)
    for step in found.steps:
        step(t)
    _settle_rest(t, found, foreign.root, ())
    # adds what the tool takes by itself, the user's options and the name; tells what is still missing
    for path, value in found.defaults.items():
        t.add(path, value, f"{found.title}'s default")
    t.add("ftc", 1, "")
    stem = re.sub(r"[^a-z0-9._-]+", "-", PurePath(t.foreign.file).stem.lower()).strip("-._")
    t.add("name", stem[:64] or "imported", "from the file's name")
    for path, (summary, help) in _ESSENTIALS.items():
        if not any(value == path or value.startswith(f"{path}.source") for value in t.values) and not t.reasons:
            t.block((), summary, help)
    text = None if t.reasons else _valid_text(t)
    return Imported(
        tool=found.title,
        file=file,
        recipe=text,
        keys=tuple(sorted((*t.listed(), *_repeated(foreign)), key=lambda key: key.line)),
        added=tuple(t.additions()) if text else (),
        reasons=tuple(sorted(t.reasons, key=Diagnostic.sort_key)),
        lines=foreign.lines,
    )


def _tool(foreign: Foreign, asked: str | None) -> Tool:
    for tool in TOOLS:
        if tool.recognizes(foreign) and (asked is None or tool.name == asked):
            return tool
    named = [tool for tool in TOOLS if tool.name == asked]
    if named:
        return named[0]
    keys = ", ".join(f"`{dotted((key,))}`" for key in list(foreign.root.entries)[:5])
    known = ", ".join(dict.fromkeys(tool.title for tool in TOOLS))
    raise Refusal(
        [
            diagnostic(
                "FTC391",
                "not a configuration of a supported tool",
                Span(foreign.file, 1, 1, 1, 1),
                notes=(f"its keys start with {keys}" if keys else "it has no keys", f"supported are {known}"),
                help="name the tool with `--from TOOL` if it is one of them",
            )
        ]
    )


def _repeated(foreign: Foreign) -> Iterator[KeyFate]:
    """Keys that stand a second time further down, where the last one is read."""
    for key, place in foreign.repeated:
        reason = "it occurs again below, and the last one counts"
        yield KeyFate(dotted((key,)), place.line, Fate.CONFLICT, reason, "keep one of the two")


def _settle_rest(t: Translation, tool: Tool, mapping: Mapping, above: Key) -> None:
    """Gives a fate to every key that the steps left, by the tool's table."""
    for name, entry in mapping.entries.items():
        key = (*above, name)
        if not t.is_settled(key):
            _settle(t, tool, key, entry)


def _settle(t: Translation, tool: Tool, key: Key, entry: Entry) -> None:
    word = ".".join(step for step in key if isinstance(step, str))
    inner = list(_mappings(entry.node, key))
    if inner and (t.is_settled_below(key) or any(rule.startswith(f"{word}.") for rule in tool.rules)):
        for place, mapping in inner:
            _settle_rest(t, tool, mapping, place)
    elif isinstance(entry.node, Scalar) and t.value(key) is None:
        t.needless(key, "not set")
    else:
        tool.rules.get(word, tool.unknown)(t, key)
        if not t.is_settled(key):  # a rule found the value unusable in a way that it has no words for
            t.drop(key, "has no meaning here")


def _mappings(node: Node, key: Key) -> Iterator[tuple[Key, Mapping]]:
    """The mapping that a key holds, or the mappings of its list where it is a list of nothing else."""
    match node:
        case Mapping() if node.entries:
            yield key, node
        case Sequence() if all(isinstance(item, Mapping) for item in node.items):
            for index, item in enumerate(node.items):
                if isinstance(item, Mapping):
                    yield (*key, index), item


def _valid_text(t: Translation) -> str | None:
    """The recipe's text. Values that the language refuses are taken out and told of, one round after another."""
    heading = f"Imported from {t.tool}, {PurePath(t.foreign.file).name}."
    for _ in range(len(t.values)):
        text = write_recipe(t.values, heading)
        errors = [found for found in check_recipe(text.encode(), "recipe").diagnostics if found.is_error]
        if not errors:
            return text
        removed = [error for error in errors if _withdrawn(t, error)]
        if not removed:
            t.reasons += [diagnostic("FTC392", error.summary, help=error.help) for error in errors]
            return None
    raise AssertionError("every round takes a value out")


def _withdrawn(t: Translation, error: Diagnostic) -> bool:
    """Whether the value that an error is about could be taken out of the recipe."""
    path = re.sub(r"\[\d+\]$", "", error.path or "")
    needed = [
        needed for needed in t.values if needed in _ESSENTIALS or needed.startswith(("data.source", "name", "ftc"))
    ]
    if any(one == path or one.startswith(f"{path}.") for one in needed):
        return False
    return t.withdraw(path, f"not valid in a recipe: {error.summary}")


_PLAIN = re.compile(r"(?:\.{1,2}/){0,8}[A-Za-z0-9_][\w./-]{0,200}", re.ASCII)
_COMMENT_COLUMN = 40
_LONGEST_COMMENT = 140


def write_recipe(values: abc.Mapping[str, Value], heading: str) -> str:
    """The text of a recipe. Sections and keys stand in the order of the language.

    Args:
        values: Values by dotted path.
        heading: What the comment above says, one line.
    """
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, last = path.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return "\n".join([f"# {_one_line(heading)}", *_lines(tree, (), tree)]) + "\n"


def _lines(section: abc.Mapping[str, Any], path: tuple[str, ...], tree: abc.Mapping[str, Any]) -> Iterator[str]:
    indent = "  " * len(path)
    document = section_at(path, _plain(tree))
    order = [*document.model_fields] if document else []
    for key in sorted(
        section, key=lambda key: (bool(path) and key != "kind", order.index(key) if key in order else len(order))
    ):
        value = section[key]
        if isinstance(value, Value):
            yield from _value_lines(f"{indent}{key}:", value, indent)
        else:
            yield f"{indent}{key}:"
            yield from _lines(value, (*path, key), tree)


def _plain(tree: abc.Mapping[str, Any]) -> dict[str, Any]:
    return {key: part.value if isinstance(part, Value) else _plain(part) for key, part in tree.items()}


def _value_lines(key: str, value: Value, indent: str) -> Iterator[str]:
    comment = f"# {_one_line(value.comment)}" if value.comment else ""
    if isinstance(value.value, str) and _fits_block(value.value):
        strip = "" if value.value.endswith("\n") else "-"
        yield f"{key} |{strip}  {comment}".rstrip()
        yield from (f"{indent}  {line}".rstrip() for line in value.value.removesuffix("\n").split("\n"))
    elif isinstance(value.value, tuple) and any(isinstance(item, dict) for item in value.value):
        yield f"{key:<{_COMMENT_COLUMN}}  {comment}".rstrip()
        yield from (f"{indent}  - {_inline(item)}" for item in value.value)
    else:
        yield f"{f'{key} {_inline(value.value)}':<{_COMMENT_COLUMN}}  {comment}".rstrip()


def _fits_block(text: str) -> bool:
    """Whether a text of several lines can stand as a block without changing."""
    lines = text.removesuffix("\n").split("\n")
    is_clean = all(line.isprintable() and line == line.rstrip() for line in lines)
    return len(lines) > 1 and is_clean and bool(lines[0]) and not lines[0].startswith(" ") and bool(lines[-1])


def _inline(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            # the shortest text that gives the same number: `2e-4` rather than `0.0002`, `3` rather than
            # `3.0`
            if value == int(value) and abs(value) < 1e15:
                return str(int(value))
            plain = repr(value)
            mantissa, _, exponent = f"{value:e}".partition("e")
            short = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
            is_exact = float(short) == value
            return short if is_exact and ((len(short) <= len(plain) and abs(value) < 0.01) or "e" in plain) else plain
        case dict():
            return f"{{{', '.join(f'{key}: {_inline(one)}' for key, one in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(_inline, value))}]"
        case _:
            text = str(value)
            if _PLAIN.fullmatch(text) and isinstance(typed(text), str):
                return text
            if text.isprintable():
                return "'" + text.replace("'", "''") + "'"
            return json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if len(line) <= _LONGEST_COMMENT else f"{line[: _LONGEST_COMMENT - 1]}…"


_MOST_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Given:
    """What the user says beside the configuration.

    Attributes:
        tool: Whose configuration it is; told by its keys where left out.
        task: What the rows are, `generation` or `chat`, where no key tells.
        data: The rows, in place of those that the configuration names.
        hub_file: Which file of its data set on the hub holds the rows.
        base: The base model, in place of the one that it names.
    """

    tool: str | None = None
    task: str | None = None
    data: Path | None = None
    hub_file: str | None = None
    base: str | None = None


def import_file(file: Path, shown_as: str, output: Path | None, given: Given) -> Imported:
    """Reads a configuration of Axolotl, LLaMA-Factory, torchtune, TRL or Oumi, and writes the recipe where told.

    Args:
        file: The configuration.
        shown_as: Its name in places.
        output: Where to write the recipe; a file that is there is never touched. Paths in the recipe are relative to
            its folder, or to the working folder.
        given: What the user adds.

    Raises:
        Refusal: The file is of no known tool (FTC391) or can't be read (FTC390), or the output exists (FTC651).
        OSError: A file can't be read or written.
    """
    content = read_named(file, shown_as, _MOST_BYTES)
    recipe = output or Path("recipe.yaml")
    data = as_written(given.data, recipe) if given.data else None
    options = Options(task=given.task, data=data, hub_file=given.hub_file, base=given.base)
    around = surroundings_of(file, recipe)
    try:
        imported = import_configuration(content, shown_as, tool=given.tool, options=options, around=around)
    except Refusal as refusal:
        refusal.sources = {shown_as: shown_lines(content)}
        raise
    if output and imported.recipe:
        try:
            with output.open("x", encoding="utf-8", newline="\n") as new:
                new.write(imported.recipe)
        except FileExistsError:
            summary = f"`{output}` exists already"
            raise Refusal([diagnostic("FTC651", summary, help="choose another name; nothing was changed")]) from None
    return imported


def surroundings_of(configuration: Path, recipe: Path) -> Surroundings:
    """The disk as seen from a configuration. Tools start in a project's folder, or beside the file; both are tried.

    Args:
        configuration: The file that is read.
        recipe: Where the recipe will lie; paths are written relative to its folder.
    """
    folders = tuple(dict.fromkeys((configuration.absolute().parent, Path.cwd())))

    def find(path: str) -> Path | None:
        return next((found for folder in folders if (found := _inside(folder, path))), None)

    def locate(path: str) -> str | None:
        found = find(path)
        is_in_project = found is not None and found.is_relative_to(project_root(recipe).resolve())
        return as_written(found, recipe) if found and is_in_project else None

    def read(path: str) -> bytes | None:
        found = find(path)
        try:
            return found.read_bytes() if found and found.is_file() and found.stat().st_size <= _MOST_BYTES else None
        except OSError:
            return None

    return Surroundings(locate, read)


def as_written(path: Path, recipe: Path) -> str:
    """A path as the recipe writes it: relative to its own folder, with `/`."""
    return Path(os.path.relpath(path.absolute(), recipe.absolute().parent)).as_posix()


def _inside(folder: Path, path: str) -> Path | None:
    """The file or folder at a stranger's path, if it is there and lies inside the project."""
    try:
        found = safe_path(project_root(folder / "recipe"), path, folder)
        return found if found.exists() else None
    except (UnsafePath, OSError):
        return None
