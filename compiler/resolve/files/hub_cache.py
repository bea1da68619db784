"""What the hub's cache says by itself of a repository, without the hub."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ftc.spec.documents.facts import FileFacts

__all__ = ["HubFile", "Snapshot", "cached_list", "identity_in_cache"]


class Snapshot(NamedTuple):
    """A model's files in the hub's cache. Files are links into `cache`, and none leads out of it."""

    commit: str
    folder: Path
    cache: Path


class HubFile(NamedTuple):
    """One file of a data set in the hub's cache.

    Attributes:
        commit: Of the data set.
        name: Its path inside the data set.
        path: Where it lies.
        facts: Size and digest.
        lacks_card: Whether the cache leaves open what names the classes that it holds as numbers.
    """

    commit: str
    name: str
    path: Path
    facts: FileFacts
    lacks_card: bool = False


def cached_list(data_set: str, revision: str, cache: Path) -> frozenset[str] | None:
    """All files that a data set has at a revision, whether or not they are in the cache; None where nobody knows.

    The hub's library keeps the list of a commit where it downloads a whole data set, as `hf download` does. The files
    in the cache are no such list: whoever fetches one leaves its neighbors out.
    """
    import huggingface_hub
    from huggingface_hub import errors

    known = getattr(huggingface_hub, "get_cached_repo_tree", None)  # earlier releases keep none
    if known is None:
        return None
    try:
        return frozenset(one.path for one in known(data_set, repo_type="dataset", revision=revision, cache_dir=cache))
    except (errors.CachedRepoTreeNotFoundError, AttributeError, RecursionError):  # JSON of another form is no list
        return None


def identity_in_cache(path: Path) -> str:
    """The hub's cache names each blob by its identity, so a link's target says what the bytes should be."""
    return path.resolve().name if path.is_symlink() else ""
