"""The lock file: built from facts, compared with the one on disk and with a saved plan, written whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from ftc.compiler.resolve.files.safe_files import read_named
from ftc.compiler.tokens.stream_manifest import TextProbe
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.lockfile import (
    LOCK_FORMAT,
    SECTIONS,
    DataLock,
    ImagesLock,
    LengthLock,
    Lock,
    LockedSplit,
    ModelLock,
    PlatformLock,
    SourceLock,
    TextLock,
    TrainLock,
    is_weight_file,
    sealed,
)
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.settings import Settings
from ftc.spec.knobs import KNOBS
from ftc.spec.storage.model_files import TEXT_FILES, TensorDigest, content_digest, header_digest
from ftc.spec.storage.outputs import reason_of
from ftc.spec.storage.reading import LARGEST_DOCUMENT

if TYPE_CHECKING:
    from ftc.compiler.draft import Draft

__all__ = [
    "LockFacts",
    "build_lock",
    "changed_leaves",
    "differences",
    "is_same_data",
    "leaves",
    "lock_changes",
    "lock_path",
    "parse_lock",
    "read_lock",
    "stale_reasons",
    "unpinned_code",
]

_FORMAT = re.compile(rb'"schema": ?"(ftc\.lock/(\d{1,4}))"')
_FOLLOWS_DEVICE = (
    *("model.base", "model.commit", "train.precision", "train.fused", "train.distillation.precision", "device"),
    "train.save_in_background",
    *(path for knob in KNOBS if knob.follows_device for path in knob.settings),
)
"""Paths of the settings that a lock leaves out, since another machine has other values there."""
_PINNED_BY_DIGEST = ("model.tokenizer.chat_template.text",)
"""Values that are long, and of which another section holds the digest."""
_LENGTHS = ("num_steps", "steps_per_epoch", "evaluate_every_steps")

_ABSENT = object()
"""Stands for a key that a document does not have, which is not the same as one that says `null`."""


def lock_path(recipe: Path) -> Path:
    """`NAME.lock.json` beside the recipe."""
    return recipe.with_name(f"{recipe.stem}.lock.json")


class LockFacts(NamedTuple):
    """What a lock says beside the settings.

    Attributes:
        sources: Entry of each data file, by use.
        probe: How tokenizer and template behave.
        tensors: Digest of each tensor of the base model.
        environment: Packages as installed here.
        images: The image files that rows name; None where they name none.
    """

    sources: dict[str, SourceLock]
    probe: TextProbe
    tensors: Mapping[str, TensorDigest]
    environment: EnvironmentFacts
    images: ImagesLock | None = None


def build_lock(draft: Draft, settings: Settings, facts: LockFacts, old: Lock | None) -> Lock:
    """The lock that these facts call for. Blocks of other platforms are kept from the old one."""
    asked, plain = draft.recipe.said(), _portable(settings)
    here = PlatformLock(**dict(facts.environment)).sealed()
    model = draft.model
    files, tokenizer = draft.model.files, draft.model.tokenizer
    lock = Lock(
        model=ModelLock(
            asked={"base": draft.recipe.model.base, "revision": draft.recipe.model.revision},
            commit=model.commit,
            files=model.files,
            header_sha256=header_digest(facts.tensors),
            content_sha256=content_digest(facts.tensors),
            num_parameters=model.num_parameters,
            license=model.license,
            settings=plain["model"],
        ),
        text=TextLock(
            asked=asked["task"],
            chat_template_sha256=hashlib.sha256(tokenizer.chat_template.encode()).hexdigest()
            if tokenizer.chat_template is not None
            else None,
            render_probe_sha256=facts.probe.template_sha256,
            tokenizer_files={name: files[name].sha256 for name in TEXT_FILES if name in files},
            tokenizer_probe_sha256=facts.probe.tokenizer_sha256,
            special_tokens={"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "pad": tokenizer.pad_id},
            settings=plain["text"],
        ),
        data=DataLock(
            asked=asked["data"],
            sources={use: _kept(one, old.data.sources.get(use) if old else None) for use, one in facts.sources.items()},
            splits={
                name: LockedSplit(
                    rows=report.rows,
                    tokens=report.tokens,
                    truncated_rows=report.truncated_rows,
                    dropped_rows=report.dropped_rows,
                    stream_sha256=report.stream_digest,
                )
                for name, report in draft.splits.items()
            },
            images=facts.images,
        ),
        train=TrainLock(
            asked={name: asked.get(name, {}) for name in ("strategy", "train", "eval")},
            settings={name: plain[name] for name in ("strategy", "train", "seeds", "eval")},
        ),
        length=LengthLock(steps=plain["length"]),
        platforms={**(old.platforms if old else {}), here.platform: here},
    )
    return sealed(lock)


def _kept(source: SourceLock, old: SourceLock | None) -> SourceLock:
    """The entry with the old file's bytes where the rows are the same: git may end lines otherwise on each machine."""
    if old is None or not is_same_data(source, old):
        return source
    return source.model_copy(update={"file": old.file, "files": old.files})


