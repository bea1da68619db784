"""Which part of a file differs: the row, tensor, step or field, where something still knows them one by one.

A file's digest says that it is another one. What stands in it is known besides: rows and tensors by indexes in ftc's
cache, a run's tensors and steps by its step log, a lock by the plan that holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ftc.compiler.lock.lockfile import changed_leaves
from ftc.compiler.resolve.files.digests import recall_tensors, tensor_digests
from ftc.compiler.resolve.models.vision_config import language_part
from ftc.compiler.resolve.models.weights import BrokenSafetensors, read_header
from ftc.compiler.resolve.rows.row_digests import row_digests, rows_digest
from ftc.compiler.tokens.row_index import recall_rows, row_changes
from ftc.spec.architectures import architecture
from ftc.spec.canonical import canonical
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.lockfile import Lock, SourceLock, is_weight_file
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.step_log import StepLog, first_difference, read_step_log
from ftc.spec.experts import experts_of
from ftc.spec.storage.checkpoint_tensors import WEIGHTS, files_in, stored_digests
from ftc.spec.storage.model_files import TensorDigest
from ftc.spec.storage.paths import RunFolder, step_of
from ftc.spec.storage.reading import parse_json
from ftc.spec.strategies import strategy_card

__all__ = [
    "active_parameters",
    "base_part",
    "has_rows",
    "is_as_trained",
    "parts_of",
    "run_part",
    "source_part",
    "tensors_of",
]


def tensors_of(file: Path) -> dict[str, TensorDigest]:
    """Every tensor of a safetensors file, hashed now; none where the file is no longer one."""
    try:
        return tensor_digests(file)
    except (BrokenSafetensors, OSError):
        return {}


def parts_of(files: Sequence[Path]) -> dict[str, TensorDigest]:
    """Every tensor of a checkpoint's file or of all its parts, hashed now; none where one is no longer such a file."""
    try:
        return stored_digests(files)
    except (OSError, ValueError):
        return {}


def active_parameters(folder: Path, plan: Plan) -> int | None:
    """Parameters that a token goes through, of a mixture of experts in a folder; None where it is none, or its files
    don't hold what was counted.
    """
    try:
        return _active(folder, plan)
    except (BrokenSafetensors, OSError, LookupError, ValueError, TypeError, AttributeError, StopIteration):
        return None


def _active(folder: Path, plan: Plan) -> int | None:
    config = language_part(parse_json((folder / "config.json").read_bytes()))
    mixture = architecture(str(config.get("model_type"))).experts
    if mixture is None:
        return None
    names = [name for name in plan.lock.model.files if is_weight_file(name)]
    tensors = {name: one for file in names for name, one in read_header(folder / file).items()}
    total, experts = sum(one.num_elements for one in tensors.values()), experts_of(mixture, config, tensors)
    return total - experts.idle if experts and total == plan.lock.model.num_parameters else None


def is_as_trained(plan: Plan) -> bool:
    """Whether an adapter's saved tensors are those that were trained; virtual tokens are saved as what they lead to."""
    return strategy_card(plan.settings.strategy).saves_what_it_trains


def source_part(file: Path, locked: SourceLock, cache: Path) -> str:
    """Which rows of a data file are others, or nothing where the cache doesn't know the locked ones."""
    before, found = recall_rows(cache, locked.rows_sha256), _rows_in([file], locked)
    if found is None:
        return "it can't be read as rows here"
    return "" if before is None else str(row_changes(before, found))


def has_rows(files: Sequence[Path], locked: SourceLock) -> bool:
    """Whether a source's files, of other bytes, hold the locked rows in their order."""
    found = _rows_in(files, locked)
    return found is not None and rows_digest(found) == locked.rows_sha256


def _rows_in(files: Sequence[Path], locked: SourceLock) -> Sequence[bytes] | None:
    """The digest of each row; None where a file can't be read as rows."""
    from ftc.compiler.resolve.rows.reading import Reading
    from ftc.compiler.resolve.rows.tables import read_rows

    reading = Reading.of(locked.asked)
    if reading.reader is not None:  # a package's, which no audit imports
        return None
    try:
        read = [read_rows(file, file.name, reading=reading).rows for file in files]
    except (Refusal, OSError, ValueError):
        return None
    return row_digests(row for rows in read for row in rows)


def base_part(file: Path, content_sha256: str, cache: Path) -> str:
    """Which tensor of a base model's file is another, or nothing where the cache doesn't know the locked ones."""
    known = recall_tensors(cache, content_sha256)
    if known is None or file.suffix != ".safetensors":
        return ""
    return _first_tensor({name: one.sha256 for name, one in tensors_of(file).items()}, known)


def run_part(file: Path, run: RunFolder, plan: Plan, record: RunRecord) -> str:
    """Which part of one of a run's own files is another; nothing where nothing else tells."""
    log = read_step_log(run.step_log) if run.step_log.is_file() else StepLog()
    if file in (run.step_log, run.proof):
        other = run.proof if file == run.step_log else run.step_log
        found = read_step_log(file)
        missing = next((step for step in range(1, max(found.steps, default=0)) if step not in found.steps), None)
        if missing is not None:
            return f"step {missing} is missing"
        parted = first_difference(
            read_step_log(other) if other.is_file() else StepLog(), found, 0, max(found.steps, default=0)
        )
        return f"step {parted.step}: {parted.component}" if parted else ""
    if file == run.recipe_lock:
        return _field(plan, file)
    held = {name: one.sha256 for name, one in tensors_of(file).items()} if file.suffix == ".safetensors" else {}
    if file.parent.parent == run.checkpoints and (checksum := log.checksums.get(step_of(file.parent) or -1)):
        weights = files_in(file.parent, WEIGHTS, [path.name for path in file.parent.iterdir()])
        if file in weights:
            whole = {name: one.sha256 for name, one in parts_of(weights).items()}
            return _first_tensor(whole, checksum.tensors)
    if (
        file.parent == run.adapter
        and is_as_trained(plan)
        and (checksum := log.checksums.get(record.selected_step or 0))
    ):
        known = set(checksum.tensors.values())
        return next((f"tensor {name}" for name, sha256 in held.items() if sha256 not in known), "")
    return ""


def _first_tensor(found: Mapping[str, str], known: Mapping[str, str]) -> str:
    names: Iterator[str] = (name for name in sorted(known) if found.get(name) != known[name])
    return next((f"tensor {name}" for name in names), "") if found else "it is not a safetensors file"


def _field(plan: Plan, file: Path) -> str:
    try:
        found = parse_json(file.read_bytes())
    except ValueError:
        return "it is not JSON"
    return first_changed(plan.lock, found) or "only its formatting"


def first_changed(lock: Lock, other: Any) -> str:
    """The first key at which a lock is another: of a section that was sealed again the value, not its checksum."""
    changed, _ = changed_leaves(canonical(lock.to_json()), other)
    return min((path for path, _, _ in changed), key=lambda path: path.endswith(".seal"), default="")
