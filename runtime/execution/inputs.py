"""What the caller looked up for a plan; it costs no heavy import to say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
        classifier_folder: Folder of the classifier that looks at answers; None where the plan has none.
        teacher_folder: Folder of the model that is learnt from; None where the plan has none.
    """

    model_folder: Path
    streams_folder: Path
    environment: EnvironmentFacts
    previous: Predecessor | None = None
    classifier_folder: Path | None = None
    teacher_folder: Path | None = None
