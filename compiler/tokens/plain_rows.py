"""Rows whose text no template writes: texts with classes or numbers, tagged words, contexts with answers, raw text."""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

from ftc.compiler.tokens.encoder import AlignedText, CompleteText, TextTokenizer, Window
from ftc.compiler.tokens.forms import ClassifyForm, ExtractForm, ScoreForm, TagForm
from ftc.compiler.tokens.sources import Row, ends_of
from ftc.compiler.tokens.token_rows import BareText, Limit, RowCounts, RowTokens
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.tags import OUTSIDE

__all__ = [
    "TaggedWords",
    "blocks",
    "classified",
    "extracted",
    "float_bits",
    "rated",
    "tagged",
    "words_of",
    "words_with_spans",
]


_MOST_FLOAT = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
"""The largest float32."""


def classified(
    chunks: Iterable[dict[int, Row]], form: ClassifyForm, tokenizer: TextTokenizer, limit: Limit, counts: RowCounts
) -> Iterator[Iterable[RowTokens]]:
    """Rows with their class, or with all of their classes, in chunks."""
    index = {name: i for i, name in enumerate(form.labels)}
    for chunk in chunks:
        yield [
            RowTokens(
                i, text.ids, [], text.first_length, targets=sorted({index[name] for name in chunk[i][form.label]})
            )
            if form.multi_label
            else RowTokens(i, text.ids, [], text.first_length, label=index[str(chunk[i][form.label])])
            for i, text in _read(chunk, form, tokenizer, limit, counts)
        ]


def rated(
    chunks: Iterable[dict[int, Row]], form: ScoreForm, tokenizer: TextTokenizer, limit: Limit, counts: RowCounts
) -> Iterator[Iterable[RowTokens]]:
    """Rows with their numbers, in chunks: as the bits of float32, and whole as text."""
    for chunk in chunks:
        yield [
            RowTokens(
                i,
                text.ids,
                [],
                text.first_length,
                targets=[float_bits(number) for number in chunk[i][form.numbers]],
                texts=[repr(number) for number in chunk[i][form.numbers]],
            )
            for i, text in _read(chunk, form, tokenizer, limit, counts)
        ]


def float_bits(number: float) -> int:
    """The bits of a number as float32, read as an int32; a number beyond float32 becomes its largest."""
    bounded = max(-_MOST_FLOAT, min(number, _MOST_FLOAT))
    (bits,) = struct.unpack("<i", struct.pack("<f", bounded))
    return int(bits)


def _read(
    chunk: Mapping[int, Row],
    form: ClassifyForm | ScoreForm,
    tokenizer: TextTokenizer,
    limit: Limit,
    counts: RowCounts,
) -> Iterator[tuple[int, CompleteText]]:
    """Texts, or pairs of them, as tokens, by the number of their row; what doesn't fit is counted and left out."""
    columns = [form.text] if form.text_pair is None else [form.text, form.text_pair]
    texts: dict[int, str | tuple[str, ...]] = {}
    for i, row in chunk.items():
        parts = tuple(text for column in columns if isinstance(text := row.get(column), str))
        if len(parts) == len(columns):
            texts[i] = parts[0] if len(parts) == 1 else parts
        else:
            counts.drop(i, f"no text in {' or '.join(columns)}")
    whole, longest = list(texts.values()), limit.max_length if limit.cuts else None
    encoded = tokenizer.encode_complete(whole, longest)
    if form.end_id is not None and not all(text.ids and text.ids[-1] == form.end_id for text in encoded):
        shorter = tokenizer.encode_complete(whole, None if longest is None else longest - 1)
        encoded = [text._replace(ids=array("i", [*text.ids, form.end_id])) for text in shorter]
    for i, found in zip(texts, encoded, strict=True):
        if found.was_cut:
            counts.cut.append(i)
        if (num_tokens := len(found.ids)) > limit.max_length:
            counts.drop_long(i, num_tokens, limit.reason(num_tokens))
        else:
            yield i, found


_WORD = re.compile(r"\w+|[^\w\s]")


class TaggedWords(NamedTuple):
    """A text, the place of each word in it, and each word's tag."""

    text: str
    places: Sequence[tuple[int, int]]
    tags: Sequence[str]


