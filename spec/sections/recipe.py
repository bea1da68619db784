"""The recipe: what a user wants, as written in a file that is committed to git."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect
from ftc.spec.sections.data import Data
from ftc.spec.sections.evaluation import Eval
from ftc.spec.sections.model import Budget, Model
from ftc.spec.sections.train import Train
from ftc.spec.strategies import AnyStrategy
from ftc.spec.tasks import Task

__all__ = ["LANGUAGE_VERSION", "Recipe"]

LANGUAGE_VERSION = 1


class Recipe(Document):
    """What is wanted: task, data, model, strategy, training, evaluation, budget."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS
    EFFECTS: ClassVar[dict[str, Effect]] = {"name": Effect.COSMETIC}

    ftc: Literal[1]
    """Version of the recipe language."""
    extends: str | None = Field(default=None, exclude=True)
    """Recipe that this one builds on, relative to this file and inside the project. What this file does not say holds
    as it stands there: mappings merge key by key, all else is replaced as a whole, and so is a mapping that takes
    another `kind`. Paths in that file are relative to its own folder. At most 8 files build on each other. Plan and
    lock hold the outcome. Default: none, so that one file says it all."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """Name of the job; its runs lie in `runs/<name>/`. At most 64 lower-case letters, digits,
    `.`, `_` and `-`, with a letter or digit first."""
    task: Task
    """What the tuned model is for."""
    data: Data
    """The rows."""
    model: Model
    """The base model."""
    strategy: AnyStrategy
    """How the weights are changed."""
    train: Train = Train.usual()
    """How training runs."""
    eval: Eval = Eval.usual()
    """How the result is measured."""
    budget: Budget = Budget.usual()
    """What the run may cost, and on what it runs."""
