"""How a recipe names a language model that grades answers: in an evaluation, or as a reward."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ftc.spec.base import Document, Effect

__all__ = ["Judge"]


class Judge(Document):
    """A language model behind an endpoint that grades answers from 1 to 10. Rows and answers are sent to it."""

    EFFECT: ClassVar[Effect] = Effect.EVAL

    url: str = Field(pattern=r"^https?://[^\s@?#]+$", max_length=500)
    """Address of an OpenAI-compatible service, up to `/v1`; `/chat/completions` is added."""
    model: str = Field(min_length=1, max_length=200)
    """Name of the model in the service."""
    key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)
    """Environment variable with the service's key; don't write the key itself into a file. Default: none, as for a
    service on this machine."""
    criterion: str = Field(default="Judge how well the answer does what the prompt asks for.", max_length=2_000)
    """Grading criterion, in a sentence or two for the judge. Default: how well the answer does what the prompt asks."""
    max_tokens: int = Field(default=1024, ge=1, le=1_000_000)
    """Maximum reply of the judge, in tokens (`max_tokens`), reasoning included. Default: 1024, so that no reply costs
    without limit."""

    @property
    def shows_key(self) -> bool:
        """Whether the key would travel unencrypted to another machine."""
        is_here = self.host in ("localhost", "127.0.0.1", "[::1]")
        return self.key_env is not None and self.url.startswith("http://") and not is_here

    @property
    def host(self) -> str:
        """Host of the endpoint, without port; an IPv6 address keeps its brackets."""
        place = self.url.split("//", 1)[1].split("/")[0]
        return place[: place.index("]") + 1] if place.startswith("[") and "]" in place else place.split(":")[0]
