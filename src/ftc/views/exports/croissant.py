"""The data of a run in Croissant 1.0: its files with their digests, and the columns that the task read.

Name, license, publisher and purpose of a data set are nowhere in a recipe, so they aren't here either.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from ftc.spec.documents.plan import Plan
from ftc.views import numbers
from ftc.views.exports.common import known, source_files

__all__ = ["CONTEXT", "croissant_dataset"]

_OWN_WORDS = (
    *("citeAs", "column", "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes"),
    *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform", "equivalentProperty"),
)

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{word: f"cr:{word}" for word in _OWN_WORDS},
}
"""Meaning of the words, as the format lays it down."""

_MEDIA_TYPES = {
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".json": "application/json",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".parquet": "application/x-parquet",
    ".arrow": "application/vnd.apache.arrow.file",
}
_WITH_COLUMNS = frozenset({"application/jsonlines", "text/csv", "text/tab-separated-values", "application/x-parquet"})
"""Types whose columns the format can name."""

_TEXT_PARTS = frozenset(
    {"completion", "context", "document", "input", "instruction", "label", "output", "prompt", "question", "summary"}
    | {"text", "text_pair"}
)
"""Parts of a task that are one text a row. Others are lists or nested, in forms of several kinds."""


def croissant_dataset(plan: Plan) -> dict[str, Any]:
    """The data set of a run's plan."""
    files, sets = [], []
    for use, source in sorted(plan.lock.data.sources.items()):
        rows, among = numbers.plural(source.rows, "row"), numbers.plural(len(source.files), "file")
        for id, address, file in source_files(use, source):
            files.append(
                {
                    "@type": "cr:FileObject",
                    "@id": f"file:{id}",
                    "name": id.partition("/")[2] or PurePosixPath(address.replace("\\", "/")).name,
                    "description": f"one of {among} with {rows} together" if source.files else rows,
                    "contentUrl": address,
                    "contentSize": f"{file.size} B",
                    "encodingFormat": _media_type(address),
                    "sha256": file.sha256,
                }
            )
            sets += _record_sets(plan, use, id, address)
    parts = ", ".join(f"{name} {numbers.plural(report.rows, 'row')}" for name, report in plan.splits)
    return known(
        **{"@context": CONTEXT, "@type": "sc:Dataset"},
        name=plan.name,
        description=f"Training and evaluation data of {plan.recipe_file}: {parts}.",
        conformsTo="http://mlcommons.org/croissant/1.0",
        distribution=files,
        recordSet=sets,
    )


def _media_type(address: str) -> str:
    return _MEDIA_TYPES.get(PurePosixPath(address).suffix.lower(), "text/plain")


def _record_sets(plan: Plan, use: str, id: str, address: str) -> list[dict[str, Any]]:
    """The columns of one file that the task reads as text; nothing where the format can't name any."""
    if _media_type(address) not in _WITH_COLUMNS:
        return []
    several = plan.recipe.data.source if isinstance(plan.recipe.data.source, tuple) else ()
    own = {f"rows[{number}]": one.fields for number, one in enumerate(several)}.get(use) or {}
    columns = {**plan.settings.text.columns, **own}  # one of several sources may name its columns otherwise
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"rows:{id}/{column}",
            "name": column,
            "description": f"read as `{part}`",
            "dataType": "sc:Text",
            "source": {"fileObject": {"@id": f"file:{id}"}, "extract": {"column": column}},
        }
        for part, column in columns.items()
        if part in _TEXT_PARTS
    ]
    return [{"@type": "cr:RecordSet", "@id": f"rows:{id}", "name": id, "field": fields}] if fields else []
