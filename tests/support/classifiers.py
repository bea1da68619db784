"""Tiny text classifiers, made beside a tiny model whose tokenizer they share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

__all__ = ["make_classifier"]


def make_classifier(folder: Path, tokenizer_from: Path, **changes: Any) -> Path:
    """Writes a BERT classifier of two labels, `fine` and `toxic`; `changes` are further keys of its config.json.

    Args:
        folder: Where it will lie.
        tokenizer_from: A model's folder, whose tokenizer it gets.
    """
    import torch
    import transformers

    shutil.copytree(tokenizer_from, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json", "gen*"))
    size = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    shape: dict[str, Any] = {"vocab_size": max(size, 128), "hidden_size": 32, "intermediate_size": 32}
    shape |= {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 24, "pad_token_id": 0}
    torch.manual_seed(4)
    config = transformers.BertConfig(**shape, id2label={0: "fine", 1: "toxic"}, initializer_range=0.5, **changes)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder
