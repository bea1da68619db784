"""Raw text as blocks: the texts stand one after the other, each with its end token, and are cut where a block is full.

Every token but a block's first is learned from those before it. A block's row is that of the text that it begins in.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from ftc.compiler.tokens.encoder import MarkedText, TextTokenizer
from ftc.compiler.tokens.forms import RawForm
from ftc.compiler.tokens.sources import Row, ends_of
from ftc.compiler.tokens.token_rows import Limit, RowTokens
from ftc.spec.documents.facts import TokenizerFacts

__all__ = ["blocks"]


def blocks(
    chunks: Iterable[dict[int, Row]], form: RawForm, tokenizer: TextTokenizer, facts: TokenizerFacts, limit: Limit
) -> Iterator[Iterable[RowTokens]]:
    """Blocks of `limit.max_length` tokens, in chunks; the last one is as long as what is left.

    Raises:
        Refusal: The tokenizer names no token that ends a text (FTC334).
    """
    before, after = ends_of(tokenizer, facts)
    size = limit.max_length
    rest, row_of_rest = array("i"), 0
    for chunk in chunks:
        made: list[RowTokens] = []
        texts = tokenizer.encode([MarkedText(row[form.text], ()) for row in chunk.values()])
        for i, text in zip(chunk, texts, strict=True):
            if not rest:
                row_of_rest = i
            rest.extend([*before, *text.ids, *after])
            while len(rest) >= size:
                made.append(_block(row_of_rest, rest[:size]))
                rest, row_of_rest = rest[size:], i
        yield made
    if len(rest) > 1:  # a single token has nothing before it to be learned from
        yield [_block(row_of_rest, rest)]


def _block(row: int, ids: array[int]) -> RowTokens:
    return RowTokens(row, ids, [(0, len(ids))], 0)
