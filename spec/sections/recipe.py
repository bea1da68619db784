"""The recipe: what you want, in a file that is committed to git."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect
from ftc.spec.names import NAME_PATTERN
from ftc.spec.sections.data import Data
from ftc.spec.sections.evaluation import Eval
from ftc.spec.sections.model import Budget, Model
from ftc.spec.sections.train import Train
from ftc.spec.strategies import AnyStrategy
from ftc.spec.tasks import Task
from ftc.spec.trackers import Track
from ftc.spec.writing import Writing

__all__ = ["LANGUAGE_VERSION", "Heading", "Recipe"]

LANGUAGE_VERSION = 1


class Heading(Document):
    """What a recipe says outside of its sections."""

    ftc: Literal[1]
    """Version of the recipe language."""
    extends: str | None = Field(default=None, exclude=True)
    """Recipe that this one extends, relative to this file and inside the project. Values that this file does not set
    are taken from there: mappings merge key by key; everything else is replaced as a whole, and so is a mapping
    with another `kind`. Paths in that file are relative to its own folder. At most 8 files extend each other. Plan
    and lock contain the merged result. Default: none, so that one file says everything."""
    name: str = Field(pattern=NAME_PATTERN)
    """Name of the job; its runs lie in `runs/<name>/`. At most 64 lower-case letters, digits,
    `.`, `_` and `-`, with a letter or digit first."""


class Recipe(Heading):
    """Task, data, model, strategy, training, evaluation and budget."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS
    EFFECTS: ClassVar[dict[str, Effect]] = {"name": Effect.COSMETIC, "track": Effect.COSMETIC}

    task: Task
    """What the tuned model is for."""
    data: Data
    """The rows."""
    model: Model
    """The base model."""
    strategy: AnyStrategy
    """How the weights are trained."""
    train: Train = Train.usual()
    """How training runs."""
    eval: Eval = Eval.usual()
    """How the model is evaluated."""
    budget: Budget = Budget.usual()
    """Budget of the run, and its device."""
    track: Track | None = Field(default=None, exclude=True)
    """Experiment trackers that the run is reported to. It changes nothing that is computed, so plan, lock and record
    don't contain it. Default: none; everything is in the run's folder."""

    @property
    def writing(self) -> Writing | None:
        """How answers are written that the model is trained on; None where rows alone are trained on."""
        if (sampling := self.task.sampling) is not None:
            return sampling.writing
        lesson = self.train.distillation
        return lesson.writing if lesson is not None else None
