"""Models beside the base model, such as a classifier or a teacher: through the base model's own door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.models.model import ResolvedModel, resolve_model
from ftc.spec.diagnostics import Diagnostic, Refusal, Span
from ftc.spec.documents.lockfile import Lock

__all__ = ["Beside", "World", "locked_commit", "numbered_labels", "resolve_beside"]

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


@dataclass(frozen=True, slots=True)
class Beside:
    """Where a recipe names such a model.

    Attributes:
        base: Dotted path of what names it.
        revision: Dotted path of its revision.
        helps: Mends by code, where the base model's don't fit.
    """

    base: str
    revision: str
    helps: Mapping[str, str] = field(default_factory=dict)

    def here(self, path: str) -> str:
        """What a path of the base model's section is for this one."""
        return {"model.base": self.base, "model.revision": self.revision}.get(path, path)


def resolve_beside(
    at: Beside, base: str, revision: str | None, locked_commit: str | None, world: World
) -> ResolvedModel:
    """Facts of a model that is named beside the base.

    Args:
        at: Where it is named, which is where findings point.
        base: Folder or hub id.
        revision: Branch, tag or commit on the hub.
        locked_commit: The commit that the lock keeps for them.
        world: Where models are looked up.

    Raises:
        Refusal: The model can't be used, by the codes of a base model.
    """
    try:
        return resolve_model(
            base,
            revision,
            locked_commit=locked_commit,
            folder=world.folder,
            root=world.root,
            hub=world.hub,
            digests=world.digests,
            span_of=lambda path: world.span_of(at.here(path)),
        )
    except Refusal as refusal:
        raise Refusal([_placed(one, at) for one in refusal.diagnostics]) from None


def _placed(found: Diagnostic, at: Beside) -> Diagnostic:
    if found.code in at.helps:
        found = replace(found, help=(at.helps[found.code],))
    return replace(found, path=at.here(found.path)) if found.path else found


def locked_commit(lock: Lock | None, section: str, *, asked: Mapping[str, str | None], keeps: str) -> str | None:
    """The commit that the lock keeps for such a model, as long as the same is asked for.

    Args:
        lock: The lock on disk.
        section: Dotted path of the section that names the model, as a recipe has it.
        asked: What names it there, by key.
        keeps: Dotted path of the model's own settings.
    """
    if lock is None:
        return None
    before = _at(lock.train.asked, section)
    is_same = all(before.get(key) == value for key, value in asked.items())
    commit = _at(lock.train.settings, keeps).get("commit")
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
