"""Groups of test rows by a column: one for each value, and one for rows without any."""

from __future__ import annotations

import pytest

from ftc.compiler.resolve.rows.table import PartRows, Table
from ftc.compiler.tokens.probes import groups_of
from ftc.spec.diagnostics import Refusal


def part(*values: object) -> PartRows:
    rows = [{"text": "x", "region": value} for value in values]
    return PartRows(Table("rows.jsonl", ("text", "region"), rows), [1, 2, 3])


def test_each_row_of_the_stream_has_the_group_of_its_source_row() -> None:
    rows = part("east", " north ", None, 3, "west")
    assert groups_of(["region", "length"], rows, [1, 1, 3, 2], ["length"]).columns == {
        "region": ("north", "north", "3", "(none)")
    }


def test_a_column_with_a_value_for_every_row_has_no_groups() -> None:
    rows = part(*map(str, range(60)))
    with pytest.raises(Refusal, match="FTC241"):
        groups_of(["region"], rows, list(range(60)), [])
    with pytest.raises(Refusal, match="FTC241"):
        groups_of(["label"], rows, [1], ["length"])
