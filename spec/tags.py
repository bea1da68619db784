"""Tags of words: which one marks nothing, and whether the others mark entities with a begin and an inside."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["OUTSIDE", "entity_types", "has_entities"]

OUTSIDE = "O"
"""Tag of a word that is part of no entity."""


def has_entities(tags: Sequence[str]) -> bool:
    """Whether the tags mark entities (with begin and inside), or each tag counts on its own."""
    return all(tag == OUTSIDE or tag[:2] in ("B-", "I-") for tag in tags)


def entity_types(tags: Sequence[str]) -> dict[str, str]:
    """Each tag's type of entity; a tag that is part of none is left out, and tags without a scheme are types."""
    if not has_entities(tags):
        return {tag: tag for tag in tags}
    return {tag: tag[2:] for tag in tags if tag != OUTSIDE}
