"""Kinds of files of rows, by the suffixes that decide how they are read."""

from __future__ import annotations

import re

__all__ = [
    "BESIDE_ROWS",
    "COLUMNAR",
    "CONLL",
    "DOCUMENTS",
    "DOCUMENT_HELP",
    "IMAGE_FILES",
    "PACKED",
    "SEPARATED",
    "SUFFIXES",
    "TEXT_FILES",
    "WORKBOOKS",
    "suffix_of",
]

WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
"""Suffixes of workbooks, which an extra reads."""
SEPARATED = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
"""Suffixes of files of separated values, which may have no header."""
CONLL = (".conll", ".iob", ".iob2", ".bio")
"""Suffixes of files with a word and its tag a line."""
PACKED = ".gz"
"""Suffix of a file in gzip, behind that of the file inside."""
TEXT_FILES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", *CONLL)
"""Suffixes of files of text, which may be in gzip."""
COLUMNAR = (".parquet", ".arrow", ".feather")
"""Suffixes of files whose columns have a schema, which may name the classes of labels."""
SUFFIXES = (
    *TEXT_FILES,
    *WORKBOOKS,
    *COLUMNAR,
    *(f"{suffix}{PACKED}" for suffix in TEXT_FILES),
)
"""Suffixes of the files that are read, in lower case."""

DOCUMENTS = (
    *(".md", ".markdown", ".rst", ".tex", ".text", ".html", ".htm", ".xml"),
    *(".py", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".rs", ".go", ".sh"),
)
"""Suffixes of texts that are not read as they are, since each is one row of many lines: documents, and programs."""
DOCUMENT_HELP = 'write each text as a line `{"text": "…"}` of a .jsonl file; of a .txt file, each line is a row'
"""What to do with them."""
BESIDE_ROWS = ("readme", "license", "licence", "copying", "notice", "citation", "changelog")
"""How names of files begin, in lower case, that lie beside rows and hold none."""
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Suffixes of images, which rows name and which are no rows themselves."""


def suffix_of(path: str) -> str:
    """The suffix by which a file at a path or an address is read; empty where it has none of those that are."""
    name = re.split(r"[?#]", path, maxsplit=1)[0] if "://" in path else path
    return max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")
