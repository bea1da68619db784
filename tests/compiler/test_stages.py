"""How far a plan is with its rows: every stage in its order, all rows counted, the same for any number of processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.resolve.rows import in_processes, row_store
from ftc.compiler.resolve.rows.in_processes import with_jobs
from ftc.compiler.stages import advance, begin_stage, with_stages
from ftc.spec.stage import Stage
from tests.diagnostics.worlds import write_plain_model

ROWS = 50
RECIPE = """\
ftc: 1
name: tiny
task: {kind: KIND}
data: {source: {path: rows.csv}}
model: {base: ./model}
strategy: {kind: full}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / ".ftc").mkdir(parents=True)
    monkeypatch.chdir(folder)
    write_plain_model(folder / "model")
    rows = [
        f"text number {one} is about {'rain' if one % 2 else 'sun'},{'cold' if one % 2 else 'warm'}\n"
        for one in range(ROWS)
    ]
    (folder / "rows.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    monkeypatch.setattr(in_processes, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(row_store, "_ROWS_TOLD", 10)
    return folder


def heard(folder: Path, kind: str, jobs: int, cache: str) -> tuple[str, list[Stage]]:
    """The plan's digest, and each stage as it was told last."""
    told: list[Stage] = []

    def hear(stage: Stage) -> None:
        if told and told[-1].name == stage.name and stage.done:
            told[-1] = stage
        else:
            told.append(stage)

    (folder / "recipe.yaml").write_text(RECIPE.replace("KIND", kind), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, with_jobs(jobs), with_stages(hear):
        patch.setenv("FTC_CACHE", str(folder.parent / cache))
        return api.plan("recipe.yaml", offline=True, keep_lock=True).plan.sha256, told


def test_all_rows_are_counted_by_any_number_of_processes(project: Path) -> None:
    found = [heard(project, "classification", jobs, f"cache-{jobs}") for jobs in (1, 2)]
    assert found[0] == found[1]
    _, told = found[0]
    assert told == [
        Stage("reading", ROWS),
        Stage("hashing", ROWS, ROWS),
        Stage("normalizing", 0, ROWS),  # labels are text already
        Stage("checking"),
        Stage("comparing", ROWS, ROWS),
        Stage("dividing"),
        Stage("tokenizing", ROWS, ROWS),
        Stage("checking"),
        Stage("writing", ROWS, ROWS),
    ]


def test_rows_beside_the_splits_are_counted_by_themselves(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "swaps.csv").write_text("from,to\nrain,snow and rain\n", encoding="utf-8")
    monkeypatch.setattr(f"{__name__}.RECIPE", RECIPE + "eval: {swaps: {path: swaps.csv}}\n")
    _, told = heard(project, "classification", 1, "cache")
    *_, splits, beside = told
    assert splits == Stage("writing", ROWS, ROWS)
    assert (beside.name, beside.done) == ("writing", beside.total)
    assert 0 < beside.done < ROWS


def test_rows_that_become_blocks_are_counted_too(project: Path) -> None:
    (project / "rows.csv").write_text("text\n" + "".join(f"some words and {one}\n" for one in range(ROWS)))
    _, told = heard(project, "pretraining", 1, "cache")
    assert Stage("tokenizing", ROWS, ROWS) in told


def test_a_plan_whose_streams_are_kept_has_no_stages(project: Path) -> None:
    first, told = heard(project, "classification", 1, "cache")
    assert told
    assert heard(project, "classification", 1, "cache") == (first, [])


def test_rows_of_another_stage_are_not_counted() -> None:
    told: list[Stage] = []
    advance("reading", 5)
    with with_stages(told.append):
        begin_stage("hashing", 9)
        advance("reading", 5)
        advance("hashing", 4)
    advance("hashing", 5)
    assert told == [Stage("hashing", 0, 9), Stage("hashing", 4, 9)]
