"""How a site starts jobs, `ftc.launch.yaml`: it says where a plan runs, never what it computes."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ftc.spec.base import Document, MoneyText, Real
from ftc.spec.writers import WriterKind

__all__ = [
    "LAUNCH_FILE",
    "HostedSettings",
    "KubernetesSettings",
    "LaunchSettings",
    "RaySettings",
    "SkyPilotSettings",
    "SlurmSettings",
    "TorchrunSettings",
    "WriterSettings",
]

LAUNCH_FILE = "ftc.launch.yaml"
"""Name of the file; it lies in the project's root."""

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.,:@%+/-]{0,127}$")]
"""A value on a line of its own in a job script."""
Option = Annotated[str, Field(pattern=r"^--[a-z][a-z-]*(=[A-Za-z0-9_.,:@%+/*&|()\[\]-]{1,200})?$")]
"""An option of `sbatch`, such as `--gres=gpu:8`."""
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,1000}$")]
"""A line of shell."""
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}|[0-9a-fA-F:]{0,39})$")]
"""Name or address of a machine."""

Folder = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$", max_length=200)]
"""A folder of a machine or a container, from its root on."""
Below = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$", max_length=200)]
"""A folder in a volume."""
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*=[^\x00-\x1f\x7f]{0,1000}$")]
"""An environment variable. No secret: the file lies in git, and a cluster's users can read its jobs."""
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
"""Name of an environment variable."""


def _with_port(text: str) -> str:
    try:
        _ = urlsplit(text).port
    except ValueError as error:
        raise ValueError(f"is no address: {error}") from None
    return text


Address = Annotated[
    str,
    Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]{1,253}(/[A-Za-z0-9._~/-]{0,200})?$"),
    AfterValidator(_with_port),
]
"""An address without name, password or query."""
StorageAddress = Annotated[
    str,
    Field(pattern=r"^((s3|gs)://[a-z0-9][a-z0-9._-]{1,221}|file:///[A-Za-z0-9._-]+)(/[A-Za-z0-9_][A-Za-z0-9._=-]*)*$"),
]
"""A bucket or a folder, with a prefix and without a password."""
RayAddress = (
    Annotated[
        str, Field(pattern=r"^(auto|\[?[A-Za-z0-9][A-Za-z0-9.:-]{0,252}\]?:\d{1,5})$"), AfterValidator(_with_port)
    ]
    | Address
)
"""Where a Ray cluster is."""
SettingPath = Annotated[str, Field(pattern=r"^[a-z_]{1,64}(\.[a-z0-9_]{1,64}){0,7}$")]
"""Dotted path of a plan's setting, such as `train.learning_rate`."""


class TorchrunSettings(Document):
    """Machines without a scheduler."""

    hosts: tuple[Host, ...] = ()
    """The machines, the one at which the processes meet first. Needed for a plan of several machines."""
    port: Annotated[int, Field(ge=1024, le=65535)] = 29400
    """Port on the first machine at which they meet."""
    restarts: Annotated[int, Field(ge=0, le=100)] = 0
    """How often a machine starts all its processes again after one was lost."""


class SlurmSettings(Document):
    """A Slurm cluster."""

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    time: Annotated[str, Field(pattern=r"^(\d+-)?\d{1,3}(:\d\d){0,2}$")] | None = None
    """Time limit as `sbatch` reads it, such as `4:00:00`."""
    options: tuple[Option, ...] = ()
    """Further options of `sbatch`, such as `--constraint=h100`."""
    setup: tuple[Line, ...] = ()
    """Lines of shell that come before the run, such as `module load cuda` or `source .venv/bin/activate`."""
    requeue: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a job is requeued after a process or a machine was lost."""


class KubernetesSettings(Document):
    """A Kubernetes cluster with Kubeflow Trainer 2.2 or newer."""

    image: Word | None = None
    """Container image with ftc; by digest where it may never be another one. Needed."""
    claim: Word | None = None
    """PersistentVolumeClaim of a volume that all pods can mount, with the project. Needed."""
    folder: Below | None = None
    """Folder of the project in the volume; its root where not given."""
    project: Folder = "/project"
    """Where the project lies in the container."""
    runtime: Word = "torch-distributed"
    """ClusterTrainingRuntime that starts pods for torch."""
    namespace: Word | None = None
    queue: Word | None = None
    """Kueue's local queue."""
    gpu: Word = "nvidia.com/gpu"
    """How the cluster calls its GPUs; AMD's are `amd.com/gpu`."""
    env: tuple[Variable, ...] = ()
    """Environment variables, such as `FTC_CACHE=/project/.ftc/cache`."""
    setup: tuple[Line, ...] = ()
    """Lines of shell that come before the run."""


