"""What ftc asks of a hosted service, whichever it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from ftc.spec.documents.hosted import HostedStatus, TheirJob
from ftc.verbs.hosted.service import Service, ServiceFault, text_at

__all__ = ["Estimate", "Hosted", "PreviewRow", "is_gone", "kept_content", "safe_id", "their_job"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MOST_VALUE = 200
_NOT_THERE = 404


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """The first row of a file, and so on, as the service would train on it."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """-100 where a token is not trained on, else the token."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a service expects of a job."""

    tokens: float | None
    price: float | None
    """In US dollars."""
    is_allowed: bool
    """Whether the account may go on."""


class Hosted(Protocol):
    """A service. Every method may raise `ServiceFault`; all but `create` may be asked again."""

    def broken_limits(self, body: Mapping[str, Any], /) -> tuple[str, ...]:
        """Numbers of a request that the service doesn't take for its model, in words."""
        ...

    def shutdown(self, model: str, /) -> date | None:
        """When a base is shut down; None where the service doesn't say."""
        ...

    def upload(self, file: Path, sha256: str, /) -> str:
        """Uploads rows; gives the service's name for them."""
        ...

    def is_ready(self, file: str) -> bool:
        """Whether an uploaded file has been validated and may be trained on."""
        ...

    def content(self, file: str, target: Path) -> bool:
        """Writes what the service has of an uploaded file; False where it doesn't give it."""
        ...

    def preview(self, body: Mapping[str, Any], rows: int, /) -> tuple[PreviewRow, ...] | None:
        """The first rows as tokens; None where the service shows none."""
        ...

    def estimate(self, body: Mapping[str, Any], /) -> Estimate | None:
        """What the job will cost; None where the service doesn't say."""
        ...

    def find(self, marker: str, file: str | None, /) -> tuple[TheirJob, ...]:
        """Jobs with a marker, or that train on an uploaded file where the service keeps no marker."""
        ...

    def create(self, body: Mapping[str, Any]) -> TheirJob:
        """Creates a job that is paid for. Never to be asked again before `find` has found nothing."""
        ...

    def job(self, id: str) -> TheirJob:
        """The job as it is now."""
        ...

    def fetch(self, job: TheirJob, folder: Path, whole: bool, /) -> None:
        """Writes what the service gives of a job that has succeeded into an empty folder.

        Args:
            job: The job.
            folder: Where to.
            whole: Whether whole weights were trained, and no adapter.
        """
        ...


def safe_id(found: Mapping[str, Any], *, what: str) -> str:
    """The `id` of an answer, which becomes part of an address.

    Raises:
        ServiceFault: It is none that can.
    """
    id = text_at(found, "id", what=what)
    if not _ID.fullmatch(id):
        raise ServiceFault(f"the answer about {what} has an `id` that is none")
    return id


def their_job(
    found: Mapping[str, Any], statuses: Mapping[str, HostedStatus], model: str, values: Mapping[str, Any], error: str
) -> TheirJob:
    """A job as a service describes it.

    Args:
        found: Its answer.
        statuses: What its words for a status mean.
        model: Key of the result's name.
        values: What it says of settings and of what was used; those that it leaves out are left out.
        error: Why it failed.

    Raises:
        ServiceFault: It is none, or has a status that the service's documents don't know.
    """
    said = text_at(found, "status", what="the job")
    if said not in statuses:
        raise ServiceFault(f"the job has the status `{said[:40]}`, which is not documented")
    named = found.get(model)
    told = {name: str(value)[:_MOST_VALUE] for name, value in values.items() if value is not None and value != ""}
    return TheirJob(
        id=safe_id(found, what="the job"),
        status=statuses[said],
        their_status=said,
        model=named[:_MOST_VALUE] if isinstance(named, str) else "",
        values=dict(sorted(told.items())),
        error=error[:_MOST_VALUE],
    )


def is_gone(service: Hosted, file: str) -> bool:
    """Whether rows that were uploaded before were deleted at a service.

    Raises:
        ServiceFault: It can't be asked now.
    """
    try:
        service.is_ready(file)
    except ServiceFault as fault:
        if fault.status == _NOT_THERE:
            return True
        raise
    return False


def kept_content(service: Service, file: str, target: Path) -> bool:
    """Writes what a service has of an uploaded file; False where it doesn't give it.

    Raises:
        ServiceFault: It can't be asked now.
    """
    try:
        with target.open("wb") as out:
            service.save(f"/files/{file}/content", out)
    except ServiceFault as fault:
        if fault.is_refused and fault.status is not None:
            target.unlink()
            return False
        raise
    return True
