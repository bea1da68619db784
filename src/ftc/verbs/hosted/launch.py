"""A plan's training at a hosted service, from the site's file to the walk."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.hosted import HOSTED_FILE, HostedJob
from ftc.spec.providers import ProviderCard
from ftc.spec.storage.run_folders import read_document
from ftc.verbs.hosted.prepare import Prepared, prepare
from ftc.verbs.launch import Launch

if TYPE_CHECKING:
    from ftc.verbs.hosted.protocol import Hosted

__all__ = ["launch_hosted", "prepared_job"]


@contextmanager
def prepared_job(
    launch: Launch, card: ProviderCard, waived: Sequence[str] = (), *, today: date | None = None
) -> Iterator[Prepared]:
    """A job as it would be sent, with its rows in files while the block runs. Connects to nothing.

    Raises:
        Refusal: As `prepare`.
    """
    with tempfile.TemporaryDirectory(prefix="ftc-hosted-") as scratch:
        yield prepare(launch, card, waived, Path(scratch), today or datetime.now(UTC).date())


def launch_hosted(
    launch: Launch,
    card: ProviderCard,
    *,
    waived: Sequence[str] = (),
    agree: Callable[[Prepared], bool] = lambda prepared: True,
    another: bool = False,
    waits: bool = True,
    tell: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
    environment: Mapping[str, str] | None = None,
    today: date | None = None,
) -> HostedJob | None:
    """Trains a plan at a hosted service, or goes on with its job: created once, whatever breaks.

    Args:
        launch: The plan, with the site's settings.
        card: The service.
        waived: What may be passed over: `personal-data`, `price`, `secrets`, `shutdown` or `tokens`.
        agree: Asked before anything is sent, where no job of the plan is known yet; False ends it.
        another: Whether one more paid job may be created, where the last one ended or can't be found.
        waits: Whether to follow the job until it is over, and fetch what it made.
        tell: Hears what is done, a line each.
        sleep: Waits for some seconds.
        environment: Variables, of which one holds the key; None for the process's.
        today: The day; None for the clock's.

    Returns:
        The record as it is now; None where nobody agreed.

    Raises:
        Refusal: FTC710, or FTC790 to FTC798. What was noted stays, and the same call goes on from there.
        OSError: A file can't be written.
    """
    from ftc.verbs.hosted.walk import Wishes, walk

    day = today or datetime.now(UTC).date()
    with prepared_job(launch, card, waived, today=day) as prepared:
        name = prepared.key
        key = (os.environ if environment is None else environment).get(name, "").strip()
        if not key:
            help = f"set `{name}` to the service's key; it is written nowhere"
            raise Refusal([diagnostic("FTC794", f"`{name}` is not set in the environment", help=help)])
        if not (key.isascii() and key.isprintable()):  # a header can't carry it, and Python's error would show it
            help = f"set `{name}` to the service's key alone, as the service shows it"
            summary = f"`{name}` holds a line break or another character that no key has"
            raise Refusal([diagnostic("FTC794", summary, help=help)])
        notes = prepared.folder / HOSTED_FILE
        is_known = notes.exists() and read_document(notes, HostedJob).job is not None
        if (another or not is_known) and not agree(prepared):
            return None
        return walk(prepared, _service(prepared, key), Wishes(another, waits, tell, sleep, day))


def _service(prepared: Prepared, key: str) -> Hosted:
    from ftc.verbs.hosted.openai import OpenAI
    from ftc.verbs.hosted.service import Service
    from ftc.verbs.hosted.together import Together

    connected = Service(prepared.job.base_url, key, prepared.site.key_header)
    match prepared.card.name:
        case "together":
            return Together(connected)
        case "openai":
            return OpenAI(connected)
        case _:
            assert_never(prepared.card.name)