def is_same_data(one: SourceLock, other: SourceLock) -> bool:
    """Whether two files hold the same rows, whatever their line endings, BOM, or order of keys and columns."""
    return one.rows_sha256 == other.rows_sha256 and one.files.keys() == other.files.keys()


def _portable(settings: Settings) -> dict[str, Any]:
    """The settings that hold on every machine: what a device decides stands in the plan, not in the lock.

    What follows from rows and training together stands apart, as `length`; the commit stands with the files.
    """
    values = settings.to_json()
    for path in (*_FOLLOWS_DEVICE, *_PINNED_BY_DIGEST):
        *outer, name = path.split(".")
        section: dict[str, Any] | None = values
        for part in outer:
            section = section.get(part) if section is not None else None
        if section is not None:
            section.pop(name, None)
    train = values["train"]
    values["length"] = {name: train.pop(name) for name in _LENGTHS}
    values["length"]["warmup_steps"] = train["schedule"].pop("warmup_steps")
    return values


def read_lock(path: Path) -> Lock | None:
    """The lock on disk, or None when there is none.

    Raises:
        Refusal: The file is no lock (FTC501) or has another format (FTC504), a section does not match its seal
            (FTC502), it is no regular file (FTC326), or a link out of its project (FTC300).
    """
    return parse_lock(read_named(path, path.name, LARGEST_DOCUMENT), path.name) if path.exists() else None


def parse_lock(data: bytes, name: str) -> Lock:
    """A lock's text as a document, its seals checked.

    Raises:
        Refusal: As for `read_lock`.
    """
    try:
        lock = Lock.model_validate_json(data)
    except ValidationError as problem:
        raise Refusal([_unreadable(name, data, problem)]) from None
    if broken := lock.broken_seals():
        raise Refusal(
            [
                diagnostic(
                    "FTC502",
                    f"section `{section}` of `{name}` does not match its checksum",
                    help="restore the file from git, or delete it and run `ftc lock`",
                    notes="somebody edited it, or a merge mixed two versions of the section",
                )
                for section in broken
            ]
        )
    return lock


def _unreadable(name: str, data: bytes, problem: ValidationError) -> Diagnostic:
    if b"\n<<<<<<< " in data or data.startswith(b"<<<<<<< "):
        summary, note = f"`{name}` contains unresolved merge markers", "both branches changed one section"
        return diagnostic("FTC501", summary, notes=note, help="keep either side, then run `ftc lock`")
    match = _FORMAT.search(data)
    if match and (found := match[1].decode()) != LOCK_FORMAT:
        is_older = int(match[2]) < int(LOCK_FORMAT.rpartition("/")[2])
        help = "run `ftc lock --migrate`; it keeps all pins" if is_older else "use a newer release of ftc"
        note = f"its format is {found}, this release writes {LOCK_FORMAT}"
        return diagnostic("FTC504", f"`{name}` has another format", notes=note, help=help)
    return diagnostic(
        "FTC501",
        f"`{name}` is not a lock that this release can read",
        help="restore it from git, or delete it and run `ftc lock`",
        notes=reason_of(problem),
    )


def lock_changes(old: Lock, new: Lock) -> tuple[str, ...]:
    """What the new lock says otherwise, one line each, in the order of the sections.

    Platforms that only one of them has are no change of the others, and neither are weights whose tensors are the same
    in files of other bytes, or a setting that is off and that the release of the old lock did not know.
    """
    before, after = _meaning(old, new), _meaning(new, old)
    _forget_what_is_off(before["train"]["settings"], after["train"]["settings"])
    lines: list[str] = []
    for section in SECTIONS:
        lines += differences(section, before[section], after[section])
    lines += differences("hosted", before.get("hosted", {}), after.get("hosted", {}))
    for platform in after["platforms"]:
        if platform in before["platforms"]:
            lines += differences(platform, before["platforms"][platform], after["platforms"][platform])
        else:
            lines.append(f"{platform}: new platform")
    return tuple(lines)


