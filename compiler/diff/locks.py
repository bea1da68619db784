"""Two locks: what their contents mean, not which digests differ. One change is told once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ftc.compiler.diff.effects import effect_in_recipe, effect_of_setting
from ftc.compiler.diff.values import changed_leaves, leaves
from ftc.spec.base import Document, Effect
from ftc.spec.documents.difference import Change, ChangedRows, Reason
from ftc.spec.documents.lockfile import Lock, SourceLock, is_weight_file

__all__ = ["RowsOf", "asked_changes", "asked_of", "lock_differences"]

RowsOf = Callable[[str, SourceLock, SourceLock], ChangedRows | None]
"""Tells how rows of a use changed; None where the row indexes are gone."""


def asked_of(lock: Lock) -> dict[str, Any]:
    """What a lock's recipe asked for, in the recipe's own form."""
    model = {name: value for name, value in lock.model.asked.items() if value is not None}
    return {"model": model, "task": lock.text.asked, "data": lock.data.asked, **lock.train.asked}


def asked_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[Change], int]:
    """What two recipes ask for otherwise, and how many values are equal."""
    changed, equal = changed_leaves(old, new)
    return [
        Change(path=path, old=before, new=after, reason="asked", effect=effect_in_recipe(path, new))
        for path, before, after in changed
    ], equal


def lock_differences(old: Lock, new: Lock, rows_of: RowsOf) -> tuple[list[Change], int]:
    """What two locks pin otherwise, and how many values are equal."""
    changes = [
        *_model(old, new),
        *_text(old, new),
        *_data(old, new, rows_of),
        *_settings(old, new),
        *_packages(old, new),
    ]
    equal = sum(
        1
        for (path, value), (other, second) in zip(_all(old), _all(new), strict=False)
        if path == other and value == second
    )
    return changes, equal


def _all(lock: Lock) -> list[tuple[str, Any]]:
    return [(path, value) for path, value in leaves(lock.to_json()) if not path.endswith("seal")]


def _model(old: Lock, new: Lock) -> Iterator[Change]:
    before, after = old.model, new.model
    if before.asked != after.asked or before.commit != after.commit:
        yield _change("model.base", _named(before), _named(after), "base model", Effect.NUMERICS)
    if before.content_sha256 != after.content_sha256:
        kind = "model.weights" if before.header_sha256 == after.header_sha256 else "model.tensors"
        yield _change(kind, before.content_sha256, after.content_sha256, "weights", Effect.NUMERICS)
    for name in sorted({*before.files, *after.files}):
        was, now = before.files.get(name), after.files.get(name)
        if was == now or name in {*old.text.tokenizer_files, *new.text.tokenizer_files}:
            continue
        harmless = is_weight_file(name)  # its tensors are told above
        if harmless and before.content_sha256 != after.content_sha256:
            continue
        effect = Effect.COSMETIC if harmless else Effect.NUMERICS
        yield _change(f"model.files.{name}", _sha(was), _sha(now), "model file", effect)
    if before.license != after.license:
        yield _change("model.license", before.license, after.license, "license", Effect.COSMETIC)


def _named(model: Any) -> str:
    commit = f"@{model.commit[:12]}" if model.commit else ""
    return f"{model.asked.get('base')}{commit}"


def _text(old: Lock, new: Lock) -> Iterator[Change]:
    before, after = old.text, new.text
    for name in sorted({*before.tokenizer_files, *after.tokenizer_files}):
        was, now = before.tokenizer_files.get(name), after.tokenizer_files.get(name)
        if was != now:
            yield _change(f"tokenizer.files.{name}", was, now, "tokenizer", Effect.DATA)
    pairs: tuple[tuple[str, str, Reason], ...] = (
        ("tokenizer.behavior", "tokenizer_probe_sha256", "tokenizer"),
        ("template.text", "chat_template_sha256", "template"),
        ("template.behavior", "render_probe_sha256", "template"),
    )
    for path, field, reason in pairs:
        was, now = getattr(before, field), getattr(after, field)
        if was != now:
            yield _change(path, was, now, reason, Effect.DATA)
    for path, was, now in changed_leaves(before.special_tokens, after.special_tokens)[0]:
        yield _change(f"tokenizer.{path}", was, now, "tokenizer", Effect.DATA)


def _data(old: Lock, new: Lock, rows_of: RowsOf) -> Iterator[Change]:
    before, after = old.data, new.data
    for use in sorted({*before.sources, *after.sources}):
        was, now = before.sources.get(use), after.sources.get(use)
        if was is None or now is None:
            yield _change(f"data.{use}", _rows(was), _rows(now), "rows", Effect.DATA)
        elif was.rows_sha256 != now.rows_sha256:
            change = _change(f"data.{use}", _rows(was), _rows(now), "rows", Effect.DATA)
            yield change.model_copy(update={"rows": _changed_rows(use, was, now, rows_of)})
        elif was.file.sha256 != now.file.sha256:
            yield _change(f"data.{use}.file", was.file.sha256, now.file.sha256, "data file", Effect.COSMETIC)
    same_rows = all(before.sources.get(use) == source for use, source in after.sources.items())
    for split in sorted({*before.splits, *after.splits}):
        first, second = before.splits.get(split), after.splits.get(split)
        if first == second:
            continue
        if same_rows or (first and second and first.rows != second.rows):
            yield _change(f"tokens.{split}", _tokens(first), _tokens(second), "tokens", Effect.DATA)


def _changed_rows(use: str, was: SourceLock, now: SourceLock, rows_of: RowsOf) -> ChangedRows | None:
    if was.rows_unordered_sha256 == now.rows_unordered_sha256:
        return ChangedRows(added=0, removed=0, reordered=True)
    return rows_of(use, was, now)


def _settings(old: Lock, new: Lock) -> Iterator[Change]:
    before = {**old.train.settings, "model": old.model.settings, "text": old.text.settings, "length": old.length.steps}
    after = {**new.train.settings, "model": new.model.settings, "text": new.text.settings, "length": new.length.steps}
    for path, was, now in changed_leaves(before, after)[0]:
        yield _change(path, was, now, "setting", effect_of_setting(path))


def _packages(old: Lock, new: Lock) -> Iterator[Change]:
    for tag in sorted(old.platforms.keys() & new.platforms.keys()):
        first, second = old.platforms[tag], new.platforms[tag]
        if first.python != second.python:
            yield _change("python", first.python, second.python, "package", Effect.NUMERICS)
        for name in sorted({*first.packages, *second.packages}):
            was, now = first.packages.get(name), second.packages.get(name)
            if was == now:
                continue
            if was and now and was.version == now.version:
                yield _change(f"packages.{name}", was.sha256, now.sha256, "package", Effect.NUMERICS)
            else:
                versions = was.version if was else None, now.version if now else None
                yield _change(f"packages.{name}", *versions, "package", Effect.NUMERICS)


def _change(path: str, old: Any, new: Any, reason: Reason, effect: Effect) -> Change:
    return Change(path=path, old=old, new=new, reason=reason, effect=effect)


def _sha(document: Document | None) -> str | None:
    return None if document is None else str(getattr(document, "sha256"))  # noqa: B009


def _rows(source: SourceLock | None) -> str | None:
    return None if source is None else f"{source.rows:,} rows"


def _tokens(split: Any) -> str | None:
    return None if split is None else f"{split.rows:,} rows, {split.tokens:,} tokens"
