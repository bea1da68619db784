"""Whole runs of tiny real jobs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors
from ftc.spec.batches import BatchOrder
from ftc.spec.checkpointing import Recomputing
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import PackageFacts
from ftc.spec.documents.machine import CodeSnapshot
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.record import Evaluation
from ftc.spec.documents.step_log import read_step_log
from ftc.spec.documents.streams import open_stream
from tests.runtime.jobs import Job, changed, make_job, reopen_job

JOBS = [
    ("llama", "full", 0),
    ("llama", "lora", 0),
    ("llama", "qlora", 0),
    ("qwen2", "lora", 3),
    ("gpt2", "lora", 0),
    ("bert", "full", 3),
    ("bert", "lora", 3),
    ("bert", "qlora", 3),
]


def _evaluation(job: Job, name: str = "run") -> Evaluation:
    return Evaluation.model_validate_json(job.folder(name).evaluation.read_bytes())


@pytest.mark.sample(1)
@pytest.mark.parametrize(("kind", "strategy", "classes"), JOBS)
def test_every_strategy_trains_repeats_and_learns(tmp_path: Path, kind: str, strategy: str, classes: int) -> None:
    if strategy == "qlora":
        pytest.importorskip("bitsandbytes")
    job = make_job(tmp_path, kind, strategy, classes=classes)
    first, again = job.run("a"), job.run("b")
    assert first.status == again.status == "finished"
    assert first.steps_done == 12
    assert first.final_weights_sha256 == again.final_weights_sha256
    assert first.initial_weights_sha256 == again.initial_weights_sha256 != first.final_weights_sha256
    assert _evaluation(job, "a").tuned.metrics == _evaluation(job, "b").tuned.metrics
    steps = job.of_kind("step")
    assert [event.step for event in steps] == list(range(1, 13))
    assert sum(event.supervised for event in steps) == first.supervised_tokens
    assert first.peak_memory_bytes
    if sys.platform == "linux":
        assert [one.phase for one in first.memory_by_phase] == [
            "load",
            "train",
            "validate",
            "save",
            "export",
            "evaluate",
        ]
        assert max(one.peak_bytes for one in first.memory_by_phase) == first.peak_memory_bytes
    taken = {one.phase: one.seconds for one in first.time_by_phase}
    written = set() if classes else {"generate"}
    assert taken.keys() == {"load", "train", "validate", "save", "evaluate"} | written
    measured = sum(event.seconds for event in job.of_kind("phase_ended") if event.phase == "evaluate")
    looks = [one.seconds for one in again.time_by_phase if one.phase in ("evaluate", "generate")]
    assert sum(looks) == pytest.approx(measured)
    assert taken["train"] == first.train_seconds
    assert min(taken.values()) > 0
    assert job.folder("a").record.read_text() == first.to_text()
    assert first.sha256 == first.expected_sha256()
    assert {"plan.json", "events.ndjson", "eval.json"} < first.outputs.keys()


@pytest.mark.slow
def test_a_finished_run_is_returned_unchanged(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    record = job.run()
    before = {path: path.stat().st_mtime_ns for path in job.folder().path.rglob("*")}
    assert job.run() == record
    assert job.events == []
    assert {path: path.stat().st_mtime_ns for path in job.folder().path.rglob("*")} == before


def test_training_learns_and_the_tuned_model_is_measured_beside_the_base(tmp_path: Path) -> None:
    job = make_job(tmp_path, strategy="full", train__num_steps=40, train__evaluate_every_steps=40, train__select="last")
    (job.inputs.streams_folder / "test.arrow").write_bytes((job.inputs.streams_folder / "train.arrow").read_bytes())
    job = reopen_job(
        tmp_path, strategy="full", train__num_steps=40, train__evaluate_every_steps=40, train__select="last"
    )
    job.run()
    result = _evaluation(job)
    assert result.base is not None
    assert result.tuned.metrics["loss"] < 0.5 * result.base.metrics["loss"]
    assert result.tuned.metrics["exact_match"] > result.base.metrics["exact_match"]
    assert len(result.predictions) == 8
    lines = [Outcome.model_validate_json(line) for line in job.folder().outcomes.read_bytes().splitlines()]
    assert len(lines) == result.tuned.rows
    shown = {one.row: (one.base, one.tuned) for one in result.predictions}
    assert shown == {line.row: (line.base.text, line.tuned.text) for line in lines if line.base and line.row in shown}
    gain = result.gains["loss"]
    assert gain.is_shown
    assert gain.interval
    assert gain.interval.low < gain.value < gain.interval.high < 0
    assert gain.value == result.tuned.metrics["loss"] - result.base.metrics["loss"]
    loss = sum(line.tuned.loss_sum for line in lines) / sum(line.tuned.targets for line in lines)
    assert loss == pytest.approx(result.tuned.metrics["loss"])
    assert {prediction.tuned for prediction in result.predictions} != {
        prediction.base for prediction in result.predictions
    }


@pytest.mark.slow
def test_looking_at_validation_keeps_4_bit_weights_differentiable(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    seldom = make_job(tmp_path, strategy="qlora", train__evaluate_every_steps=12)
    seldom.run("seldom")
    losses = [event.loss for event in seldom.of_kind("step")]
    often = make_job(tmp_path, strategy="qlora", train__evaluate_every_steps=1)
    often.run("often")
    assert [event.loss for event in often.of_kind("step")] == losses


@pytest.mark.slow
def test_initial_weights_follow_the_seed_and_nothing_else(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    one = job.run("a").initial_weights_sha256
    torch.manual_seed(99)
    job.plan = changed(job.plan, {"seeds.order": 1, "seeds.dropout": 2, "train.num_steps": 1})
    assert job.run("b").initial_weights_sha256 == one
    job.plan = changed(job.plan, {"seeds.init": 5})
    assert job.run("c").initial_weights_sha256 != one


def test_an_exported_adapter_loads_elsewhere(tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    job = make_job(tmp_path)
    record = job.run()
    folder = job.folder().adapter
    tensors = read_tensors(folder / "adapter_model.safetensors")
    assert content_digest(tensors) == record.final_weights_sha256
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        assert file.metadata()["job_sha256"] == job.plan.job_sha256()
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "../../../recipes/models/tiny", "from the run's folder"
    assert str(tmp_path) not in (folder / "adapter_config.json").read_text()
    base = AutoModelForCausalLM.from_pretrained(job.inputs.model_folder, dtype=torch.float32)
    loaded = PeftModel.from_pretrained(base, folder).state_dict()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name.replace(".weight", ".default.weight")], tensor)


@pytest.mark.sample(1)
@pytest.mark.parametrize(("kind", "classes"), [("llama", 0), ("bert", 3)])
def test_an_exported_model_loads_elsewhere(tmp_path: Path, kind: str, classes: int) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    job = make_job(tmp_path, kind, "full", classes=classes)
    record = job.run()
    loader = AutoModelForSequenceClassification if classes else AutoModelForCausalLM
    model = loader.from_pretrained(job.folder().model)
    tensors = read_tensors(job.folder().model / "model.safetensors")
    assert content_digest(tensors) == record.final_weights_sha256
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())
    assert str(tmp_path) not in (job.folder().model / "config.json").read_text()
    assert (job.folder().model / "tokenizer.json").is_file()
    if classes:
        assert model.config.id2label == {0: "cold", 1: "hot", 2: "mild"}


def test_the_best_checkpoint_becomes_the_result_and_stays(tmp_path: Path) -> None:
    job = make_job(tmp_path, "bert", classes=3, train__keep_checkpoints=1, train__learning_rate=0.05)
    record = job.run()
    looks = job.of_kind("evaluated")
    best = min(looks, key=lambda look: look.metrics["val_loss"]).step
    assert record.selected_step == best
    kept = {path.name for path in job.folder().checkpoints.iterdir()}
    assert kept == {f"step-{best:08d}", "step-00000012"}


def test_early_stopping(tmp_path: Path) -> None:
    rule = {"metric": "val_loss", "patience": 2, "min_delta": 100.0}
    job = make_job(tmp_path, train__early_stopping=rule)
    record = job.run()
    assert record.steps_done == 9
    assert record.segments[-1].ended_by == "early_stop"
    assert [event.step for event in job.of_kind("early_stopped")] == [9]


@pytest.mark.sample(1)
@pytest.mark.parametrize(("kind", "classes"), [("llama", 0), ("bert", 3)])
def test_scores_do_not_depend_on_the_batch_size(tmp_path: Path, kind: str, classes: int) -> None:
    """Rows are padded to other lengths in other batches; another size is another job all the same."""
    metrics, jobs = [], set()
    for size in (1, 4):
        job = make_job(tmp_path, kind, classes=classes, train__num_steps=1, eval__batch_size=size)
        jobs.add(job.plan.job_sha256())
        job.run(f"by-{size}")
        measured = json.loads(job.folder(f"by-{size}").evaluation.read_bytes())
        metrics.append({name: float(value) for name, value in measured["tuned"]["metrics"].items()})
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-5)
    assert len(jobs) == 2


@pytest.mark.slow
def test_a_broken_gate_is_recorded(tmp_path: Path) -> None:
    job = make_job(tmp_path, eval__gates={"exact_match": {"comparison": ">", "bound": 1.0}})
    assert job.run().status == "gate_failed"
    assert _evaluation(job).gates[0].passed is False


def test_a_number_that_is_not_finite_stops_before_the_step(tmp_path: Path) -> None:
    job = make_job(tmp_path, strategy="full", train__learning_rate=1e30, train__evaluate_every_steps=1)
    with pytest.raises(Refusal) as refusal:
        job.run()
    assert refusal.value.diagnostics[0].code == "FTC626"
    assert json.loads(job.folder().record.read_text())["status"] == "failed"
    assert not list(job.folder().path.glob("**/.tmp-*"))


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    file = job.inputs.model_folder / "model.safetensors"
    tensors = read_tensors(file)
    name = next(name for name in tensors if "down_proj" in name)
    tensors[name][0, 0] = float("nan")
    save_file(tensors, file)
    job = reopen_job(tmp_path)
    with pytest.raises(Refusal) as refusal:
        job.run()
    (found,) = refusal.value.diagnostics
    assert (found.code, found.path) == ("FTC626", "model.base")
    assert "down_proj" in " ".join(found.notes)
    assert not job.folder().checkpoints.exists()


def test_a_step_without_a_target_changes_nothing_and_is_told(tmp_path: Path) -> None:
    """The moments of AdamW alone would go on moving the weights."""
    job = make_job(tmp_path, train__num_steps=3, train__select="last", strategy__adapter__dropout=0.0)
    order = BatchOrder(
        open_stream(job.inputs.streams_folder / "train.arrow").lengths, 4, 6, job.plan.settings.seeds.order
    )
    masked = {2: order.rows(1)}
    stream = job.inputs.streams_folder / "train.arrow"
    table = pa.ipc.open_file(stream.read_bytes()).read_all()
    masks = [[0] * len(mask) if row in masked[2] else mask for row, mask in enumerate(table["mask"].to_pylist())]
    table = table.set_column(1, "mask", pa.array(masks, pa.large_list(pa.uint8())))
    with pa.OSFile(str(stream), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    job = reopen_job(tmp_path, train__num_steps=3, train__select="last", strategy__adapter__dropout=0.0)
    assert job.run().status == "finished"
    assert [step.supervised > 0 for step in job.of_kind("step")] == [True, False, True]
    assert [event.code for event in job.of_kind("noticed")] == ["FTC646"]
    checksums = read_step_log(job.folder().step_log).checksums
    assert checksums[1].weights_sha256 == checksums[2].weights_sha256 != checksums[3].weights_sha256


@pytest.mark.slow
def test_code_that_changes_while_the_run_goes_on_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftc.runtime.execution import session

    job = make_job(tmp_path, train__num_steps=1)
    assert job.run("quiet").code_changed is False
    taken = iter(("a" * 64, "b" * 64))
    monkeypatch.setattr(
        session, "snapshot_code", lambda project: CodeSnapshot(ftc_sha256=next(taken), project_commit=None)
    )
    record = job.run("edited")
    assert record.code_changed is True
    assert record.observed.code.ftc_sha256 == "a" * 64
    assert [event.code for event in job.of_kind("noticed")] == ["FTC645"]


@pytest.mark.slow
def test_without_validation_the_last_checkpoint_is_taken(tmp_path: Path) -> None:
    job = make_job(tmp_path, train__select="last")
    job.plan = job.plan.model_copy(
        update={"data": {name: report for name, report in job.plan.data.items() if name != "validation"}}
    ).sealed()
    assert job.run().selected_step == 12
    assert job.of_kind("evaluated") == []


@pytest.mark.slow
@pytest.mark.parametrize("value", [True, "selective"])
def test_activation_checkpointing_changes_no_result(value: Recomputing, tmp_path: Path) -> None:
    plain = make_job(tmp_path, strategy="full")
    saving = make_job(tmp_path, strategy="full", train__activation_checkpointing=value)
    saving.plan = saving.plan.model_copy(update={"name": "saving"}).sealed()
    assert plain.run("a").final_weights_sha256 == saving.run("b").final_weights_sha256


class TestVerify:
    def _codes(self, job: Job) -> list[str]:
        with pytest.raises(Refusal) as refusal:
            job.run()
        return [finding.code for finding in refusal.value.diagnostics]

    def test_a_changed_model_file(self, tmp_path: Path) -> None:
        job = make_job(tmp_path)
        weights = job.inputs.model_folder / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        (job.inputs.model_folder / "tokenizer.json").unlink()
        assert self._codes(job) == ["FTC620", "FTC620"]

    def test_a_changed_stream(self, tmp_path: Path) -> None:
        job = make_job(tmp_path)
        train, test = (job.inputs.streams_folder / f"{split}.arrow" for split in ("train", "test"))
        test.write_bytes(train.read_bytes())
        train.write_bytes(b"not arrow")
        assert self._codes(job) == ["FTC621", "FTC621"]

    def test_another_version_of_a_package(self, tmp_path: Path) -> None:
        job = make_job(tmp_path)
        other = {"torch": PackageFacts(version="1.0", sha256="0" * 64)}
        environment = job.inputs.environment.model_copy(update={"packages": other})
        job.inputs = type(job.inputs)(job.inputs.model_folder, job.inputs.streams_folder, environment)
        assert self._codes(job) == ["FTC622"]

    def test_another_device_or_number_of_processes(self, tmp_path: Path) -> None:
        job = make_job(tmp_path, train__world_size=2)
        assert self._codes(job) == ["FTC624"]
        assert not job.folder().path.exists()

    def test_too_little_disk(self, tmp_path: Path) -> None:
        job = make_job(tmp_path)
        job.plan = job.plan.model_copy(update={"disk_bytes": 1 << 60}).sealed()
        assert self._codes(job) == ["FTC631"]

    def test_an_adapter_in_the_base_folder(self, tmp_path: Path) -> None:
        job = make_job(tmp_path)
        (job.inputs.model_folder / "adapter_config.json").write_text("{}")
        assert self._codes(job) == ["FTC634"]

    def test_another_number_of_adapted_modules(self, tmp_path: Path) -> None:
        job = make_job(tmp_path, strategy__adapter__num_modules=9)
        assert self._codes(job) == ["FTC625"]

    def test_a_folder_that_holds_something_else(self, tmp_path: Path) -> None:
        job = make_job(tmp_path)
        job.folder().path.mkdir()
        (job.folder().path / "notes.txt").write_text("mine")
        assert self._codes(job) == ["FTC628"]
        assert [path.name for path in job.folder().path.iterdir()] == ["notes.txt"]

    def test_a_folder_of_another_job(self, tmp_path: Path) -> None:
        job = make_job(tmp_path)
        job.run()
        job.plan = changed(job.plan, {"train.learning_rate": 1e-3})
        assert self._codes(job) == ["FTC628"]

    def test_a_run_that_another_process_holds(self, tmp_path: Path) -> None:
        from ftc.runtime.execution.state import hold

        job = make_job(tmp_path)
        with hold(job.folder()), pytest.raises(Refusal) as refusal:
            job.run()
        assert refusal.value.diagnostics[0].code == "FTC627"
        assert "process" in refusal.value.diagnostics[0].summary
