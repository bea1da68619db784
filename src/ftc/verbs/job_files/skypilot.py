"""A task for SkyPilot 0.14 and newer, which starts machines at a cloud or in a cluster and runs a script on each."""

from __future__ import annotations

from typing import Any

from ftc.spec.exit_codes import ExitCode
from ftc.verbs.job_files.yaml_file import as_yaml, needed, script, variables
from ftc.verbs.launch import Launch

__all__ = ["task"]

_PORT = 29400
_HEAD = f'$(head -n 1 <<< "$SKYPILOT_NODE_IPS"):{_PORT}'
"""Where the first machine is: the first line of the addresses that SkyPilot gives to each."""


def task(launch: Launch) -> str:
    """The task, for `sky jobs launch`, which starts it again where machines or processes were lost.

    Raises:
        Refusal: The site's file says neither where the project lies nor, for a plan on GPUs, how SkyPilot calls them
            (FTC710).
    """
    site, plan = launch.settings.sky, launch.plan
    source = needed(site.source, "sky", "source", "where the project lies, such as s3://bucket/project")
    device, resources = plan.settings.device, dict[str, Any]()
    if site.infra:
        resources["infra"] = site.infra
    if device.kind == "cuda":
        name = needed(site.accelerator, "sky", "accelerator", "SkyPilot's name for the GPU, such as H100")
        resources["accelerators"] = f"{name}:{launch.devices}"
    resources["cpus"] = f"{device.threads * launch.devices}+"
    if site.image:
        resources["image_id"] = site.image
    resources["use_spot"] = site.spot
    resources["job_recovery"] = {"recover_on_exit_codes": [int(ExitCode.PROCESS_LOST)]}
    found: dict[str, Any] = {
        "name": plan.name.replace("_", "-"),
        "num_nodes": plan.settings.train.nodes,
        "resources": resources,
        "file_mounts": {site.project: {"source": source, "mode": "MOUNT"}},
    }
    if site.env:
        found["envs"] = variables(site.env)
    return as_yaml(launch, found | {"run": script(site.project, site.setup, launch.agent_words(_HEAD))})
