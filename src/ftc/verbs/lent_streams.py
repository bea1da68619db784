"""Token streams that a machine of a run lacks: the first process stores them at the site's address, others fetch them.

What is fetched is compared file by file with the list that is stored last, and the list with the plan. So streams are
complete or absent, and no other ones are used. Where they can't be had, they are made again from the rows.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ftc.spec.canonical import to_text
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.stored import OBJECTS
from ftc.spec.storage.ignored import make_ignored
from ftc.spec.storage.paths import streams_folder
from ftc.spec.storage.processes import is_follower
from ftc.spec.storage.reading import LARGEST_DOCUMENT, parse_json
from ftc.verbs.launch import site_settings

if TYPE_CHECKING:
    from ftc.compiler.tokens.stream_manifest import Manifest, StreamKey
    from ftc.verbs.plan import Planned
    from ftc.verbs.storage import Storage

__all__ = ["fetch_streams", "right_streams", "store_streams", "with_streams"]

_PLACE = "streams"
"""Folder of all streams in a site's storage, each in one of its key's name."""
_LIST = "streams.json"


def with_streams(plan: Plan, root: Path, make: Callable[[], Planned]) -> Planned:
    """A saved plan with where its inputs lie; processes of several exchange token streams over the site's storage.

    Args:
        plan: The plan.
        root: Its project.
        make: Finds the inputs on this machine.

    Raises:
        Refusal: As `make` does, with why no streams were fetched; the storage can't be used (FTC720); a process was
            lost (FTC644).
    """
    if (address := site_settings(root).storage) is None:
        return make()
    from ftc.runtime.execution.meeting_store import lend

    def found() -> Planned:
        why = fetch_streams(plan, address, root) if is_follower(os.environ) and _lacks(plan) else None
        try:
            return make()
        except Refusal as refusal:
            if why is None:
                raise
            told = [replace(one, notes=(*one.notes, why)) for one in refusal.diagnostics]
            raise Refusal(told) from None

    return lend(found, lambda: _lacks(plan), lambda planned: store_streams(planned.plan, address))


def _lacks(plan: Plan) -> bool:
    folder = streams_folder(plan.stream_key)
    return not all((folder / f"{name}.arrow").exists() for name in plan.lock.data.splits)


def store_streams(plan: Plan, address: str) -> None:
    """Stores a plan's streams as this machine has them, unless they are there.

    Raises:
        Refusal: FTC720.
    """
    from ftc.compiler.tokens.stream_manifest import kept_manifest, kept_streams, made_from_of
    from ftc.runtime.execution.meeting_store import heartbeat
    from ftc.verbs.storage import open_storage, reaching

    folder, key = kept_streams(plan), plan.stream_key
    if folder is None or (manifest := kept_manifest(folder, key)) is None:
        return  # they were unpacked by another user; whoever lacks them says so
    text = to_text({"made_from": made_from_of(folder, key), "manifest": manifest.to_json()}).encode()
    storage = open_storage(address, _PLACE, key)
    storage.copied = heartbeat
    with reaching(address):
        if storage.text(_LIST, LARGEST_DOCUMENT) != text:
            storage.keep_files(manifest.files, {name: folder / name for name in manifest.files})
            storage.write(_LIST, text)


def fetch_streams(plan: Plan, address: str, root: Path) -> str | None:
    """Fetches a plan's streams into this machine's cache; why not, where they can't be had.

    Raises:
        Refusal: FTC720.
    """
    import filelock

    from ftc.runtime.execution.meeting_store import heartbeat
    from ftc.verbs.storage import Damaged, open_storage, reaching

    storage, place = open_storage(address, _PLACE, plan.stream_key), streams_folder(plan.stream_key)
    storage.copied = heartbeat
    with reaching(address):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            make_ignored(folder := root / ".ftc" / "fetching")
            with filelock.FileLock(folder / f"{platform.node()}-{place.name}.lock"):  # one of this machine's processes
                if not _lacks(plan):
                    return None
                with TemporaryDirectory(prefix=".making-", dir=place.parent, ignore_cleanup_errors=True) as temporary:
                    return _put(plan, storage, Path(temporary))
        except Damaged as damage:
            _distrust(storage)
            return f"the token streams at `{address}` are damaged: {damage}"
        except OSError as error:
            return f"the token streams at `{address}` could not be fetched: {error}"


def _put(plan: Plan, storage: Storage, temporary: Path) -> str | None:
    """Fetches streams into a folder and puts it in place; why not, where there are none.

    Raises:
        Damaged: They aren't those of their list, or of the plan.
        OSError: The disk refused.
    """
    from ftc.compiler.tokens.stream_manifest import keep_unpacked
    from ftc.verbs.storage import Damaged

    if (text := storage.text(_LIST, LARGEST_DOCUMENT)) is None:
        return f"the storage `{storage.address}` has no such token streams"
    try:
        listed = _listed(text).files
    except ValueError:
        raise Damaged(f"{_LIST} can't be read") from None
    needed, free = sum(one.size for one in listed.values()), shutil.disk_usage(temporary).free
    if needed > free:
        return f"the token streams need {needed:,} bytes in ftc's cache, but only {free:,} are free"
    storage.fetch_files(listed, temporary)
    try:
        made_from, manifest = right_streams(plan, text, temporary, listed)
    except ValueError:
        raise Damaged("they are not those of the plan") from None
    keep_unpacked(temporary, made_from, manifest)
    place = streams_folder(plan.stream_key)
    shutil.rmtree(place, ignore_errors=True)
    os.replace(temporary, place)
    return None


def _distrust(storage: Storage) -> None:
    """Deletes what is damaged, so that the next run stores it again; one who may not leaves it."""
    with suppress(Exception):
        text = storage.text(_LIST, LARGEST_DOCUMENT) or b""
        storage.remove(_LIST)
        for one in _listed(text).files.values():
            storage.remove(f"{OBJECTS}/{one.sha256}")


def _listed(text: bytes) -> Manifest:
    """What a list says of its streams.

    Raises:
        ValueError: It is none, or names files that no streams have.
    """
    from ftc.compiler.tokens.stream_manifest import Manifest

    try:
        found = Manifest.model_validate_json(json.dumps(parse_json(text)["manifest"]))
    except (LookupError, TypeError) as error:
        raise ValueError("no list of token streams") from error
    if any("/" in name for name in found.files):
        raise ValueError("token streams lie in one folder")
    return found


def right_streams(plan: Plan, text: bytes, folder: Path, files: Mapping[str, FileFacts]) -> tuple[StreamKey, Manifest]:
    """What token streams are made from, and what is said of them, where both are as a plan has them.

    Args:
        plan: The plan.
        text: What came with them says so.
        folder: Where they lie.
        files: The files that are there, which have been compared.

    Raises:
        ValueError: They are other streams, or the text is none of the kind.
        OSError: A stream can't be read.
    """
    from ftc.compiler.tokens.stream_manifest import stream_key
    from ftc.spec.documents.streams import open_stream

    manifest = _listed(text)
    try:
        made_from: StreamKey = parse_json(text)["made_from"]
        is_right = stream_key(made_from) == plan.stream_key and manifest.files == files
        for split, locked in plan.lock.data.splits.items():
            found = open_stream(folder / f"{split}.arrow").digest()
            is_right &= found == locked.stream_sha256 == manifest.splits[split].stream_digest
    except (LookupError, TypeError) as error:
        raise ValueError("no list of token streams") from error
    if not is_right:
        raise ValueError("other token streams")
    return made_from, manifest
