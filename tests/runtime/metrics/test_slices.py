"""Metrics by group: those of the group's rows alone, and how far groups are apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.metrics.slices import slice_results
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.outcomes import figures, plain_name
from ftc.spec.documents.record import Evaluation, SubjectResult
from ftc.spec.documents.slices import Groups, Measured, measured, measured_kind
from tests.runtime.jobs import make_job
from tests.support import documents
from tests.support.measured import BY_REGION, RETENTION, SWAPS
from tests.support.streams import write_columns
from tests.support.tiny_models import write_tiny_model


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("accuracy", Measured("accuracy")),
        ("accuracy on region = north", Measured("accuracy", "region", "north")),
        ("f1 of sport on length=short", Measured("f1 of sport", "length", "short")),
        ("macro_f1 gap on region", Measured("macro_f1", "region")),
        ("accuracy on region", Measured("accuracy on region")),
        ("accuracy gap on region = north", Measured("accuracy gap on region = north")),
    ],
)
def test_what_a_gate_is_about(name: str, meaning: Measured) -> None:
    assert measured(name) == meaning


def test_a_small_gap_is_better() -> None:
    kind = measured_kind("mcc gap on region")
    assert kind is not None
    assert (kind.higher_is_better, kind.least, kind.most) == (False, 0, 2)
    assert measured_kind("nothing gap on region") is None


@pytest.mark.slow
def test_a_run_tells_groups_apart_and_holds_gates_against_them(tmp_path: Path) -> None:
    regions = ("north", "south", "north") * 3
    groups = Groups(columns={"region": regions})
    bounds = {
        "accuracy on region = south": {"comparison": ">=", "bound": 0},
        "accuracy gap on region": {"comparison": "<", "bound": 0},
        "accuracy on length = none": {"comparison": ">=", "bound": 0},
    }
    job = make_job(
        tmp_path,
        "bert",
        classes=3,
        eval__slices=("region", "length", "label"),
        eval__groups_sha256=groups.digest(),
        eval__metrics=("accuracy",),
        eval__gates=bounds,
    )
    (job.inputs.streams_folder / "groups.json").write_text(groups.to_text())
    record = job.run()
    assert record.status == "gate_failed"
    found = Evaluation.model_validate_json(job.folder().evaluation.read_bytes())
    by_region, by_length, by_label = found.slices
    assert [(one.group, one.rows) for one in by_region.groups] == [("north", 6), ("south", 3)]
    assert sum(one.rows for one in by_length.groups) == sum(one.rows for one in by_label.groups) == 9
    right = sum(one.tuned["accuracy"] * one.rows for one in by_region.groups)
    assert right == pytest.approx(found.tuned.metrics["accuracy"] * 9)
    values = [one.tuned["accuracy"] for one in by_region.groups]
    assert by_region.gaps["accuracy"].value == max(values) - min(values)
    passed = {gate.metric: gate.passed for gate in found.gates}
    assert passed == {name: name == "accuracy on region = south" for name in bounds}
    (job.inputs.streams_folder / "groups.json").write_text(Groups(columns={"region": ("north",) * 9}).to_text())
    with pytest.raises(Refusal, match="FTC621"):
        job.run("again")


def test_windows_of_a_question_are_of_one_length(tmp_path: Path) -> None:
    """Else a group could hold later windows alone, which no question is counted by: here the shortest, row 1."""
    write_tiny_model(tmp_path / "model-bert", "bert")
    ids = [[1, *[5] * size, 2] for size in (20, 1, 10, 11, 20, 2)]
    rows = write_columns(
        tmp_path / "r.arrow", ids, [[0] * len(row) for row in ids], rows=[4, 4, 5, 6, 7, 7], targets=[[0, 0]] * 6,
        texts=[["Ada wrote it", "Ada"]] * 6,
    )  # fmt: skip
    settings = documents.plan().settings
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"head": "span"})})
    scores = [RowScore(number, 1.0, 2, (0.0, 1.0, 0, 3)) for number in range(len(ids))]
    subject = SubjectResult(metrics={"exact_match": 1.0}, rows=4, seconds=1)
    measures = Measures(settings, rows, tmp_path / "model-bert")
    statistics = measures.statistics(["exact_match"], scores, {})
    tuned = Measurement(subject, scores, dict.fromkeys((0, 2, 3, 4), "Ada"), statistics)
    (found,) = slice_results(("length",), {}, rows, measures, None, tuned)
    assert [(one.group, one.rows, one.tuned["exact_match"]) for one in found.groups] == [
        ("short", 2, 1),
        ("medium", 2, 1),
    ]


def test_a_gates_figure_is_found_whatever_the_spaces_in_its_name() -> None:
    known = figures(documents.evaluation(slices=(BY_REGION,), retention=RETENTION, swaps=SWAPS))
    assert known[plain_name("accuracy  on region=north")][0] == 0.9
    assert known[plain_name("macro_f1 gap  on region")][0] == 0.15
    assert (known["forgetting"][0], known["swapped"][0]) == (0.2, 0.25)
