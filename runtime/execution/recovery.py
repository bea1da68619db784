"""A run whose plan or record can't be read any longer goes on by what lies beside them.

Nothing is invented: the plan is the one that is applied, if the folder is proved to be its job's; the record is put
together from the events, the step log, the proof and the project's ledger. What only the record knew is gone, and the
record says so (`recovered` among its interruptions).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from ftc.runtime.artifacts.checkpoint_files import State, saved_steps, step_folder
from ftc.spec.documents.events import Event, Noticed, Resumed, RunEnded, RunStarted, StepDone, read_events
from ftc.spec.documents.interruption import Interruption, StopKind
from ftc.spec.documents.ledger import Begun, Ended, read_ledger
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import DeterminismSeen
from ftc.spec.documents.segments import Segment
from ftc.spec.documents.step_log import StepLog, read_step_log
from ftc.spec.storage.checkpoint_tensors import STATE
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import read_regular

__all__ = ["belongs_to", "remembered"]


def belongs_to(folder: RunFolder, plan: Plan) -> bool:
    """Whether a checkpoint or the project's ledger says that a folder is the run of a plan's job."""
    job = plan.job_sha256()
    for step in saved_steps(folder.checkpoints):
        try:
            state = State.model_validate_json(read_regular(step_folder(folder.checkpoints, step) / STATE))
        except (OSError, ValueError):
            continue
        return state.job_sha256 == job
    return any(one.job_sha256 == job for one in _noted(folder) if isinstance(one, Begun))


def remembered(folder: RunFolder, plan: Plan, lost: tuple[str, ...]) -> dict[str, Any]:
    """What of a record is known beside it, as fields of the record.

    Args:
        folder: The run's folder.
        plan: Its plan.
        lost: Names of the documents that can't be read.
    """
    events = read_events(folder.events)
    log = read_step_log(folder.step_log) if folder.step_log.is_file() else StepLog()
    segments = tuple(_segments(folder, events))
    steps = saved_steps(folder.checkpoints)
    first = log.checksums.get(0)
    found: dict[str, Any] = {
        "segments": segments,
        "steps_done": steps[-1] if steps else 0,
        "initial_weights_sha256": first.weights_sha256 if first else None,
        "interruptions": (
            *_interruptions(segments, events),
            Interruption(
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                segment=len(segments),
                kind="recovered",
                code="FTC656",
                reason=f"{' and '.join(lost)} could not be read; times and memory of before are lost",
                step=steps[-1] if steps else 0,
            ),
        ),
    }
    if folder.proof.is_file():
        found["determinism"] = _determinism(plan, events)
    return found


def _noted(folder: RunFolder) -> list[Begun | Ended]:
    """The ledger's entries about the beginnings and ends of a run, in order."""
    parents = folder.path.resolve().parents
    entries = read_ledger(parents[2]) if len(parents) > 2 else ()
    name = folder.path.name
    return [one for one in entries if isinstance(one, Begun | Ended) and one.run_id == name]


def _segments(folder: RunFolder, events: tuple[Event, ...]) -> Iterator[Segment]:
    """Each process of the run; the ledger has their times, the events what they did."""
    noted = _noted(folder)
    begins = [number for number, one in enumerate(noted) if isinstance(one, Begun)]
    seconds = folder.events.stat().st_mtime if folder.events.exists() else 0.0
    unknown = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    for number, part in enumerate(_parts(events)):
        place = begins[number] if number < len(begins) else len(noted)
        after = noted[place + 1] if place + 1 < len(noted) else None
        ended = next((event for event in part if isinstance(event, RunEnded)), None)
        resumed = next((event.step for event in part if isinstance(event, Resumed)), 0)
        done = [event.step for event in part if isinstance(event, StepDone)]
        yield Segment(
            started_at=noted[place].at if place < len(noted) else unknown,
            ended_at=after.at if isinstance(after, Ended) else None,
            from_step=resumed,
            to_step=done[-1] if done else resumed,
            ended_by=_left(ended) if ended else None,
            machine_sha256="",
            ftc_sha256="",
        )


def _left(ended: RunEnded) -> StopKind | Literal["failed"] | None:
    """How a process left a run that it didn't finish; None where it did."""
    match ended.status:
        case "finished" | "gate_failed":
            return None
        case left:
            return left


def _parts(events: tuple[Event, ...]) -> list[list[Event]]:
    """The events of each process."""
    parts: list[list[Event]] = []
    for event in events:
        if isinstance(event, RunStarted) or not parts:
            parts.append([])
        parts[-1].append(event)
    return parts


def _interruptions(segments: tuple[Segment, ...], events: tuple[Event, ...]) -> Iterator[Interruption]:
    """Why each process but a finished one ended. No proof is known any longer: after changed inputs all starts over."""
    for number, (segment, part) in enumerate(zip(segments, _parts(events), strict=True), 1):
        ended = next((event for event in part if isinstance(event, RunEnded)), None)
        left = _left(ended) if ended else "lost"
        if left is None:
            continue
        code, colon, reason = ended.detail.partition(": ") if ended else ("", "", "")
        is_coded = bool(colon) and code.startswith("FTC")
        told = ended.detail if ended else "its process ended without writing why: it was killed, or the machine stopped"
        yield Interruption(
            at=segment.ended_at or segment.started_at,
            segment=number,
            kind=left,
            code=code if is_coded else None,
            reason=reason if is_coded else told,
            step=segment.to_step,
            usable_step=0 if is_coded and code == "FTC515" else None,
        )


def _determinism(plan: Plan, events: tuple[Event, ...]) -> DeterminismSeen:
    steps = plan.settings.train.determinism.proof_steps
    fell = next((one.text for one in events if isinstance(one, Noticed) and one.code in ("FTC642", "FTC643")), None)
    if fell is not None:
        return DeterminismSeen(level="D0", proof_steps=steps, detail=fell)
    detail = f"the first {steps} steps gave the same bits in two fresh processes"
    return DeterminismSeen(level="D1", proof_steps=steps, detail=detail)
