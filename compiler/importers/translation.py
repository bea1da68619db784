"""The sheet on which a configuration is turned into a recipe: values for the recipe, and the fate of every key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.documents.imported import Added, Fate, KeyFate
from ftc.spec.language.foreign_yaml import Foreign, plain, value_of
from ftc.spec.language.yaml_nodes import Mapping, Node, Scalar, Sequence

__all__ = ["NO_TRAINING", "Key", "Options", "Surroundings", "Translation", "Value", "dotted", "key_of"]

Key: TypeAlias = "tuple[str | int, ...]"
"""Steps from the root of a configuration."""

NO_TRAINING = "a configuration that trains nothing"
"""Summary of the reason where a file answers, evaluates, merges or quantizes."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]{0,200})\}")
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Options:
    """What the user says beside the configuration, since no key of it does.

    Attributes:
        task: Kind of the task.
        data: Path of the rows, as the recipe shall write it.
        hub_file: Path of the rows inside the data set on the hub that the configuration names.
        base: The base model.
    """

    task: str | None = None
    data: str | None = None
    hub_file: str | None = None
    base: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an importer may ask about the disk.

    Attributes:
        locate: The path as the recipe shall write it, for a file or folder that exists, else None.
        read: The bytes of a small file near the configuration, else None.
    """

    locate: Callable[[str], str | None] = lambda path: None
    read: Callable[[str], bytes | None] = lambda path: None


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the recipe and the words that tell where it is from."""

    value: Any
    comment: str
    keys: tuple[Key, ...] = ()