def tagged(
    chunks: Iterable[dict[int, Row]], form: TagForm, tokenizer: TextTokenizer, limit: Limit, counts: RowCounts
) -> Iterator[Iterable[RowTokens]]:
    """Rows with the tags of their words, in chunks."""
    index = {name: number for number, name in enumerate(form.labels)}
    for chunk in chunks:
        rows = {
            i: words_with_spans(row[form.text], row[form.spans])
            if form.spans is not None
            else words_of(row[form.words], _iob2(row[form.tags], form.scheme))
            for i, row in chunk.items()
        }
        texts = tokenizer.encode_aligned([row.text for row in rows.values()])
        encoded = zip(rows.items(), texts, strict=True)
        made = [_tokens(i, row, text, index, limit, counts) for (i, row), text in encoded]
        yield [one if form.keeps_places else replace(one, offsets=(), texts=()) for one in made if one]


def words_of(words: Sequence[str], tags: Sequence[str]) -> TaggedWords:
    """Words as one text, with a space between them."""
    places, end = [], -1
    for word in words:
        places.append((end + 1, end + 1 + len(word)))
        end = places[-1][1]
    return TaggedWords(" ".join(words), places, tags)


def words_with_spans(text: str, spans: Sequence[Mapping[str, Any]]) -> TaggedWords:
    """A text's words with IOB2 tags; a word ends where a labeled stretch begins or ends."""
    ordered = sorted(spans, key=lambda span: int(span["start"]))
    edges = sorted({edge for span in ordered for edge in (span["start"], span["end"])})
    places: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        cuts = [match.start(), *(edge for edge in edges if match.start() < edge < match.end()), match.end()]
        places += pairwise(cuts)
    tags = [OUTSIDE] * len(places)
    for span in ordered:
        inside = [n for n, (start, end) in enumerate(places) if span["start"] <= start and end <= span["end"]]
        for n in inside:
            tags[n] = f"{'B' if n == inside[0] else 'I'}-{span['label']}"
    return TaggedWords(text, places, tags)


def _iob2(tags: Sequence[str], scheme: str) -> Sequence[str]:
    """Tags whose entities begin with `B-`; in IOB1 only one that follows another of its type does."""
    if scheme != "iob1":
        return tags
    made, before = [], OUTSIDE
    for tag in tags:
        begins = tag.startswith("I-") and before[2:] != tag[2:]
        made.append(f"B-{tag[2:]}" if begins else tag)
        before = tag
    return made


def _tokens(
    i: int, row: TaggedWords, text: AlignedText, index: Mapping[str, int], limit: Limit, counts: RowCounts
) -> RowTokens | None:
    num_tokens = len(text.ids)
    if num_tokens > limit.max_length and not limit.cuts:
        counts.drop_long(i, num_tokens, limit.reason(num_tokens))
        return None
    firsts = _first_tokens(row.places, text)
    counts.words_without_token += firsts.count(None)
    ids, num_kept = text.cut_to(limit.max_length)
    if len(ids) < num_tokens:
        counts.cut.append(i)
    words = zip(firsts, row.tags, row.places, strict=True)
    kept = [(n, tag, place) for n, tag, place in words if n is not None and n < num_kept]
    if not kept:
        counts.drop(i, "no word has a token of its own")
        return None
    supervised = [(n, n + 1) for n, _, _ in kept]
    places = [edge for _, _, place in kept for edge in place]
    tags = [index[tag] for _, tag, _ in kept]
    return RowTokens(i, ids, supervised, len(ids), targets=tags, offsets=places, texts=(row.text,))


def _first_tokens(places: Sequence[tuple[int, int]], text: AlignedText) -> list[int | None]:
    """The first token of each word; None where an earlier word has it already, or where no token holds the word."""
    found: list[int | None] = []
    token, taken = 0, -1
    for start, end in places:
        while token < len(text.ends) and text.ends[token] <= start:
            token += 1
        holds = token < len(text.ends) and text.starts[token] < end and token > taken
        found.append(token if holds else None)
        taken = token if holds else taken
    return found


