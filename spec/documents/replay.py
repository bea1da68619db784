"""What is asked of a fresh process that trains some steps once more, and what it answers line by line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.spec.base import Document
from ftc.spec.companions import Role
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.machine import MachineClass
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.step_log import Rung, StepLine

__all__ = ["Answer", "MachineSeen", "ReplayOver", "ReplayRefused", "ReplayRequest"]


class ReplayRequest(Document):
    """Steps of a plan to do again."""

    plan: Plan
    model_folder: str
    streams_folder: str
    companion_folders: dict[Role, str] = Field(default={})
    """Folders of the models beside the base, by role."""
    environment: EnvironmentFacts
    scratch: str
    """An empty folder that the process may fill."""
    whole: bool = False
    """Do all of the plan, with validation, export and evaluation, in the scratch folder; else training alone."""
    checkpoints: str | None = None
    """Folder of the run's checkpoints; None to begin before the first step."""
    first_step: int = 0
    """Steps that are done at the beginning; those of a checkpoint, or 0."""
    last_step: int
    rungs: tuple[int, ...] = ()
    """Steps behind which a rung is wanted, beside the last one."""
    expected: MachineClass | None = None
    """Class of machine on which alone to begin; None for any."""
    threads: int | None = None
    """Threads inside an operation; None for the plan's."""


class MachineSeen(Document):
    """Said first, before a model is loaded."""

    kind: Literal["machine"] = "machine"
    machine: MachineClass


class ReplayRefused(Document):
    """It couldn't be done; the last answer."""

    kind: Literal["refused"] = "refused"
    code: str
    summary: str
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()


class ReplayOver(Document):
    """All that was asked is done; the last answer."""

    kind: Literal["over"] = "over"


Answer = Annotated[MachineSeen | StepLine | Rung | ReplayRefused | ReplayOver, Field(discriminator="kind")]
