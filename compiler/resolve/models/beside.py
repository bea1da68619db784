"""Models beside the base model, such as a classifier or a teacher: through the base model's own door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.models.model import ResolvedModel, resolve_model
from ftc.spec.companions import Asked, Companion
from ftc.spec.diagnostics import Diagnostic, Refusal, Span
from ftc.spec.documents.lockfile import Lock
from ftc.spec.sections.recipe import Recipe

__all__ = ["World", "locked_commit", "numbered_labels", "resolve_companion"]

SpanOf = Callable[[str], Span | None]
_MOST_LABELS = 1000


@dataclass(frozen=True, slots=True)
class World:
    """Where models are looked up.

    Attributes:
        folder: The recipe's folder.
        root: The project's root, which no path leaves.
        hub: Where ids are looked up.
        digests: Remembers digests of files.
        span_of: The place of a recipe value by its dotted path.
    """

    folder: Path
    root: Path
    hub: Hub
    digests: DigestCache
    span_of: SpanOf


def resolve_companion(card: Companion, recipe: Recipe, lock: Lock | None, world: World) -> ResolvedModel | None:
    """A model of some role beside the base, through the base model's own door; None where a recipe asks for none.

    Args:
        card: The role.
        recipe: The recipe.
        lock: The lock on disk; a commit of the hub that it keeps for the same model stays.
        world: Where models are looked up.

    Raises:
        Refusal: The model can't be used, by the codes of a base model.
    """
    asked = card.asked(recipe)
    if asked is None:
        return None
    here = {"model.base": card.base, "model.revision": card.revision}
    try:
        return resolve_model(
            asked.base,
            asked.revision,
            locked_commit=locked_commit(card, asked, lock),
            folder=world.folder,
            root=world.root,
            hub=world.hub,
            digests=world.digests,
            span_of=lambda path: world.span_of(here.get(path, path)),
        )
    except Refusal as refusal:
        raise Refusal([_placed(one, card, here) for one in refusal.diagnostics]) from None


def _placed(found: Diagnostic, card: Companion, here: Mapping[str, str]) -> Diagnostic:
    if found.code in card.helps:
        found = replace(found, help=(card.helps[found.code],))
    return replace(found, path=here.get(found.path, found.path)) if found.path else found


def locked_commit(card: Companion, asked: Asked, lock: Lock | None) -> str | None:
    """The commit that the lock keeps for a companion, as long as the same is asked for."""
    if lock is None:
        return None
    before = _at(lock.train.asked, card.section)
    is_same = (before.get(card.key), before.get("revision")) == asked
    commit = _at(lock.train.settings, card.pins).get("commit")
    return str(commit) if is_same and commit else None


def _at(values: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    for key in path.split("."):
        values = values.get(key) or {}
    return values


def numbered_labels(config: Mapping[str, Any]) -> list[str]:
    """Labels by their number; empty where `id2label` isn't a numbered list of different short texts."""
    named = config.get("id2label")
    if not isinstance(named, Mapping) or not 0 < len(named) <= _MOST_LABELS:
        return []
    labels = [named.get(str(number)) for number in range(len(named))]
    texts = [label for label in labels if isinstance(label, str) and 0 < len(label) <= 200]
    return texts if len(set(texts)) == len(named) else []
