"""Text to token ids, with the number of tokens before given characters.

Byte-level BPE treats each stretch between special tokens by itself. So the text is split there, each distinct stretch
is encoded once, and most of a chat template's own text costs a look-up. Where that isn't provably the same, whole
texts are encoded and the offsets tell where each token stands.
"""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Encoding, Tokenizer

from ftc.compiler.tokens.known_words import KnownWords, pattern_of
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.language.safe_repr import quoted
from ftc.spec.storage.tokenizer_file import load_tokenizer, refused_tokenizer, tokenizer_call

__all__ = ["AlignedText", "CompleteText", "Cut", "MarkedText", "TextTokenizer", "TokenizedText", "Window"]


class Cut(NamedTuple):
    """Where a character position falls between tokens: the two differ when it falls inside of one."""

    ended: int
    """Tokens that end at or before the character."""
    begun: int
    """Tokens that begin before it."""


class MarkedText(NamedTuple):
    """A text and the ascending character positions of interest."""

    text: str
    marks: Sequence[int]


@dataclass(slots=True)
class TokenizedText:
    """The ids of a text, as C ints, and a cut for each mark."""

    ids: array[int]
    cuts: list[Cut]


class _Segments(NamedTuple):
    """A text split at added tokens, and the place of each mark: a segment's index and the characters into it."""

    segments: list[str]
    places: list[tuple[int, int]]
    is_deep: bool
    """Whether a mark stands so deep in a segment that offsets cost less than encoding what is before it again."""

    @classmethod
    def of(cls, segments: list[str], marks: Sequence[int]) -> _Segments:
        starts = list(accumulate(map(len, segments), initial=0))
        places: list[tuple[int, int]] = []
        is_deep = False
        for mark in marks:
            index = bisect_right(starts, mark) - 1
            offset = mark - starts[index]
            places.append((index, offset))
            is_deep = is_deep or offset > _HEAD_CHARS
        return cls(segments, places, is_deep)


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_MEMO_ENTRIES = 10_000  # a template's own segments are few; what rows say seldom comes again
_MEMO_CHARS = 1 << 24
_ID_BYTES = array("i").itemsize
_HEAD_CHARS = 64
"""Longest start of a stretch that is encoded a second time to find a cut in it."""


class CompleteText(NamedTuple):
    """A text, or a pair of texts, as the tokenizer hands it to a model."""

    ids: array[int]
    first_length: int
    """Tokens of the first text, special ones included: all of them where there is no second."""
    was_cut: bool


class AlignedText(NamedTuple):
    """A text as the tokenizer hands it to a model, with the characters that each token stands for.

    The tokenizer's own tokens stand for none: those in front end before the text, those behind begin after it.
    """

    ids: array[int]
    starts: list[int]
    ends: list[int]
    num_behind: int
    """The tokenizer's own tokens behind the text."""

    @classmethod
    def of(cls, encoding: Encoding) -> AlignedText:
        """What tokenizers returned, with places for the tokenizer's own tokens."""
        own = encoding.special_tokens_mask
        in_front = own.index(0) if 0 in own else len(own)
        num_behind = own[::-1].index(0) if 0 in own else 0
        beyond = max((end for _, end in encoding.offsets), default=0) + 1
        offsets = list(encoding.offsets)
        offsets[:in_front] = [(0, 0)] * in_front
        offsets[len(own) - num_behind :] = [(beyond, beyond)] * num_behind
        return cls(array("i", encoding.ids), [start for start, _ in offsets], [end for _, end in offsets], num_behind)

    def cut_to(self, max_length: int) -> tuple[array[int], int]:
        """At most so many ids, taken from the text's end, and how many of the first ones stay in their place."""
        kept = max(0, min(len(self.ids), max_length) - self.num_behind)
        return self.ids[:kept] + self.ids[len(self.ids) - self.num_behind :], kept


class Window(NamedTuple):
    """A first text and a stretch of a second one, as the tokenizer hands them to a model."""

    ids: array[int]
    first_length: int
    """Tokens of the first text, special ones included."""
    offsets: list[tuple[int, int]]
    """Begin and end character in the second text; (-1, -1) for tokens that are no part of it."""

    @classmethod
    def of(cls, encoding: Encoding) -> Window:
        """What tokenizers returned for a pair of texts."""
        second = [number == 1 for number in encoding.sequence_ids]
        offsets = [place if inside else (-1, -1) for place, inside in zip(encoding.offsets, second, strict=True)]
        return cls(array("i", encoding.ids), second.index(True) if any(second) else len(second), offsets)


