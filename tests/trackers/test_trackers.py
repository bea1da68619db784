"""Runs in real trackers, read back by the trackers' own readers. `nox -s trackers` installs them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.runtime.tracking.reporters import Reporters
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event, Registered
from ftc.spec.storage.paths import RunFolder
from ftc.spec.trackers import MLflow, tracker_card
from ftc.verbs.runs import Run
from tests.support.tracked_runs import EVENTS, VALUES, append_events

LOSSES = [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]


def read(program: str, *words: str) -> dict[str, object]:
    """What a program in a process of its own writes as JSON; trackers change much of the process that loads them."""
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


_TENSORBOARD = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
found.Reload()
loss = [(one.step, one.value, one.wall_time) for one in found.Scalars("train/loss")]
text = found.Tensors("ftc/result")[0].tensor_proto.string_val[0].decode()
print(json.dumps({"loss": loss, "tags": found.Tags()["scalars"], "text": text}))
"""


def test_tensorboard_reads_the_events(run: Run) -> None:
    pytest.importorskip("tensorboard")
    api.track(run, "tensorboard")
    done = api.track(run, "tensorboard")  # the second time replaces the first
    assert done.values == VALUES
    folder = run.root / "tensorboard" / run.plan.name / run.record.id
    assert len([*folder.iterdir()]) == 1
    found = read(_TENSORBOARD, str(folder))
    losses = found["loss"]
    assert isinstance(losses, list)
    assert [step for step, *_ in losses] == [step for step, _ in LOSSES]
    assert [value for _, value, _ in losses] == pytest.approx([value for _, value in LOSSES])
    assert losses[0][2] == pytest.approx(1772359201.0)
    assert "validation/accuracy" in str(found["tags"])
    assert run.record.sha256 in str(found["text"])


_MLFLOW = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(tracking_uri="sqlite:///mlflow.db")
(experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
(run,) = client.search_runs([experiment.experiment_id])
loss = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "train/loss")]
files = [one.path for one in client.list_artifacts(run.info.run_id)]
print(json.dumps({"loss": sorted(loss), "params": run.data.params, "tags": run.data.tags, "files": files,
                  "metrics": run.data.metrics, "status": run.info.status, "experiment": experiment.name}))
"""


def test_mlflow_has_the_run_once_with_parameters_metrics_digests_and_files(run: Run) -> None:
    pytest.importorskip("mlflow")
    for _ in range(2):
        api.track(run, "mlflow")
    found = read(_MLFLOW)
    assert found["experiment"] == run.plan.name
    assert [tuple(one) for one in found["loss"]] == LOSSES  # type: ignore[attr-defined]
    assert found["status"] == "FINISHED"
    tags, metrics = found["tags"], found["metrics"]
    assert isinstance(tags, dict)
    assert isinstance(metrics, dict)
    assert tags["ftc.plan_sha256"] == run.plan.sha256
    assert tags["ftc.record_sha256"] == run.record.sha256
    assert {"test/tuned/accuracy", "test/tuned/accuracy.low", "test/base/accuracy"} <= metrics.keys()
    assert {"report.html", "README.md", "plan.json", "recipe.lock.json"} <= set(found["files"])  # type: ignore[call-overload]
    assert "predictions.ndjson" not in str(found["files"])


def test_mlflow_that_is_down_says_so_and_shows_no_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Refusal) as refused:
        api.track(run, "mlflow:http://ann:pa55word@127.0.0.1:9")
    (finding,) = refused.value.diagnostics
    assert finding.code == "FTC730"
    assert "pa55word" not in repr(finding)


def test_a_run_that_goes_on_is_told_as_it_goes(run: Run) -> None:
    pytest.importorskip("mlflow")
    card = tracker_card("mlflow")
    assert card is not None
    folder = RunFolder(run.folder)
    folder.events.unlink()
    beside = Reporters(((card, MLflow()),), run.root, folder, settle_seconds=300, finish_seconds=300)
    beside.begin(live=True)
    append_events(run.folder, EVENTS[:4])
    until = time.monotonic() + 300
    while not beside.sent["mlflow"] and time.monotonic() < until:
        time.sleep(0.2)
    assert beside.sent["mlflow"] == 12, "two steps, six values each"
    append_events(run.folder, EVENTS[4:])
    (tracked,) = beside.settle()
    assert (tracked.sent, tracked.points, tracked.problem) == (VALUES, VALUES, "")
    assert beside.finish() == ()
    metrics = read(_MLFLOW)["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["system/process_memory_bytes"] > 0


_WANDB = """
import json, sys
from pathlib import Path
from wandb.proto import wandb_internal_pb2 as proto


def records(data):  # a log in the format of LevelDB: 7 bytes of header, then blocks of 32 KiB
    at, part = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        part += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield part
            part = b""


