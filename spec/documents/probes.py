"""What a run is measured on beside its test split, in the folder of its streams, and whether it is what was planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ftc.spec import canonical
from ftc.spec.base import Document
from ftc.spec.companions import COMPANIONS, Role, companion
from ftc.spec.documents.companion_settings import RewardModelSettings
from ftc.spec.documents.reward_models import AnswerFrames, frames_file
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.slices import Groups
from ftc.spec.documents.streams import TAUGHT, open_stream

__all__ = ["GROUPS", "Probe", "Swapped", "planned_probes", "scoring_models", "swaps_digest", "with_frames"]

Settled = TypeVar("Settled", bound=Document)

GROUPS = "groups"
"""Name of what holds each test row's groups, by which scores are broken down."""


class Swapped(Document):
    """Test rows with words exchanged; `swaps.json` beside their stream."""

    pairs: tuple[tuple[str, str], ...]
    """Phrase, and what takes its place."""
    rows: tuple[int, ...]
    """Of each row of the stream, the row of the test stream that it comes from."""
    pair: tuple[int, ...]
    """Of each row of the stream, the pair that was exchanged in it."""


def swaps_digest(stream_digest: str, swapped: Swapped) -> str:
    """Digest of the exchanged rows: their tokens, and which rows and phrases they are."""
    return canonical.digest([stream_digest, swapped.digest()])


@dataclass(frozen=True, slots=True)
class Probe:
    """One of the things that a plan measures on beside its splits.

    Attributes:
        name: Stem of its files.
        wanted: Its digest by the plan.
        found: The digest of what is there; None where that is missing or can't be read.
    """

    name: str
    wanted: str
    found: str | None


def planned_probes(plan: Settings, folder: Path) -> Iterator[Probe]:
    """Everything that a plan measures on beside its splits, or teaches by, as it lies in the folder of the streams."""
    settings, lesson = plan.eval, plan.train.distillation
    kinds: tuple[tuple[str, str | None, Callable[[Path], str]], ...] = (
        (GROUPS, settings.groups_sha256, _groups_digest),
        ("retention", settings.retention_sha256, lambda folder: _stream_digest(folder, "retention")),
        ("swaps", settings.swaps_sha256, _swaps_digest),
        (TAUGHT, lesson.stream_sha256 if lesson else None, lambda folder: _stream_digest(folder, TAUGHT)),
        *(
            (f"frames-{role}", one.frames_sha256, lambda folder, role=role: _frames_digest(folder, role))
            for role, one in scoring_models(plan).items()
        ),
        *(
            (one.name, one.stream_sha256, lambda folder, name=one.name: _stream_digest(folder, name))
            for one in settings.baselines
        ),
    )
    for name, wanted, digest in kinds:
        if wanted is not None:
            try:
                yield Probe(name, wanted, digest(folder))
            except (OSError, ValueError):
                yield Probe(name, wanted, None)


def _stream_digest(folder: Path, name: str) -> str:
    return open_stream(folder / f"{name}.arrow").digest()


def scoring_models(plan: Settings) -> dict[Role, RewardModelSettings]:
    """The reward models of a plan, by role."""
    found = dict[Role, RewardModelSettings]()
    for card in COMPANIONS:
        if isinstance(one := card.pinned(plan), RewardModelSettings):
            found[card.role] = one
    return found


def with_frames(plan: Settings, frames: Mapping[Role, str]) -> Settings:
    """The settings with those reward models alone for which there is text around answers, by its digest."""
    for role, own in scoring_models(plan).items():
        kept = own.model_copy(update={"frames_sha256": frames[role]}) if role in frames else None
        plan = _replaced(plan, companion(role).pins.split("."), kept)
    return plan


def _replaced(section: Settled, keys: Sequence[str], value: object) -> Settled:
    """A copy of a section with another value at a path."""
    first, *rest = keys
    return section.model_copy(update={first: _replaced(getattr(section, first), rest, value) if rest else value})


def _frames_digest(folder: Path, role: str) -> str:
    return AnswerFrames.model_validate_json((folder / frames_file(role)).read_bytes()).digest()


def _groups_digest(folder: Path) -> str:
    return Groups.model_validate_json((folder / "groups.json").read_bytes()).digest()


def _swaps_digest(folder: Path) -> str:
    swapped = Swapped.model_validate_json((folder / "swaps.json").read_bytes())
    return swaps_digest(open_stream(folder / "swaps.arrow").digest(), swapped)
