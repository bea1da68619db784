"""Texts by their words have the tokens that the library gives them whole."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from array import array
from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from ftc.compiler.tokens import known_words
from ftc.compiler.tokens.known_words import LETTERS, SIGNS, KnownWords, pattern_of

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
PIECES = (
    *("'s", "'LL", "'re", "don't", " I'M", "'", " '", "''d", "the answer", " of", "a", "ABC", "x1y22", "12345", " 7"),
    *(" ", "  ", "   ", "\n", "\n\n", " \n", "\t", "\r\n", "\x0b", "\x1c", "\x00", "\x7f", "...", " -> ", "_"),
    *("é", "Straße", "naïve", "“so”", "—", "…", "Ελλάδα", "Привет", "안녕", "שלום", "مرحبا", "'ß", "ŉ", "Ž"),
)
BEYOND = ("日本", "🙂", "e\u0301", "\u00a0", "½", "'ſ", "\u0387", "K", "\u3000", "\u0645\u064e")  # the library's alone
RANDOM = random.Random(3)
TEXTS = ["".join(RANDOM.choices(PIECES, k=RANDOM.randrange(12))) for _ in range(3_000)]
TEXTS += ["".join(RANDOM.choices(PIECES + BEYOND, k=RANDOM.randrange(12))) for _ in range(1_000)]
TEXTS += ["".join(chr(RANDOM.randrange(128)) for _ in range(RANDOM.randrange(30))) for _ in range(1_000)]


def level(**given: bool) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **given)


def split(pattern: str) -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), level(use_regex=False)])


KNOWN = {
    "gpt2": level(),
    "digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level()]),
    "llama3": split(LLAMA3),
    "qwen2": split(LLAMA3.replace("{1,3}", "")),
}


def trained(pre_tokenizer: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


@pytest.mark.parametrize("name", KNOWN)
def test_words_give_the_ids_of_the_whole_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = trained(KNOWN[name])

    def whole(texts: Sequence[str]) -> list[bytes]:
        found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [array("i", one.ids).tobytes() for one in found]

    pattern = pattern_of(json.loads(tokenizer.to_str())["pre_tokenizer"])
    assert pattern is not None
    monkeypatch.setattr(known_words, "_MOST_CHARS", 2_000)  # so that the words are forgotten now and then
    words = KnownWords(pattern, whole)
    for begin in range(0, len(TEXTS), 100):
        some = TEXTS[begin : begin + 100]
        assert words.ids(some) == whole(some)


def test_a_pattern_that_differs_in_a_letter_is_not_known() -> None:
    others = [
        level(use_regex=False),
        split(LLAMA3.replace("{1,3}", "{1,2}")),
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), level()]),
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "removed"), level(use_regex=False)]),
        pre_tokenizers.Sequence([split(LLAMA3), level()]),
    ]
    assert [pattern_of(json.loads(one.__getstate__())) for one in others] == [None] * len(others)
    assert pattern_of(None) is None


def test_the_characters_are_what_unicode_says() -> None:
    letters = re.findall(f"[{LETTERS}]", "".join(map(chr, range(0xD800))))
    assert {unicodedata.category(one)[0] for one in letters} == {"L"}
    assert not {unicodedata.category(one)[0] for one in SIGNS} & {"L", "N", "Z", "M", "C"}
    assert all(unicodedata.is_normalized("NFC", one) for one in (*letters, *SIGNS))
    same = [one for one in letters if not one.isascii() and re.match("[a-z]", one, re.IGNORECASE)]
    assert same == []
