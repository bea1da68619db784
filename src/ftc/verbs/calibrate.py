"""Devices: those that a plan can be made for, and this machine's, measured in a process with torch for later plans."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic

if TYPE_CHECKING:
    from ftc.spec.documents.calibration import Calibration, CalibrationJob, Measurement
    from ftc.spec.documents.facts import DeviceFacts

__all__ = ["calibrate", "device", "devices"]

_TIMEOUT_SECONDS = 300
"""It takes a fraction of this; on a machine that is so busy the figures would be worth nothing."""


def calibrate(threads: int | None = None, *, job: CalibrationJob | None = None) -> Calibration:
    """Measures this machine's device: matrix products, memory bandwidth, what an operation costs, and training steps.

    Args:
        threads: CPU threads; None for those that a run would use.
        job: What to measure instead of the usual.

    Raises:
        Refusal: The measurement broke off (FTC602).
        OSError: It can't be kept.
    """
    from ftc.compiler.resolve.machine.device import keep_calibration, resolve_device
    from ftc.spec.documents.calibration import Calibration
    from ftc.spec.storage.paths import cache_folder

    here = resolve_device("auto")
    job = job or _usual_job(here, threads or here.threads)
    found = Calibration(
        schema="ftc.calibration/1",
        device=here.name,
        label=here.label,
        threads=job.threads,
        measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        busy=_busy() if here.kind == "cpu" else 0.0,
        measured=_measured(job),
    )
    keep_calibration(cache_folder(), here, found)
    return found


def _busy() -> float:
    """Running processes for each core; 0 where the system doesn't tell."""
    try:
        return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    except (AttributeError, OSError):
        return 0.0


def _usual_job(device: DeviceFacts, threads: int) -> CalibrationJob:
    from ftc.spec.documents.calibration import CalibrationJob
    from ftc.spec.precisions import PRECISIONS, usual_precision

    precisions = tuple(dict.fromkeys((PRECISIONS[0].kind, usual_precision(device).kind)))
    return CalibrationJob(kind=device.kind, threads=threads, precisions=precisions)


def _measured(job: CalibrationJob) -> Measurement:
    from ftc.spec.documents.calibration import Measurement

    # -P: a module in the working folder must not take the place of an installed one.
    command = [sys.executable, "-P", "-m", "ftc.runtime.calibration.calibrate"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    try:
        done = subprocess.run(
            command,
            input=job.to_text().encode(),
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise _broken_off(f"it took more than {_TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise _broken_off(last[0] if last else f"its process ended with status {done.returncode}")
    return Measurement.model_validate_json(done.stdout)


def _broken_off(why: str) -> Refusal:
    help = "install ftc with its training packages, and try again when the machine is not busy"
    return Refusal([diagnostic("FTC602", "this machine's device could not be measured", help=help, notes=why)])


def device(name: str) -> DeviceFacts:
    """What is known of a device: `auto` or `cpu` for this machine's, or a card of the catalog.

    Raises:
        Refusal: There is no such device (FTC600).
    """
    from ftc.compiler.resolve.machine.device import resolve_device

    return resolve_device(name)


def devices() -> tuple[DeviceFacts, ...]:
    """This machine's device, then every card of the catalog."""
    from ftc.compiler.resolve.machine.device import resolve_device
    from ftc.spec.devices import CARDS

    here = resolve_device("auto")
    return (here, *(resolve_device(name, cards=list) for name in CARDS))
