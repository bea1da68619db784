"""Traces as functions: who used a digest, and which run made a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.run_store import Run, runs
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic

if TYPE_CHECKING:
    from ftc.compiler.tracing import Use
    from ftc.spec.provenance import Origin, Provenance

__all__ = ["whence", "who_used"]

_MIN_DIGITS = 8


def who_used(digest: Path | str, *, folder: Path | str = ".") -> tuple[Use, ...]:
    """Every lock and run of a project that holds a digest: of a file, a row, tensors, a package, a plan or a record.

    Args:
        digest: A sha256 or its beginning, at least 8 digits; or a file, whose digest is taken.
        folder: Any folder of the project.

    Raises:
        Refusal: It is neither (FTC517).
    """
    from ftc.compiler.resolve.paths import project_root
    from ftc.compiler.tracing import uses_of
    from ftc.spec.canonical import file_digest
    from ftc.spec.places import cache_folder

    text = str(digest)
    if Path(text).is_file():
        text = file_digest(Path(text))
    text = text.removeprefix("sha256:").lower()
    if not _MIN_DIGITS <= len(text) <= 64 or set(text) - set("0123456789abcdef"):
        help = f"give a sha256, its first {_MIN_DIGITS} digits or more, or a file"
        raise Refusal([diagnostic("FTC517", f"`{digest}` is no digest and no file", help=help)])
    return uses_of(project_root(Path(folder) / "recipe"), text, cache_folder())


def whence(file: Path | str, *, folder: Path | str = ".") -> Origin:
    """Which recipe, data, base and run made a file of weights, by its own header, and what records say to that.

    Args:
        file: A safetensors file, or a folder that holds one, such as an adapter's.
        folder: Any folder of the project whose records are asked.

    Raises:
        Refusal: Neither it nor any record tells (FTC518), or a record contradicts it (FTC519).
        OSError: The file can't be read.
    """
    from ftc.compiler.resolve.digests import DigestCache
    from ftc.compiler.resolve.safetensors_header import BrokenSafetensors, read_metadata
    from ftc.spec.places import cache_folder
    from ftc.spec.provenance import Origin, read_provenance
    from ftc.spec.tensor_digests import content_digest

    path = _weights_in(Path(file))
    cache = DigestCache(cache_folder() / "digests")
    try:
        says = read_provenance(read_metadata(path))
        content = content_digest(cache.tensors([path]))
    except BrokenSafetensors as problem:
        raise Refusal([_silent(path, str(problem))]) from None
    sha256, known = cache.file(path).sha256, runs(folder)
    same_bytes = [run.record.id for run in known if sha256 in {one.sha256 for one in run.record.outputs.values()}]
    same_tensors = [run.record.id for run in known if run.record.final_weights_sha256 == content]
    if not same_tensors:
        _refuse_contradicted(path, says, content, known)
    if says is None and not same_tensors:
        raise Refusal([_silent(path, "its header says nothing, and no record of this project names these weights")])
    return Origin(
        file=str(file),
        sha256=sha256,
        content_sha256=content,
        says=says,
        runs=tuple(same_bytes or same_tensors),
        confirmed="same bytes" if same_bytes else "same tensors" if same_tensors else "no record here",
    )


def _weights_in(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(one for one in path.iterdir() if one.suffix == ".safetensors")
    if len(found) == 1:
        return found[0]
    raise Refusal([_silent(path, f"the folder holds {len(found)} safetensors files; name one")])


def _silent(path: Path, why: str) -> Diagnostic:
    help = "`ftc who-used FILE` looks for its digest in locks and records"
    return diagnostic("FTC518", f"nothing tells where `{path}` comes from", help=help, notes=why)


def _refuse_contradicted(path: Path, says: Provenance | None, content: str, known: Sequence[Run]) -> None:
    """A finished run of the job that the file names has other weights: the file was changed, or lies.

    Raises:
        Refusal: FTC519.
    """
    if says is None:
        return
    named = [run for run in known if run.plan.job_sha256() == says.job_sha256 and run.record.final_weights_sha256]
    if named:
        record = named[0].record
        theirs = str(record.final_weights_sha256)[:12]
        note = f"its tensors have the digest {content[:12]}, the record of run {record.id} says {theirs}"
        help = "take the file from the run's folder, and check that with `ftc audit`"
        raise Refusal([diagnostic("FTC519", f"`{path}` isn't what its header says", help=help, notes=note)])
