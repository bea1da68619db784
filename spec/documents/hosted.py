"""A job at a hosted fine-tuning service: what was sent, what the service said, and what nobody here can pin.

`hosted.json` is written whole at every change, and before anything is asked for that costs money. It holds no key and
no text of a row.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec import canonical
from ftc.spec.base import Document, Real, SealedDocument
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.lockfile import HostedLock, Lock, sealed
from ftc.spec.names import FileName, InsidePath

__all__ = [
    "HOSTED_FILE",
    "HostedJob",
    "HostedStatus",
    "Moment",
    "Preview",
    "PriceSeen",
    "SentRows",
    "SettingUse",
    "TheirJob",
]

HOSTED_FILE = "hosted.json"
"""Name of the document in the job's folder, `runs/NAME/PROVIDER-DIGEST`."""

HostedStatus = Literal["waiting", "running", "succeeded", "failed", "cancelled"]


class SettingUse(Document):
    """What becomes of one setting of the plan."""

    path: str
    """Dotted path in the plan's settings."""
    value: str
    how: Literal["sent", "same", "fixed", "here"]
    """`sent`: part of the request. `same`: the service knows no other value. `fixed`: the service decides. `here`: it
    is in the rows, or has no part in training there."""
    words: str
    """The request's key, or what happens in its place."""


class SentRows(Document):
    """One file of rows."""

    rows: int
    tokens: int
    """By the plan's tokenizer and chat template."""
    facts: FileFacts
    """Of the file's bytes, which follow from the plan's token stream."""
    id: str | None = None
    """The service's name for it; None until it is uploaded."""


class Preview(Document):
    """The first rows as the service reads them, beside the plan's own tokens."""

    rows: int
    tokens: int
    """Tokens of these rows in the plan."""
    differing: tuple[str, ...]
    """Rows whose tokens or trained tokens are others, in words; empty where all are the same."""


class PriceSeen(Document):
    """What the job is expected to cost."""

    tokens: int
    """Tokens to be trained on, all epochs together, by the plan's own count."""
    price: str | None
    """By the price in `ftc.launch.yaml`, such as `1.27 USD`; None where it names none."""
    as_of: str | None = None
    """Day of that price, as the file says it."""
    their_tokens: Real | None = None
    """The service's own count; None where it gives none."""
    their_price: Real | None = None
    """In US dollars; None where it gives none."""


class TheirJob(Document):
    """The job as the service described it last."""

    id: str
    status: HostedStatus
    their_status: str
    """The service's own word for the status."""
    model: str
    """What it calls the result; empty until there is one."""
    values: dict[str, str]
    """What it says of the job's settings and of what was used, in its own words and units."""
    error: str = ""


class Moment(Document):
    """Something that was done, or was about to be."""

    at: str
    """UTC, ISO 8601."""
    what: str


class HostedJob(SealedDocument):
    """The record of a hosted job, `hosted.json`."""

    schema_: Literal["ftc.hosted/1"] = Field(default="ftc.hosted/1", alias="schema")
    ftc_version: str
    id: FileName
    """Name of the job's folder: the service, and the beginning of the request's digest."""
    name: FileName
    plan_sha256: str
    plan_job_sha256: str
    provider: str
    base_url: str
    model: str
    """What the service calls the base."""
    request_sha256: str
    """Digest of all that decides the result as far as it is sent: address, base, settings, and rows by digest."""
    request: str
    """The request as JSON, without names of files, which the service gives."""
    settings: tuple[SettingUse, ...]
    train: SentRows
    validation: SentRows | None
    """None where none is sent. Test rows never are."""
    waived: tuple[str, ...]
    not_pinned: tuple[str, ...]
    """What decides the result and can't be named by a digest, in words."""
    attempt: int
    """From 1; a further one only where somebody asked for another paid job."""
    creating: bool
    """Whether a request to create the job may have arrived without an answer that was read."""
    price: PriceSeen
    preview: Preview | None
    """None where the service shows none, or before it was asked."""
    job: TheirJob | None
    """None until the service has named it."""
    outputs: dict[InsidePath, FileFacts]
    """What was fetched, by its path in the job's folder."""
    fetched: bool
    """Whether all that the service gives was fetched."""
    moments: tuple[Moment, ...]

    def expected_request_sha256(self) -> str:
        """The digest that address, request and rows call for."""
        rows = {"train": self.train, **({"validation": self.validation} if self.validation else {})}
        return canonical.digest(
            {
                "provider": self.provider,
                "address": self.base_url,
                "request": self.request,
                "rows": {part: one.facts.sha256 for part, one in rows.items()},
            }
        )

    def locked(self, lock: Lock) -> Lock:
        """The plan's lock with what holds at the service."""
        hosted = HostedLock(
            provider=self.provider,
            base_url=self.base_url,
            model=self.model,
            fixed=tuple(one.path for one in self.settings if one.how == "fixed"),
            not_pinned=self.not_pinned,
        )
        return sealed(lock.model_copy(update={"hosted": hosted}))

    @property
    def marker(self) -> str:
        """What the job is found by at the service; no two jobs have the same one."""
        return f"ftc-{self.request_sha256[:16]}-{self.attempt}"
