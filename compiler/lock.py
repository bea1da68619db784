"""The lock file: built from facts, compared with the one on disk, written whole."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftc.compiler.draft import Draft
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.facts import EnvironmentFacts
from ftc.spec.lock import DataLock, Lock, LockedSplit, ModelLock, SourceLock, TextLock, TrainLock, sealed
from ftc.spec.problems import reason_of
from ftc.spec.settings import Settings

__all__ = ["build_lock", "differences", "lock_changes", "lock_path", "read_lock"]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


_ABSENT = object()
"""Stands for a key that a document does not have, which is not the same as one that says `null`."""


def lock_path(recipe: Path) -> Path:
    """`NAME.lock.json` beside the recipe."""
    return recipe.with_name(f"{recipe.stem}.lock.json")


def build_lock(
    draft: Draft, settings: Settings, sources: dict[str, SourceLock], environment: EnvironmentFacts, old: Lock | None
) -> Lock:
    """The lock that these facts call for. Blocks of other platforms are kept from the old one."""
    recipe, model = draft.recipe.to_json(), draft.model
    platforms = {**(old.platforms if old else {}), environment.platform: environment}
    lock = Lock(
        model=ModelLock(
            asked={"base": draft.recipe.model.base, "revision": draft.recipe.model.revision},
            commit=model.commit,
            files=model.files,
            num_parameters=model.num_parameters,
            license=model.license,
        ),
        text=TextLock(
            asked=recipe["task"],
            chat_template_sha256=_text_digest(model.tokenizer.chat_template),
            max_length=settings.text.max_length,
            labels=settings.text.labels,
            tokenizer_files={name: model.files[name].sha256 for name in _TOKENIZER_FILES if name in model.files},
        ),
        data=DataLock(
            asked=recipe["data"],
            sources=sources,
            splits={
                name: LockedSplit(rows=split.rows, tokens=split.tokens, stream_sha256=split.stream_digest)
                for name, split in draft.splits.items()
            },
        ),
        train=TrainLock(
            asked={name: recipe[name] for name in ("strategy", "train", "eval")}, settings=_portable(settings)
        ),
        platforms=platforms,
    )
    return sealed(lock)


def _portable(settings: Settings) -> dict[str, Any]:
    """The settings that hold on every machine: what a device decides stands in the plan, not in the lock."""
    values = settings.to_json()
    del values["device"]
    for name in (
        "micro_batch",
        "micro_batch_tokens",
        "packing",
        "activation_checkpointing",
        "precision",
        "fused",
        "world_size",
    ):
        del values["train"][name]
    del values["eval"]["batch_size"]
    return values


def _text_digest(text: str | None) -> str | None:
    return hashlib.sha256(text.encode()).hexdigest() if text is not None else None


def read_lock(path: Path) -> Lock | None:
    """The lock on disk, or None when there is none.

    Raises:
        Refusal: The file is no lock, or a section does not match its seal (FTC501, FTC502).
    """
    if not path.exists():
        return None
    try:
        lock = Lock.model_validate_json(path.read_bytes())
    except ValidationError as problem:
        raise Refusal(
            [
                diagnostic(
                    "FTC501",
                    f"`{path.name}` is no lock that this release can read",
                    help="restore it from git, or delete it to lock anew",
                    notes=reason_of(problem),
                )
            ]
        ) from None
    broken = [name for name, seal in lock.expected_seals().items() if lock.seals.get(name) != seal]
    if broken:
        raise Refusal(
            [
                diagnostic(
                    "FTC502",
                    f"section `{name}` of `{path.name}` does not match its seal",
                    help="restore the file from git, or delete it to lock anew",
                    notes="somebody edited it, or a merge mixed two locks",
                )
                for name in broken
            ]
        )
    return lock


def lock_changes(old: Lock, new: Lock) -> tuple[str, ...]:
    """What the new lock says otherwise, one line each, in the order of the sections.

    Platforms that only one of them has are no change of the others.
    """
    before, after = old.to_json(), new.to_json()
    lines: list[str] = []
    for section in ("model", "text", "data", "train"):
        lines += differences(section, before[section], after[section])
    for platform in after["platforms"]:
        if platform in before["platforms"]:
            lines += differences(platform, before["platforms"][platform], after["platforms"][platform])
        else:
            lines.append(f"{platform}: new platform")
    return tuple(lines)


def differences(path: str, old: Any, new: Any) -> list[str]:
    """Where two JSON values differ, a line each, such as `model.files.config.json.size: 612 → 640`."""
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in differences(f"{path}.{key}", old.get(key, _ABSENT), new.get(key, _ABSENT))
        ]
    return [f"{path}: {_short(old)} → {_short(new)}"]


def _short(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value):
        return f"{value[:4]}…{value[-4:]}"
    text = "absent" if value is _ABSENT else "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
