"""Which files of a data set on the hub are one split: by the configurations in its README.md, else by their names.

README.md has them as the hub documents it: `configs`, a list of `config_name` with `data_files` (a path, several, or
several splits with a path each) or a `data_dir`. That block alone is read, by the strict reader of recipes. Without it
a file belongs to the split that its name has as a word, such as `data/train-00000-of-00002.parquet`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.source import read_source

__all__ = ["NoSplit", "SplitAsked", "files_of_split"]

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_CONFIGS = re.compile(r"^configs:[ \t]*\n(?:[ \t-].*\n|[ \t]*\n)*", re.MULTILINE)
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""What people call the usual splits in names of files."""
_DEFAULT = "default"


class NoSplit(Exception):
    """A data set has no such split or configuration, or several may be meant.

    Attributes:
        summary: What is wrong, without the data set's name.
        help: What to do.
        is_ambiguous: Whether there are several.
    """

    def __init__(self, summary: str, help: str, *, is_ambiguous: bool = False) -> None:
        super().__init__(summary)
        self.summary, self.help, self.is_ambiguous = summary, help, is_ambiguous


@dataclass(frozen=True, slots=True)
class SplitAsked:
    """What a recipe asks of a data set; None where it doesn't say."""

    config: str | None
    split: str | None


@dataclass(frozen=True, slots=True)
class _Config:
    """A configuration: the patterns of each split's files, or the folder in which names tell."""

    name: str
    patterns: Mapping[str, tuple[str, ...]]
    folder: str
    is_default: bool


def files_of_split(names: Collection[str], readme: bytes | None, asked: SplitAsked) -> tuple[str, ...]:
    """The files of a split, in the order of their names.

    Args:
        names: The data files of the repository.
        readme: Content of its README.md; None where it has none.
        asked: Which split of which configuration.

    Raises:
        NoSplit: There is none, or several may be meant.
    """
    configs = _configs(readme)
    if not configs and asked.config not in (None, _DEFAULT):
        raise NoSplit(f"has no configuration `{asked.config}`: its README.md lists none", "leave out `config`")
    config = _chosen(configs, asked.config) if configs else _Config(_DEFAULT, {}, "", is_default=True)
    if not config.patterns:
        return _by_name(names, config.folder, asked.split or "train")
    split = _split(config, asked.split)
    patterns = [re.compile(_expression(config.folder + pattern)) for pattern in config.patterns[split]]
    found = sorted(name for name in names if any(one.fullmatch(name) for one in patterns))
    if not found:
        listed = ", ".join(f"`{pattern}`" for pattern in config.patterns[split])
        raise NoSplit(f"has no file that is {listed}", "name a file with `file:`; its README.md lists others")
    return tuple(found)


def _configs(readme: bytes | None) -> list[_Config]:
    """The configurations of a README.md; none where it has no such block.

    Raises:
        NoSplit: There is one, of another form.
    """
    text = (readme or b"").decode("utf-8", "replace").replace("\r\n", "\n")
    front = _FRONT_MATTER.match(text)
    block = _CONFIGS.search(front[1]) if front else None
    if block is None:
        return []
    source, _ = read_source(block[0], "README.md")
    listed = source.plain().get("configs") if source is not None else None
    if not isinstance(listed, tuple) or not listed or not all(isinstance(one, dict) for one in listed):
        raise _odd()
    return [_config(one) for one in listed if isinstance(one, dict)]


def _config(said: Mapping[str, Any]) -> _Config:
    name, folder, files = said.get("config_name", _DEFAULT), said.get("data_dir", ""), said.get("data_files")
    if not isinstance(name, str) or not isinstance(folder, str):
        raise _odd()
    folder = f"{folder.strip('/')}/" if folder.strip("./") else ""
    return _Config(name, _patterns(files), folder, is_default=said.get("default") is True)


def _patterns(files: Any) -> dict[str, tuple[str, ...]]:
    match files:
        case None:
            return {}
        case str():
            return {"train": (files,)}
        case tuple() if files and all(isinstance(one, str) for one in files):
            return {"train": files}
        case tuple() if files and all(isinstance(one, dict) and isinstance(one.get("split"), str) for one in files):
            return {one["split"]: _paths(one.get("path")) for one in files}
        case dict() if files:
            return {split: _paths(paths) for split, paths in files.items()}
        case _:
            raise _odd()


def _paths(said: Any) -> tuple[str, ...]:
    paths = (said,) if isinstance(said, str) else said
    if not isinstance(paths, tuple) or not paths or not all(isinstance(one, str) for one in paths):
        raise _odd()
    return paths


def _chosen(configs: Sequence[_Config], asked: str | None) -> _Config:
    names = [one.name for one in configs]
    if asked is not None:
        if asked in names:
            return configs[names.index(asked)]
        near = nearest(asked, names)
        help = f"did you mean `{near}`?" if near else f"it has {_listed(names)}"
        raise NoSplit(f"has no configuration `{asked}`", help)
    usual = [one for one in configs if one.is_default] or [one for one in configs if one.name == _DEFAULT]
    if len(found := usual or configs) == 1:
        return found[0]
    help = f"name one with `config:`: {_listed(names)}"
    raise NoSplit(f"has {len(configs)} configurations, and the recipe names none", help, is_ambiguous=True)


def _split(config: _Config, asked: str | None) -> str:
    names = list(config.patterns)
    if asked is None and len(names) == 1:
        return names[0]
    wanted = asked or "train"
    if wanted in names:
        return wanted
    near = nearest(wanted, names)
    help = f"did you mean `{near}`?" if near else f"it has {_listed(names)}"
    raise NoSplit(f"has no split `{wanted}` in its configuration `{config.name}`", help)


def _by_name(names: Collection[str], folder: str, split: str) -> tuple[str, ...]:
    words = "|".join(map(re.escape, _WORDS.get(split, (split,))))
    word = re.compile(rf"(?:^|[/_.-])(?:{words})(?=[/_.-]|\d|$)", re.IGNORECASE)
    found = sorted(name for name in names if name.startswith(folder) and word.search(name.removeprefix(folder)))
    if not found:
        raise NoSplit(f"has no file whose name says `{split}`", "name the file with `file:`")
    return tuple(found)


def _expression(pattern: str) -> str:
    """A pattern of the hub as a regular expression: `**` for folders of any depth, `*` and `?` inside one."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    meanings = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meanings.get(piece, re.escape(piece)) for piece in pieces)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:6])
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown


def _odd() -> NoSplit:
    summary = "describes its configurations in a form that ftc doesn't read"
    return NoSplit(summary, "name a file with `file:`")
