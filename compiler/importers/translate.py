"""From the bytes of a configuration to a recipe that validates, or to the reasons why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from ftc.compiler.importers import weights
from ftc.compiler.importers.axolotl import AXOLOTL
from ftc.compiler.importers.foreign import Foreign, read_foreign
from ftc.compiler.importers.llamafactory import LLAMAFACTORY
from ftc.compiler.importers.llamafactory_v1 import LLAMAFACTORY_V1
from ftc.compiler.importers.oumi import OUMI
from ftc.compiler.importers.recipe_writer import write_recipe
from ftc.compiler.importers.rules import Tool
from ftc.compiler.importers.torchtune import TORCHTUNE
from ftc.compiler.importers.translation import Key, Options, Surroundings, Translation, dotted
from ftc.compiler.importers.trl import TRL
from ftc.compiler.rules.check import check_recipe
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.imported import Fate, Imported, KeyFate
from ftc.spec.language.yaml_nodes import Entry, Mapping, Node, Scalar, Sequence

__all__ = ["TOOLS", "import_configuration"]

TOOLS: tuple[Tool, ...] = (TORCHTUNE, OUMI, AXOLOTL, LLAMAFACTORY, LLAMAFACTORY_V1, TRL)
"""Every tool, the ones with the most telling keys first."""

_ESSENTIALS = {
    "model.base": ("no base model is named", "name it with `--base MODEL`"),
    "data": ("no rows are named", "give the rows with `--data FILE`"),
    "task.kind": ("the shape of the rows is not said", "say `--task chat` or `--task generation`"),
    "strategy.kind": ("the method of training is not said", "write the recipe by hand, starting from `ftc init`"),
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
        weights.base_model(t, found.model.base, found.model.revision)
        weights.attention(t, found.model.attention)
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
                "this is the configuration of no tool that ftc knows",
                Span(foreign.file, 1, 1, 1, 1),
                notes=(f"its keys begin with {keys}" if keys else "it has no keys", f"known are {known}"),
                help="say whose it is with `--from TOOL`, if it is one of them",
            )
        ]
    )


def _repeated(foreign: Foreign) -> Iterator[KeyFate]:
    """Keys that stand a second time further down, where the last one is read."""
    for key, place in foreign.repeated:
        reason = "it stands again further down, and the last one is read"
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
    return t.withdraw(path, f"a recipe can't hold it: {error.summary}")
