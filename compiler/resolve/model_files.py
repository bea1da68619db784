"""Which files of a model ftc looks at. No other name is opened or downloaded, whatever a folder holds."""

from __future__ import annotations

__all__ = ["CARD_FILES", "LICENSE_FILES", "LOADED_FILES"]

LOADED_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
"""Files besides the weights that loading reads where they exist."""

LICENSE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")
"""Files that may hold the licence's text, the first one that is recognised counts."""

CARD_FILES = ("README.md", *LICENSE_FILES)
"""Files that say what may be done with a model, and that loading doesn't read."""
