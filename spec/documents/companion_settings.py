"""What measurement asks beside the model, with nothing left open: a classifier of answers, and a list of synonyms."""

from __future__ import annotations

from ftc.spec.base import Document
from ftc.spec.documents.facts import FileFacts
from ftc.spec.names import InsidePath

__all__ = ["ClassifierSettings", "WordnetSettings"]


class ClassifierSettings(Document):
    """Which classifier looks at written answers, and what of it counts."""

    base: str
    """Folder in the project, or id on the hub."""
    commit: str | None
    """Commit of a hub snapshot; None for a folder."""
    files: dict[InsidePath, FileFacts]
    """Every file that loading reads, by its path inside the folder."""
    label: str
    label_id: int
    """Place of the label among the classifier's outputs."""
    num_labels: int
    single: bool
    """Whether an answer has the likeliest label alone; else each label whose probability is at least a half."""
    max_length: int
    """Longest answer that it can read, in tokens; of a longer one it reads the beginning."""
    pad_id: int | None
    """None where it can't read answers of several lengths at once."""


class WordnetSettings(Document):
    """Which WordNet METEOR takes synonyms from."""

    release: str
    """WordNet's release, such as `3.0`; empty where its files don't state it."""
    sha256: str
    """Digest of its files."""
