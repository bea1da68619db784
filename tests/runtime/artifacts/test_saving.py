"""Parts of a checkpoint: written together or not at all, whole again for whoever reads them."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch

from ftc.runtime.artifacts import checkpoint, saving
from ftc.runtime.artifacts.checkpoint_files import Manifest, State
from ftc.runtime.artifacts.saving import Exchange, Saving
from ftc.runtime.artifacts.tensor_files import content_digest, write_tensors
from ftc.runtime.models.row_parts import Share
from ftc.runtime.training.selection import Progress
from ftc.spec.documents.facts import FileFacts
from ftc.spec.storage import model_files
from ftc.spec.storage.checkpoint_tensors import OPTIMIZER, WEIGHTS, stored_digests

_JOB = "0" * 64
_WEIGHTS = {
    "wide": torch.arange(20.0).reshape(5, 4),
    "short": torch.arange(3.0).to(torch.bfloat16),
    "row": torch.ones(1, 2),
}
_STATE = {f"{name}/exp_avg": tensor * 2 for name, tensor in _WEIGHTS.items()} | {"wide/step": torch.tensor(7.0)}


class Divided:
    """Some rows of a tensor, as `fully_shard` gives them to one of several processes."""

    def __init__(self, tensor: torch.Tensor, number: int, count: int) -> None:
        self.shape, self.ndim, self._part = tensor.shape, tensor.ndim, tensor.chunk(count)[number:][:1]
        self._none = tensor[:0]

    def to_local(self) -> torch.Tensor:
        return self._part[0] if self._part else self._none


def _divided(number: int, count: int) -> dict[str, dict[str, Any]]:
    return {
        file: {name: one if one.ndim == 0 else Divided(one, number, count) for name, one in held.items()}
        for file, held in {WEIGHTS: _WEIGHTS, OPTIMIZER: _STATE}.items()
    }


def _exchanges(count: int) -> list[Exchange]:
    """What each of several processes hears the others by."""
    said, barrier = [""] * count, Barrier(count, timeout=30)

    def exchange(rank: int, text: str) -> list[str]:
        said[rank] = text
        barrier.wait()
        heard = list(said)
        barrier.wait()
        return heard

    return [lambda text, rank=rank: exchange(rank, text) for rank in range(count)]  # type: ignore[misc]


def _write(folder: Path, step: int, count: int, *, beside: bool = False) -> list[OSError | None]:
    """Writes a checkpoint as so many processes, at once or in the background; gives what each raised."""
    state = State(job_sha256=_JOB, progress=Progress(step=step))

    def one(rank: int, exchange: Exchange) -> OSError | None:
        asked = Saving(folder, state, Share(rank, count, is_kept=True), exchange, leads=rank == 0)
        try:
            if beside:
                asked.write_beside(_divided(rank, count))
                while not asked.is_written():
                    pass
            else:
                asked.write(_divided(rank, count))
            asked.finish()
        except OSError as error:
            return error
        return None

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count), _exchanges(count)))


def _found(folder: Path, step: int, problems: list[str] | None = None) -> checkpoint.Checkpoint | None:
    said = problems if problems is not None else []
    return checkpoint.verified(folder, step, _JOB, lambda one: said.append(one.summary), None)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_parts_have_the_digests_of_whole_tensors(tmp_path: Path, count: int, beside: bool) -> None:
    assert _write(tmp_path / "parts", 3, count, beside=beside) == [None] * count
    checkpoint.save(tmp_path / "whole", _JOB, Progress(step=3), {WEIGHTS: _WEIGHTS, OPTIMIZER: _STATE})
    parts, whole = _found(tmp_path / "parts", 3), _found(tmp_path / "whole", 3)
    assert parts is not None
    assert whole is not None
    for file, held in ((WEIGHTS, _WEIGHTS), (OPTIMIZER, _STATE)):
        assert len(parts.files(file)) == count
        told = model_files.content_digest(stored_digests(parts.files(file)))
        assert told == model_files.content_digest(stored_digests(whole.files(file))) == content_digest(held)
    for found in (parts, whole):
        assert content_digest(found.weights({})) == content_digest(_WEIGHTS)
        assert content_digest(found.optimizer({})) == content_digest(_STATE)
    assert parts.shapes() == whole.shapes()


def test_torch_reads_parts_without_ftc(tmp_path: Path) -> None:
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    _write(tmp_path, 3, 2)
    asked = {name: torch.empty_like(tensor) for name, tensor in (_WEIGHTS | _STATE).items()}
    with pytest.warns(UserWarning, match=r"torch\.distributed is"):
        load(asked, storage_reader=HuggingFaceStorageReader(str(tmp_path / "step-00000003")), no_dist=True)
    assert content_digest(asked) == content_digest(_WEIGHTS | _STATE)


def test_no_pickle_is_written(tmp_path: Path) -> None:
    _write(tmp_path, 3, 2)
    suffixes = {path.suffix for path in (tmp_path / "step-00000003").iterdir()}
    assert suffixes == {".safetensors", ".json"}


@pytest.mark.parametrize("beside", [False, True])
def test_a_part_that_cannot_be_written_is_told_to_all_and_leaves_the_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    assert _write(tmp_path, 3, 2) == [None, None]
    real = write_tensors

    def full(path: Path, *rest: Any) -> None:
        if "-00002-of-" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, *rest)

    monkeypatch.setattr(saving, "write_tensors", full)
    raised = _write(tmp_path, 6, 2, beside=beside)
    assert [one and one.errno for one in raised] == [errno.ENOSPC, errno.ENOSPC]
    assert "process 1 on " in str(raised[0]), "the first one says whose disk it was"
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
    assert _found(tmp_path, 3) is not None


def _write_apart(folder: Path, step: int, refused: OSError | None = None) -> list[OSError | None]:
    """Writes a checkpoint as two processes that don't have each other's disk; the first one's may refuse."""
    state, folders = State(job_sha256=_JOB, progress=Progress(step=step)), [folder / "first", folder / "other"]

    def one(rank: int, exchange: Exchange) -> OSError | None:
        def collect(place: Path, written: Sequence[Mapping[str, FileFacts]]) -> None:
            exchange("")
            if refused is not None:  # as `Copies.collect` raises it in all processes
                raise refused
            for name in written[1] if rank == 0 else ():
                shutil.copy(folders[1] / place.name / name, place / name)
            exchange("")

        folders[rank].mkdir(exist_ok=True)
        share = Share(rank, 2, is_kept=True)
        asked = Saving(folders[rank], state, share, exchange, leads=rank == 0, collect=collect, is_apart=rank > 0)
        try:
            asked.write(_divided(rank, 2))
            asked.finish()
        except OSError as error:
            return error
        return None

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2), _exchanges(2)))


