"""Text that matches a pattern: by ftc's own mark as by pydantic's, where that would take long to build."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

import ftc.compiler.pipeline  # noqa: F401 - loads the documents of a plan
from ftc.spec.base import Document
from ftc.spec.extension_points import ENTRY
from ftc.spec.names import Spelled

OURS: TypeAdapter[str] = TypeAdapter(Annotated[str, Spelled(ENTRY)])
THEIRS: TypeAdapter[str] = TypeAdapter(Annotated[str, Field(pattern=f"^{ENTRY}$")])


@pytest.mark.parametrize(
    "value",
    ["a:b", "courtesy-metrics:courtesy", "a:ünit.x-y", "a:b\n", "\na:b", "a b:c", "a:", ":b", "-a:b", "a:" + 99 * "b"]
    + ["a:" + 100 * "b", 100 * "a" + ":b", 101 * "a" + ":b", "", 3, None],
)
def test_says_what_pydantic_says(value: object) -> None:
    """The same texts are taken, and the same errors raised."""
    said: list[object] = []
    for adapter in (OURS, THEIRS):
        try:
            said.append(adapter.validate_python(value, strict=True))
        except ValidationError as problem:
            said.append(problem.errors(include_url=False))
    assert said[0] == said[1]


def test_is_the_same_in_json_schema() -> None:
    """An editor sees the pattern."""
    assert OURS.json_schema() == THEIRS.json_schema()


def documents(of: type[Document] = Document) -> Iterator[type[Document]]:
    """Every document that is loaded."""
    for one in of.__subclasses__():
        yield one
        yield from documents(one)


def patterns(part: Any) -> Iterator[str]:
    """Patterns of a field that pydantic's own engine matches."""
    yield from re.findall(r"pattern='((?:[^'\\]|\\.)*)'", repr(part))


def test_no_pattern_of_a_recipe_or_plan_writes_out_all_letters_many_times() -> None:
    """A count behind `\\w` has pydantic's engine write out Unicode's letters as often: `Spelled` doesn't."""
    found = {text for one in documents() for field in one.model_fields.values() for text in patterns(field)}
    assert len(found) > 5
    assert [text for text in found if re.search(r"\\w[^\[\]]*\]?\{\d*,?\d\d", text)] == []
