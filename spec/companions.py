"""Models that a run needs beside the one that it trains: one card a role, with every fact about it.

Resolving, the lock, the audit, a run's own checks and its inputs walk the cards; what a role's model does in training
or evaluation is its own module. A judge is a service and has no files, so it isn't among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.settings import Settings
from ftc.spec.sections.recipe import Recipe

__all__ = ["COMPANIONS", "Asked", "Companion", "Pinned", "Role"]

Role = Literal["classifier", "teacher", "parent"]
"""What a model beside the trained one is for. No card stands for `parent`, the run whose adapter is trained further: it
is pinned with the base model (`ftc.spec.documents.lineage`)."""


class Asked(NamedTuple):
    """How a recipe names a model."""

    base: str
    revision: str | None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """One role.

    Attributes:
        role: What it is called in messages, for `ftc lock --upgrade-package`, and as the key of its folder.
        section: Dotted path of what asks for it, in a recipe and in settings.
        key: The key there that names the model.
        pins: Dotted path of its files and commit in settings.
        shapes_weights: Whether the weights that a run leaves hang on its files. Where they do, a file that changed or
            is gone breaks an audit; else it is told as not checked.
        helps: What to do about a finding, by its code, where the base model's words don't fit.
        asked: How a recipe names it; None where it asks for none.
        pinned: Its files, out of settings; None without one.
        license: Its license, out of settings; None where it is not known. A companion that shapes no weights has none.
    """

    role: Role
    section: str
    key: str
    pins: str
    shapes_weights: bool
    helps: Mapping[str, str]
    asked: Callable[[Recipe], Asked | None]
    pinned: Callable[[Settings], Pinned | None]
    license: Callable[[Settings], str | None]

    @property
    def base(self) -> str:
        """Dotted path of what names the model."""
        return f"{self.section}.{self.key}"

    @property
    def revision(self) -> str:
        """Dotted path of its revision."""
        return f"{self.section}.revision"


COMPANIONS: tuple[Companion, ...] = (
    Companion(
        role="classifier",
        section="eval.classifier",
        key="base",
        pins="eval.classifier",
        shapes_weights=False,
        helps={},
        asked=lambda recipe: Asked(one.base, one.revision) if (one := recipe.eval.classifier) else None,
        pinned=lambda settings: settings.eval.classifier,
        license=lambda settings: None,
    ),
    Companion(
        role="teacher",
        section="train.distillation",
        key="teacher",
        pins="train.distillation.teacher",
        shapes_weights=True,
        helps={"FTC312": "`ftc run merge RUN -o FOLDER` makes a complete model of a run's adapter; use that folder"},
        asked=lambda recipe: Asked(one.teacher, one.revision) if (one := recipe.train.distillation) else None,
        pinned=lambda settings: one.teacher if (one := settings.train.distillation) else None,
        license=lambda settings: one.teacher.license if (one := settings.train.distillation) else None,
    ),
)
"""Every role, in the order in which people are told."""