def test_parts_of_machines_without_a_shared_disk_come_to_the_first_one(tmp_path: Path) -> None:
    assert _write_apart(tmp_path, 3) == [None, None]
    _write(tmp_path / "shared", 3, 2)
    apart, shared = _found(tmp_path / "first", 3), _found(tmp_path / "shared", 3)
    assert apart is not None
    assert shared is not None
    assert {one.name: one.read_bytes() for one in apart.folder.iterdir()} == {
        one.name: one.read_bytes() for one in shared.folder.iterdir()
    }
    assert not [*(tmp_path / "other").iterdir()], "its part is gone once it is sent"


def test_a_part_that_the_first_machine_does_not_get_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    _write_apart(tmp_path, 3)
    raised = _write_apart(tmp_path, 6, OSError(errno.ENOSPC, "No space left on device", "optimizer"))
    assert [one and one.errno for one in raised] == [errno.ENOSPC, errno.ENOSPC]
    assert [path.name for path in (tmp_path / "first").iterdir()] == ["step-00000003"]
    assert not [*(tmp_path / "other").iterdir()]
    assert _found(tmp_path / "first", 3) is not None


def _without_part(folder: Path) -> str:
    (folder / "optimizer-00002-of-00003.safetensors").unlink()
    return "optimizer-00002-of-00003.safetensors is missing"


def _cut(folder: Path) -> str:
    file = folder / "trainable-00002-of-00003.safetensors"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-3])
    return f"has {size - 3} bytes instead of {size}"


def _without_manifest(folder: Path) -> str:
    (folder / "MANIFEST.json").unlink()
    return "it has no manifest"


def _exchanged(folder: Path) -> str:
    one, two = (folder / f"trainable-0000{number}-of-00003.safetensors" for number in (1, 2))
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    return "trainable-00001-of-00003.safetensors"


def _unlisted(folder: Path) -> str:
    file = folder / "MANIFEST.json"
    manifest = Manifest.model_validate_json(file.read_bytes())
    left = {name: facts for name, facts in manifest.files.items() if name != "trainable-00003-of-00003.safetensors"}
    file.write_text(manifest.model_copy(update={"files": left}).to_text())
    return "its manifest doesn't name trainable.safetensors"


def _stranger(folder: Path) -> str:
    shutil.copy(folder / "trainable-00001-of-00003.safetensors", folder / "more.safetensors")
    return "more.safetensors is not a part of it"


@pytest.mark.parametrize("damage", [_without_part, _cut, _without_manifest, _exchanged, _unlisted, _stranger])
def test_a_damaged_part_is_not_continued(tmp_path: Path, damage: Callable[[Path], str]) -> None:
    _write(tmp_path, 3, 3)
    problem = damage(tmp_path / "step-00000003")
    said: list[str] = []
    assert _found(tmp_path, 3, said) is None
    assert problem in said[0]


def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    """As a manifest that somebody made for them would have it: their own headers tell where each row belongs."""
    _write(tmp_path / "a", 3, 2)
    files = [tmp_path / "a" / "step-00000003" / f"trainable-0000{number}-of-00002.safetensors" for number in (1, 2)]
    with pytest.raises(ValueError, match="don't fit together"):
        stored_digests([files[1], files[1]])
    with pytest.raises(ValueError, match="don't fit together"):
        stored_digests([files[1]])


def test_the_manifest_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process that is killed while writing leaves behind is no checkpoint, and the next one sweeps it."""
    seen: list[set[str]] = []
    real = Manifest.to_text

    def note(manifest: Manifest) -> str:
        seen.append({path.name for path in tmp_path.glob(".tmp-*/*")})
        return real(manifest)

    monkeypatch.setattr(Manifest, "to_text", note)
    _write(tmp_path, 3, 2)
    parts = {f"{name}-0000{number}-of-00002.safetensors" for name in ("trainable", "optimizer") for number in (1, 2)}
    assert seen == [{*parts, "state.json"}]
    assert json.loads((tmp_path / "step-00000003" / "MANIFEST.json").read_text())["files"].keys() == {
        *parts,
        "state.json",
    }


@pytest.mark.parametrize(
    "header",
    [
        {"__metadata__": {"DCP_SHARDING_INFO": "[" * 100_000}, "a": {}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [-500, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
    ],
)
def test_a_forged_header_is_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    text = json.dumps(header).encode()
    file = tmp_path / WEIGHTS
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(ValueError, match=WEIGHTS):
        stored_digests([file])
