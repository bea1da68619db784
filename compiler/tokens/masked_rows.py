"""Rows of masked language modeling: blocks of text of which some tokens have to be filled in."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.tokens.encoder import MarkedText, TextTokenizer
from ftc.compiler.tokens.forms import MaskedForm
from ftc.compiler.tokens.token_rows import BareText, Limit, RowCounts, RowTokens
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.documents.loss_settings import MaskingSettings
from ftc.spec.masking import fixed_masks

__all__ = ["given_masks", "masked_blocks"]

Row = Mapping[str, Any]


def masked_blocks(
    chunks: Iterable[Iterable[BareText]],
    form: MaskedForm,
    tokenizer: TextTokenizer,
    facts: TokenizerFacts,
    limit: Limit,
) -> Iterator[Iterable[RowTokens]]:
    """Blocks of at most `limit.max_length` tokens of texts, in chunks; between texts stands what ends a text, as in
    RoBERTa's full sentences. Masks are those of measuring; a row's targets are its ids, with the complement of what is
    never masked.

    Raises:
        Refusal: The tokenizer has no mask token (FTC279).
    """
    masking = _masking(form, facts)
    before, after = _around(tokenizer)
    size = max(1, limit.max_length - len(before) - len(after))
    rest, row_of_rest = list[int](), 0
    for chunk in chunks:
        made: list[RowTokens] = []
        for i, ids in chunk:
            if not rest:
                row_of_rest = i
            rest += [*(after if rest and ids else ()), *ids]
            while len(rest) >= size:
                made.append(_block(row_of_rest, before, rest[:size], after, masking))
                rest, row_of_rest = rest[size:], i
        yield made
    if any(one >= 0 for one in rest):
        yield [_block(row_of_rest, before, rest, after, masking)]


def _masking(form: MaskedForm, facts: TokenizerFacts) -> MaskingSettings:
    if facts.mask_id is None:
        summary = "the model's tokenizer has no mask token, which marks a word that has to be filled in"
        help = "choose an encoder such as BERT, RoBERTa or ModernBERT, or the task `pretraining` for a decoder"
        raise Refusal([diagnostic("FTC279", summary, help=help, path="model.base")])
    return MaskingSettings(share=form.share, mask_id=facts.mask_id, vocabulary=facts.vocab_size)


def _around(tokenizer: TextTokenizer) -> tuple[list[int], list[int]]:
    """What the tokenizer adds before and behind a text, as complements."""
    bare = tokenizer.encode([MarkedText("a", ())])[0].ids
    whole = tokenizer.encode_complete(["a"], None)[0].ids
    begin = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), 0)
    return [~one for one in whole[:begin]], [~one for one in whole[begin + len(bare) :]]


def _block(row: int, before: list[int], texts: list[int], after: list[int], masking: MaskingSettings) -> RowTokens:
    kept = [*before, *_inner(texts), *after]
    ids, mask = fixed_masks(np.array(kept, np.int32), masking)
    return RowTokens(row, array("i", ids.tolist()), _places(mask), 0, targets=kept)


def _inner(texts: list[int]) -> list[int]:
    """Texts without what stands between two of them, where a block begins or ends there."""
    words = [at for at, one in enumerate(texts) if one >= 0]
    return texts[words[0] : words[-1] + 1] if words else []


def given_masks(
    chunks: Iterable[dict[int, Row]],
    form: MaskedForm,
    tokenizer: TextTokenizer,
    facts: TokenizerFacts,
    limit: Limit,
    counts: RowCounts,
) -> Iterator[Iterable[RowTokens]]:
    """Each text by itself, to be filled in where its mask tokens stand; one without is left out.

    Raises:
        Refusal: The tokenizer has no mask token (FTC279).
    """
    masking, most = _masking(form, facts), limit.max_length
    before, after = map(len, _around(tokenizer))
    none = f"no `{tokenizer.text_of(masking.mask_id)}` to fill in among its first {most:,} tokens"
    for chunk in chunks:
        texts = tokenizer.encode_complete([row[form.text] for row in chunk.values()], most)
        made: list[RowTokens] = []
        for i, text in zip(chunk, texts, strict=True):
            ids = np.array(text.ids, np.int32)
            if masking.mask_id not in text.ids:
                counts.drop(i, none)
                continue
            if text.was_cut:
                counts.cut.append(i)
            kept = ids.copy()
            kept[:before], kept[len(ids) - after :] = ~ids[:before], ~ids[len(ids) - after :]
            made.append(RowTokens(i, text.ids, _places(kept == masking.mask_id), 0, targets=kept.tolist()))
        yield made


def _places(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    return [(at, at + 1) for at in np.flatnonzero(mask).tolist()]
