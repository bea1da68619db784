"""A TrainJob for Kubernetes, as Kubeflow Trainer 2.2 and newer read it (`trainer.kubeflow.org/v1alpha1`).

Trainer starts a pod for each machine of the plan and tells each where the first one is; `ftc launch` in the pod starts
its processes. What happens after a lost pod is a matter of the cluster's runtime: exit code 75 may be tried again.
"""

from __future__ import annotations

from typing import Any

from ftc.spec.documents.launch import KubernetesSettings
from ftc.verbs.job_files.yaml_file import as_yaml, needed, script, variables
from ftc.verbs.launch import Launch

__all__ = ["train_job"]

_API = "trainer.kubeflow.org/v1alpha1"
_REPLICATED_JOB = _CONTAINER = "node"
"""How Trainer's runtimes for torch call the pods of a job, and the container in each."""
_VOLUME = "project"
_HEAD = "$PET_MASTER_ADDR:$PET_MASTER_PORT"
"""Where the first machine is, as Trainer tells torchrun."""


def train_job(launch: Launch) -> str:
    """The TrainJob.

    Raises:
        Refusal: The site's file names no image or no volume with the project (FTC710).
    """
    site, plan = launch.settings.k8s, launch.plan
    image = needed(site.image, "k8s", "image", "the container image with ftc")
    claim = needed(site.claim, "k8s", "claim", "the claim of the volume that has the project")
    labels = {"kueue.x-k8s.io/queue-name": site.queue} if site.queue else {}
    name = plan.name[:40].replace("_", "-").replace(".", "-").strip("-")
    metadata = {"generateName": f"{name}-" if name[:1].isalpha() else f"ftc-{name}-"}  # a service needs a letter first
    metadata |= {"namespace": site.namespace} if site.namespace else {}
    job: dict[str, Any] = {
        "apiVersion": _API,
        "kind": "TrainJob",
        "metadata": metadata | ({"labels": labels} if labels else {}),
        "spec": {
            "runtimeRef": {"name": site.runtime},
            "trainer": {
                "image": image,
                "command": ["bash", "-c", script(site.project, site.setup, launch.agent_words(_HEAD))],
                "numNodes": plan.settings.train.nodes,
                "numProcPerNode": launch.devices,
                "env": [{"name": name, "value": value} for name, value in variables(site.env).items()],
                "resourcesPerNode": {"limits": _limits(launch, site), "requests": _limits(launch, site)},
            },
            "runtimePatches": [_mounted(claim, site)],
        },
    }
    return as_yaml(launch, job)


def _limits(launch: Launch, site: KubernetesSettings) -> dict[str, int]:
    device = launch.plan.settings.device
    found = {"cpu": device.threads * launch.devices}
    return found | ({site.gpu: launch.devices} if device.kind == "cuda" else {})


def _mounted(claim: str, site: KubernetesSettings) -> dict[str, Any]:
    """The patch of the runtime that brings the project's volume to every pod."""
    mount = {"name": _VOLUME, "mountPath": site.project} | ({"subPath": site.folder} if site.folder else {})
    pod = {
        "volumes": [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim}}],
        "containers": [{"name": _CONTAINER, "volumeMounts": [mount]}],
    }
    job = {"name": _REPLICATED_JOB, "template": {"spec": {"template": {"spec": pod}}}}
    return {"manager": "ftc.dev/launch", "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}}}
