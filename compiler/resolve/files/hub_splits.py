"""Which files of a data set on the hub are one split: by the configurations in its README.md, else by their names.

README.md has them as the hub documents it: `configs`, a list of `config_name` with `data_files` (a path, several, or
several splits with a path each) or a `data_dir`. That block alone is read, by the strict reader of recipes; one that it
can't read is refused. Without a block `data/NAME-00000-of-00002.parquet` is a file of the split NAME and of no other,
whatever words NAME has: `train_sft` is no `train`, and `dev` no `validation`. Else a file belongs to the split that its
own name has as a word, such as `train-2.csv`; where no file's own name has such a word, folders decide, such as
`train/0.csv`; where no folder has one either, all files are `train`.

So does `datasets`, with which tests compare it, but for what gives rows twice or to two splits: files come in the order
of their names and each once, a file of two splits is refused, and its own name goes before its folder's.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.source import read_source

__all__ = ["NoSplit", "SplitAsked", "blocks_of", "files_of_split", "front_matter"]

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_BLOCK = r"[ \t]*:(?=\s).*(?:\n|\Z)(?:(?:[ \t\-#\]}].*|[ \t]*)\n)*"
"""Behind a key, all lines up to the next one: those that are indented, items, comments, and ends of brackets."""
_MENTION = re.compile(
    r"^(?:\?[ \t]*)?[\"']?configs[\"']?[ \t]*:|\A(?:[ \t]*(?:#.*)?\n)*(?:\{|[ \t]+(?=[^\s#]))(?s:.*)configs",
    re.MULTILINE,
)
"""Where a README.md may have the key at its outermost level, in whatever form: in quotes, in braces, or indented."""
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""What people call the usual splits in names of files."""
_DEFAULT = "default"
_SHARD = re.compile(r"data/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*")
"""A file of a split as `datasets` uploads it."""


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


class SplitAsked(NamedTuple):
    """What a recipe asks of a data set; None where it names no configuration."""

    config: str | None
    split: str


class _Config(NamedTuple):
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
        return _of_one_kind(_by_name(names, config.folder, asked.split), asked.split)
    split = _split(config, asked.split)
    patterns = [config.folder + pattern for pattern in config.patterns[split]]
    found = sorted({name for pattern in patterns for name in _matching(pattern, names)})
    if not found:
        listed = ", ".join(f"`{pattern}`" for pattern in config.patterns[split])
        raise NoSplit(f"has no file that is {listed}", "name a file with `file:`; its README.md lists others")
    return _of_one_kind(found, split)


def front_matter(readme: bytes | None) -> str:
    """The description at the beginning of a README.md; empty for one without."""
    front = _FRONT_MATTER.match(_text(readme))
    return front[1] if front else ""


def _text(readme: bytes | None) -> str:
    return (readme or b"").decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")


def blocks_of(described: str, key: str) -> list[str]:
    """Each key of this name at the outermost level, with its lines."""
    return re.findall(rf"^{key}{_BLOCK}", described, re.MULTILINE)


def _configs(readme: bytes | None) -> list[_Config]:
    """The configurations of a README.md; none where it has no such block, or an empty one.

    Raises:
        NoSplit: There is one, of another form. Names of files would then be a guess against the data set's own word.
    """
    front, text = front_matter(readme), _text(readme)
    described = front or (text if text.lstrip().startswith("---") else "")
    if not _MENTION.search(described):
        return []
    blocks = blocks_of(front, "configs")
    source, _ = read_source(blocks[0], "README.md") if len(blocks) == 1 else (None, ())
    if source is None:
        raise _odd()
    listed = source.plain().get("configs")
    if listed in (None, ()):
        return []
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


def _split(config: _Config, wanted: str) -> str:
    names = list(config.patterns)
    if wanted in names:
        return wanted
    near = nearest(wanted, names)
    help = f"did you mean `{near}`?" if near else f"it has {_listed(names)}"
    raise NoSplit(f"has no split `{wanted}` in its configuration `{config.name}`", help)