@dataclass(slots=True)
class Translation:
    """What is known so far. Every method takes keys as dotted text or as steps; absent keys are left alone."""

    foreign: Foreign
    tool: str
    options: Options
    around: Surroundings
    fates: dict[Key, KeyFate] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    reasons: list[Diagnostic] = field(default_factory=list)
    _above: set[Key] = field(default_factory=set)

    # Reading.

    def node(self, key: str | Key) -> Node | None:
        """The node at a key, or None."""
        node: Node = self.foreign.root
        for step in key_of(key):
            match node, step:
                case Mapping(), str() if step in node.entries:
                    node = node.entries[step].node
                case Sequence(), int() if step < len(node.items):
                    node = node.items[step]
                case _:
                    return None
        return node

    def value(self, key: str | Key) -> Any:
        """The plain value at a key; None where it is absent or null. References to other keys are followed."""
        node = self.node(key)
        if node is None:
            return None
        found = plain(node)
        return self._followed(found) if isinstance(found, str) else found

    def number(self, key: str | Key) -> float | None:
        """A number, also one in quotes; anything else is told of and counts as absent."""
        value = self.value(key)
        if isinstance(value, str):
            value = value_of(Scalar(value.strip(), False, Span("", 1, 1, 1, 1)))
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
            return value
        self._misfit(key, value, "a number")
        return None

    def whole(self, key: str | Key) -> int | None:
        """A whole number, also one written as `3.0`."""
        number = self.number(key)
        if number is not None and number != int(number):
            self._misfit(key, number, "a whole number")
            return None
        return None if number is None else int(number)

    def text(self, key: str | Key) -> str | None:
        """Text; a scalar of another type counts as it is written."""
        node = self.node(key)
        value = self.value(key)
        if value is None or isinstance(value, str):
            return value or None
        if isinstance(node, Scalar):
            return node.text
        self._misfit(key, value, "a text")
        return None

    def flag(self, key: str | Key) -> bool:
        """Whether a switch is on; absent, null and `"false"` are off."""
        value = self.value(key)
        return value.lower() in ("true", "yes", "on", "1") if isinstance(value, str) else bool(value)

    def names(self, key: str | Key) -> tuple[str, ...]:
        """A list of words, also one written as a text with commas."""
        value = self.value(key)
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        if isinstance(value, tuple) and all(isinstance(one, str) for one in value):
            return value
        self._misfit(key, value, "a list of names")
        return ()

    def items(self, key: str | Key) -> tuple[Key, ...]:
        """The keys of a list's mappings; none where it is no list of mappings alone."""
        node = self.node(key)
        if not isinstance(node, Sequence) or not all(isinstance(item, Mapping) for item in node.items):
            return ()
        return tuple((*key_of(key), index) for index in range(len(node.items)))

    def has(self, key: str | Key) -> bool:
        """Whether a key is there and not null."""
        return self.value(key) is not None

    def span(self, key: str | Key) -> Span:
        """The place of a key, or of the nearest above it that exists."""
        steps = key_of(key)
        node: Node = self.foreign.root
        place = Span(self.foreign.file, 1, 1, 1, 1)
        for step in steps:
            match node, step:
                case Mapping(), str() if step in node.entries:
                    place, node = node.entries[step].key_span, node.entries[step].node
                case Sequence(), int() if step < len(node.items):
                    node = node.items[step]
                    place = node.span
                case _:
                    break
        return place

    # Deciding.

    def carry(self, keys: str | Key | list[str | Key], path: str, value: Any, reason: str = "") -> None:
        """Writes a value into the recipe; all the keys that it is made of count as carried."""
        said = map(key_of, [keys] if isinstance(keys, str | tuple) else keys)
        there = [key for key in said if self.node(key) is not None and not self._overlaps(key)]
        self.values[path] = Value(value, self._origin(there, reason), tuple(there))
        for key in there:
            before = self.fates.get(key, KeyFate("", 0, Fate.CARRIED))
            if before.fate is Fate.CARRIED:  # what is wrong with a key outweighs what is right with it
                paths = tuple(dict.fromkeys((*before.paths, path)))
                self._set(key, Fate.CARRIED, reason or before.reason, paths=paths)

    def add(self, path: str, value: Any, reason: str) -> None:
        """Writes a value that no key gives, unless there is one."""
        if path not in self.values:
            self.values[path] = Value(value, reason)

    def needless(self, key: str | Key, reason: str) -> None:
        """The recipe means the same without the key."""
        self._settle(key, Fate.NOT_NEEDED, reason)

    def drop(self, key: str | Key, reason: str, help: str = "") -> None:
        """The key had an effect that the recipe does not have."""
        self._settle(key, Fate.NOT_CARRIED, reason, help)

    def ignore(self, key: str | Key, evidence: str, help: str = "") -> None:
        """The other tool never looks at the key."""
        self._settle(key, Fate.IGNORED, evidence, help)

    def conflict(self, key: str | Key, reason: str, help: str = "") -> None:
        """The key contradicts another one."""
        self._settle(key, Fate.CONFLICT, reason, help)

    def block(self, key: str | Key, summary: str, help: str) -> None:
        """Something that a recipe can't do without is not there; `key` is where it is looked for."""
        self.drop(key, summary, help)
        place = self.span(key)
        self.reasons.append(diagnostic("FTC392", summary, place, help=help))

    def block_without_training(self, key: str | Key = ()) -> None:
        """The configuration answers, evaluates, merges or quantizes."""
        self.block(key, NO_TRAINING, "choose a training configuration")

    def withdraw(self, path: str, reason: str) -> bool:
        """Takes a value, or a section, out of the recipe; keys that nothing else holds count as not carried."""
        gone = [known for known in self.values if known == path or known.startswith(f"{path}.")]
        keys = {key for known in gone for key in self.values.pop(known).keys}
        for key in keys:
            before = self.fates[key]
            rest = tuple(other for other in before.paths if other not in gone)
            fate = before.fate if rest else Fate.NOT_CARRIED
            self._set(key, fate, before.reason if rest else reason, paths=rest)
        return bool(gone)

    def move(self, keys: list[str | Key], path: str) -> None:
        """Lets keys that are carried lead to the section that their values were moved into."""
        for key in map(key_of, keys):
            if (before := self.fates.get(key)) and before.fate is Fate.CARRIED:
                self._set(key, Fate.CARRIED, before.reason, paths=(path,))

    def is_settled(self, key: Key) -> bool:
        """Whether the key itself has a fate."""
        return key in self.fates

    def is_settled_below(self, key: Key) -> bool:
        """Whether some key below has a fate."""
        return key in self._above

    def listed(self) -> tuple[KeyFate, ...]:
        """The fates in the order of the file."""
        return tuple(sorted(self.fates.values(), key=lambda fate: fate.line))

    def additions(self) -> Iterator[Added]:
        """The values that no key gives."""
        for path, value in self.values.items():
            if not value.keys:
                yield Added(path, value.comment)

    def _settle(self, key: str | Key, fate: Fate, reason: str, help: str = "") -> None:
        steps = key_of(key)
        if steps and self.node(steps) is not None and steps not in self.fates and not self._overlaps(steps):
            self._set(steps, fate, reason, help)

    def _overlaps(self, key: Key) -> bool:
        """Whether a block around the key, or a key in the block, has a fate: no key may have two."""
        return key in self._above or any(key[:length] in self.fates for length in range(1, len(key)))

    def _set(self, key: Key, fate: Fate, reason: str, help: str = "", paths: tuple[str, ...] = ()) -> None:
        self._above.update(key[:length] for length in range(1, len(key)))
        self.fates[key] = KeyFate(dotted(key), self.span(key).line, fate, reason, help, paths)

    def _misfit(self, key: str | Key, value: Any, expected: str) -> None:
        if value is not None:
            self.drop(key, f"{_shown(value)} is not {expected}", "write the value into the recipe by hand")

    def _origin(self, keys: list[Key], reason: str) -> str:
        if not keys:
            return reason or f"{self.tool}'s default"
        lines = sorted({self.span(key).line for key in keys})
        where = f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(map(str, lines))}"
        said = f"from {', '.join(map(dotted, keys))}, {where}"
        return f"{said}: {reason}" if reason else said

    def _followed(self, text: str) -> str:
        """`${output_dir}/logs` with the value of the key in it; one level, and never the environment."""

        def target(match: re.Match[str]) -> str:
            node = self.node(match[1])
            return node.text if isinstance(node, Scalar) and "${" not in node.text else match[0]

        return _REFERENCE.sub(target, text) if "${" in text else text


def key_of(key: str | Key) -> Key:
    """Steps of a key that is written with dots."""
    return tuple(key.split(".")) if isinstance(key, str) else key


def dotted(key: Key) -> str:
    """A key as a person reads it, such as `datasets[0].path`; on one line, whatever it holds."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in key).lstrip(".")
    line = "".join(character if character.isprintable() else "�" for character in text)
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 1]}…"


def _shown(value: Any) -> str:
    match value:
        case dict():
            return "a mapping"
        case tuple():
            return "a list"
        case _:
            text = f"`{value}`"
            return text if len(text) <= 42 else f"{text[:40]}…`"