class TextTokenizer:
    """A tokenizer.json that encodes rows of a template's text.

    Args:
        file: Path of tokenizer.json. Truncation and padding in it are ignored.
        by_segment: Whether to split at special tokens where that is safe; the result is the same without.

    Attributes:
        special_tokens: Texts of its special tokens.
        is_segmentable: Whether each stretch between special tokens is encoded by itself.
        unknown: Id and text of the special token for what it doesn't know; None where it has none.
    """

    def __init__(self, file: Path, *, by_segment: bool = True) -> None:
        self._file = file
        try:
            config = json.loads(file.read_bytes())
            added = config.get("added_tokens") or []
            self.special_tokens: tuple[str, ...] = tuple(token["content"] for token in added if token["special"])
            self.is_segmentable = by_segment and _is_segmentable(config)
            pattern = pattern_of(config.get("pre_tokenizer")) if self.is_segmentable else None
            self._added = {token["content"]: array("i", [token["id"]]) for token in added if token["content"]}
            self.unknown = _unknown(
                config["model"], {text: self._added[text][0] for text in self.special_tokens if text}
            )
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            load_tokenizer(file)  # the library says best what is wrong
            reason = f"a part of it is missing or of another kind: {type(error).__name__}, {error}"
            raise refused_tokenizer(file, reason) from error
        longest_first = sorted(self._added, key=len, reverse=True)
        self._splitter = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if longest_first else None
        self._known = {text: ids.tobytes() for text, ids in self._added.items()}
        self._memo, self._memo_chars = dict(self._known), 0
        self._ids = self._bare_ids if pattern is None else KnownWords(pattern, self._bare_ids).ids

    def load(self) -> None:
        """Loads what `encode` asks, so that processes that are forked from this one share it."""
        _ = self._bare

    def text_of(self, token_id: int) -> str | None:
        """An added token's text by its id; None where there is none."""
        return next((text for text, (own,) in self._added.items() if own == token_id), None)

    @cached_property
    def _complete(self) -> Tokenizer:
        """The tokenizer as it is."""
        return _load(self._file)

    def _encode(self, encode: Callable[..., list[Encoding]], texts: Sequence[Any], special: bool) -> list[Encoding]:
        """Encodes a batch.

        Raises:
            Refusal: A text holds half of a surrogate pair, which is no character (FTC339); the library fails (FTC325).
        """
        try:
            return tokenizer_call(self._file, encode, list(texts), add_special_tokens=special)
        except TypeError as error:  # how tokenizers reports a text that has no UTF-8 form
            raise Refusal([_no_unicode(texts)]) from error

    @cached_property
    def _bare(self) -> Tokenizer:
        """The tokenizer without its post-processor, which adds tokens and trims spaces from offsets."""
        tokenizer = _load(self._file)
        tokenizer.post_processor = None
        return tokenizer

    def _bare_ids(self, texts: Sequence[str]) -> list[bytes]:
        """Ids without the tokenizer's own special tokens, as the bytes of C ints."""
        encodings = self._encode(self._bare.encode_batch_fast, texts, special=False)
        return [array("i", one.ids).tobytes() for one in encodings]

    def encode_complete(self, texts: Sequence[str | tuple[str, ...]], max_length: int | None) -> list[CompleteText]:
        """Ids with the tokenizer's own special tokens; the text is cut at its end to `max_length` tokens in all.

        None leaves it whole.
        """
        if max_length is None:
            self._complete.no_truncation()
        else:
            tokenizer_call(self._file, self._complete.enable_truncation, max_length)
        encodings = self._encode(self._complete.encode_batch_fast, texts, special=True)
        return [CompleteText(array("i", e.ids), e.type_ids.count(0), bool(e.overflowing)) for e in encodings]

    def encode_aligned(self, texts: Sequence[str]) -> list[AlignedText]:
        """Whole texts with the tokenizer's own special tokens, and the characters of each token."""
        self._complete.no_truncation()
        return list(map(AlignedText.of, self._encode(self._complete.encode_batch, texts, special=True)))

    def encode_windows(self, pairs: Sequence[tuple[str, str]], max_length: int, stride: int) -> list[list[Window]]:
        """Pairs in as many windows as their second texts need; neighbors have `stride` tokens of it in common.

        A first text must leave more than `stride` tokens of a window; `num_tokens` tells how long it is.
        """
        tokenizer_call(self._file, self._complete.enable_truncation, max_length, stride=stride, strategy="only_second")
        encodings = self._encode(self._complete.encode_batch, pairs, special=True)
        return [[Window.of(one) for one in (encoding, *encoding.overflowing)] for encoding in encodings]

    def num_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the tokenizer's own."""
        return [len(ids) // _ID_BYTES for ids in self._bare_ids(texts)]

    def num_special(self, *, is_pair: bool) -> int:
        """Tokens that the tokenizer adds by itself."""
        return tokenizer_call(self._file, self._complete.num_special_tokens_to_add, is_pair)

    def begins_with(self, token_id: int) -> bool:
        """Whether the tokenizer puts this token before every text by itself."""
        return bool(tokenizer_call(self._file, self._complete.encode, "").ids[:1] == [token_id])

    def encode(self, texts: Sequence[MarkedText]) -> list[TokenizedText]:
        """Ids without added special tokens, and the cuts."""
        if not self.is_segmentable:
            return self._encode_whole(texts)
        rows = [
            _Segments.of([part for part in self._splitter.split(text) if part] if self._splitter else [text], marks)
            for text, marks in texts
        ]
        whole = [i for i, row in enumerate(rows) if row.is_deep]
        results = dict(zip(whole, self._encode_whole([texts[i] for i in whole]), strict=True))
        self._learn([row.segments for row in rows if not row.is_deep])
        return [results[i] if row.is_deep else self._join(row) for i, row in enumerate(rows)]

    def _encode_whole(self, texts: Sequence[MarkedText]) -> list[TokenizedText]:
        encodings = self._encode(self._bare.encode_batch, [text for text, _ in texts], special=False)
        return [
            TokenizedText(array("i", encoding.ids), _cuts(encoding, marks))
            for encoding, (_, marks) in zip(encodings, texts, strict=True)
        ]

    def _learn(self, rows: Sequence[Sequence[str]]) -> None:
        """Encodes the stretches that aren't known yet."""
        if len(self._memo) > _MEMO_ENTRIES or self._memo_chars > _MEMO_CHARS:
            self._memo, self._memo_chars = dict(self._known), 0
        new = [segment for segment in dict.fromkeys(chain.from_iterable(rows)) if segment not in self._memo]
        self._memo.update(zip(new, self._ids(new), strict=True))
        self._memo_chars += sum(map(len, new))

    def _join(self, row: _Segments) -> TokenizedText:
        parts = [*map(self._memo.__getitem__, row.segments)]
        cuts: list[Cut] = []
        for index, offset in row.places:
            before = sum(map(len, parts[:index])) // _ID_BYTES
            inner = self._cut(row.segments[index], offset) if offset else Cut(0, 0)
            cuts.append(Cut(before + inner.ended, before + inner.begun))
        return TokenizedText(array("i", b"".join(parts)), cuts)

    def _cut(self, segment: str, offset: int) -> Cut:
        """The cut inside a stretch. Byte-level tokens lose nothing, so equal ids up to the cut stand for equal text."""
        head = segment[:offset]
        if head not in self._memo:
            self._learn([[head]])
        if self._memo[segment].startswith(self._memo[head]):
            count = len(self._memo[head]) // _ID_BYTES
            return Cut(count, count)
        (encoding,) = self._encode(self._bare.encode_batch, [segment], special=False)
        return _cuts(encoding, [offset])[0]


def _load(file: Path) -> Tokenizer:
    tokenizer = load_tokenizer(file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _no_unicode(texts: Sequence[Any]) -> Diagnostic:
    found = next((text for text in texts if _LONE_SURROGATE.search("".join(text))), "")
    return diagnostic(
        "FTC339",
        "a rendered row contains an invalid Unicode character",
        notes=f"the row begins with {quoted(''.join(found)[:60])}",
        path="task.prompt",
        help="write the character itself in the template, not half of a pair such as `\\ud83d`",
    )


def _cuts(encoding: Encoding, marks: Sequence[int]) -> list[Cut]:
    starts = [start for start, _ in encoding.offsets]
    ends = [end for _, end in encoding.offsets]
    return [Cut(bisect_right(ends, mark), bisect_left(starts, mark)) for mark in marks]


def _is_segmentable(config: dict[str, Any]) -> bool:
    """Whether the stretches between added tokens are encoded independently of each other, and without loss."""
    model, pre_tokenizer = config["model"], config.get("pre_tokenizer")
    steps = [] if pre_tokenizer is None else pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    ends_in_bytes = (  # and puts no space before the text
        bool(steps)
        and all(step["type"] in ("ByteLevel", "Split", "Digits", "Punctuation") for step in steps)
        and not any(step.get("behavior") == "Removed" for step in steps)
        and steps[-1]["type"] == "ByteLevel"
        and not any(step.get("add_prefix_space") for step in steps)
    )
    is_plain_bpe = model.get("type") == "BPE" and not model.get("dropout")
    normalizer = config.get("normalizer")
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    return (
        is_plain_bpe
        and (normalizer is None or normalizer["type"] == "NFC")
        and ends_in_bytes
        and not any(token[flag] for token in config.get("added_tokens") or [] for flag in flags)
    )


def _unknown(model: dict[str, Any], special: Mapping[str, int]) -> tuple[int, str] | None:
    """The token for unknown characters, by the model in tokenizer.json; None where bytes stand for them."""
    if model.get("byte_fallback"):
        return None
    pieces, number = model["vocab"], model.get("unk_id")
    if isinstance(pieces, list):  # a Unigram's, with their scores
        text = "" if number is None else pieces[number][0]
    else:
        text = model.get("unk_token") or ""
    return (special[text], text) if text in special else None
