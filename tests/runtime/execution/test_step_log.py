"""What a run's step log says: every step in bits, and checksums that hold the weights."""

from __future__ import annotations

import pytest

from ftc.runtime.artifacts import checkpoint
from ftc.runtime.artifacts.tensor_files import content_digest
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.step_log import StepLog, first_difference, read_step_log
from tests.runtime.jobs import Job, changed, make_job


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    made = make_job(tmp_path_factory.mktemp("step_log"))
    made.run("whole")
    return made


def step_log(job: Job, name: str) -> StepLog:
    return read_step_log(job.folder(name).step_log)


@pytest.mark.slow
def test_every_step_has_a_line_and_rungs_stand_where_they_should(job: Job) -> None:
    found = step_log(job, "whole")
    assert found.height == 12
    assert sorted(found.checksums) == [0, 1, 2, 3, 4, 6, 8, 9, 12]
    events = {event.step: event for event in job.of_kind("step")}
    for step, line in found.steps.items():
        assert float.fromhex(line.loss) == events[step].loss
        assert float.fromhex(line.grad_norm) == events[step].grad_norm
        assert float.fromhex(line.learning_rate) == events[step].learning_rate
    assert len({line.batch_sha256 for line in found.steps.values()}) == 12
    assert len({line.chance_sha256 for line in found.steps.values()}) == 12


def test_rungs_are_what_the_record_and_the_checkpoints_hold(job: Job) -> None:
    found, folder = step_log(job, "whole"), job.folder("whole")
    record = RunRecord.model_validate_json(folder.record.read_bytes())
    assert found.checksums[0].weights_sha256 == record.initial_weights_sha256
    last = checkpoint.verified(folder.checkpoints, 12, job.plan.job_sha256(), lambda finding: None, found)
    assert last is not None
    assert found.checksums[12].weights_sha256 == content_digest(last.weights({}))
    assert found.checksums[12].optimizer_sha256 == content_digest(last.optimizer({}))
    assert found.checksums[12].tensors.keys() == last.weights({}).keys()


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
    found = first_difference(step_log(job, "whole"), step_log(other, name), 0, 2)
    assert found is not None
    assert (found.step, found.component) == (step, component)
    assert (found.tensor is not None) == (component == "weights")
