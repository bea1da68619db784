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
"""Of all known words together, and of all that stands between spaces; where there are more, they start over."""
_SPACES = ("\t", "\n", "\x0b", "\x0c", "\r")
"""White space of the patterns, but for the space itself."""


class _Known:
    """Texts with their ids, as the bytes of C ints: as many as `_MOST_CHARS` allows, of which all start over."""

    def __init__(self) -> None:
        self.ids: dict[str, bytes] = {}
        self._num_chars = 0

    def learn(self, texts: Sequence[str], ids: Sequence[bytes]) -> None:
        """Puts texts beside the others."""
        self.ids.update(zip(texts, ids, strict=True))
        self._num_chars += sum(map(len, texts))

    def trim(self) -> None:
        """Starts over where there is too much."""
        if self._num_chars > _MOST_CHARS:
            self.ids, self._num_chars = {}, 0


def _is_apart(part: str) -> bool:
    """Whether what is between two spaces is encoded by itself with the space before it.

    The pattern starts over at every space that has no other white space beside it.
    """
    return bool(part) and part[0] not in _SPACES and part[-1] not in _SPACES


class KnownWords:
    """The words of texts with their ids, as the bytes of C ints.

    Most of what stands between two spaces comes again as well, so that it is looked up whole, and divided once.

    Args:
        pattern: What divides a text into words.
        encode: The library's ids of each text.
    """

    def __init__(self, pattern: str, encode: Callable[[Sequence[str]], list[bytes]]) -> None:
        self._words, self._encode = re.compile(pattern).findall, encode
        self._is_certain = re.compile(f"[\x00-\x7f{LETTERS}{SIGNS}]*").fullmatch
        self._known, self._firsts, self._others = _Known(), _Known(), _Known()

    def ids(self, texts: Sequence[str]) -> list[bytes]:
        """The ids of each text."""
        found: list[bytes] = []
        waiting: dict[int, tuple[str, list[str]]] = {}
        whole: dict[int, str] = {}
        for number, text in enumerate(texts):
            ids = b""
            if not text.isascii() and not self._is_certain(text):
                whole[number] = text
            else:
                first, *others = text.split(" ")
                try:
                    ids = b"".join([self._firsts.ids[first], *map(self._others.ids.__getitem__, others)])
                except KeyError:
                    waiting[number] = first, others
            found.append(ids)
        known = self._others.ids
        new = {number: [part for part in others if part not in known] for number, (_, others) in waiting.items()}
        together = {  # what is known is apart
            number: texts[number]
            for number, (first, _) in waiting.items()
            if first.endswith(_SPACES) or not all(map(_is_apart, new[number]))
        }
        apart = [number for number in waiting if number not in together]
        firsts = [*{waiting[number][0]: None for number in apart if waiting[number][0] not in self._firsts.ids}]
        others = [*{part: None for number in apart for part in new[number]}]
        divided = [*firsts, *(f" {part}" for part in others), *together.values()]
        ids_of_words, ids_of_whole = self._divided(divided, [*whole.values()])
        self._firsts.learn(firsts, ids_of_words[: len(firsts)])
        self._others.learn(others, ids_of_words[len(firsts) : len(firsts) + len(others)])
        ids_of_together = ids_of_words[len(firsts) + len(others) :]
        for number in apart:
            first, behind = waiting[number]
            found[number] = b"".join([self._firsts.ids[first], *map(known.__getitem__, behind)])
        for number, ids in (*zip(together, ids_of_together, strict=True), *zip(whole, ids_of_whole, strict=True)):
            found[number] = ids
        for one in (self._known, self._firsts, self._others):
            one.trim()
        return found

    def _divided(self, texts: Sequence[str], whole: Sequence[str]) -> tuple[list[bytes], list[bytes]]:
        """The ids of texts by their words, and of others as the library gives them."""
        words = [*map(self._words, texts)]
        new = [*{word: None for some in words for word in some if word not in self._known.ids}]
        encoded = self._encode([*new, *whole])
        self._known.learn(new, encoded[: len(new)])
        known = self._known.ids.__getitem__
        return [b"".join(map(known, some)) for some in words], encoded[len(new) :]


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
