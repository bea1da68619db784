"""The data in a model card: each source with what pins it, and the rows and tokens of each split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.documents.plan import Plan
from ftc.spec.sections.data import HubSource
from ftc.views import numbers
from ftc.views.card_code import inline_code

__all__ = ["data_section", "hub_datasets"]


def hub_datasets(plan: Plan) -> list[str]:
    """Ids of the data sets of the hub, in order."""
    data = plan.recipe.data
    rows = data.source if isinstance(data.source, tuple) else (data.source,)
    sources = (*rows, data.split.validation, data.split.test)
    return sorted({source.hub for source in sources if isinstance(source, HubSource)})


def data_section(plan: Plan) -> str:
    """A list of the sources and a table of the splits, in Markdown."""
    rows = [
        "| split | rows | tokens | truncated rows | dropped rows |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {numbers.count(split.rows)} | {numbers.count(split.tokens)} "
            f"| {numbers.count(split.truncated_rows)} | {numbers.count(split.dropped_rows)} |"
            for name, split in plan.splits
        ),
    ]
    sources = [
        f"- {use}: {', '.join(_source_parts(plan, use, source))}" for use, source in plan.lock.data.sources.items()
    ]
    return "\n".join(sources) + "\n\n" + "\n".join(rows)


def _source_parts(plan: Plan, use: str, source: SourceLock) -> Iterator[str]:
    """Its name, with configuration and split of a data set of the hub, its rows, and the digest that pins it."""
    data = plan.recipe.data
    several = data.source if isinstance(data.source, tuple) else ()
    named = {"rows": data.source, "validation": data.split.validation, "test": data.split.test}
    asked = {**named, **{f"rows[{number}]": one for number, one in enumerate(several)}}.get(use)
    if not isinstance(asked, HubSource):
        path = str(getattr(asked, "path", use)).replace("\\", "/")
        yield inline_code(PurePosixPath(path).name)
    elif asked.split is None:
        yield inline_code(f"{asked.hub}/{source.file_in_repository}")
    else:
        yield inline_code(asked.hub)
        if asked.config is not None:
            yield f"configuration {inline_code(asked.config)}"
        yield f"split {inline_code(asked.split)}"
    if source.files:
        yield f"{numbers.plural(source.rows, 'row')} in {numbers.plural(len(source.files), 'file')}"
        yield f"sha256 over their names and digests {inline_code(source.file.sha256)}"
    else:
        yield numbers.plural(source.rows, "row")
        yield f"sha256 {inline_code(source.file.sha256)}"
    if source.commit:
        yield f"commit {inline_code(source.commit)}"