_NO_ANSWER = (0, 0)


_USUAL_STRIDE = 128
"""Tokens that windows share: longer than nearly any answer. It is at most a third of a window."""


def extracted(
    chunks: Iterable[dict[int, Row]], form: ExtractForm, tokenizer: TextTokenizer, limit: Limit, counts: RowCounts
) -> Iterator[Iterable[RowTokens]]:
    """Windows with the place of the answer, in chunks; `overflow: drop` leaves out what takes more than one."""
    stride = min(_USUAL_STRIDE, limit.max_length // 3) if form.stride is None else form.stride
    for chunk in chunks:
        taken = tokenizer.num_special(is_pair=True) + stride
        rows: dict[int, Row] = {}
        lengths = tokenizer.num_tokens([row[form.question] for row in chunk.values()])
        for (i, row), length in zip(chunk.items(), lengths, strict=True):
            if length + taken < limit.max_length:  # else the context couldn't move on from window to window
                rows[i] = row
            else:
                needed = length + taken + 1
                counts.drop_long(i, needed, limit.reason(needed, " with the question and one step of the context"))
        pairs = [(row[form.question], row[form.context]) for row in rows.values()]
        windows = tokenizer.encode_windows(pairs, limit.max_length, stride)
        yield [
            made
            for (i, row), parts in zip(rows.items(), windows, strict=True)
            for made in _windows(i, row, parts, form, limit, counts)
        ]


def _windows(
    i: int, row: Row, windows: Sequence[Window], form: ExtractForm, limit: Limit, counts: RowCounts
) -> Iterator[RowTokens]:
    if len(windows) > 1 and not limit.cuts:
        num_tokens = sum(len(window.ids) for window in windows)
        counts.drop_long(i, num_tokens, f"{len(windows)} windows of {limit.max_length:,} tokens")
        return
    answers: Mapping[str, Any] = row[form.answers]
    texts = (row[form.context], *answers["text"])
    place: tuple[int, int] | None = None  # characters of the first answer
    if answers["text"]:
        start = int(answers["answer_start"][0])
        place = start, start + len(answers["text"][0])
    found = [_NO_ANSWER if place is None else _tokens_at(place, window) for window in windows]
    if place is not None and all(tokens == _NO_ANSWER for tokens in found):
        counts.answers_cut += 1
    for window, tokens in zip(windows, found, strict=True):
        flat = [edge for place in window.offsets for edge in place]
        yield RowTokens(i, window.ids, [], window.first_length, targets=tokens, offsets=flat, texts=texts)


def _tokens_at(place: tuple[int, int], window: Window) -> tuple[int, int]:
    """First and last token of the answer, or position 0 twice where the window doesn't hold all of it."""
    inside = [n for n, (start, end) in enumerate(window.offsets) if start < place[1] and end > place[0] and start >= 0]
    context = [offset for offset in window.offsets if offset[0] >= 0]
    if not inside or not context or context[0][0] > place[0] or context[-1][1] < place[1]:
        return _NO_ANSWER
    return inside[0], inside[-1]


def blocks(
    chunks: Iterable[Iterable[BareText]], tokenizer: TextTokenizer, facts: TokenizerFacts, limit: Limit
) -> Iterator[Iterable[RowTokens]]:
    """Blocks of `limit.max_length` tokens of texts, in chunks; the last one is as long as what is left.

    Raises:
        Refusal: The tokenizer names no token that ends a text (FTC334).
    """
    before, after = ends_of(tokenizer, facts)
    size = limit.max_length
    rest, row_of_rest = array("i"), 0
    for chunk in chunks:
        made: list[RowTokens] = []
        for i, ids in chunk:
            if not rest:
                row_of_rest = i
            rest.extend([*before, *ids, *after])
            while len(rest) >= size:
                made.append(_block(row_of_rest, rest[:size]))
                rest, row_of_rest = rest[size:], i
        yield made
    if len(rest) > 1:  # a single token has nothing before it to be learned from
        yield [_block(row_of_rest, rest)]


def _block(row: int, ids: array[int]) -> RowTokens:
    return RowTokens(row, ids, [(0, len(ids))], 0)
