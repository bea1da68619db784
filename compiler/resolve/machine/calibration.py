"""What `ftc calibrate` measured, in ftc's own cache: a file for each device and number of threads."""

from __future__ import annotations

from pathlib import Path

from ftc.spec import canonical
from ftc.spec.documents.device import Calibration
from ftc.spec.documents.facts import DeviceFacts
from ftc.spec.storage.atomic_write import write_file

__all__ = ["keep_calibration", "read_calibration"]


def read_calibration(cache: Path, device: DeviceFacts, threads: int) -> Calibration | None:
    """What was measured of this machine's device with so many threads; None where nothing was, or it can't be read.

    Args:
        cache: ftc's cache.
        device: Of a plan; for one that isn't here nothing can have been measured.
        threads: CPU threads of the run; a card's speed hardly hangs on them.
    """
    if not device.local:
        return None
    file = _file(cache, device.name, device.label, _threads(device, threads))
    try:
        return Calibration.model_validate_json(file.read_bytes())
    except (OSError, ValueError):
        return None


def keep_calibration(cache: Path, device: DeviceFacts, found: Calibration) -> Path:
    """Keeps a measurement in place of an older one, and tells where.

    Raises:
        OSError: The cache can't be written to.
    """
    file = _file(cache, found.device, found.label, _threads(device, found.threads))
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, found.to_text().encode())
    return file


def _threads(device: DeviceFacts, threads: int) -> int:
    return threads if device.kind == "cpu" else 0


def _file(cache: Path, name: str, label: str, threads: int) -> Path:
    key = canonical.digest({"name": name, "label": label, "threads": threads})
    return cache / "calibrations" / f"{name}-{key[:12]}.json"
