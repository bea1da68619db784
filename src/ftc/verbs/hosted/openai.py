"""OpenAI's fine-tuning protocol, which other services and servers speak, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ftc.spec.documents.hosted import HostedStatus, TheirJob
from ftc.verbs.hosted.protocol import Estimate, PreviewRow, kept_content, safe_id, their_job
from ftc.verbs.hosted.service import Service, ServiceFault

__all__ = ["OpenAI"]

_STATUSES: dict[str, HostedStatus] = {
    "validating_files": "waiting",
    "queued": "waiting",
    "pending": "waiting",  # Azure's words for the same
    "notRunning": "waiting",
    "running": "running",
    "paused": "running",
    "pausing": "running",
    "resuming": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}
_MOST_PAGES = 200
_PAGE = 100


class OpenAI:
    """The service at an address."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def broken_limits(self, _body: Mapping[str, Any], /) -> tuple[str, ...]:
        """The protocol has no words for limits; the service refuses what it doesn't take."""
        return ()

    def shutdown(self, model: str, /) -> date | None:
        """The day that the service names for a base."""
        try:
            told = self._service.get(f"/models/{model}").get("shutdown_date")
        except ServiceFault as fault:
            if fault.status in (404, 405):  # servers of one's own need not list what they train
                return None
            raise
        try:
            return date.fromisoformat(told[:10]) if isinstance(told, str) else None
        except ValueError:
            return None

    def upload(self, file: Path, _sha256: str, /) -> str:
        """Uploads the file; each upload has a name of its own."""
        answer = self._service.form("/files", {"purpose": "fine-tune"}, file)
        return safe_id(self._service.object(answer), what="the file")

    def is_ready(self, file: str) -> bool:
        """Whether the file may be trained on: rows are validated when the job begins."""
        found = self._service.get(f"/files/{file}")
        if found.get("status") == "error":
            why = found.get("status_details")
            raise ServiceFault(f"the service can't use the rows: {why or 'it says no more'}", is_refused=True)
        return True

    def content(self, file: str, target: Path) -> bool:
        """Writes what the service has of a file."""
        return kept_content(self._service, file, target)

    def preview(self, _body: Mapping[str, Any], _rows: int, /) -> tuple[PreviewRow, ...] | None:
        """The protocol shows no tokens."""
        return None

    def estimate(self, _body: Mapping[str, Any], /) -> Estimate | None:
        """The protocol names no price."""
        return None

    def find(self, marker: str, file: str | None, /) -> tuple[TheirJob, ...]:
        """Jobs with the marker in their metadata, or, where a job shows none, with the uploaded file as its rows."""
        found = list[TheirJob]()
        for one in self._listed():
            metadata = one.get("metadata")
            marked = metadata.get("ftc_job") if isinstance(metadata, dict) else None
            if marked == marker or (marked is None and file is not None and one.get("training_file") == file):
                found.append(_job(one))
        return tuple(found)

    def _listed(self) -> Iterator[dict[str, Any]]:
        after = dict[str, str | int]()
        for _ in range(_MOST_PAGES):
            page = self._service.get("/fine_tuning/jobs", limit=_PAGE, **after)
            listed = page.get("data")
            if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
                raise ServiceFault("the list of jobs is none")
            yield from listed
            if page.get("has_more") is not True or not listed:
                return
            after = {"after": safe_id(listed[-1], what="the job")}
        raise ServiceFault(f"the list of jobs has more than {_MOST_PAGES} pages")

    def create(self, body: Mapping[str, Any]) -> TheirJob:
        """Creates a job that is paid for."""
        return _job(self._service.post("/fine_tuning/jobs", body))

    def job(self, id: str) -> TheirJob:
        """The job as it is now."""
        return _job(self._service.get(f"/fine_tuning/jobs/{id}"))

    def fetch(self, job: TheirJob, folder: Path, _whole: bool, /) -> None:
        """Writes the files of results, which hold losses by step; weights stay at the service."""
        names = [name for name in job.values.get("result_files", "").split(",") if name]
        target = folder / "results"
        if names:
            target.mkdir()
        for number, name in enumerate(names):
            safe_id({"id": name}, what="a file of results")
            kept_content(self._service, name, target / f"{number + 1}.csv")


def _job(found: Mapping[str, Any]) -> TheirJob:
    method, error = found.get("method"), found.get("error")
    files = found.get("result_files")
    told = {
        **{name: found.get(name) for name in ("model", "training_file", "validation_file", "seed", "trained_tokens")},
        **{name: found.get(name) for name in ("hyperparameters", "created_at", "finished_at", "system_fingerprint")},
        "method": method if isinstance(method, dict) else None,
        "result_files": ",".join(str(name) for name in files) if isinstance(files, list) else None,
    }
    why = error.get("message") if isinstance(error, dict) else None
    return their_job(found, _STATUSES, "fine_tuned_model", told, why if isinstance(why, str) else "")
