"""Two things, compared at the deepest level that both have. One change is told once, and with what it touches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ftc.compiler.diff.sides import Thing
from ftc.compiler.lock.lockfile import changed_leaves, leaves
from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, safe_path
from ftc.compiler.resolve.rows.table import Row, shown
from ftc.compiler.tokens.row_index import recall_rows, row_changes
from ftc.spec.base import Document, Effect
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.difference import Action, Change, ChangedRows, Difference, Outcome, Reason
from ftc.spec.documents.lockfile import Lock, SourceLock, is_weight_file
from ftc.spec.documents.plan import Plan
from ftc.spec.language.section_tree import effect_of, section_at
from ftc.spec.sections.recipe import Recipe

__all__ = [
    "RowsOf",
    "asked_changes",
    "asked_of",
    "compare",
    "effect_in_recipe",
    "effect_of_setting",
    "lock_differences",
    "rows_lookup",
]

_ORDER: tuple[Action, ...] = ("retrain", "evaluate", "resume", "nothing")


def compare(old: Thing, new: Thing, cache: Path) -> Difference:
    """What differs, why it matters, and what would have to be done to have the new result.

    Args:
        old: What there is.
        new: What is wanted.
        cache: ftc's cache, which may know the rows of either.
    """
    missed: list[str] = []
    if old.plan and new.plan:
        level, (changes, equal) = "plan", _plans(old, new, cache, missed)
    elif old.lock and new.lock:
        level, (changes, equal) = "lock", lock_differences(old.lock, new.lock, rows_lookup(new, cache, missed))
    elif old.recipe and new.recipe:
        level, (changes, equal) = "recipe", _recipes(old.recipe, new.recipe)
    else:
        level, (changes, equal) = "asked", asked_changes(_asked(old), _asked(new))
    if level in ("recipe", "asked"):
        missed.append("files, rows and packages: a recipe names them, but does not contain them")
    # what brings the old result to the new one: the heaviest action of any change; a run that was left goes on
    asked: list[Action] = [change.action for change in changes]
    heaviest: Action = min([*asked, _ORDER[-1]], key=_ORDER.index)
    if _is_finished(old) and _is_finished(new):
        heaviest = "nothing"  # both results are here
    unfinished = old.record is not None and not _is_finished(old)
    same_job = old.plan is not None and new.plan is not None and old.plan.job_sha256() == new.plan.job_sha256()
    return Difference(
        old=old.side,
        new=new.side,
        level=level,  # type: ignore[arg-type]
        changes=tuple(sorted(changes, key=lambda change: (_ORDER.index(change.action), change.path))),
        unchanged=equal,
        outcomes=_outcomes(old, new),
        action="resume" if heaviest == "nothing" and unfinished and same_job else heaviest,
        not_checked=tuple(missed),
    )


def _is_finished(thing: Thing) -> bool:
    return thing.record is not None and thing.record.is_finished


def _recipes(old: Recipe, new: Recipe) -> tuple[list[Change], int]:
    before, after = old.to_json(), new.to_json()
    changed, equal = changed_leaves(before, after)
    said = {path for recipe in (old, new) for path, _ in leaves(recipe.said())}
    other_kinds = {path.removesuffix("kind") for path, _, _ in changed if path.endswith(".kind")}
    return [
        Change(path=path, old=was, new=now, reason="asked", effect=effect_in_recipe(path, after))
        for path, was, now in changed
        if path in said or not path.startswith(tuple(other_kinds))  # of another kind, defaults are no news
    ], equal


def _asked(thing: Thing) -> dict[str, Any]:
    if thing.lock is not None:
        return asked_of(thing.lock)
    assert thing.recipe is not None
    said = thing.recipe.said()
    return {name: said.get(name, {}) for name in ("model", "task", "data", "strategy", "train", "eval")} | {
        "model": {key: value for key, value in said["model"].items() if key in ("base", "revision")}
    }


def _plans(old: Thing, new: Thing, cache: Path, missed: list[str]) -> tuple[list[Change], int]:
    first, second = old.plan, new.plan
    assert first is not None
    assert second is not None
    locked, equal = lock_differences(first.lock, second.lock, rows_lookup(new, cache, missed))
    changed, more = changed_leaves(first.settings.to_json(), second.settings.to_json())
    changes = [change for change in locked if change.reason != "setting"]
    changes += [
        Change(
            path=path,
            old=was,
            new=now,
            reason="device" if path.startswith("device.") else "setting",
            effect=effect_of_setting(path),
        )
        for path, was, now in changed
        if path not in ("model.base", "model.commit")  # the lock tells of them
    ]
    changes += list(_facts(first, second))
    return changes, equal + more


def _facts(old: Plan, new: Plan) -> Iterable[Change]:
    """What a plan says beside its settings and its lock."""
    if old.ftc_version != new.ftc_version:
        yield Change(path="ftc", old=old.ftc_version, new=new.ftc_version, reason="ftc", effect=Effect.NUMERICS)
    pairs = (
        ("name", old.name, new.name),
        ("estimate.memory_bytes", old.memory.peak_bytes, new.memory.peak_bytes),
        ("estimate.disk_bytes", old.disk_bytes, new.disk_bytes),
        ("estimate.high_seconds", _seconds(old), _seconds(new)),
    )
    for path, was, now in pairs:
        if was != now:
            effect = Effect.COSMETIC if path == "name" else Effect.RESOURCE
            yield Change(path=path, old=was, new=now, reason="estimate" if "." in path else "asked", effect=effect)


def _seconds(plan: Plan) -> str | None:
    return None if plan.time is None else f"{plan.time.high_seconds:.0f}"


def _outcomes(old: Thing, new: Thing) -> tuple[Outcome, ...]:
    first = old.evaluation.tuned.metrics if old.evaluation else {}
    second = new.evaluation.tuned.metrics if new.evaluation else {}
    if not (old.record and new.record):
        return ()
    return tuple(
        Outcome(metric=name, old=first.get(name), new=second.get(name)) for name in dict.fromkeys([*first, *second])
    )


_SETTINGS = {
    "text": Effect.DATA,
    "eval": Effect.EVAL,
    "train.keep_checkpoints": Effect.RESOURCE,
    "train.save_in_background": Effect.RESOURCE,
    "device.name": Effect.NUMERICS,
}
"""Effects of settings by the beginning of their path; everything else is numerics."""


def effect_in_recipe(path: str, plain: Mapping[str, Any]) -> Effect:
    """Effect of a recipe's value by its dotted path; a value inside of one that has no section of its own has its."""
    parts = tuple(path.split("."))
    for length in range(len(parts), 0, -1):
        section = section_at(parts[: length - 1], plain)
        if section is not None and parts[length - 1] in section.model_fields:
            return effect_of(section, parts[length - 1]) or Effect.NUMERICS
    return Effect.NUMERICS


