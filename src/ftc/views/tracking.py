"""Trackers in words: where a run would be reported, and how much of it arrived."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftc.spec.trackers import Track, asked_trackers, tracker_card
from ftc.views import numbers
from ftc.views.page import escaped

if TYPE_CHECKING:
    from ftc.spec.documents.record import RunRecord

__all__ = ["asked_parts", "tracked_parts"]


def asked_parts(track: Track | None) -> Iterator[str]:
    """Where a recipe sends its runs, and which files: what leaves this machine is shown before it does."""
    for card, keys in asked_trackers(track) if track is not None else ():
        said = keys.model_dump()
        place = f" ({card.place} {escaped(str(said[card.place]))})" if said[card.place] is not None else ""
        mode = f", {said['mode']}" if "mode" in said else ""
        name = keys.model_name
        model = [f"model `{escaped(name)}` with its base model"] if name is not None else []
        yield f"{card.title}{place}{mode}: {', '.join(('values by step', *keys.artifacts, *model))}"


def tracked_parts(record: RunRecord) -> Iterator[str]:
    """What each tracker took of a run, and why it isn't all."""
    for one in record.trackers:
        card = tracker_card(one.tracker)
        title = card.title if card is not None else escaped(one.tracker)
        share = f"{numbers.count(one.sent)} of {numbers.plural(one.points, 'value')} by step"
        yield f"{title}: {share}" + (f" ({escaped(one.problem)})" if one.problem else "")