(file,) = Path("wandb").glob("offline-run-*/*.wandb")
history, config, artifacts = [], {}, []
for data in records(file.read_bytes()):
    record = proto.Record()
    record.ParseFromString(data)
    if record.HasField("history"):
        row = {one.key or "/".join(one.nested_key): json.loads(one.value_json) for one in record.history.item}
        history.append(row)
    if record.HasField("run"):
        config |= {one.key: one.value_json for one in record.run.config.update}
    if record.HasField("request") and record.request.HasField("log_artifact"):
        artifacts += [one.path for one in record.request.log_artifact.artifact.manifest.contents]
    if record.HasField("artifact"):
        artifacts += [one.path for one in record.artifact.manifest.contents]
print(json.dumps({"history": history, "config": config, "artifacts": artifacts}))
"""


def test_wandb_offline_files_read_back(run: Run) -> None:
    pytest.importorskip("wandb")
    api.track(run, "wandb:brook")
    done = api.track(run, "wandb:brook")
    assert done.where.startswith("wandb sync ")
    found = read(_WANDB)
    rows = [row for row in found["history"] if "train/loss" in row]  # type: ignore[attr-defined]
    assert [(row["_step"], row["train/loss"]) for row in rows] == LOSSES
    config = found["config"]
    assert isinstance(config, dict)
    assert run.plan.sha256 in config["ftc.plan_sha256"]


def test_wandb_online_without_a_key_says_so(run: Run) -> None:
    pytest.importorskip("wandb")
    recipe = run.root / run.plan.recipe_file
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text(
        "ftc: 1\nname: x\ntask: {kind: classification}\ndata: {source: {path: a.csv}}\nmodel: {base: ./m}\n"
        "strategy: {kind: lora}\ntrack: {wandb: {mode: online}}\n",
        encoding="utf-8",
    )
    with pytest.raises(Refusal) as refused:
        api.track(run, "wandb")
    assert "WANDB_API_KEY" in refused.value.diagnostics[0].summary


_TRACKIO = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage
(run,) = SQLiteStorage.get_run_records(sys.argv[1])
logs = SQLiteStorage.get_logs(sys.argv[1], run["name"])
print(json.dumps({"name": run["name"], "logs": logs}, default=str))
"""


def test_trackio_s_own_database_has_the_run_once(run: Run) -> None:
    pytest.importorskip("trackio")
    for _ in range(2):
        api.track(run, "trackio:brook")
    found = read(_TRACKIO, "brook")
    assert found["name"] == run.record.id
    rows = [row for row in found["logs"] if "train/loss" in row]  # type: ignore[attr-defined]
    assert [(row["step"], row["train/loss"]) for row in rows] == LOSSES


def test_nothing_was_written_outside_the_project_and_the_trackers_folders(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    api.track(run, "tensorboard")
    assert {one.name for one in tmp_path.iterdir()} <= {"project", "home", "trackio"}
    assert {one.name for one in run.root.iterdir()} <= {"runs", "tensorboard"}
    assert os.environ["HOME"] == str(tmp_path / "home")


_SIGNATURE = """
import json
from mlflow.models import get_model_info
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
info = get_model_info("models:/tickets/1")
print(json.dumps({"inputs": info.signature.inputs.input_names(), "outputs": info.signature.outputs.input_names(),
                  "example": info.saved_input_example_info is not None}))
"""


def test_mlflow_serves_a_registered_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own server answers as `ftc predict` does."""
    for package in ("mlflow", "torch", "transformers"):
        pytest.importorskip(package)
    from tests.support.projects import make_model, make_project

    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make_model(tmp_path / "models" / "encoder", "encoder")
    root = make_project(tmp_path / "project", tmp_path / "models", "classification", steps=2)
    monkeypatch.chdir(root)
    recipe = root / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "track: {mlflow: {registered_model: tickets}}\n")
    told: list[Event] = []
    run = api.apply(recipe, on_event=told.append)
    assert Registered(tracker="MLflow", version="model `tickets`, version 1") in told
    for words, version in (([], "`tickets`, version 1"), (["--register", "other"], "`other`, version 1")):
        done = subprocess.run(
            [sys.executable, "-m", "ftc", "run", "track", run.record.id, "--to", "mlflow", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert version in done.stdout, done.stderr[-2000:]
    assert read(_SIGNATURE) == {"inputs": ["text"], "outputs": ["prediction"], "example": True}
    assert not list(root.glob("mlruns/**/predictions.ndjson")), "rows stay where they are"
    rows = [{"text": "the bank raised the price"}, {"text": "a goal in the match"}]
    wanted = [one.prediction for one in api.load(run).predict(rows)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/tickets/1", "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the server is a program beside Python
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "PATH": path}
    with subprocess.Popen([*command, "--env-manager", "local"], env=environment, start_new_session=True) as server:
        try:
            answer = _asked(f"http://127.0.0.1:{port}/invocations", {"dataframe_records": rows})
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    assert [one["prediction"] for one in answer["predictions"]] == wanted


def _asked(url: str, question: object) -> Any:
    """A server's answer, once it is there."""
    asked = urllib.request.Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})  # noqa: S310
    for _ in range(600):  # a server that loads torch beside other work needs minutes
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - this machine's own
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(1)
    raise TimeoutError(url)
