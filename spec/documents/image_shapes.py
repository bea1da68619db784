"""How large an image is where a model reads it: what its pixels take, and how many tokens stand for it in a row."""

from __future__ import annotations

from ftc.spec.base import Document

__all__ = ["ImageShape"]


class ImageShape(Document):
    """An image as a model's processor makes it."""

    height: int
    """In pixels: of what the tower reads, or of the image itself where that becomes squares."""
    width: int
    """Likewise."""
    squares: int
    """Squares as large as the tower reads that it becomes, the whole image as one more; 0 where it keeps its shape."""
    tokens: int
    """Tokens that stand for it in a row."""

    @property
    def weight(self) -> int:
        """What the tower has to do for it, to compare images of one model."""
        return self.squares or self.height * self.width
