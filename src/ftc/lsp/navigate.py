"""Ways about a recipe: its outline, the files that it names, its layout, and what a value means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lsprotocol import types

from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, safe_path
from ftc.lsp.outline import Place, Slot, outline
from ftc.lsp.positions import Positions
from ftc.spec.codes import CODES
from ftc.spec.diagnostics import Refusal
from ftc.spec.language.layout import laid_out
from ftc.spec.metrics import METRIC_BY_NAME
from ftc.spec.optimizers import OPTIMIZERS
from ftc.spec.preference_losses import PREFERENCE_LOSSES
from ftc.spec.schedules import SCHEDULES
from ftc.spec.sections.recipe import Recipe
from ftc.spec.strategies import STRATEGIES

__all__ = ["definition", "formatting", "is_recipe", "meaning", "page_of", "paths_at", "symbols"]

_PATHS: tuple[Place, ...] = (
    ("extends",),
    ("model", "base"),
    ("data", "source"),
    ("data", "source", "path"),
    ("data", "split", "validation", "path"),
    ("data", "split", "test", "path"),
    ("eval", "retention", "path"),
    ("train", "distillation", "teacher"),
)
"""Places whose value is a path inside the project."""
_MOST_LISTED = 200


def is_recipe(text: str, file: Path | None = None) -> bool:
    """Whether a YAML text is a recipe, or is about to become one; editors send every YAML file that is open.

    A recipe is called so, or says `ftc:`, or most of its keys are a recipe's; an empty text may become one.
    """
    if file is not None and file.stem == "recipe":
        return True
    keys = {slot.key.plain for slot in outline(text) if slot.key and not slot.path}
    return not keys or "ftc" in keys or 2 * len(keys & Recipe.model_fields.keys()) > len(keys)


def symbols(text: str, positions: Positions) -> list[types.DocumentSymbol]:
    """The keys as a tree."""
    top: list[types.DocumentSymbol] = []
    by_place: dict[Place, types.DocumentSymbol] = {}
    for slot in outline(text):
        if slot.key is None or not slot.has_colon:
            continue
        end = slot.value.end if slot.value else slot.key.end
        found = types.DocumentSymbol(
            name=slot.key.plain or slot.key.text,
            detail=slot.value.text if slot.value else None,
            kind=types.SymbolKind.Property if slot.value else types.SymbolKind.Module,
            range=positions.range_between(slot.key.start, end),
            selection_range=positions.range_between(slot.key.start, slot.key.end),
            children=[],
        )
        by_place[slot.place] = found
        holder = by_place.get(slot.path)
        if holder is None:
            top.append(found)
            continue
        holder.children = [*(holder.children or ()), found]
        above: Place = slot.path  # a symbol's range holds those of its children
        while (outer := by_place.get(above)) is not None:
            outer.range = types.Range(start=outer.range.start, end=max(outer.range.end, found.range.end))
            above = above[:-1]
    return top


def definition(text: str, position: types.Position, positions: Positions, file: Path | None) -> types.Location | None:
    """The file whose name is under the cursor; a folder has none to open."""
    offset = positions.offset_of(position)
    for slot in outline(text):
        if slot.value and slot.value.start <= offset <= slot.value.end and _names_a_file(slot):
            found = _inside(file, slot.value.plain)
            if found is not None and found.is_file():
                start = types.Position(line=0, character=0)
                return types.Location(uri=found.as_uri(), range=types.Range(start=start, end=start))
    return None


def paths_at(slot: Slot, written: str, file: Path) -> Iterator[tuple[str, str]]:
    """Files and folders that may be named at a slot, each with what it is; none at a slot that names no file.

    Args:
        slot: Where it is written.
        written: What stands before the cursor.
        file: The recipe's file.
    """
    if not _names_a_file(slot):
        return
    folder, _, begun = written.rpartition("/")
    place = _inside(file, folder or ".")
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name) if place and place.is_dir() else []
        shown = [entry for entry in entries if entry.name.startswith(begun) and not entry.name.startswith(".")]
        for entry in shown[:_MOST_LISTED]:
            is_folder = entry.is_dir()
            name = f"{folder}/{entry.name}" if folder else entry.name
            yield name + "/" * is_folder, "folder" if is_folder else "file"
    except OSError:
        return


def formatting(text: str, positions: Positions) -> list[types.TextEdit]:
    """The edit that `ftc fmt` would make; none for a text that it can't lay out."""
    try:
        after = laid_out(text.encode("utf-8", "surrogatepass"), "recipe.yaml").decode("utf-8", "surrogatepass")
    except (Refusal, UnicodeError):
        return []
    return [] if after == text else [types.TextEdit(range=positions.range_between(0, len(text)), new_text=after)]


def meaning(place: Place, word: str) -> str | None:
    """What a value means, as Markdown; None for one that no card knows."""
    match place:
        case ("eval", "metrics") | ("eval", "gates", _) if word in METRIC_BY_NAME:
            card = METRIC_BY_NAME[word]
            better = "higher" if card.higher_is_better else "lower"
            return f"**{card.title}** · {card.least:g} to {card.most:g} · {better} is better"
        case ("train", "schedule", "kind"):
            return next((f"**{one.label}**: {one.meaning}" for one in SCHEDULES if one.kind == word), None)
        case ("train", "optimizer", "kind"):
            return next((f"**{one.label}**" for one in OPTIMIZERS if one.kind == word), None)
        case ("task", "loss"):
            return next((f"**{one.label}**: {one.formula}" for one in PREFERENCE_LOSSES if one.kind == word), None)
        case ("strategy", "kind"):
            found = next((one for one in STRATEGIES if one.kind == word), None)
            return None if found is None else f"**{found.label}**: {(found.recipe.__doc__ or '').partition('.')[0]}"
        case _:
            return None


def page_of(code: str) -> str:
    """The explanation of a code, as Markdown."""
    card = CODES[code]
    examples = (("Wrong", card.wrong), ("Right", card.right))
    shown = (f"{word}:\n\n```yaml\n{text.rstrip()}\n```\n" for word, text in examples if text)
    return "\n".join([f"# {card.id}: {card.title}\n", f"{card.cause}\n", *shown])


def _names_a_file(slot: Slot) -> bool:
    return tuple(part for part in slot.place if isinstance(part, str)) in _PATHS


def _inside(file: Path | None, path: str) -> Path | None:
    """A path of a recipe, followed inside the project alone."""
    if file is None:
        return None
    try:
        return safe_path(project_root(file), path, file.resolve().parent)
    except (UnsafePath, OSError, ValueError):
        return None