def effect_of_setting(path: str) -> Effect:
    """Effect of a plan's setting by its dotted path."""
    return next(
        (effect for start, effect in _SETTINGS.items() if (path == start or path.startswith(f"{start}."))),
        Effect.NUMERICS,
    )


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
        *_hosted(old, new),
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
        if was is not None and now is not None:
            yield from _class_names(use, was, now)
    same_rows = all(before.sources.get(use) == source for use, source in after.sources.items())
    for split in sorted({*before.splits, *after.splits}):
        first, second = before.splits.get(split), after.splits.get(split)
        if first == second:
            continue
        if same_rows or (first and second and first.rows != second.rows):
            yield _change(f"tokens.{split}", _tokens(first), _tokens(second), "tokens", Effect.DATA)


def _class_names(use: str, was: SourceLock, now: SourceLock) -> Iterator[Change]:
    """Columns whose numbers stand for other classes."""
    earlier, later = was.class_names or {}, now.class_names or {}
    for column in sorted({*earlier, *later}):
        before, after = earlier.get(column), later.get(column)
        if before != after:
            old, new = (None if one is None else ", ".join(one) for one in (before, after))
            yield _change(f"data.{use}.class_names.{column}", old, new, "rows", Effect.DATA)


def _changed_rows(use: str, was: SourceLock, now: SourceLock, rows_of: RowsOf) -> ChangedRows | None:
    if was.rows_unordered_sha256 == now.rows_unordered_sha256:
        return ChangedRows(added=0, removed=0, reordered=True)
    return rows_of(use, was, now)


