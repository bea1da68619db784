"""Names of classes that a data set gives: `dataset_info` in its README.md, as `datasets` writes it, or its older form,
the file `dataset_infos.json`, which counts where README.md has no such block.

Of README.md that block alone is read, within the limits of foreign configurations, since the rest may be anything. A
description that can't be read names no classes, which is said: the numbers in the rows are then classes themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.hub_splits import blocks_of, front_matter
from ftc.spec.diagnostics import Refusal
from ftc.spec.language.foreign_yaml import plain, read_yaml
from ftc.spec.row_files import COLUMNAR
from ftc.spec.storage.reading import parse_json

__all__ = [
    "CARD",
    "CARDS",
    "described_classes",
    "features_of",
    "infos_of",
    "lacks_card",
    "names_by_card",
    "note_absent",
    "older_features",
]

CARD = "README.md"
_INFOS = "dataset_infos.json"
CARDS = (CARD, _INFOS)
"""Files of a data set that may name classes, the one that counts first."""
_MAX_BYTES = 16 * 2**20
_KEY = "dataset_info"
_DEEPEST_LIST = 4
_LISTS = ("sequence", "list")
_ABSENT = ".no_exist"
"""Folder of a repository in the hub's cache, in which the hub's library notes by commit which files it lacks."""


def names_by_card(names: Iterable[str]) -> bool:
    """Whether one of `CARDS` names the classes of some of these files; Parquet and Arrow have them in their schema."""
    return any(not name.lower().endswith(COLUMNAR) for name in names)


def lacks_card(repository: Path, commit: str, listed: Collection[str] | None) -> bool:
    """Whether the hub's cache leaves open what names the classes at a commit.

    So it is where it has no README.md, or one that describes nothing that can be read and no older file, and doesn't
    know either to be absent: a program that fetches single files notes nothing of others.

    Args:
        repository: The repository's folder in the cache.
        commit: Its commit.
        listed: All files of the commit; None where the cache has no list of them.
    """
    for name in CARDS:
        file = repository / "snapshots" / commit / name
        if file.is_file():
            if name == CARD and not infos_of(file.read_bytes()):
                continue  # as in `described_classes`, the older file counts then
            return False
        if not (repository / _ABSENT / commit / name).is_file() and (listed is None or name in listed):
            return True
    return False


def note_absent(repository: Path, commit: str, name: str) -> None:
    """Notes in the hub's cache that a repository lacks a file at a commit, where the cache can be written to."""
    note = repository / _ABSENT / commit / name
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def described_classes(file: Path, name: str, config: str | None) -> tuple[dict[str, tuple[str, ...]], str]:
    """Names of classes by what the hub's cache has of a data set's `CARDS`, and the one that can't be read, if any.

    Args:
        file: A file of the data set in the cache.
        name: Its path inside the data set.
        config: As for `features_of`.
    """
    readme, older = (_content(file.parents[name.count("/")] / one) for one in CARDS)
    if infos := infos_of(readme):
        return features_of(infos, config), ""
    found = {} if older is None else older_features(older, config)
    unreadable = f"`{_KEY}` in {CARD}" if infos is None else f"`{_INFOS}`" if found is None else ""
    return found or {}, "" if found else unreadable


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def features_of(infos: Sequence[Mapping[str, Any]], config: str | None) -> dict[str, tuple[str, ...]]:
    """Names of the classes that columns hold as numbers, by column, in the order of the numbers.

    Args:
        infos: What README.md says of each configuration.
        config: The configuration that is read; None for the only one, or for what all of them say.
    """
    if config is not None and len(infos) > 1:
        infos = [one for one in infos if one.get("config_name") == config]
    return _in_all([_of_features(one.get("features")) for one in infos])


def older_features(infos: bytes, config: str | None) -> dict[str, tuple[str, ...]] | None:
    """The same by the content of `dataset_infos.json`; None where it can't be read."""
    from ftc.compiler.resolve.rows.class_names import names_by_column

    try:
        said = parse_json(infos) if len(infos) <= _MAX_BYTES else None
    except ValueError:
        return None
    if not isinstance(said, dict) or not all(isinstance(one, dict) for one in said.values()):
        return None
    asked = [said[config]] if config in said and len(said) > 1 else [*said.values()]
    if config is not None and len(said) > 1 and config not in said:
        return {}
    each = [names_by_column(one.get("features")) for one in asked]
    return _in_all([{column: tuple(names) for column, names in one.items()} for one in each])


def infos_of(readme: bytes | None) -> Sequence[Mapping[str, Any]] | None:
    """What README.md says of each configuration; None where it says something that can't be read."""
    blocks = blocks_of(front_matter(readme), _KEY)
    try:
        said = plain(read_yaml(blocks[0].encode(), CARD).root) if len(blocks) == 1 else None
    except Refusal:
        return None
    said = said.get(_KEY) if isinstance(said, dict) else None
    infos = [one for one in (said if isinstance(said, tuple) else (said,)) if isinstance(one, dict)]
    return infos if infos or not blocks else None


def _in_all(each: Sequence[Mapping[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """The names of columns of which all configurations say the same."""
    first, others = (each[0], each[1:]) if each else ({}, ())
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
