"""What the caller looked up for a plan; it costs no heavy import to say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ftc.spec.companions import Role
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.record import Predecessor

__all__ = ["Inputs"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where a plan's files are, and what is installed.

    Attributes:
        model_folder: Local folder or hub snapshot that holds the base model.
        streams_folder: Folder of `train.arrow`, `validation.arrow` and `test.arrow`, those that the plan's data has.
        environment: Interpreter and packages as observed now.
        previous: The run of the same recipe that was the last one to end; None where there is none.
        companions: Folders of the models beside it, by role; those that the plan asks for.
    """

    model_folder: Path
    streams_folder: Path
    environment: EnvironmentFacts
    previous: Predecessor | None = None
    companions: Mapping[Role, Path] = field(default_factory=dict)
