"""Which files of a model ftc looks at. No other name is opened or downloaded, whatever a folder holds."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

__all__ = ["CARD_FILES", "INDEX_FILE", "LICENSE_FILES", "LOADED_FILES", "SINGLE_FILE", "stray_files"]

SINGLE_FILE = "model.safetensors"
"""All weights in one file."""

INDEX_FILE = "model.safetensors.index.json"
"""Which of several files holds which tensor; it counts only where there is no single file."""

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

LICENSE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENSE", "COPYING")
"""Files that may hold the license's text, the first one that is recognized counts."""

CARD_FILES = ("README.md", *LICENSE_FILES)
"""Files that say what may be done with a model, and that loading doesn't read."""


def stray_files(folder: Path, known: Collection[str]) -> tuple[str, ...]:
    """Names of files in a model's folder that loading would read, and that are not among the known ones."""
    names = {SINGLE_FILE, INDEX_FILE, "adapter_config.json", *LOADED_FILES} - set(known)
    if SINGLE_FILE in known:
        names.discard(INDEX_FILE)  # it is read only where there is no single file
    return tuple(sorted(name for name in names if (folder / name).is_file()))
