"""A model's license: the card's own, else that of a license file known by its words."""

from __future__ import annotations

import re
from pathlib import Path

from ftc.spec.storage.model_files import LICENSE_FILES

__all__ = ["read_license"]

_MAX_BYTES = 65_536
_FRONT_MATTER = re.compile(r"\A\ufeff?---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)

# Words that stand in the text, in the order in which they are tried: the narrower license comes first.
_BY_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("apache-2.0", ("apache license", "version 2.0")),
    ("agpl-3.0", ("gnu affero general public license", "version 3")),
    ("lgpl-3.0", ("gnu lesser general public license", "version 3")),
    ("gpl-3.0", ("gnu general public license", "version 3")),
    ("gpl-2.0", ("gnu general public license", "version 2")),
    ("mpl-2.0", ("mozilla public license", "version 2.0")),
    ("bsd-3-clause", ("redistribution and use in source and binary forms", "neither the name")),
    ("bsd-2-clause", ("redistribution and use in source and binary forms",)),
    ("cc-by-nc-sa-4.0", ("attribution-noncommercial-sharealike 4.0",)),
    ("cc-by-nc-4.0", ("attribution-noncommercial 4.0",)),
    ("cc-by-sa-4.0", ("attribution-sharealike 4.0",)),
    ("cc-by-4.0", ("attribution 4.0 international",)),
    ("cc0-1.0", ("cc0 1.0 universal",)),
    ("unlicense", ("this is free and unencumbered software",)),
    ("mit", ("permission is hereby granted, free of charge", "the above copyright notice and this permission")),
)


def read_license(folder: Path) -> str | None:
    """SPDX-like id in lower case, or None where none is stated or the text isn't recognized."""
    run = folder.parent if (folder.parent / "record.json").is_file() else folder
    if stated := _from_card(_text(folder / "README.md")):
        return stated
    for text in (" ".join(_text(folder / name).lower().split()) for name in LICENSE_FILES):
        if found := next((name for name, needles in _BY_WORDS if all(needle in text for needle in needles)), None):
            return found
    return _from_card(_text(run / "README.md"))


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_BYTES).decode("utf-8", "replace").replace("\r\n", "\n")
    except OSError:
        return ""


def _from_card(card: str) -> str | None:
    match = _FRONT_MATTER.match(card)
    if not match:
        return None
    stated = _value(match[1], "license")
    named = _value(match[1], "license_name") if stated == "other" else None
    return named or stated


def _value(front_matter: str, key: str) -> str | None:
    """A scalar, or the only item of a list: two licenses at once can't be judged by one name."""
    match = re.search(rf"^{key}:[ \t]*(.*)((?:\n[ \t]*-[ \t]+.*)*)", front_matter, re.MULTILINE)
    if not match:
        return None
    items = [match[1], *re.findall(r"-[ \t]+(.*)", match[2])]
    values = [item for raw in items if (item := raw.split(" #")[0].strip(" \t\"'[]").lower())]
    return values[0] if len(values) == 1 else None
