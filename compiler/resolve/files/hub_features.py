"""Names of classes that a data set's README.md gives: `dataset_info`, as `datasets` writes it. Pure.

That block alone is read, within the limits of foreign configurations, since the rest may be anything. One that can't be
read names no classes: the numbers in the rows are then classes themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.hub_splits import blocks_of, front_matter
from ftc.spec.diagnostics import Refusal
from ftc.spec.language.foreign_yaml import plain, read_yaml
from ftc.spec.row_files import COLUMNAR

__all__ = ["CARD", "card_beside", "features_of", "knows_card", "names_by_card", "note_no_card"]

CARD = "README.md"
_KEY = "dataset_info"
_DEEPEST_LIST = 4
_LISTS = ("sequence", "list")
_ABSENT = ".no_exist"
"""Folder of a repository in the hub's cache, in which the hub's library notes by commit which files it lacks."""


def names_by_card(names: Iterable[str]) -> bool:
    """Whether README.md names the classes of some of these files; Parquet and Arrow files name them in their schema."""
    return any(not name.lower().endswith(COLUMNAR) for name in names)


def knows_card(repository: Path, commit: str) -> bool:
    """Whether the hub's cache has README.md at a commit, or a note that there is none.

    Args:
        repository: The repository's folder in the cache.
        commit: Its commit.
    """
    return any((repository / kept / commit / CARD).is_file() for kept in ("snapshots", _ABSENT))


def note_no_card(repository: Path, commit: str) -> None:
    """Notes in the hub's cache that a repository has no README.md at a commit; arguments as for `knows_card`."""
    note = repository / _ABSENT / commit / CARD
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()


def card_beside(file: Path, name: str) -> bytes | None:
    """A data set's README.md, where the hub's cache has it.

    Args:
        file: A file of the data set in the cache.
        name: Its path inside the data set.
    """
    card = file.parents[name.count("/")] / CARD
    return card.read_bytes() if card.is_file() else None


def features_of(readme: bytes | None, config: str | None) -> dict[str, tuple[str, ...]]:
    """Names of the classes that columns hold as numbers, by column, in the order of the numbers.

    Args:
        readme: Content of the README.md; None where there is none.
        config: The configuration that is read; None for the only one, or for what all of them say.
    """
    blocks = blocks_of(front_matter(readme), _KEY)
    try:
        said = plain(read_yaml(blocks[0].encode(), CARD).root) if len(blocks) == 1 else None
    except Refusal:
        return {}
    said = said.get(_KEY) if isinstance(said, dict) else None
    infos = [one for one in (said if isinstance(said, tuple) else (said,)) if isinstance(one, dict)]
    if config is not None and len(infos) > 1:
        infos = [one for one in infos if one.get("config_name") == config]
    each = [_of_features(one.get("features")) for one in infos]
    first, others = (each[0], each[1:]) if each else ({}, [])
    return {column: names for column, names in first.items() if all(one.get(column) == names for one in others)}


def _of_features(features: Any) -> dict[str, tuple[str, ...]]:
    listed = features if isinstance(features, tuple) else ()
    found = {str(one.get("name")): _names(one) for one in listed if isinstance(one, dict)}
    return {column: names for column, names in found.items() if names}


def _names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a column's classes, or of those in lists of any usual depth; none for another column."""
    inside: Any = feature.get("dtype")
    for _ in range(_DEEPEST_LIST):
        lists = [feature[key] for key in _LISTS if isinstance(feature.get(key), dict)]
        if isinstance(inside, dict) and "class_label" in inside:
            break
        if not lists:
            return ()
        feature = lists[0]
        inside = feature.get("dtype", feature)
    label = inside.get("class_label") if isinstance(inside, dict) else None
    names: Any = label.get("names") if isinstance(label, dict) else None
    listed: Any = [names.get(str(number)) for number in range(len(names))] if isinstance(names, dict) else names
    found = tuple(str(one) for one in listed if isinstance(one, str)) if isinstance(listed, list | tuple) else ()
    return found if listed is not None and len(found) == len(listed) else ()
