"""Run folders whose test rows are answered, for whoever compares answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ftc.spec.documents.outcomes import Outcome, Said
from ftc.spec.storage.atomic_write import write_text
from ftc.spec.storage.paths import RunFolder
from tests.support import documents

__all__ = ["answered_run"]


def answered_run(
    root: Path,
    run_id: str,
    rows: int,
    *,
    base: Callable[[int], str] | None = lambda row: f"base {row}",
    tuned: Callable[[int], str] = lambda row: f"tuned {row}",
    prompt: Callable[[int], str] = lambda row: f"question {row}",
) -> Path:
    """A finished run of a project, in which row numbers are told what to answer."""
    folder = root / "runs" / "demo" / run_id
    folder.mkdir(parents=True)
    place, plan = RunFolder(folder), documents.plan(name="demo").sealed()
    write_text(place.plan, plan.to_text())
    write_text(place.record, documents.record(plan, id=run_id, name="demo", status="finished").sealed().to_text())
    lines = [
        Outcome(
            row=row,
            prompt=prompt(row),
            expected=f"answer {row}",
            base=Said(text=base(row), loss_sum=2.0, targets=4) if base else None,
            tuned=Said(text=tuned(row), loss_sum=1.0, targets=4),
        )
        for row in range(rows)
    ]
    write_text(place.outcomes, "".join(json.dumps(line.to_json(), sort_keys=True) + "\n" for line in lines))
    return folder
