"""A plan on a Ray cluster: what Ray Train is asked for, and how a job is submitted to a cluster from elsewhere."""

from __future__ import annotations

import shlex
from typing import Any

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.launch import LAUNCH_FILE
from ftc.verbs.job_files.yaml_file import as_yaml, variables
from ftc.verbs.launch import Launch

__all__ = ["RAY_FOLDER", "is_submitted", "ray_job", "ray_text", "submit_to_ray"]

RAY_FOLDER = ".ftc/ray"
"""Where Ray keeps its own state of a run, below the project; ftc's checkpoints are in `runs/`."""


def is_submitted(address: str | None) -> bool:
    """Whether an address is that of a cluster's job server, which starts the driver itself."""
    return address is not None and address.startswith(("http://", "https://"))


def ray_job(launch: Launch, address: str | None) -> dict[str, Any]:
    """What Ray Train is asked for, as plain data.

    Args:
        launch: The plan and the site's settings.
        address: Of the cluster; None starts Ray on this machine for this run alone.
    """
    site, settings = launch.settings.ray, launch.plan.settings
    train, device = settings.train, settings.device
    resources: dict[str, int] = {"CPU": device.threads} | ({"GPU": 1} if device.kind == "cuda" else {})
    folder = site.project or str(launch.root)
    if train.nodes == 1:
        placed = "STRICT_PACK"
    else:
        placed = "STRICT_SPREAD" if launch.devices == 1 else "PACK"
    scaling = {
        "num_workers": train.world_size,
        "use_gpu": device.kind == "cuda",
        "resources_per_worker": resources,
        "placement_strategy": placed,
    }
    return {
        "address": address or "local",
        "name": f"{launch.plan.name}-{launch.plan.run_id}",
        "scaling": scaling | ({"accelerator_type": site.accelerator} if site.accelerator else {}),
        "max_failures": site.restarts,
        "storage_path": f"{folder}/{RAY_FOLDER}",
        "folder": folder,
        "words": launch.words(launch.place),
        "env": variables(site.env),
    }


def _entrypoint(launch: Launch) -> str:
    words = ["ftc", "launch", str(launch.place), "--on", "ray", "--address", "auto", "--expect", launch.plan.sha256]
    return f"cd {shlex.quote(launch.settings.ray.project or str(launch.root))} && exec {shlex.join(words)}"


def ray_text(launch: Launch, address: str | None) -> str:
    """What would be submitted, as YAML."""
    job = ray_job(launch, address)
    command = shlex.join(["ftc", *job.pop("words")])
    if is_submitted(address):
        return as_yaml(launch, {"address": address, "entrypoint": _entrypoint(launch), "there": {"command": command}})
    return as_yaml(launch, {"trainer": "ray.train.torch.TorchTrainer", **job, "command": command})


def submit_to_ray(launch: Launch, address: str) -> str:
    """Submits a job to a cluster's job server, which runs `ftc launch` on one of its machines; gives the job's id.

    Raises:
        Refusal: There is no such server, or it refuses the job (FTC708).
    """
    from ray.job_submission import JobSubmissionClient

    try:
        return str(JobSubmissionClient(address).submit_job(entrypoint=_entrypoint(launch)))
    except (RuntimeError, ConnectionError, ValueError) as error:
        help = f"change `ray.address` in `{LAUNCH_FILE}`, or name another one with `--address`"
        notes = [line for line in str(error).splitlines() if line.strip()][:5]
        raise Refusal([diagnostic("FTC708", f"Ray at {address} refuses the job", notes=notes, help=help)]) from error
