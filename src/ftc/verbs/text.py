"""The verbs that look at a recipe's text alone, and load nothing that it names: validate, fix, format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ftc.spec.diagnostics import Diagnostic, Refusal

if TYPE_CHECKING:
    from ftc.compiler.recipes.edits import Fixed
    from ftc.compiler.recipes.layers import Override
    from ftc.spec.sections.recipe import Recipe

__all__ = ["Checked", "Sources", "fix", "format", "shown_path", "validate", "with_sources"]

Result = TypeVar("Result")
Sources = Mapping[str, tuple[str, ...]]
"""Lines of the files that diagnostics point into, by name."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What reading a recipe found.

    Attributes:
        recipe: The recipe, or None when it has errors.
        diagnostics: All findings, sorted by place.
        sources: Lines of the recipe and of what it is made of, for showing places.
    """

    recipe: Recipe | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Sources


def validate(recipe: Path | str, *, text: bytes | None = None, overrides: Sequence[Override] = ()) -> Checked:
    """Checks a recipe's text, keys, types and rules. Loads nothing that it names.

    Args:
        recipe: The recipe file.
        text: What is checked in place of the file's content, such as a text that is not saved yet.
        overrides: What lies on top of it, the last one topmost: texts such as `train.epochs=1`, and files as `Path`.

    Raises:
        OSError: A file can't be read.
    """
    from ftc.compiler.resolve.files.safe_files import read_recipe
    from ftc.compiler.rules.check import check_recipe

    path = Path(recipe)
    data = read_recipe(path) if text is None else text
    checked = check_recipe(data, shown_path(path), path=path, overrides=overrides)
    return Checked(checked.recipe, checked.diagnostics, checked.sources)


def fix(recipe: Path | str, *, overrides: Sequence[Override] = (), write: bool = True) -> Fixed:
    """Makes the safe fixes of a recipe's findings in its file, and tells what is found afterwards.

    Args:
        recipe: The recipe file. Comments and order stay; files that it extends are left alone.
        overrides: As for `validate`; they are checked and not fixed.
        write: Whether to write the file.

    Raises:
        OSError: A file can't be read or written.
    """
    from ftc.compiler.recipes.edits import fix_recipe
    from ftc.compiler.resolve.files.safe_files import read_recipe

    path = Path(recipe)
    fixed = fix_recipe(read_recipe(path), shown_path(path), path=path, overrides=overrides)
    if write and fixed.after != fixed.before:
        from ftc.spec.storage.atomic_write import rewrite_file

        rewrite_file(path, fixed.after)
    return fixed


def format(recipe: Path | str, *, text: bytes | None = None, write: bool = True) -> tuple[bytes, bytes]:
    """Lays out a recipe's file as all recipes are: sections in the order of the language, two spaces a level.

    Args:
        recipe: The recipe file, or a part of one.
        text: What is laid out in place of the file's content, and not written.
        write: Whether to write the file.

    Returns:
        The file's content before and after.

    Raises:
        Refusal: It is no text of a recipe, or can't be laid out without changing what it says (FTC026).
        OSError: The file can't be read or written.
    """
    from ftc.compiler.resolve.files.safe_files import read_recipe
    from ftc.spec.language.layout import laid_out
    from ftc.spec.language.source import shown_lines

    path = Path(recipe)
    before = read_recipe(path) if text is None else text
    after = with_sources({shown_path(path): shown_lines(before)}, lambda: laid_out(before, shown_path(path)))
    if write and text is None and after != before:
        from ftc.spec.storage.atomic_write import rewrite_file

        rewrite_file(path, after)
    return before, after


def shown_path(path: Path) -> str:
    """The path as diagnostics show it: relative to the working folder where that is shorter."""
    relative = os.path.relpath(path)
    return Path(relative if len(relative) < len(str(path)) else path).as_posix()


def with_sources(sources: Sources, verb: Callable[[], Result]) -> Result:
    """Runs a verb; a refusal leaves with the lines that its places point into."""
    try:
        return verb()
    except Refusal as refusal:
        refusal.sources = {**sources, **refusal.sources}
        raise