def unpinned_code(old: Lock, new: Lock) -> str:
    """Says of a lock that an earlier release wrote which packages it pins by version and RECORD alone; empty else."""
    lacking = [
        name
        for tag, platform in new.platforms.items()
        for name, package in platform.packages.items()
        if package.code_sha256
        and (before := old.platforms[tag].packages.get(name) if tag in old.platforms else None)
        and not before.code_sha256
    ]
    if not lacking:
        return ""
    return f"the files of {', '.join(sorted(set(lacking)))}: the lock has no digest of them; `ftc lock` adds it"


def _meaning(lock: Lock, other: Lock) -> dict[str, Any]:
    """The lock as plain values, without seals and without what can't matter beside the other."""
    plain = lock.to_json()
    for name in [name for name, _ in lock.sections() if name not in lock.platforms]:
        del plain[name]["seal"]
    for platform in plain["platforms"].values():
        del platform["seal"]
    if lock.model.content_sha256 and lock.model.content_sha256 == other.model.content_sha256:
        files = plain["model"]["files"]
        plain["model"]["files"] = {name: facts for name, facts in files.items() if not is_weight_file(name)}
    for use, source in lock.data.sources.items():
        if use in other.data.sources and is_same_data(source, other.data.sources[use]):
            del plain["data"]["sources"][use]["file"], plain["data"]["sources"][use]["files"]
    for tag, platform in plain["platforms"].items():
        beside = other.platforms[tag].packages if tag in other.platforms else {}
        for name, package in platform["packages"].items():
            if name in beside and beside[name].code_sha256 is None:
                package.pop("code_sha256", None)  # an older lock has none, which is no change
    return plain


def _forget_what_is_off(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Takes out of the new settings what the old ones lack and what is off, at every level."""
    for key in set(new) - set(old):
        if new[key] is None or new[key] is False or new[key] == []:
            del new[key]
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            _forget_what_is_off(old[key], value)


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


_TRAIN_LINES = ("train.asked.", "train.settings.")


def stale_reasons(saved: Plan, now: Plan) -> tuple[str, ...]:
    """What moved under a saved plan, in words; empty when it can be applied."""
    facts = (
        ("name", saved.name, now.name),
        ("ftc", saved.ftc_version, now.ftc_version),
        ("device", saved.device.label, now.device.label),
        ("platform", saved.platform, now.platform),
    )
    reasons = [f"{name}: {before} → {after}" for name, before, after in facts if before != after]
    old, new = saved.settings.to_json(), now.settings.to_json()
    settings = [line for section in old for line in differences(section, old[section], new[section])]
    locked = lock_changes(saved.lock, now.lock)
    if settings:  # the lock's own lines about training would say the same in other words
        locked = tuple(line for line in locked if not line.startswith(_TRAIN_LINES))
    found = (*reasons, *settings, *locked, *differences("policy", _verdicts(saved), _verdicts(now)))
    jobs = (now.job_sha256(), now.without_code_digests().job_sha256())  # an older plan may have no such digests
    return found if found or saved.job_sha256() in jobs else ("the plan's steps differ",)


def _verdicts(plan: Plan) -> dict[str, str]:
    """What a plan says to each rule, without figures, which may move between two plans of one job."""
    return {one.rule: f"{one.level}, {'kept' if one.passed else one.waived or 'violated'}" for one in plan.policy}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its dotted path; lists are leaves, and so are empty mappings."""
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            yield from leaves(value[key], f"{path}.{key}".lstrip("."))
    else:
        yield path, value


def changed_leaves(old: Any, new: Any) -> tuple[list[tuple[str, Any, Any]], int]:
    """Paths at which two trees differ with both values, None where one has none, and how many leaves are equal."""
    before, after = dict(leaves(old)), dict(leaves(new))
    paths = sorted({*before, *after})
    changed = [(path, before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)]
    return changed, len(paths) - len(changed)
