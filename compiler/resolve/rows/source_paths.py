"""Where a recipe names its sources of rows.

Apart from `ftc.compiler.resolve.rows.data_files`, which finds and reads them: the rules of a recipe's text need no more
than this.
"""

from __future__ import annotations

from ftc.spec.sections.data import Data, HubSource, Paraphrases, PathSource

__all__ = ["source_paths"]


def source_paths(data: Data) -> dict[str, tuple[str, PathSource | HubSource | Paraphrases]]:
    """Each source of a recipe by its use, with its dotted path."""
    found: dict[str, tuple[str, PathSource | HubSource | Paraphrases]] = {}
    if isinstance(data.source, tuple):
        found = {f"rows[{i}]": (f"data.source[{i}]", source) for i, source in enumerate(data.source)}
    else:
        found["rows"] = ("data.source", data.source)
    for part, share in (("validation", data.split.validation), ("test", data.split.test)):
        if isinstance(share, PathSource | HubSource):
            found[part] = (f"data.split.{part}", share)
    if data.augment is not None and data.augment.paraphrases is not None:
        found["paraphrases"] = ("data.augment.paraphrases", data.augment.paraphrases)
    return found
