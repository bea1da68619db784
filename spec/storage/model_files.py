"""Which files of a model ftc looks at. No other name is opened or downloaded, whatever a folder holds.

The digest of a set of weights is the same in the compiler, which reads files, and in the runtime, which has tensors:
it is over each tensor's name, type, shape and own sha256, by sorted name. So it depends on what the weights are and
not on files: shards, the order of tensors in a file and the header's remarks don't reach it, and each tensor can be
hashed by a thread of its own and named when it differs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftc.spec import canonical

__all__ = [
    "CARD_FILES",
    "INDEX_FILE",
    "LICENSE_FILES",
    "LOADED_FILES",
    "PROCESSOR_TEMPLATE_FILE",
    "SINGLE_FILE",
    "TEMPLATE_FILE",
    "TEXT_FILES",
    "TensorDigest",
    "content_digest",
    "header_digest",
    "stray_files",
]

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
    "chat_template.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
"""Files besides the weights that loading reads where they exist."""

TEMPLATE_FILE = "chat_template.jinja"
PROCESSOR_TEMPLATE_FILE = "chat_template.json"
"""Where processors of several kinds of inputs kept it before."""
TEXT_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *(TEMPLATE_FILE, PROCESSOR_TEMPLATE_FILE),
)
"""Those of them that say how text becomes tokens."""

LICENSE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")
"""Files that may hold the license's text, in either spelling; the first one that is recognized counts."""

CARD_FILES = ("README.md", *LICENSE_FILES)
"""Files that say what may be done with a model, and that loading doesn't read."""


def stray_files(folder: Path, known: Collection[str]) -> tuple[str, ...]:
    """Names of files in a model's folder that loading would read, and that are not among the known ones."""
    names = {SINGLE_FILE, INDEX_FILE, "adapter_config.json", *LOADED_FILES} - set(known)
    if SINGLE_FILE in known:
        names.discard(INDEX_FILE)  # it is read only where there is no single file
    return tuple(sorted(name for name in names if (folder / name).is_file()))


@dataclass(frozen=True, slots=True)
class TensorDigest:
    """One tensor.

    Attributes:
        dtype: Name of the element type as safetensors has it, such as `F32`.
        shape: Sizes, outermost first.
        sha256: sha256 of the elements' bytes, little-endian, in row-major order.
    """

    dtype: str
    shape: Sequence[int]
    sha256: str


def content_digest(tensors: Mapping[str, TensorDigest]) -> str:
    """sha256 over all tensors: equal whenever two sets of weights are."""
    return canonical.digest([[name, one.dtype, list(one.shape), one.sha256] for name, one in sorted(tensors.items())])


def header_digest(tensors: Mapping[str, TensorDigest]) -> str:
    """sha256 over names, types and shapes alone."""
    return canonical.digest([[name, one.dtype, list(one.shape)] for name, one in sorted(tensors.items())])
