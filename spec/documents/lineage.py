"""The earlier run that a run begins from: which one it is, what of it is used, and how that is pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.combining import MethodName
from ftc.spec.documents.facts import FileFacts
from ftc.spec.names import FileName, InsidePath

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan

__all__ = [
    "ADAPTER_FILES",
    "ADAPTER_WEIGHTS",
    "RUN_PREFIX",
    "Beginning",
    "Combined",
    "CombinedAdapter",
    "Fetched",
    "Parent",
    "Way",
]

RUN_PREFIX = "run:"
"""What stands before the name of a run in `model.base`."""

ADAPTER_WEIGHTS = "adapter_model.safetensors"
"""Name of the file with an adapter's tensors."""

ADAPTER_FILES = ("adapter_config.json", ADAPTER_WEIGHTS)
"""Files of an adapter's folder that say what it is."""

Way: TypeAlias = Literal["continues", "merged", "model"]
"""What of the earlier run is used. `continues`: its adapter is trained further; `merged`: its adapter as part of the
base's weights, by `ftc run merge`; `model`: the whole model that it left."""


class Parent(Document):
    """The run that another one begins from."""

    run_id: FileName
    name: str
    """Name of its recipe's job."""
    folder: InsidePath
    """Its folder, relative to the project's root."""
    job_sha256: str
    record_sha256: str
    """Digest of its record, which never changes once the run is over."""
    weights_sha256: str
    """Digest of the tensors that it left."""
    way: Way
    files: dict[InsidePath, FileFacts] = Field(default_factory=dict)
    """The adapter's files where that is continued, by their names in its folder; empty where the base's files say all.
    """
    ancestors: tuple[FileName, ...] = ()
    """Runs that it began from in turn, the nearest first."""

    @property
    def adapter(self) -> InsidePath:
        """Folder of the run's adapter, relative to the project's root."""
        return f"{self.folder}/adapter"

    @property
    def continues(self) -> bool:
        """Whether its adapter is trained further."""
        return self.way == "continues"

    @property
    def lineage(self) -> tuple[str, ...]:
        """Every run up the line, this one first."""
        return (self.run_id, *self.ancestors)


class CombinedAdapter(Document):
    """One of the adapters that were combined."""

    run_id: FileName
    name: str
    """Name of its recipe's job."""
    folder: InsidePath
    """Folder of the adapter, relative to the project's root."""
    record_sha256: str
    weights_sha256: str
    """Digest of its tensors."""
    weight: Real
    rank: int
    alpha: int
    alphas: dict[str, int] = Field(default_factory=dict)
    """Alphas of single modules, by the end of their names."""


class Combined(Document):
    """The adapters of several runs as one."""

    method: MethodName
    density: Real | None = None
    """Share of the numbers that is kept; None where all are."""
    seed: int | None = None
    """Decides which numbers are kept; None where no chance does."""
    adapters: tuple[CombinedAdapter, ...]


class Fetched(Document):
    """What a hosted service trained, in the place of steps of the run's own.

    How it was trained there is what the service says of it: no step, loss, time or number of tokens is known here.
    """

    provider: str
    """By its name in `ftc.spec.providers.PROVIDERS`."""
    base_url: str
    job: str
    """What the service calls its job."""
    folder: InsidePath
    """Folder of the job's notes, relative to the project's root."""
    request_sha256: str
    """Digest of address, request and rows, as the notes have it."""
    plan_sha256: str
    """The plan that was sent."""
    num_steps: int
    """Steps that this plan asked for; whether the service did as many is unknown."""
    fixed: tuple[str, ...]
    """Settings, by their paths, that the service decided whatever the plan says."""
    told: dict[str, str]
    """What the service says of its job, in its own words and units."""
    files: dict[InsidePath, FileFacts]
    """What was fetched, by its path in the job's folder."""


class Beginning(NamedTuple):
    """What a draft knows of the run that its own begins from.

    Attributes:
        parent: Which run, and what of it is used.
        plan: The plan that it carried out.
        base: The model that is loaded, by its path from the recipe, or its id on the hub.
        tested: Digests of the rows that it, and runs before it, were tested on; None where the run didn't keep them.
    """

    parent: Parent
    plan: Plan
    base: str
    tested: frozenset[bytes] | None

    @property
    def continues(self) -> bool:
        """Whether the run's adapter is trained further."""
        return self.parent.continues
