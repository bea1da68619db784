"""Together AI's protocol, as its own client, release 3.1.1, speaks it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ftc.spec.documents.hosted import HostedStatus, TheirJob
from ftc.verbs.hosted.archive import unpack
from ftc.verbs.hosted.protocol import Estimate, PreviewRow, kept_content, safe_id, their_job
from ftc.verbs.hosted.service import Service, ServiceFault

__all__ = ["Together"]

_STATUSES: dict[str, HostedStatus] = {
    "pending": "waiting",
    "queued": "waiting",
    "running": "running",
    "compressing": "running",
    "uploading": "running",
    "cancel_requested": "running",
    "cancelled": "cancelled",
    "error": "failed",
    "user_error": "failed",
    "completed": "succeeded",
}
_TOLD = (
    *("model", "from_hf_model", "hf_model_revision", "n_epochs", "batch_size", "learning_rate", "warmup_ratio"),
    *("max_grad_norm", "weight_decay", "lr_scheduler", "training_type", "training_method", "random_seed", "packing"),
    *("max_seq_length", "training_file", "token_count", "total_price", "param_count", "epochs_completed"),
    *("created_at", "started_at", "updated_at", "adapter_object_revision_id", "model_object_revision_id"),
)
_NOT_READY = ("PENDING", "QUEUED", "RUNNING")
_REFUSED = ("FAILED", "INVALID_FORMAT")
_ASIDE, _THERE = 302, 409


class Together:
    """The service at an address."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def broken_limits(self, body: Mapping[str, Any], /) -> tuple[str, ...]:
        """Numbers of a request that the service doesn't take for its model."""
        found = self._service.get("/fine-tunes/models/limits", model_name=body["model"])
        kind = body["training_type"]
        own = found.get("full_training" if kind["type"] == "Full" else "lora_training")
        if not isinstance(own, dict):
            return (f"it trains no {'whole' if kind['type'] == 'Full' else 'LoRA'} weights of this model",)
        asked: dict[str, tuple[float | None, Any, Any]] = {
            "n_epochs": (body["n_epochs"], None, found.get("max_num_epochs")),
            "learning_rate": (body["learning_rate"], found.get("min_learning_rate"), found.get("max_learning_rate")),
            "max_seq_length": (
                *(body["max_seq_length"], found.get("min_max_seq_length"), found.get("max_seq_length_sft")),
            ),
            "batch_size": (body["batch_size"], own.get("min_batch_size"), own.get("max_batch_size")),
            "lora_r": (kind.get("lora_r"), None, own.get("max_rank")),
            "n_evals": (body["n_evals"], None, found.get("max_num_evals")),
        }
        broken = list[str]()
        for name, (value, least, most) in asked.items():
            low, high = _number(least), _number(most)
            if value is not None and low is not None and value < low:
                broken.append(f"{name} {value:g} is below {low:g}")
            if value is not None and high is not None and value > high:
                broken.append(f"{name} {value:g} is above {high:g}")
        modules = own.get("target_modules")
        known = {one for one in modules if isinstance(one, str)} if isinstance(modules, list) else set[str]()
        others = set(kind.get("lora_trainable_modules", "").split(",")) - known - {""}
        return (*broken, *(f"no adapter on {name}" for name in sorted(others) if known))

    def shutdown(self, _model: str, /) -> date | None:
        """The service names no such day."""
        return None

    def upload(self, file: Path, sha256: str, /) -> str:
        """Asks for a place, puts the file there, and has it validated; the same bytes are kept once."""
        fields = {"purpose": "fine-tune", "file_name": file.name, "file_type": "jsonl", "checksum": sha256}
        place = self._service.form("/files", fields, takes=frozenset({_ASIDE, _THERE}))
        if place.status == _THERE:
            return safe_id({"id": self._service.object(place).get("file_id")}, what="the file")
        named = safe_id({"id": place.headers.get("x-together-file-id")}, what="the file")
        where = place.headers.get("location")
        if not where:
            raise ServiceFault("the service names no place for the rows")
        self._service.put(where, file)
        self._service.post(f"/files/{named}/preprocess")
        return named

    def is_ready(self, file: str) -> bool:
        """Whether the file has been validated."""
        found = self._service.get(f"/files/{file}")
        status = found.get("processing_status")
        report = found.get("validation_report")
        if status in _REFUSED or (isinstance(report, dict) and report.get("valid") is False):
            why = report.get("error") if isinstance(report, dict) else None
            raise ServiceFault(f"the service can't use the rows: {why or status}", is_refused=True)
        return status not in _NOT_READY

    def content(self, file: str, target: Path) -> bool:
        """Writes what the service has of a file."""
        return kept_content(self._service, file, target)

    def preview(self, body: Mapping[str, Any], rows: int, /) -> tuple[PreviewRow, ...] | None:
        """The first rows as tokens."""
        asked = {"model": body["model"], "training_file": body["training_file"], "top_k": rows}
        asked |= {"train_on_inputs": body["training_method"]["train_on_inputs"], "training_method": "sft"}
        found = self._service.post("/fine-tunes/preview", asked).get("rows")
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise ServiceFault("the preview has no rows")
        return tuple(PreviewRow(_numbers(row.get("input_ids")), _numbers(row.get("labels"))) for row in found)

    def estimate(self, body: Mapping[str, Any], /) -> Estimate | None:
        """What the job will cost."""
        names = ("training_file", "validation_file", "model", "n_epochs", "n_evals", "training_method", "training_type")
        found = self._service.post("/fine-tunes/estimate-price", {name: body[name] for name in names if name in body})
        if found.get("estimation_available") is not True:
            return None
        tokens, price = found.get("estimated_train_token_count"), found.get("estimated_total_price")
        return Estimate(_number(tokens), _number(price), found.get("allowed_to_proceed") is not False)

    def find(self, marker: str, _file: str | None, /) -> tuple[TheirJob, ...]:
        """Jobs whose suffix is the marker."""
        listed = self._service.get("/fine-tunes").get("data")
        if not isinstance(listed, list):
            raise ServiceFault("the list of jobs is none")
        return tuple(_job(one) for one in listed if isinstance(one, dict) and one.get("suffix") == marker)

    def create(self, body: Mapping[str, Any]) -> TheirJob:
        """Creates a job that is paid for."""
        return _job(self._service.post("/fine-tunes", body))

    def job(self, id: str) -> TheirJob:
        """The job as it is now."""
        return _job(self._service.get(f"/fine-tunes/{id}"))

    def fetch(self, job: TheirJob, folder: Path, whole: bool, /) -> None:
        """Writes the weights."""
        kind = "model_output_path" if whole else "adapter"
        with tempfile.NamedTemporaryFile(dir=folder.parent, prefix=".tmp-") as file:
            headers = self._service.save("/finetune/download", file, ft_id=job.id, checkpoint=kind)
            file.flush()
            unpack(Path(file.name), headers.get("content-type", ""), folder / ("model" if whole else "adapter"))


def _job(found: Mapping[str, Any]) -> TheirJob:
    events = found.get("events")
    errors = [
        str(one.get("message"))
        for one in (events if isinstance(events, list) else ())
        if isinstance(one, dict) and str(one.get("type", "")).lower() in ("job_error", "job_user_error")
    ]
    told = {name: found.get(name) for name in _TOLD}
    return their_job(found, _STATUSES, "model_output_name", told, errors[-1] if errors else "")


def _numbers(found: Any) -> tuple[int, ...]:
    if not isinstance(found, list) or not all(isinstance(one, int) for one in found):
        raise ServiceFault("the preview has a row without tokens")
    return tuple(found)


def _number(found: Any) -> float | None:
    """A number in an answer, and nothing that only looks like one, such as `NaN` or 400 digits."""
    if not isinstance(found, int | float) or isinstance(found, bool) or not abs(found) < 1e300:
        return None
    return float(found)