def _settings(old: Lock, new: Lock) -> Iterator[Change]:
    before = {**old.train.settings, "model": old.model.settings, "text": old.text.settings, "length": old.length.steps}
    after = {**new.train.settings, "model": new.model.settings, "text": new.text.settings, "length": new.length.steps}
    for path, was, now in changed_leaves(before, after)[0]:
        yield _change(path, was, now, "setting", effect_of_setting(path))


def _hosted(old: Lock, new: Lock) -> Iterator[Change]:
    """Which service trains, and what isn't pinned there."""
    before, after = ({} if one.hosted is None else one.hosted.to_json() for one in (old, new))
    for path, was, now in changed_leaves(before, after)[0]:
        if path not in ("", "seal"):
            yield _change(f"hosted.{path}", was, now, "service", Effect.NUMERICS)


def _packages(old: Lock, new: Lock) -> Iterator[Change]:
    for tag in sorted(old.platforms.keys() & new.platforms.keys()):
        first, second = old.platforms[tag], new.platforms[tag]
        if first.python != second.python:
            yield _change("python", first.python, second.python, "package", Effect.NUMERICS)
        for name in sorted({*first.packages, *second.packages}):
            was, now = first.packages.get(name), second.packages.get(name)
            if was == now or (was and was.agrees_with(now)):
                continue
            if was and now and (was.version, was.sha256) == (now.version, now.sha256):
                yield _change(f"packages.{name}", was.code_sha256, now.code_sha256, "package", Effect.NUMERICS)
            elif was and now and was.version == now.version:
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


_MOST_EXAMPLES = 3


def rows_lookup(new: Thing, cache: Path, missed: list[str]) -> RowsOf:
    """A function that compares the rows of one use; what it can't compare goes into `missed`."""

    def look_up(use: str, was: SourceLock, now: SourceLock) -> ChangedRows | None:
        before, after = recall_rows(cache, was.rows_sha256), recall_rows(cache, now.rows_sha256)
        if before is None or after is None:
            which = "either" if before is after is None else "the old ones" if before is None else "the new ones"
            missed.append(f"which rows of `{use}` changed: this machine never planned with {which}")
            return None
        found = row_changes(before, after)
        # the first added rows with their text, where the file is the one that was locked
        first = found.added[:_MOST_EXAMPLES]
        rows = _rows_of(new.folder, now) if new.folder and first and "path" in now.asked else None
        return ChangedRows(
            added=len(found.added),
            removed=len(found.removed),
            reordered=found.is_reordered,
            examples=tuple(f"+ row {number + 1:,}" + (f"  {shown(rows[number])}" if rows else "") for number in first)
            + tuple(f"- row {number + 1:,} of the old file" for number in found.removed[:_MOST_EXAMPLES]),
        )

    return look_up


def _rows_of(folder: Path, source: SourceLock) -> list[Row] | None:
    from ftc.compiler.resolve.rows.reading import Reading
    from ftc.compiler.resolve.rows.tables import read_rows

    try:
        path = safe_path(project_root(folder / "recipe"), str(source.asked["path"]), folder)
        if not path.is_file() or file_digest(path) != source.file.sha256:
            return None
        reading = Reading.of(source.asked)
        return None if reading.reader else list(read_rows(path, path.name, reading=reading).rows)
    except (OSError, Refusal, UnsafePath):
        return None
