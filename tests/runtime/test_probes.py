"""Forgetting on general text, and what exchanged words do to predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ftc.runtime.evaluation import results
from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.tasks.classification import ClassifierScorer
from ftc.runtime.tasks.scorer import Batch, Prediction
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.probes import Swapped, swaps_digest
from ftc.spec.documents.record import Evaluation
from ftc.spec.documents.streams import open_stream
from tests.runtime.jobs import Job, make_job, reopen_job, write_stream
from tests.support.streams import write_columns


def evaluation(job: Job) -> Evaluation:
    return Evaluation.model_validate_json(job.folder().evaluation.read_bytes())


@pytest.mark.slow
def test_forgetting_is_what_a_token_of_the_same_text_costs_more(tmp_path: Path) -> None:
    """The general text here is the test rows with every token counted, so that it can be held against their loss."""
    general = write_stream(tmp_path / "streams-0" / "retention.arrow", 9, 2)
    gates = {"forgetting": {"comparison": "<", "bound": -99}}
    job = make_job(tmp_path, eval__retention_sha256=general.digest(), eval__gates=gates, eval__metrics=("loss",))
    assert job.run().status == "gate_failed"
    found = evaluation(job)
    assert found.base is not None
    assert found.retention is not None
    assert found.retention.base == pytest.approx(found.base.metrics["loss"])
    assert found.retention.tuned == pytest.approx(found.tuned.metrics["loss"])
    assert found.retention.forgetting.value == found.retention.tuned - found.retention.base
    assert found.retention.blocks == 9
    (gate,) = found.gates
    assert gate.value == found.retention.forgetting.value
    (tmp_path / "streams-0" / "retention.arrow").write_bytes((tmp_path / "streams-0" / "train.arrow").read_bytes())
    with pytest.raises(Refusal, match="FTC621"):
        job.run("again")


@pytest.mark.slow
def test_predictions_of_exchanged_rows_are_held_against_those_of_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 3 comes back as it is, and rows 0 and 1 as each other, whose classes differ. Classes follow from the ids."""
    monkeypatch.setattr(ClassifierScorer, "predictions", _by_second_token)
    monkeypatch.setattr(results, "_changes", _more_of_the_base(results._changes))
    job = make_job(tmp_path, "bert", classes=3)
    folder = job.inputs.streams_folder
    test = open_stream(folder / "test.arrow")
    order = (3, 1, 0)
    swaps = write_columns(
        folder / "swaps.arrow",
        [test.ids(number).tolist() for number in order],
        [test.mask(number).astype(int).tolist() for number in order],
        prompts=[test.prompt_length(number) for number in order],
        labels=[int(test.labels[number]) for number in order],
    )
    swapped = Swapped(pairs=(("he", "she"), ("a", "b")), rows=(3, 0, 1), pair=(1, 0, 0))
    (folder / "swaps.json").write_text(swapped.to_text())
    digest = swaps_digest(swaps.digest(), swapped)
    job = reopen_job(tmp_path, "bert", classes=3, eval__swaps_sha256=digest)
    job.run()
    lines = (job.folder().outcomes).read_bytes().splitlines()
    said = [Outcome.model_validate_json(line).tuned.text for line in lines]
    found = evaluation(job).swaps
    assert found is not None
    assert (said[0], said[1]) == ("cold", "mild")
    assert [(one.rows, one.changed) for one in found.pairs] == [(2, 2), (1, 0)]
    assert math.isclose(found.share, 2 / 3)
    assert [one.base for one in found.pairs] == [2, 1]
    assert found.base == 1
    assert found.change is not None
    assert math.isclose(found.change.value, -1 / 3)
    assert found.change.interval is not None
    assert found.change.interval.low < 0 <= found.change.interval.high
    assert len(found.examples) == 2


def _more_of_the_base(
    usual: Callable[[Swapped, Measurement], list[bool]],
) -> Callable[[Swapped, Measurement], list[bool]]:
    """The first to be asked for is the tuned model, whose changes stay; of the base all predictions change."""
    asked: list[Measurement] = []

    def changes(swapped: Swapped, measured: Measurement) -> list[bool]:
        asked.append(measured)
        return usual(swapped, measured) if len(asked) == 1 else [True] * len(swapped.rows)

    return changes


def _by_second_token(_scorer: ClassifierScorer, _logits: torch.Tensor, batch: Batch) -> list[Prediction]:
    """The class that `write_stream` gave the row."""
    return [(int(token) % 3, 0.5) for token in batch.ids[:, 1]]
