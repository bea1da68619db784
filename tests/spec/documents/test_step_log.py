from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftc.spec.documents.step_log import (
    StepLine,
    StepLog,
    WeightChecksum,
    first_difference,
    has_checksum,
    line_text,
    read_step_log,
)


def step(number: int, **changes: str) -> StepLine:
    values = dict.fromkeys(("batch_sha256", "learning_rate", "loss", "grad_norm", "chance_sha256"), f"{number}")
    return StepLine.model_validate({"step": number, **values, **changes})


def checksum(number: int, *, optimizer: str = "o", **tensors: str) -> WeightChecksum:
    held = {"layer.2": "b", "layer.10": "c", **{name.replace("_", "."): value for name, value in tensors.items()}}
    return WeightChecksum(
        step=number, weights_sha256=str(sorted(held.items())), tensors=held, optimizer_sha256=optimizer
    )


def step_log(*lines: StepLine | WeightChecksum) -> StepLog:
    steps = {line.step: line for line in lines if isinstance(line, StepLine)}
    return StepLog(steps, {line.step: line for line in lines if isinstance(line, WeightChecksum)})


WHOLE = (checksum(0), step(1), checksum(1), step(2), checksum(2), step(3), step(4), checksum(4))


def replaced(*changed: StepLine | WeightChecksum) -> StepLog:
    keys = {(line.kind, line.step): line for line in (*WHOLE, *changed)}
    return step_log(*keys.values())


def test_rungs_stand_at_powers_of_two() -> None:
    assert [number for number in range(20) if has_checksum(number)] == [0, 1, 2, 4, 8, 16]


def test_equal_ladders_have_no_difference() -> None:
    assert first_difference(step_log(*WHOLE), step_log(*WHOLE), 0, 4) is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ([step(3, loss="x"), step(4, batch_sha256="x")], (3, "loss", None, 2)),
        ([step(3, loss="x", batch_sha256="x")], (3, "batch", None, 2)),
        ([step(2, chance_sha256="x", loss="y")], (2, "random state", None, 1)),
        ([step(1, grad_norm="x"), checksum(1, layer_2="x")], (1, "gradient norm", None, 0)),
        ([checksum(4, layer_10="x")], (4, "weights", "layer.10", 2)),
        ([checksum(4, layer_10="x", layer_2="x")], (4, "weights", "layer.2", 2)),
        ([checksum(2, optimizer="x")], (2, "optimizer state", None, 1)),
        ([checksum(0, layer_2="x")], (0, "weights", "layer.2", None)),
        ([step(4, learning_rate="x", loss="x")], (4, "learning rate", None, 2)),
    ],
)
def test_the_first_difference_is_named(changed: list[Any], expected: tuple[object, ...]) -> None:
    found = first_difference(step_log(*WHOLE), replaced(*changed), 0, 4)
    assert found is not None
    assert (found.step, found.component, found.tensor, found.last_equal_checksum) == expected


def test_only_the_asked_steps_are_compared() -> None:
    other = replaced(step(1, loss="x"), step(4, loss="x"))
    assert first_difference(step_log(*WHOLE), other, 2, 3) is None
    found = first_difference(step_log(*WHOLE), other, 2, 4)
    assert found is not None
    assert found.step == 4


def test_a_file_is_read_without_its_torn_line_and_with_the_last_version_of_a_step(tmp_path: Path) -> None:
    file = tmp_path / "ladder.ndjson"
    file.write_bytes(b"".join(line_text(line) for line in (*WHOLE, step(4, loss="again"))) + b'{"kind": "st')
    found = read_step_log(file)
    assert found.height == 4
    assert found.steps[4].loss == "again"
    assert sorted(found.checksums) == [0, 1, 2, 4]
    assert [line.step for line in found.lines(2)] == [0, 1, 1, 2, 2]


def test_a_missing_step_ends_what_can_be_relied_on() -> None:
    assert step_log(step(1), step(2), step(4)).height == 2
