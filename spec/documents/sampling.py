"""How the words of an answer are chosen where somebody chats with a model."""

from __future__ import annotations

from pydantic import Field

from ftc.spec.base import Document, Real

__all__ = ["GREEDY", "Sampling"]


class Sampling(Document):
    """Sampling options; the defaults write the likeliest token each time, as an evaluation does."""

    temperature: Real = Field(default=0.0, ge=0)
    """What scores are divided by before a token is drawn; 0 takes the likeliest one."""
    top_p: Real = Field(default=1.0, gt=0, le=1)
    """Tokens are drawn from the likeliest ones, which together have this probability."""
    top_k: int | None = Field(default=None, ge=1)
    """Tokens are drawn from so many of the likeliest ones; None for all."""
    seed: int | None = Field(default=None, ge=0)
    """With a seed, the same conversation gives the same answers on this machine."""

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0


GREEDY = Sampling()
