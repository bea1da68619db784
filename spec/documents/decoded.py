"""Tokens back to text, as people and metrics read it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftc.spec.documents.streams import TokenStream

__all__ = ["TextDecoder"]


class TextDecoder:
    """Ids back to text, without special tokens.

    Args:
        model_folder: Where `tokenizer.json` lies.
        shown: Special tokens that stay, such as sentinels.
    """

    def __init__(self, model_folder: Path, shown: Iterable[int] = ()) -> None:
        from ftc.spec.storage.tokenizer_file import load_tokenizer

        self._file = model_folder / "tokenizer.json"
        self._tokenizer = load_tokenizer(self._file)
        special = {number for number, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        self._hidden, self._shows = special.difference(shown), bool(shown)

    def __call__(self, ids: list[int]) -> str:
        """The text of some tokens."""
        from ftc.spec.storage.tokenizer_file import tokenizer_call

        if self._shows:
            return self.whole([one for one in ids if one not in self._hidden])
        text: str = tokenizer_call(self._file, self._tokenizer.decode, ids, skip_special_tokens=True)
        return text.strip()

    def whole(self, ids: list[int]) -> str:
        """The same with special tokens, such as masks."""
        from ftc.spec.storage.tokenizer_file import tokenizer_call

        text: str = tokenizer_call(self._file, self._tokenizer.decode, ids, skip_special_tokens=False)
        return text.strip()

    def prompt(self, rows: TokenStream, number: int) -> str:
        """What the model is given of a row."""
        return self(rows.ids(number)[: rows.prompt_length(number)].tolist())

    def expected(self, rows: TokenStream, number: int) -> str:
        """A row's own answer: its supervised tokens behind the prompt."""
        start = rows.prompt_length(number)
        return self(rows.ids(number)[start:][rows.mask(number)[start:]].tolist())
