"""Texts to tokens by their words, each of which the tokenizer encodes once.

Byte-level BPE divides a text by a pattern and encodes each word by itself, so that the tokens of a text are those of
its words. Most words come again, and dividing takes a tenth of the library's time. It is done here only by patterns
that are known to the letter, and only in texts of characters that every release of Unicode takes for the same: letters
of scripts with spaces between words, and signs, all of which have one form. Other texts remain the library's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["LETTERS", "SIGNS", "KnownWords", "pattern_of"]

LETTERS = "A-Za-zÀ-ÖØ-öø-įĲ-ňŊ-žƀ-ƺΆΈ-ΊΌΎ-ΡΣ-ώЀ-ҁҊ-ԧא-תء-غف-ي가-힣"
"""The letters, as the inside of a class; those that are ASCII in another case, such as ſ, are left out."""
SIGNS = "¡§©«®°±»¿×÷‘’‚“”„†‡•…–—€™"
"""Characters beyond ASCII that are neither letters nor numbers nor spaces."""
_MOST_CHARS = 1 << 20
"""Of all known words together; where there are more, the collection begins anew."""


class KnownWords:
    """The words of texts with their ids, as the bytes of C ints.

    Args:
        pattern: What divides a text into words.
        encode: The library's ids of each text.
    """

    def __init__(self, pattern: str, encode: Callable[[Sequence[str]], list[bytes]]) -> None:
        self._words, self._encode = re.compile(pattern).findall, encode
        self._is_certain = re.compile(f"[\x00-\x7f{LETTERS}{SIGNS}]*").fullmatch
        self._known: dict[str, bytes] = {}
        self._num_chars = 0

    def ids(self, texts: Sequence[str]) -> list[bytes]:
        """The ids of each text."""
        found: list[bytes] = []
        waiting: dict[int, list[str]] = {}
        whole: dict[int, str] = {}
        for number, text in enumerate(texts):
            ids = b""
            if not text.isascii() and not self._is_certain(text):
                whole[number] = text
            else:
                words = self._words(text)
                try:
                    ids = self._joined(words)
                except KeyError:
                    waiting[number] = words
            found.append(ids)
        new = [*{word: None for words in waiting.values() for word in words if word not in self._known}]
        encoded = self._encode([*new, *whole.values()])
        self._known.update(zip(new, encoded, strict=False))
        for number, words in waiting.items():
            found[number] = self._joined(words)
        for number, ids in zip(whole, encoded[len(new) :], strict=True):
            found[number] = ids
        self._num_chars += sum(map(len, new))
        if self._num_chars > _MOST_CHARS:
            self._known, self._num_chars = {}, 0
        return found

    def _joined(self, words: Sequence[str]) -> bytes:
        return b"".join(map(self._known.__getitem__, words))


def _classes(pattern: str) -> str:
    """A pattern with letters for `L`, spaces for `S` and digits for `N`, all of them inside of classes."""
    return pattern.replace("L", LETTERS).replace("N", "0-9").replace("S", "\t-\r ")


_GPT2 = _classes(r"'(?:[stmd]|re|ve|ll)| ?[L]+| ?[N]+| ?[^SLN]+|[S]+(?![^S])|[S]+")
_GPT2_AFTER_DIGITS = _classes(r"[N]|'(?:[stmd]|re|ve|ll)| ?[L]+| ?[^SLN]+|[S]+(?![^SN])|[S]+")
_OF_LLAMA3 = r"'(?i:[stmd]|re|ve|ll)|[^\r\nLN]?[L]+|[N]{1,3}| ?[^SLN]+[\r\n]*|[S]*[\r\n]+|[S]+(?![^S])|[S]+"
_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
_LLAMA3 += r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_BY_REGEX = {
    _LLAMA3: _classes(_OF_LLAMA3),
    _LLAMA3.replace("{1,3}", ""): _classes(_OF_LLAMA3.replace("{1,3}", "")),  # Qwen's
}


def pattern_of(pre_tokenizer: Mapping[str, Any] | None) -> str | None:
    """What divides texts as the pre-tokenizer of a byte-level BPE does; None for one that isn't known."""
    steps = [] if pre_tokenizer is None else pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    match steps:
        case [{"type": "ByteLevel", "use_regex": True}]:
            return _GPT2
        case [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "use_regex": True}]:
            return _GPT2_AFTER_DIGITS
        case [
            {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "use_regex": False},
        ]:
            return _BY_REGEX.get(regex)
    return None
