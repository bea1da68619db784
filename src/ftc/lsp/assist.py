"""Completion and hovering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lsprotocol.types import (
    CompletionItem,
    CompletionItemKind,
    Hover,
    MarkupContent,
    MarkupKind,
    Position,
    Range,
    TextEdit,
)

from ftc.lsp.columns import columns_of
from ftc.lsp.language import Choice, Key, choices_at, in_flow, item_choices_at, keys_at, parts_of
from ftc.lsp.outline import Path as Place
from ftc.lsp.outline import Slot, Word, outline
from ftc.lsp.positions import Positions

__all__ = ["completions", "hover"]

_SOURCE = ("data", "source")
_FIELDS = ("data", "fields")
_COLUMNS = tuple(("data", "split", key) for key in ("stratify", "group", "time"))
"""Places whose value is a column's name, beside the parts of the task."""

_CURSOR = "\ue000"
"""Stands in the text where the cursor is, so that there is a word to complete even where nothing is written yet."""


def completions(text: str, position: Position, positions: Positions, file: Path | None = None) -> list[CompletionItem]:
    """What may be written at a position; `file` is where the text lies, without which no column is known."""
    offset = positions.offset_of(position)
    marked = text.replace(_CURSOR, " ")[:offset] + _CURSOR + text[offset:]
    slots = outline(marked)
    found = next(((slot, word) for slot in slots for word in (slot.key, slot.value) if word and _holds(word)), None)
    if found is None:
        return []
    slot, word = found
    place = positions.range_between(word.start, word.end - len(_CURSOR))
    if word is slot.key:
        return [_key_item(key, slot, place, number) for number, key in enumerate(_missing_keys(slot, slots))]
    return [_choice_item(choice, place, number) for number, choice in enumerate(_choices(slot, slots, file))]


def hover(text: str, position: Position, positions: Positions) -> Hover | None:
    """What the key under the cursor means, or the key of the value there."""
    offset = positions.offset_of(position)
    slots = outline(text)
    for slot in slots:
        word = next((word for word in (slot.key, slot.value) if word and word.start <= offset <= word.end), None)
        if word and (key := _key_of(slot, slots)):
            content = MarkupContent(kind=MarkupKind.Markdown, value=key.explanation())
            return Hover(contents=content, range=positions.range_between(word.start, word.end))
    return None


def _holds(word: Word) -> bool:
    return _CURSOR in word.text


def _siblings(path: Place, slots: Sequence[Slot]) -> dict[str, str | None]:
    """Keys that the mapping at a path has, with their scalars; a word that is still being written is none."""
    found = [slot for slot in slots if slot.path == path and slot.key and slot.has_colon]
    return {
        slot.key.plain: slot.value.plain if slot.value and not _holds(slot.value) else None
        for slot in found
        if slot.key and not _holds(slot.key)
    }


def _key_of(slot: Slot, slots: Sequence[Slot]) -> Key | None:
    place = slot.place
    keys = keys_at(place[:-1], _siblings(place[:-1], slots)) if place else ()
    return next((key for key in keys if key.name == place[-1]), None)


def _missing_keys(slot: Slot, slots: Sequence[Slot]) -> Iterator[Key]:
    """Keys that may be added, the required ones first."""
    there: Mapping[str, str | None] = _siblings(slot.path, slots)
    keys = [key for key in keys_at(slot.path, there) if key.name not in there]
    if slot.path == _FIELDS and (parts := parts_of(_siblings(("task",), slots).get("kind"))):
        return (key for part in parts for key in keys if key.name == part)
    return iter(sorted(keys, key=lambda key: not key.is_required))


def _choices(slot: Slot, slots: Sequence[Slot], file: Path | None) -> tuple[Choice, ...]:
    place = slot.place
    if not place:
        return ()
    if file and (place[:-1] == _FIELDS or place in _COLUMNS):
        return tuple(Choice(in_flow(name), "column") for name in _columns(slots, file))
    there = _siblings(place[:-1], slots)
    return choices_at(place, there) if slot.key else item_choices_at(place, there)


def _columns(slots: Sequence[Slot], file: Path) -> Iterator[str]:
    """Columns of every file that the text names as a source."""
    files = [
        slot.value.plain for slot in slots if slot.value and slot.place[:2] == _SOURCE and slot.place[-1] == "path"
    ]
    yield from dict.fromkeys(name for data in files for name in columns_of(file, data))


def _key_item(key: Key, slot: Slot, place: Range, number: int) -> CompletionItem:
    ending = "" if slot.has_colon else ":" if key.is_section else ": "
    return CompletionItem(
        label=key.name,
        kind=CompletionItemKind.Property,
        detail=key.type + (", required" if key.is_required else ""),
        documentation=MarkupContent(kind=MarkupKind.Markdown, value=key.explanation()),
        sort_text=f"{number:03}",
        text_edit=TextEdit(range=place, new_text=key.name + ending),
    )


def _choice_item(choice: Choice, place: Range, number: int) -> CompletionItem:
    return CompletionItem(
        label=choice.text,
        kind=CompletionItemKind.EnumMember,
        detail=choice.about or None,
        sort_text=f"{number:03}",
        filter_text=choice.text,
        text_edit=TextEdit(range=place, new_text=choice.text),
    )
