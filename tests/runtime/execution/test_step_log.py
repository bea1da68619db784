"""What a run's ladder says: every step in bits, and rungs that hold the weights."""

from __future__ import annotations

import pytest

from ftc.runtime.artifacts import checkpoint
from ftc.runtime.artifacts.tensor_files import content_digest
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.step_log import Ladder, first_difference, read_ladder
from tests.runtime.jobs import Job, changed, make_job


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    made = make_job(tmp_path_factory.mktemp("ladder"))
    made.run("whole")
    return made


def ladder(job: Job, name: str) -> Ladder:
    return read_ladder(job.folder(name).ladder)


@pytest.mark.slow
def test_every_step_has_a_line_and_rungs_stand_where_they_should(job: Job) -> None:
    found = ladder(job, "whole")
    assert found.height == 12
    assert sorted(found.rungs) == [0, 1, 2, 3, 4, 6, 8, 9, 12]
    events = {event.step: event for event in job.of_kind("step")}
    for step, line in found.steps.items():
        assert float.fromhex(line.loss) == events[step].loss
        assert float.fromhex(line.grad_norm) == events[step].grad_norm
        assert float.fromhex(line.learning_rate) == events[step].learning_rate
    assert len({line.batch_sha256 for line in found.steps.values()}) == 12
    assert len({line.chance_sha256 for line in found.steps.values()}) == 12


def test_rungs_are_what_the_record_and_the_checkpoints_hold(job: Job) -> None:
    found, folder = ladder(job, "whole"), job.folder("whole")
    record = RunRecord.model_validate_json(folder.record.read_bytes())
    assert found.rungs[0].weights_sha256 == record.initial_weights_sha256
    last = checkpoint.verified(folder.checkpoints, 12, job.plan.job_sha256(), lambda finding: None, found)
    assert last is not None
    assert found.rungs[12].weights_sha256 == content_digest(last.weights())
    assert found.rungs[12].optimizer_sha256 == content_digest(last.optimizer())
    assert found.rungs[12].tensors.keys() == last.weights().keys()


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("change", "step", "component"),
    [
        ({"seeds.order": 5}, 1, "batch"),
        ({"seeds.dropout": 5}, 1, "random state"),
        ({"seeds.init": 5}, 0, "weights"),
        ({"train.learning_rate": 1.0001e-2}, 1, "learning rate"),
        ({"train.optimizer.beta2": 0.9991}, 1, "weights"),
        ({"train.max_grad_norm": 0.001}, 1, "weights"),
    ],
)
def test_what_was_changed_is_what_differs_first(job: Job, change: dict[str, float], step: int, component: str) -> None:
    name = next(iter(change))
    other = Job(changed(job.plan, {**change, "train.num_steps": 2}), job.inputs, job.root)
    other.run(name)
    found = first_difference(ladder(job, "whole"), ladder(other, name), 0, 2)
    assert found is not None
    assert (found.step, found.component) == (step, component)
    assert (found.tensor is not None) == (component == "weights")
