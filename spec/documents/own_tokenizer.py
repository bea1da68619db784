"""What a recipe changes of its model's tokenizer: tokens of its own, other ends of texts, another chat template."""

from __future__ import annotations

import hashlib

from pydantic import Field

from ftc.spec.base import Document
from ftc.spec.names import InsidePath

__all__ = ["AddedToken", "OwnTemplate", "OwnTokenizer"]


class AddedToken(Document):
    """A token that the vocabulary didn't have."""

    token: str
    id: int = Field(ge=0)
    special: bool
    """Whether decoding leaves it out, and the normalizer doesn't change it."""


class OwnTemplate(Document):
    """A chat template of the project."""

    path: InsidePath
    """Relative to the project's root."""
    text: str
    """Source text; documents hold it, so that a run and what comes after it never look for the file again."""

    @property
    def sha256(self) -> str:
        """Digest of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class OwnTokenizer(Document):
    """What differs from the files of the base model."""

    tokens: tuple[AddedToken, ...]
    """In the order of their ids."""
    rows: int = Field(ge=1)
    """Rows of the embedding with them; as many as the base has where it has rows to spare."""
    tables: tuple[str, ...]
    """Stored modules with a row for each token: the embedding, and an output layer of its own."""
    eos_token: str | None
    """Token that ends texts; None for the tokenizer's own."""
    pad_token: str | None
    chat_template: OwnTemplate | None
    """None for the model's own."""
