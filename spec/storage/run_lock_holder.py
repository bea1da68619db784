"""Who works on a run: written beside the run's lock for the one who finds it held."""

from __future__ import annotations

from ftc.spec.base import Document

__all__ = ["Holder"]


class Holder(Document):
    """The process that holds a run's lock, `.holder.json`."""

    id: str
    """Name of this holding, for `ftc unlock`: another one has another, so that nobody unlocks what they didn't see."""
    pid: int
    host: str
    since: str
    """UTC, ISO 8601."""

    @property
    def who(self) -> str:
        """The holder in words."""
        return f"process {self.pid} on {self.host} since {self.since}"
