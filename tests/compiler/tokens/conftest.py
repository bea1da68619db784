"""Small tokenizers, chat templates in the style of well-known models, and random conversations."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.spec.documents.facts import TokenizerFacts

SPECIAL = [
    *("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<start_of_turn>", "<end_of_turn>"),
]
CORPUS = [
    "user and assistant write a short line",
    "The answer is 42, of course.",
    "Summarize: river stone winter ledger",
]
TEXTS = [
    "",
    " ",
    "\n",
    "\n\nso",
    " a",
    "The answer is 42",
    "user",
    "<|im_end|>",
    "a<|im_end|>b",
    "</s>",
    "<s",
    "é日本🙂",
    "k",
]


@pytest.fixture(scope="session")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tokenizer.json of a byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*CORPUS, "\n\n\n\n", "a\n\nb\n\nc"] * 3, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    file = tmp_path_factory.mktemp("byte_level") / "tokenizer.json"
    tokenizer.save(str(file))
    return file


@pytest.fixture(scope="session")
def word_piece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tokenizer.json of a BERT-like WordPiece, with truncation and padding left on as some are published."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=marks, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    file = tmp_path_factory.mktemp("word_piece") / "tokenizer.json"
    tokenizer.save(str(file))
    return file


@pytest.fixture(scope="session")
def renderer() -> Iterator[TemplateRenderer]:
    """One child for all tests that don't break it."""
    with TemplateRenderer() as renderer:
        yield renderer


@pytest.fixture(scope="session")
def template() -> Callable[[str], str]:
    """The source of a chat template of the folder `templates`."""
    folder = Path(__file__).parent / "templates"
    return lambda name: (folder / f"{name}.jinja").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def facts() -> Callable[[str | None], TokenizerFacts]:
    """What a model's files say of its tokenizer, given its chat template."""
    tokens: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": None}
    ids: dict[str, Any] = {"bos_id": 0, "eos_id": 1, "pad_id": None}
    return lambda source: TokenizerFacts(vocab_size=420, model_max_length=None, chat_template=source, **tokens, **ids)


@pytest.fixture(scope="session")
def conversations() -> list[list[dict[str, str]]]:
    """Conversations of many shapes, with texts that tempt a careless splitter."""
    draw = random.Random(17)

    def text() -> str:
        return "".join(draw.choice([*TEXTS, *"abc \n<|>"]) for _ in range(draw.randrange(6)))

    rows = []
    for _ in range(150):
        turns = [{"role": "system", "content": text()}] if draw.random() < 0.3 else []
        for _ in range(draw.randrange(1, 4)):
            turns += [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]
        if draw.random() < 0.2:
            turns.append({"role": "user", "content": text()})
        rows.append(turns)
    return rows