def _by_name(names: Collection[str], folder: str, split: str) -> list[str]:
    """The files named for a split: by their own names, or by their folders where no file's own name has such a word.

    Raises:
        NoSplit: No file is named for it, or one is named for another split as well, whose rows would be in both.
    """
    inside = {name: name.removeprefix(folder) for name in _matching(f"{folder}**", names)}
    shards = {name: shard[1] for name, path in inside.items() if (shard := _SHARD.fullmatch(path))}
    if split in shards.values():
        return sorted(name for name, of in shards.items() if of == split)
    any_word = _word(split, *(word for words in _WORDS.values() for word in words))
    unnamed = {name: path for name, path in inside.items() if name not in shards}
    own = {name: path.rpartition("/")[2] for name, path in unnamed.items()}
    has_own = any(map(any_word.search, own.values()))
    told = own if has_own else {name: path.rpartition("/")[0] for name, path in unnamed.items()}
    found, both = _saying(split, told)
    if split == "train" and not shards and not any(map(any_word.search, told.values())):
        found = sorted(inside)
    if not found and shards:
        beside = [one for one in _WORDS if (said := _saying(one, told))[0] and not said[1]]
        raise NoSplit(f"has no split `{split}`", f"it has {_listed(sorted({*shards.values(), *beside}))}")
    if not found:
        raise NoSplit(f"has no file whose name says `{split}`", "name the file with `file:`")
    if both:
        summary = f"has files whose names say `{split}` and another split: {_listed(both)}"
        raise NoSplit(summary, "name the files with `file:`", is_ambiguous=True)
    return found


def _saying(split: str, texts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The files whose names or folders say a split, by texts of those, and the ones that say another split as well."""
    asked = next((words for words in _WORDS.values() if split in words), ())
    meant = _word(*_WORDS.get(split, (split,)))
    others = _word(*(word for words in _WORDS.values() if words != asked for word in words))
    found = sorted(name for name, text in texts.items() if meant.search(text))
    return found, [name for name in found if others.search(meant.sub("", texts[name]))]


def _word(*words: str) -> re.Pattern[str]:
    """One of several words in a path, whole or with a number beside it."""
    either = "|".join(map(re.escape, words))
    return re.compile(rf"(?:^|(?<=[/_. \d-]))(?:{either})(?=[/_. \d-]|$)", re.IGNORECASE)


def _of_one_kind(found: Sequence[str], split: str) -> tuple[str, ...]:
    """The files, which share a suffix: of several kinds one is most often another form of the same rows.

    Raises:
        NoSplit: They are of several kinds.
    """
    kinds = sorted({PurePosixPath(name).suffix.lower() for name in found})
    if len(kinds) > 1:
        summary = f"has files of several kinds for `{split}`, which may hold the same rows: {', '.join(kinds)}"
        raise NoSplit(summary, f"name the files with `file:`: {_listed(found)}", is_ambiguous=True)
    return tuple(found)


def _matching(pattern: str, names: Collection[str]) -> list[str]:
    """The names that a pattern of the hub means: `**` for folders of any depth, `*`, `?` and `[a-z]` inside of one.

    Folders such as `__MACOSX` are meant only by a pattern that has as many itself.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    tests = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]
    hidden = _hidden(parts)
    split = ((name, name.split("/")) for name in names)
    return [name for name, steps in split if _leads_to(tests, steps) and _hidden(steps) <= hidden]


def _leads_to(tests: Sequence[re.Pattern[str] | None], steps: Sequence[str]) -> bool:
    """Whether parts of a pattern mean a path; in time that grows with both alone, whatever a stranger wrote."""
    taken = {0}  # steps, by the parts so far
    for test in tests:
        if test is None:
            taken = set(range(min(taken), len(steps) + 1))
        elif not (taken := {step + 1 for step in taken if step < len(steps) and test.match(steps[step])}):
            return False
    return len(steps) in taken


def _hidden(path: Sequence[str]) -> int:
    """How many folders of a path are for programs."""
    return sum(folder.startswith("__") for folder in path[:-1])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:6])
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown


def _odd() -> NoSplit:
    summary = "describes its configurations in a form that ftc doesn't read"
    return NoSplit(summary, "name a file with `file:`")
