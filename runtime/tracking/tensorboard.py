"""TensorBoard: event files, written by its own writer without TensorFlow or torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftc.runtime.tracking.backend import About, Point, SentFile
from ftc.spec.documents.record import RunRecord
from ftc.spec.trackers import TensorBoard

__all__ = ["open_tensorboard"]


def open_tensorboard(about: About, keys: TensorBoard) -> TensorBoardRun:
    """A folder with the run's event files; older ones of the same run are replaced, since all is sent again."""
    folder = about.root / keys.folder / about.plan.name / about.run_id
    for file in folder.glob("events.out.tfevents.*"):
        file.unlink()
    return TensorBoardRun(folder, about)


class TensorBoardRun:
    """One run's event file. Settings and digests are texts in it; TensorBoard keeps no files of a run."""

    def __init__(self, folder: Path, about: About) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._started = about.started
        self._writer: Any = EventFileWriter(str(folder))
        self._text("ftc/settings", about.parameters)
        self._text("ftc/run", about.tags)

    def log(self, points: Sequence[Point]) -> None:
        """Appends scalars."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        for point in points:
            summary = Summary(value=[Summary.Value(tag=point.name, simple_value=point.value)])
            self._writer.add_event(Event(wall_time=point.time, step=point.step, summary=summary))

    def flush(self) -> None:
        """Writes what is waiting."""
        self._writer.flush()

    def finish(self, record: RunRecord, tags: Mapping[str, str], files: Sequence[SentFile]) -> str:
        """Adds the result's digests as a text; files have no place here."""
        self._text("ftc/result", tags)
        self._writer.close()
        return f"tensorboard --logdir {self._folder.parent}"

    def _text(self, tag: str, values: Mapping[str, str]) -> None:
        """A table in Markdown, which TensorBoard's text plugin shows."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in values.items())
        content = f"| name | value |\n|---|---|\n{rows}".encode()
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype=DT_STRING, string_val=[content], tensor_shape=shape)
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        value = Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        self._writer.add_event(Event(wall_time=self._started, step=0, summary=Summary(value=[value])))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
