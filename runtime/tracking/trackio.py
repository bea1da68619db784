"""trackio: a database of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from ftc.runtime.tracking.backend import About, Point, SentFile
from ftc.spec.documents.record import RunRecord
from ftc.spec.trackers import Trackio

__all__ = ["open_trackio"]


def open_trackio(about: About, keys: Trackio) -> TrackioRun:
    """The run of this name; what is known of it is replaced, since all is sent again."""
    import trackio

    project = keys.project or about.plan.name
    with suppress(ValueError):  # no run of the project was ever reported
        for run in trackio.Api().runs(project):
            if run.name == about.run_id:
                run.delete()
    config = {**about.parameters, **about.tags}
    run = trackio.init(project, name=about.run_id, config=config, embed=False, auto_log_gpu=False, auto_log_cpu=False)
    return TrackioRun(run, project)


class TrackioRun:
    """One run."""

    def __init__(self, run: Any, project: str) -> None:
        self._run, self._project = run, project

    def log(self, points: Sequence[Point]) -> None:
        """Logs values, all of a step together."""
        for step, values in groupby(points, key=lambda point: point.step):
            self._run.log({one.name: one.value for one in values}, step=step)

    def flush(self) -> None:
        """The library's thread writes what was logged within a second, and `finish` waits for it."""

    def finish(self, record: RunRecord, tags: Mapping[str, str], files: Sequence[SentFile]) -> str:
        """Adds the files as one artifact, and ends the run."""
        import trackio

        if files:
            artifact = trackio.Artifact(f"run-{record.id}", type="run", metadata=dict(tags))
            for file in files:
                artifact.add_file(file.path, name=f"{file.folder}/{file.path.name}".lstrip("/"))
            self._run.log_artifact(artifact)
        self._run.finish()
        return f"trackio show --project {self._project}"