class SkyPilotSettings(Document):
    """Clouds and clusters by SkyPilot."""

    source: Word | None = None
    """Bucket or volume with the project, such as `s3://bucket/project`. Needed."""
    project: Folder = "/project"
    """Where it is mounted."""
    accelerator: Word | None = None
    """SkyPilot's name for the GPU, such as `H100`; how many follows from the plan. Needed for a plan on GPUs."""
    infra: Word | None = None
    """Where to look for machines, such as `aws/us-east-1`, `lambda` or `k8s`; anywhere where not given."""
    image: Word | None = None
    """Image of the machines, such as `docker:ghcr.io/team/ftc`."""
    spot: bool = False
    """Whether machines may be taken away; the run then continues from its last checkpoint on others."""
    env: tuple[Variable, ...] = ()
    """Environment variables, such as `FTC_CACHE=/project/.ftc/cache`."""
    setup: tuple[Line, ...] = ()
    """Lines of shell that come before the run, such as `source .venv/bin/activate`."""


class RaySettings(Document):
    """A Ray cluster, by Ray Train."""

    address: RayAddress | None = None
    """`auto` or HOST:PORT: the cluster of which this machine is one. `http://HOST:8265`: submit a job to a cluster from
    elsewhere. Without it Ray starts on this machine, for the run alone."""
    project: Folder | None = None
    """Where the project lies on the cluster's machines; where it lies here when not given."""
    restarts: Annotated[int, Field(ge=0, le=100)] = 3
    """How often Ray starts all processes again after one was lost."""
    accelerator: Word | None = None
    """Ray's name for the GPU, such as `H100`, where a cluster has several kinds."""
    env: tuple[Variable, ...] = ()
    """Environment variables of each process, such as `FTC_CACHE=/shared/.ftc/cache`."""


class HostedSettings(Document):
    """A hosted fine-tuning service. Its key comes from the environment alone."""

    model: Word | None = None
    """What the service calls the base. Needed where it doesn't know the recipe's base by its name."""
    base_url: Address | None = None
    """Address of the service, with its path; the service's public one where not given."""
    key: VariableName | None = None
    """Environment variable that holds the key; the one that the service's own client reads where not given."""
    key_header: Literal["authorization", "api-key"] = "authorization"
    """Header that carries the key: `authorization` as a bearer token, or `api-key`, as Azure takes it."""
    price_per_million_tokens: MoneyText | None = None
    """What the service asks for a million tokens of training, such as `0.48 USD`. Without it the price is not
    estimated here."""
    price_as_of: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")] | None = None
    """Day on which that was its price, such as `2026-11-20`."""
    most: MoneyText | None = None
    """Most that a job may cost; a job whose price is higher, or not known, is not created."""
    leave: Annotated[tuple[SettingPath, ...], Field(max_length=100)] = ()
    """Settings that the service decides although the recipe writes them; all below a path counts."""
    send_validation: bool = False
    """Whether the rows of validation are sent, too. Test rows never are."""
    preview_rows: Annotated[int, Field(ge=1, le=100)] = 8
    """Rows whose tokens are compared before a job is created, where the service shows them."""
    learning_rate_multiplier: Annotated[Real, Field(gt=0, le=1000)] | None = None
    """Of OpenAI's protocol: times the service's own learning rate; the service's choice where not given."""
    poll_seconds: Annotated[Real, Field(gt=0, le=3600)] = 30.0
    """Time between questions about a running job."""


class WriterSettings(Document):
    """A server that writes the answers which a run trains on. Its key comes from the environment alone."""

    url: Address | None = None
    """Where it listens, such as `http://gpu2:8000`; the usual place on this machine where not given."""
    key: VariableName | None = None
    """Environment variable that holds its key; none is sent where not given."""
    folder: Folder | None = None
    """Folder that run and server both see, in which weights are handed over; the run's own where not given."""
    folder_there: Folder | None = None
    """Where that folder is on the server's machine; the same where not given."""
    at_once: Annotated[int, Field(ge=1, le=1024)] = 64
    """Prompts that are out at the same time."""
    timeout_seconds: Annotated[Real, Field(gt=0, le=86_400)] = 600.0
    """Time after which a request is given up and sent again."""
    program: Folder | None = None
    """What a run starts where `task.writer_memory` has it start a server itself, such as `/opt/vllm/bin/vllm`; the
    server's usual program, looked up on the PATH, where not given."""

    @model_validator(mode="after")
    def _of_a_folder(self) -> Self:
        if self.folder_there is not None and self.folder is None:
            raise ValueError("`folder_there` says where `folder` is on the server's machine, and there is no `folder`")
        return self


class LaunchSettings(Document):
    """How a site starts jobs."""

    ftc_launch: Literal[1]
    """Version of the format."""
    torchrun: TorchrunSettings = TorchrunSettings.usual()
    slurm: SlurmSettings = SlurmSettings.usual()
    k8s: KubernetesSettings = KubernetesSettings.usual()
    sky: SkyPilotSettings = SkyPilotSettings.usual()
    ray: RaySettings = RaySettings.usual()
    together: HostedSettings = HostedSettings.usual()
    openai: HostedSettings = HostedSettings.usual()
    writers: dict[WriterKind, WriterSettings] = Field(default={})
    """Servers that write answers, by what `task.writer` calls them: `{vllm: {url: …}}`."""
    storage: StorageAddress | None = None
    """Where runs keep their state beside `runs/`, such as `s3://bucket/prefix`, so that another machine can continue
    them. Only on this machine where not given."""

    def hosted(self, name: Literal["together", "openai"]) -> HostedSettings:
        """The section of a hosted service."""
        return self.together if name == "together" else self.openai
