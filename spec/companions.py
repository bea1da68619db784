"""Models that a run needs beside the one that it trains: one card a role, with every fact about it.

Resolving, the lock, the audit, a run's own checks and its inputs walk the cards; what a role's model does in training
or evaluation is its own module. A judge is a service and has no files, so it isn't among them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from ftc.spec.documents.companion_settings import CompanionModel
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.lineage import RUN_PREFIX
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.settings import Settings
from ftc.spec.rewards import reward_model_of
from ftc.spec.sections.recipe import Recipe

__all__ = ["COMPANIONS", "Asked", "Companion", "Pinned", "Role", "companion", "recipes_name", "value_at"]

Role = Literal["classifier", "teacher", "reward_model", "eval_reward_model", "parent"]
"""What a model beside the trained one is for. No card stands for `parent`, the run whose adapter is trained further: it
is pinned with the base model (`ftc.spec.documents.lineage`)."""


class Asked(NamedTuple):
    """How a recipe names a model."""

    base: str
    revision: str | None
    aggregate: str | None = None
    """How one score comes from those of an answer's steps, where it says so."""

    @property
    def is_run(self) -> bool:
        """Whether it is the model that a run of the project left."""
        return self.base.startswith(RUN_PREFIX)


class Pinned(Protocol):
    """The part of a companion's settings that says which files it is made of."""

    @property
    def base(self) -> str:
        """Folder in the project, or id on the hub."""
        ...

    @property
    def commit(self) -> str | None:
        """Commit of a hub snapshot; None for a folder."""

    @property
    def files(self) -> dict[str, FileFacts]:
        """Every file that loading reads, by its path inside the folder."""
        ...


class Companion(NamedTuple):
    """One role.

    Attributes:
        role: What it is called in messages, for `ftc lock --upgrade-package`, and as the key of its folder.
        section: Dotted path of what asks for it in a recipe, without numbers of items.
        place: The same with the number of the item, where a recipe has several.
        key: The key there that names the model.
        pins: Dotted path of its files and commit in settings.
        said: What a lock says of the section that asked for it; empty where nothing did.
        takes_runs: Whether it can be named as `run:NAME`.
        shapes_weights: Whether the weights that a run leaves hang on its files. Where they do, a file that changed or
            is gone breaks an audit; else it is told as not checked.
        measures: Whether the model that a run leaves can't be measured without it.
        helps: What to do about a finding, by its code, where the base model's words don't fit.
        asked: How a recipe names it; None where it asks for none.
        pinned: Its files, out of settings; None without one.
        license: Its license, out of settings; None where it is not known. A companion that shapes no weights has none.
    """

    role: Role
    section: str
    place: Callable[[Recipe], str]
    key: str
    pins: str
    said: Callable[[Lock], Mapping[str, Any]]
    takes_runs: bool
    shapes_weights: bool
    measures: bool
    helps: Mapping[str, str]
    asked: Callable[[Recipe], Asked | None]
    pinned: Callable[[Settings], Pinned | None]
    license: Callable[[Settings], str | None]

    @property
    def title(self) -> str:
        """What people call it."""
        return self.role.replace("_", " ")

    def base(self, recipe: Recipe) -> str:
        """Dotted path of what names the model."""
        return f"{self.place(recipe)}.{self.key}"

    def revision(self, recipe: Recipe) -> str:
        """Dotted path of its revision."""
        return f"{self.place(recipe)}.revision"


def recipes_name(asked: Asked, pinned: Pinned, recipe_file: str) -> str:
    """What the recipe at a path in its project would call the folder that a companion is loaded from, or its hub id."""
    if not asked.is_run:
        return asked.base
    return posixpath.relpath(pinned.base, posixpath.dirname(recipe_file) or ".")


def value_at(values: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The section at a dotted path of plain values; empty where there is none."""
    for key in path.split("."):
        values = values.get(key) or {}
    return values


def _rewarding(recipe: Recipe) -> Asked | None:
    sampling = recipe.task.sampling
    asked = reward_model_of(sampling.rewards) if sampling is not None else None
    return Asked(asked.base, asked.revision, asked.aggregate) if asked is not None and asked.base is not None else None


def _place_of_reward(recipe: Recipe) -> str:
    rewards = recipe.task.sampling.rewards if recipe.task.sampling is not None else ()
    return f"task.rewards[{next((n for n, one in enumerate(rewards) if one.base is not None), 0)}]"


def _said_of_reward(lock: Lock) -> Mapping[str, Any]:
    rewards: list[Mapping[str, Any]] = lock.text.asked.get("rewards") or []
    return next((one for one in rewards if one.get("base") is not None), {})


_OF_ADAPTERS = {"FTC312": "`ftc run merge RUN -o FOLDER` makes a complete model of a run's adapter; use that folder"}


def _rewarded_by(settings: Settings) -> CompanionModel | None:
    return sampling.reward_model if (sampling := settings.train.sampling) is not None else None


def _taught_by(settings: Settings) -> CompanionModel | None:
    return lesson.teacher if (lesson := settings.train.distillation) is not None else None


def _license(model: CompanionModel | None) -> str | None:
    return model.license if model is not None else None


COMPANIONS: tuple[Companion, ...] = (
    Companion(
        role="classifier",
        section="eval.classifier",
        place=lambda recipe: "eval.classifier",
        key="base",
        pins="eval.classifier",
        said=lambda lock: value_at(lock.train.asked, "eval.classifier"),
        takes_runs=False,
        shapes_weights=False,
        measures=True,
        helps={},
        asked=lambda recipe: Asked(one.base, one.revision) if (one := recipe.eval.classifier) else None,
        pinned=lambda settings: settings.eval.classifier,
        license=lambda settings: None,
    ),
    Companion(
        role="teacher",
        section="train.distillation",
        place=lambda recipe: "train.distillation",
        key="teacher",
        pins="train.distillation.teacher",
        said=lambda lock: value_at(lock.train.asked, "train.distillation"),
        takes_runs=False,
        shapes_weights=True,
        measures=False,
        helps=_OF_ADAPTERS,
        asked=lambda recipe: Asked(one.teacher, one.revision) if (one := recipe.train.distillation) else None,
        pinned=_taught_by,
        license=lambda settings: _license(_taught_by(settings)),
    ),
    Companion(
        role="reward_model",
        section="task.rewards",
        place=_place_of_reward,
        key="base",
        pins="train.sampling.reward_model",
        said=_said_of_reward,
        takes_runs=True,
        shapes_weights=True,
        measures=True,
        helps=_OF_ADAPTERS,
        asked=_rewarding,
        pinned=_rewarded_by,
        license=lambda settings: _license(_rewarded_by(settings)),
    ),
    Companion(
        role="eval_reward_model",
        section="eval.reward_model",
        place=lambda recipe: "eval.reward_model",
        key="base",
        pins="eval.reward_model",
        said=lambda lock: value_at(lock.train.asked, "eval.reward_model"),
        takes_runs=True,
        shapes_weights=False,
        measures=True,
        helps=_OF_ADAPTERS,
        asked=lambda recipe: (
            Asked(one.base, one.revision, one.aggregate) if (one := recipe.eval.reward_model) else None
        ),
        pinned=lambda settings: settings.eval.reward_model,
        license=lambda settings: None,
    ),
)
"""Every role, in the order in which people are told."""

_BY_ROLE: dict[Role, Companion] = {card.role: card for card in COMPANIONS}


def companion(role: Role) -> Companion:
    """The card of a role."""
    return _BY_ROLE[role]
