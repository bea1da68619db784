"""Words with a tag each: of word lists, or of texts with labeled stretches.

A tag is learned at the first token of its word, and nowhere else. Tokens and words are brought together by their
characters, so it makes no difference how a tokenizer marks the begin of a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ftc.compiler.tokens.encoder import AlignedText, TextTokenizer
from ftc.compiler.tokens.forms import TagForm
from ftc.compiler.tokens.sources import Row
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens

__all__ = ["TaggedWords", "tagged", "words_of", "words_with_spans"]

_WORD = re.compile(r"\w+|[^\w\s]")
_OUTSIDE = "O"


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
        rows = {i: _tagged_words(row, form) for i, row in chunk.items()}
        texts = tokenizer.encode_aligned([row.text for row in rows.values()])
        encoded = zip(rows.items(), texts, strict=True)
        yield [made for (i, row), text in encoded if (made := _tokens(i, row, text, index, limit, counts))]


def _tagged_words(row: Row, form: TagForm) -> TaggedWords:
    if form.spans is not None:
        return words_with_spans(row[form.text], row[form.spans])
    return words_of(row[form.words], _iob2(row[form.tags], form.scheme))


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
    tags = [_OUTSIDE] * len(places)
    for span in ordered:
        inside = [n for n, (start, end) in enumerate(places) if span["start"] <= start and end <= span["end"]]
        for n in inside:
            tags[n] = f"{'B' if n == inside[0] else 'I'}-{span['label']}"
    return TaggedWords(text, places, tags)


def _iob2(tags: Sequence[str], scheme: str) -> Sequence[str]:
    """Tags whose entities begin with `B-`; in IOB1 only one that follows another of its type does."""
    if scheme != "iob1":
        return tags
    made, before = [], _OUTSIDE
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
    counts.truncated += len(ids) < num_tokens
    kept = [(n, tag) for n, tag in zip(firsts, row.tags, strict=True) if n is not None and n < num_kept]
    if not kept:
        counts.drop(i, "no word has a token of its own")
        return None
    supervised = [(n, n + 1) for n, _ in kept]
    return RowTokens(i, ids, supervised, len(ids), targets=[index[tag] for _, tag in kept])


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
