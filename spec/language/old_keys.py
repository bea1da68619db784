"""Keys that had another name: the old one works for one release, with a finding that names the new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from ftc.spec.diagnostics import Diagnostic, Fix, TextEdit, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.language.yaml_nodes import Mapping as MappingNode
from ftc.spec.language.yaml_nodes import Scalar

__all__ = ["OLD_KEYS", "Renamed", "with_new_keys"]


class Renamed(NamedTuple):
    """A key by its new name, and words that its value had, by their new ones."""

    name: str
    values: Mapping[str, str]


OLD_KEYS: dict[str, Renamed] = {
    "strategy.b_rate_ratio": Renamed("loraplus_lr_ratio", {}),
    "strategy.also_train": Renamed("modules_to_save", {}),
    "data.exhausted": Renamed("stopping_strategy", {"stop": "first_exhausted", "repeat": "all_exhausted"}),
}
"""By the old path."""


def with_new_keys(source: Source) -> tuple[Source, tuple[Diagnostic, ...]]:
    """The source as if it had been written with the new names, at the same places, and a warning for each old one.

    An old key beside its new one stays, and is reported as unknown.
    """
    root, found = source.root, []
    for path, new in OLD_KEYS.items():
        section, _, old = path.partition(".")
        holder = root.entries.get(section)
        if holder is None or not isinstance(holder.node, MappingNode) or new.name in holder.node.entries:
            continue
        if (entry := holder.node.entries.get(old)) is None:
            continue
        edits = [TextEdit(entry.key_span, new.name)]
        node = entry.node
        if isinstance(node, Scalar) and node.text in new.values:
            word = new.values[node.text]
            edits.append(TextEdit(node.span, word))
            node = replace(node, text=word)
        entries = {new.name if key == old else key: one for key, one in holder.node.entries.items()}
        entries[new.name] = replace(entry, node=node)
        section_node = replace(holder.node, entries=entries)
        root = replace(root, entries={**root.entries, section: replace(holder, node=section_node)})
        found.append(
            diagnostic(
                "FTC106",
                f"`{old}` is now called `{new.name}`",
                entry.key_span,
                help=[f"write `{new.name}`", *(f"`{value}` is now `{word}`" for value, word in new.values.items())],
                fixes=(Fix(f"rename `{old}` to `{new.name}`", tuple(edits), safe=True),),
                path=f"{section}.{new.name}",
            )
        )
    return (source if not found else replace(source, root=root)), tuple(found)
