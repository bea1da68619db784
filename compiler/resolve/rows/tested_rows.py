"""Rows that an earlier run was tested on stay test rows: a model that goes on from it must not be trained on them.

Rows are the same where the task reads the same of them, whatever else a file says and in whichever file they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ftc.compiler.resolve.rows.row_digests import example_digests
from ftc.compiler.resolve.rows.splits import Part
from ftc.compiler.resolve.rows.table import Table
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.lineage import Beginning
from ftc.spec.documents.plan import Check
from ftc.spec.documents.slices import EARLIER_GROUPS

__all__ = ["NONE", "TEST_ROWS", "HeldOut", "keep_tested", "read_tested", "tested_text"]

TEST_ROWS = "test-rows.sha256"
"""Name of the file, among token streams and in a run's folder: a digest a line."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Rows of earlier runs' test splits.

    Attributes:
        run: The run that this one begins from; empty where it begins from none.
        digests: Digest of what the task reads of each row.
    """

    run: str = ""
    digests: frozenset[bytes] = field(default_factory=frozenset)

    @classmethod
    def of(cls, begins: Beginning | None) -> Self:
        """Those that the run kept which training begins from."""
        return cls(begins.parent.run_id, begins.tested or frozenset()) if begins else cls()

    def groups(self, table: Table, numbers: Sequence[int], columns: Sequence[str]) -> tuple[str, ...]:
        """Which of some rows are earlier runs' test rows, by the names of both groups."""
        earlier, new = EARLIER_GROUPS
        keys = example_digests((table.rows[number] for number in numbers), columns)
        return tuple(earlier if key in self.digests else new for key in keys)


NONE = HeldOut()
"""Of training that begins from no run."""


def tested_text(digests: Iterable[bytes]) -> str:
    """The file's text."""
    return "".join(f"{one}\n" for one in sorted({digest.hex() for digest in digests}))


def read_tested(file: Path) -> frozenset[bytes]:
    """The digests that a file holds.

    Raises:
        OSError: It can't be read.
        ValueError: It holds something else.
    """
    found = frozenset(map(bytes.fromhex, file.read_text(encoding="ascii").split()))
    if any(len(one) != 32 for one in found):
        raise ValueError("not a list of sha256 digests")
    return found


def keep_tested(
    tested: HeldOut,
    numbers: dict[Part, Sequence[int]],
    keys: Mapping[str, Sequence[bytes]],
    tables: Mapping[str, Table],
    together: Collection[Sequence[object]],
) -> tuple[Check, ...]:
    """Moves rows that an earlier run was tested on to the test split, with those that they must not be parted from.

    Args:
        tested: The earlier runs' test rows.
        numbers: Row numbers by part; rows are moved in place.
        keys: Digest of each row by its file's use.
        tables: The files' rows by use.
        together: Values by row of the main file; rows with one value stay in one part.

    Returns:
        What was done, for the plan.

    Raises:
        Refusal: Such rows would be trained on, and can't be moved (FTC568).
    """
    found: list[Diagnostic] = []
    moved: dict[Part, list[int]] = {}
    for part in ("train", "validation"):
        use = part if part in tables else "rows"
        held = [row for row in numbers.get(part, ()) if keys[use][row] in tested.digests]
        if held and (use != "rows" or "test" in tables or "test" not in numbers):
            found.append(_refused(tested.run, part, tables[use], held, has_test="test" in numbers))
        elif held:
            moved[part] = held
    if found:
        raise Refusal(found)
    for values in together:
        shared = {values[row] for rows in moved.values() for row in rows}
        others: dict[Part, Sequence[int]] = {
            part: rows for part, rows in numbers.items() if part != "test" and part not in tables
        }
        for part, rows in others.items():
            moved[part] = sorted({*(row for row in rows if values[row] in shared), *moved.get(part, ())})
    for part, rows in moved.items():
        numbers[part] = sorted(set(numbers[part]) - set(rows))
        numbers["test"] = sorted({*numbers["test"], *rows})
    if not numbers["train"]:
        raise Refusal([_refused(tested.run, "train", tables["rows"], list(numbers["test"]), has_test=True)])
    use = "test" if "test" in tables else "rows"
    known = sum(keys[use][row] in tested.digests for row in numbers.get("test", ()))
    if not known:
        return ()
    count = sum(map(len, moved.values()))
    result = f"{known:,} rows of the test split are test rows of run {tested.run}; {count:,} were moved there"
    return (Check(name="earlier test rows", code=None, result=result),)


def _refused(run: str, part: Part, table: Table, rows: list[int], *, has_test: bool) -> Diagnostic:
    where = "are trained on" if part == "train" else "choose the checkpoint"
    help = "remove them from this file" if has_test else "give `data.split.test` a share; they are then moved there"
    return diagnostic(
        "FTC568",
        f"{len(rows):,} rows that run `{run}` was tested on {where}",
        help=(help, "scores on rows that a model was trained on say nothing"),
        notes=[table.places(rows)],
        path="data.split.test" if not has_test else "data.source",
    )
