"""MLflow 3: through its client, which speaks to a server or writes a database."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ftc.runtime.tracking.backend import About, Point, SentFile
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.tracking import RegistryJob
from ftc.spec.trackers import MLflow
from ftc.spec.version import VERSION

__all__ = ["STATES", "open_mlflow", "register_model"]

_BATCH = 500
"""Most metrics of one request are 1,000; parameters and tags are 100."""
_FEW = 100
_LONGEST_VALUE = 6000
STATES = {
    "running": "KILLED",
    "interrupted": "KILLED",
    "paused": "KILLED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "finished": "FINISHED",
    "gate_failed": "FINISHED",
}
"""MLflow's word for each status of a run whose process is gone."""


def open_mlflow(about: About, keys: MLflow) -> MLflowRun:
    """The run with this run's name and plan digest, or a new one."""
    client, uri = _connected(keys)
    name = keys.experiment or about.plan.name
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found else client.create_experiment(name)
    which = f"tags.`ftc.run_id` = '{about.run_id}' AND tags.`ftc.plan_sha256` = '{about.tags['ftc.plan_sha256']}'"
    known = client.search_runs([experiment], filter_string=which, max_results=1)
    run = known[0] if known else client.create_run(
        experiment, start_time=round(about.started * 1000), tags=dict(about.tags), run_name=about.run_id
    )  # fmt: skip
    return MLflowRun(client, run.info.run_id, about, keys, uri)


def _connected(keys: MLflow) -> tuple[Any, str]:
    """A client, and the address that it speaks to."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    }.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    uri = keys.uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    return MlflowClient(tracking_uri=uri), uri


def register_model(job: RegistryJob, keys: MLflow, record: RunRecord) -> str:
    """Registers a run's model, as a new version or the one that the run has already, and gives it in words."""
    import mlflow
    import pandas
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    client, uri = _connected(keys)
    mlflow.set_tracking_uri(uri)
    found = client.get_experiment_by_name(keys.experiment or job.plan_name)
    assert found is not None, "the run was reported to it"
    (known,) = client.search_runs([found.experiment_id], f"tags.`ftc.run_id` = '{record.id}'", max_results=1)
    for one in client.search_model_versions(f"run_id = '{known.info.run_id}'"):
        if one.name == job.name:
            return f"model `{job.name}`, version {one.version}"
    packages = record.observed.environment.packages
    needed = [f"{one}=={packages[one].version}" for one in ("torch", "transformers", "peft") if one in packages]
    with mlflow.start_run(run_id=known.info.run_id):
        made = mlflow.pyfunc.log_model(
            name="model",
            python_model=job.code,
            artifacts={"project": job.project},
            signature=ModelSignature(
                inputs=Schema([ColSpec("string", column) for column in job.columns]),
                outputs=Schema([ColSpec("string", "prediction")]),
            ),
            input_example=pandas.DataFrame([dict.fromkeys(job.columns, "A text of some words.")]),
            pip_requirements=[f"ftc=={VERSION}", *needed],
            registered_model_name=job.name,
        )
    return f"model `{job.name}`, version {made.registered_model_version}"


class MLflowRun:
    """One run in MLflow. Its store takes a value of the same step and time once, so sending it again adds none."""

    def __init__(self, client: Any, run: str, about: About, keys: MLflow, uri: str) -> None:
        from mlflow.entities import Param

        self._client, self._run, self._about, self._keys, self._uri = client, run, about, keys, uri
        client.update_run(run, status="RUNNING")
        parameters = [Param(name, value[:_LONGEST_VALUE]) for name, value in about.parameters.items()]
        for start in range(0, len(parameters), _FEW):
            client.log_batch(run, params=parameters[start : start + _FEW])

    def log(self, points: Sequence[Point]) -> None:
        """Sends metrics."""
        from mlflow.entities import Metric

        metrics = [Metric(one.name, one.value, round(one.time * 1000), one.step) for one in points]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._run, metrics=metrics[start : start + _BATCH])

    def flush(self) -> None:
        """Every call above returns when the store has the values."""

    def finish(self, record: RunRecord, tags: Mapping[str, str], files: Sequence[SentFile]) -> str:
        """Sends tags and files."""
        from mlflow.entities import RunTag

        self._client.log_batch(self._run, tags=[RunTag(name, value) for name, value in tags.items()])
        for file in files:
            self._client.log_artifact(self._run, str(file.path), file.folder or None)
        self._client.set_terminated(self._run, STATES[record.status])
        return f"run {self._run} of experiment `{self._keys.experiment or self._about.plan.name}`"
