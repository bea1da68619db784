"""Which files of a data set on the hub hold rows to train on, as far as their names tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ftc.compiler.resolve.rows.tables import SUFFIXES
from ftc.spec.diagnostics import Refusal, Span, diagnostic

__all__ = ["only_training_file", "training_files"]

_MOST_NAMED = 6

_DESCRIPTIONS = frozenset(
    {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "croissant.json"}
)
_TRAINING = re.compile(r"(?:^|[/_.-])train(?:ing)?(?=[/_.-]|\d|$)", re.IGNORECASE)


def training_files(names: Iterable[str]) -> list[str]:
    """The data files named for training, such as `data/train-00000-of-00002.parquet`; without any, all data files."""
    files = sorted(
        name
        for name in names
        if name.lower().endswith(SUFFIXES)
        and name.rpartition("/")[2] not in _DESCRIPTIONS
        and not any(part.startswith(".") for part in name.split("/"))
    )
    return [name for name in files if _TRAINING.search(name)] or files


def only_training_file(names: Iterable[str], repo: str, span: Span | None, path: str) -> str:
    """The file that is meant where a recipe names none.

    Args:
        names: All files of the repository.
        repo: Its id.
        span: Where the recipe names it.
        path: Dotted path of that value.

    Raises:
        Refusal: FTC324: there is none, or more than one.
    """
    files = training_files(names)
    if len(files) == 1:
        return files[0]
    if not files:
        summary = f"`{repo}` holds no file of rows that ftc reads"
        help = "name a data set with Parquet, JSON lines or CSV files"
        raise Refusal([diagnostic("FTC324", summary, span, help=help, path=path)])
    summary = f"`{repo}` holds {len(files)} files that may be meant, and the recipe names none"
    listed = ", ".join(f"`{name}`" for name in files[:_MOST_NAMED])
    rest = f" and {len(files) - _MOST_NAMED} more" if len(files) > _MOST_NAMED else ""
    items = [f"{{hub: {repo}, file: {name}}}" for name in files[:_MOST_NAMED]]
    more = ", ..." if len(files) > _MOST_NAMED else ""
    help = f"name one with `file:`, or take all: `source: [{', '.join(items)}{more}]`"
    raise Refusal([diagnostic("FTC324", summary, span, notes=listed + rest, help=help, path=path)])
