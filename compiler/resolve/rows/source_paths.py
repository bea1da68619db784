"""Where a recipe names its sources of rows, and what of them has no effect.

Apart from `ftc.compiler.resolve.rows.data_files`, which finds and reads them: the rules of a recipe's text need no more
than this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.row_files import suffix_of
from ftc.spec.sections.augment import Paraphrases
from ftc.spec.sections.data import Data, HubSource, PathSource

__all__ = ["idle_keys", "source_paths"]


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


def idle_keys(source: PathSource, name: str, place: str, span_of: Callable[[str], Span | None]) -> Iterator[Diagnostic]:
    """A finding for each key of a source that has no effect on how a file is read.

    Args:
        source: The source.
        name: The file, or an address or a folder that may name its kind.
        place: Dotted path of the source.
        span_of: Place in the recipe of the value at a dotted path.
    """
    for key in source.idle_keys(name):
        kinds = "workbooks" if key == "sheet" else "CSV and TSV"
        why = f"on a `{suffix_of(name)}` file: it is for {kinds}"
        if source.reader is not None:
            why = "beside `reader`: the package reads the file"
        path = f"{place}.{key}"
        yield diagnostic("FTC486", f"`{key}` has no effect {why}", span_of(path), help=f"remove `{key}`", path=path)
