"""A recipe's text changed: by the safe fixes of its findings, round by round, or in one value."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.compiler.rules.check import Checked, check_recipe
from ftc.spec.diagnostics import Diagnostic, Fix, Span, TextEdit
from ftc.spec.language.source import FLAGS, Mapping, Source
from ftc.spec.language.text_checks import Text
from ftc.spec.sections.recipe import Recipe

if TYPE_CHECKING:
    from ftc.compiler.recipes.layers import Override

__all__ = ["MOST_ROUNDS", "Fixed", "changed_recipe", "edit_of", "fix_recipe", "remedied", "with_fixes", "yaml_text"]

MOST_ROUNDS = 10
"""A fixed text is checked again, because one finding may have hidden another; so often at most."""

_TWICE = "FTC003"


@dataclass(frozen=True, slots=True)
class Fixed:
    """A recipe's text after its fixes.

    Attributes:
        before: The bytes as they were.
        after: The bytes with the fixes; the same where there was nothing to do.
        fixes: What was done, a title each.
        checked: What is found in the fixed text.
    """

    before: bytes
    after: bytes
    fixes: tuple[str, ...]
    checked: Checked


def fix_recipe(data: bytes, file: str, *, path: Path | None = None, overrides: Sequence[Override] = ()) -> Fixed:
    """Makes the safe fixes in a recipe's own text; takes what `check_recipe` takes, and touches no disk beyond it.

    A fix that writes what is refused is not made, unless another fix follows it.
    """
    titles: list[str] = []
    now, checked, refused = data, check_recipe(data, file, path=path, overrides=overrides), set[Fix]()
    for _ in range(MOST_ROUNDS):
        content, made = with_fixes(now.decode("utf-8", "surrogateescape"), file, _without(checked, refused))
        if not made:
            break
        fixed = content.encode("utf-8", "surrogateescape")
        rechecked = check_recipe(fixed, file, path=path, overrides=overrides)
        if odd := {fix for fix in made if _is_refused(fix, content, rechecked)}:
            refused |= odd
            continue
        if _count(rechecked, _TWICE) > _count(checked, _TWICE):
            break  # the right name is taken: which of the two values holds is for a person to say
        now, checked = fixed, rechecked
        titles += [fix.title for fix in made]
    return Fixed(data, now, tuple(titles), checked)


def _without(checked: Checked, refused: Collection[Fix]) -> list[Diagnostic]:
    """The findings, without fixes that are not made."""
    return [
        replace(found, fixes=tuple(fix for fix in found.fixes if fix not in refused)) for found in checked.diagnostics
    ]


def _is_refused(fix: Fix, content: str, after: Checked) -> bool:
    """Whether a text that a fix wrote is an error with no fix of its own."""
    lines = Text(content.removeprefix(_MARK), "").lines
    written = {(edit.span.line, edit.text) for edit in fix.edits}
    places = (one.span for one in after.diagnostics if one.is_error and not any(fix.safe for fix in one.fixes))
    return any(
        (place.line, lines[place.line - 1][place.column - 1 : place.end_column - 1]) in written
        for place in places
        if place is not None and place.line == place.end_line <= len(lines)
    )


def _count(checked: Checked, code: str) -> int:
    return sum(found.code == code for found in checked.diagnostics)


_MARK = "\ufeff"


def with_fixes(content: str, file: str, findings: Iterable[Diagnostic]) -> tuple[str, tuple[Fix, ...]]:
    """A file's text with the safe fixes of findings, and those that were made.

    A fix is made as a whole or not at all: one with an edit in another file, or with one that meets the edit of an
    earlier fix, is left for another time.

    Args:
        content: The text as read; a byte order mark stays.
        file: The name of the file in places.
        findings: What `check_recipe` found in exactly this text.
    """
    mark = _MARK if content.startswith(_MARK) else ""
    text = Text(content.removeprefix(_MARK), file)
    made: list[Fix] = []
    changes: list[tuple[int, int, str]] = []
    for fix in (fix for found in findings for fix in found.fixes):
        if fix.safe and fix.edits and all(edit.span.file == file for edit in fix.edits):
            spans = [(edit.span, edit.text) for edit in fix.edits]
            wanted = [(text.offset(a.line, a.column), text.offset(a.end_line, a.end_column), b) for a, b in spans]
            if not any(
                one[0] == other[0] or (one[0] < other[1] and other[0] < one[1]) for one in wanted for other in changes
            ):
                made.append(fix)
                changes += wanted
    result = text.content
    for start, end, replacement in sorted(changes, reverse=True):
        result = result[:start] + replacement + result[end:]
    return mark + result, tuple(made)


def changed_recipe(recipe: Recipe, path: str, value: Any) -> Recipe:
    """The recipe with another value; a mapping takes the place of the whole section.

    Raises:
        pydantic.ValidationError: The recipe can't have it.
    """
    plain = json.loads(recipe.model_dump_json(exclude_unset=True))
    *outer, name = path.split(".")
    section = plain
    for part in outer:
        section = section.setdefault(part, {})
    section[name] = value
    return Recipe.model_validate_json(json.dumps(plain))


def edit_of(source: Source, path: str, value: Any) -> TextEdit | None:
    """The edit that writes a value into the text; None where it was said by a flag.

    A value that is there is replaced. Else it goes to the front of its section, in the section's own style, or as a
    section of its own to the end of the file.
    """
    text = yaml_text(value)
    node = source.node(path)
    if node is not None:
        return None if node.span.file == FLAGS else TextEdit(node.span, text)
    names = path.split(".")
    for depth in range(len(names) - 1, 0, -1):  # the innermost section that is there
        section = source.node(tuple(names[:depth]))
        if isinstance(section, Mapping):
            is_here = section.span.file == source.file
            return _into(source, section, _nested(names[depth:], text)) if is_here else None
        if section is not None:
            return None
    if len(names) == 1:
        return _into(source, source.root, f"{path}: {text}")
    last, column = len(source.lines), len(source.lines[-1]) + 1
    entry = _nested(names, text)
    return TextEdit(Span(source.file, last, column, last, column), f"\n{entry}" if column > 1 else entry)


def remedied(found: Diagnostic, source: Source) -> Diagnostic:
    """A finding with its remedy as edits of the recipe, where it can be written there.

    None of them is safe: which rows count, or what a label is, is for a person to say.
    """
    edits = [(path, value, edit_of(source, path, value)) for path, value in found.remedy]
    fixes = [Fix(f"write `{path}: {value}`", (edit,)) for path, value, edit in edits if edit is not None]
    return replace(found, fixes=(*found.fixes, *fixes))


def _nested(names: Sequence[str], text: str) -> str:
    """A value inside sections that are written on one line."""
    first, *inner = names
    return f"{first}: {{{_nested(inner, text)}}}" if inner else f"{first}: {text}"


def _into(source: Source, section: Mapping, entry: str) -> TextEdit:
    span = section.span
    line = source.lines[span.line - 1]
    is_flow = line[span.column - 1 : span.column] == "{"
    if is_flow:
        place = Span(span.file, span.line, span.column + 1, span.line, span.column + 1)
        return TextEdit(place, f"{entry}, " if section.entries else entry)
    place = Span(span.file, span.line, span.column, span.line, span.column)
    return TextEdit(place, f"{entry}\n{' ' * (span.column - 1)}")


def yaml_text(value: Any) -> str:
    """A plain value on one line of YAML."""
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "{" + ", ".join(f"{key}: {yaml_text(item)}" for key, item in value.items()) + "}"
        case _:
            return str(value)
