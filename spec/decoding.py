"""Token ids back to the text that people read."""

from __future__ import annotations

from pathlib import Path

from ftc.spec.documents.streams import TokenStream

__all__ = ["TextDecoder"]


class TextDecoder:
    """Ids back to text, without special tokens.

    Args:
        model_folder: Where `tokenizer.json` lies.
    """

    def __init__(self, model_folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))

    def __call__(self, ids: list[int]) -> str:
        """The text of some tokens."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()

    def prompt(self, rows: TokenStream, number: int) -> str:
        """What the model is given of a row."""
        return self(rows.ids(number)[: rows.prompt_length(number)].tolist())

    def expected(self, rows: TokenStream, number: int) -> str:
        """A row's own answer: its supervised tokens behind the prompt."""
        start = rows.prompt_length(number)
        return self(rows.ids(number)[start:][rows.mask(number)[start:]].tolist())
