"""What proves a run to others: who used a digest, which run made a file, and statements in other tools' formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.model_formats import MODEL_FORMATS
from ftc.spec.storage.model_files import INDEX_FILE
from ftc.verbs.runs import Run, find_run, runs

if TYPE_CHECKING:
    from ftc.compiler.audit.locate import Use
    from ftc.spec.documents.ledger import Merged, ModelExported
    from ftc.spec.documents.provenance import Origin, Provenance

__all__ = ["export", "no_longer_whole", "provenance", "refuse_faults", "used_by"]

_WEIGHTS = ".safetensors"

_MIN_DIGITS = 8


def used_by(digest: Path | str, *, folder: Path | str = ".") -> tuple[Use, ...]:
    """Every lock and run of a project that holds a digest: of a file, a row, tensors, a package, a plan or a record.

    Args:
        digest: A sha256 or its beginning, at least 8 digits; or a file, whose digest is taken.
        folder: Any folder of the project.

    Raises:
        Refusal: It is neither (FTC517).
    """
    from ftc.compiler.audit.locate import uses_of
    from ftc.compiler.resolve.files.safe_files import project_root
    from ftc.spec.canonical import file_digest
    from ftc.spec.storage.paths import cache_folder

    text = str(digest)
    if Path(text).is_file():
        text = file_digest(Path(text))
    text = text.removeprefix("sha256:").lower()
    if not _MIN_DIGITS <= len(text) <= 64 or set(text) - set("0123456789abcdef"):
        help = f"give a sha256, its first {_MIN_DIGITS} digits or more, or a file"
        raise Refusal([diagnostic("FTC517", f"`{digest}` is neither a digest nor a file", help=help)])
    return uses_of(project_root(Path(folder) / "recipe"), text, cache_folder())


def provenance(file: Path | str, *, folder: Path | str = ".") -> Origin:
    """Which recipe, data, base and run made a file of weights, by its own header, and what records say to that.

    Args:
        file: A safetensors file, or a folder that holds one, such as an adapter's, or the parts of one model.
        folder: Any folder of the project whose records are asked.

    Raises:
        Refusal: Neither it nor any record tells (FTC518), or a record contradicts it (FTC519).
        OSError: The file can't be read.
    """
    from ftc.compiler.resolve.files.digests import DigestCache
    from ftc.compiler.resolve.files.safe_files import project_root
    from ftc.compiler.resolve.models.weights import BrokenSafetensors, read_metadata
    from ftc.spec.canonical import digest
    from ftc.spec.documents.ledger import Merged, ModelExported, read_ledger
    from ftc.spec.documents.provenance import Origin, read_provenance
    from ftc.spec.storage.cached import DIGESTS
    from ftc.spec.storage.model_files import content_digest
    from ftc.spec.storage.paths import cache_folder

    path = Path(file)
    paths = _weights_in(path)
    cache = DigestCache(DIGESTS.under(cache_folder()))
    try:
        own = (one for one in MODEL_FORMATS if one.has_own_file and one.suffix == path.suffix)
        if (card := next(own, None)) is not None:
            metadata, content = _read_onnx(path) if card.made_by == "torch" else _read_gguf(path)
            says = read_provenance(metadata)
        else:
            says = read_provenance(read_metadata(paths[0]))
            content = content_digest(cache.tensors(paths))
    except BrokenSafetensors as problem:
        raise Refusal([_silent(paths[0], str(problem))]) from None
    files = {cache.file(one).sha256 for one in paths}
    entries = read_ledger(project_root(Path(folder) / "recipe"))
    known = _Known(
        runs(folder),
        tuple(one for one in entries if isinstance(one, Merged)),
        tuple(one for one in entries if isinstance(one, ModelExported)),
    )
    same_bytes, same_tensors = known.with_files(files), known.with_content(content)
    if not same_bytes and not same_tensors:
        _refuse_contradicted(path, says, content, known)
        if says is None:
            why = "its header has no provenance, and no record of this project contains these weights"
            raise Refusal([_silent(path, why)])
    return Origin(
        file=str(file),
        sha256=files.pop() if len(paths) == 1 else digest(sorted(files)),
        content_sha256=content,
        says=says,
        runs=same_bytes or same_tensors,
        is_merged=known.is_merge(files, content),
        parents=known.parents(says) if says else {},
        confirmed="same bytes" if same_bytes else "same tensors" if same_tensors else "no record here",
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What a project knows of weights.

    Attributes:
        runs: Its runs.
        merges: What its ledger says of merges.
        exports: What it says of models in other programs' formats.
    """

    runs: Sequence[Run]
    merges: Sequence[Merged]
    exports: Sequence[ModelExported]

    def with_files(self, files: set[str]) -> tuple[str, ...]:
        """Runs that left all of these files, or whose adapter was merged into them."""
        found = [run.record.id for run in self.runs if files <= {one.sha256 for one in run.record.outputs.values()}]
        found += [one.run_id for one in self.merges if files <= set(one.files_sha256.values())]
        found += [one.run_id for one in self.exports if files <= set(one.files_sha256.values())]
        return tuple(dict.fromkeys(found))

    def with_content(self, content: str) -> tuple[str, ...]:
        """The same by what the tensors hold."""
        found = [run.record.id for run in self.runs if run.record.final_weights_sha256 == content]
        found += [one.run_id for one in self.merges if one.content_sha256 == content]
        return tuple(dict.fromkeys(found))

    def is_merge(self, files: set[str], content: str) -> bool:
        """Whether they are a merged model, or a part of one."""
        return any(one.content_sha256 == content or files <= set(one.files_sha256.values()) for one in self.merges)

    def parents(self, says: Provenance) -> dict[str, str]:
        """Runs that made what these weights were made from."""
        teacher = set((says.teacher_files_sha256 or {}).values())
        found = {
            "base": self.with_content(says.base_content_sha256),
            "teacher": self.with_files(teacher) if teacher else (),
            "parent": self.with_content(says.parent_weights_sha256) if says.parent_weights_sha256 else (),
        }
        return {part: ids[0] for part, ids in found.items() if ids}


def _weights_in(path: Path) -> list[Path]:
    """The file, or all files of a folder that belong together.

    Raises:
        Refusal: The folder's files don't tell which they are (FTC518).
    """
    if not path.is_dir():
        return [path]
    found = sorted(one for one in path.iterdir() if one.suffix == _WEIGHTS)
    if len(found) == 1:
        return found
    index = path / INDEX_FILE
    if index.is_file():
        from ftc.compiler.resolve.files.safe_files import read_json_object
        from ftc.compiler.resolve.models.weights import shard_names

        return [path / name for name in shard_names(read_json_object(index, None), None)]
    raise Refusal([_silent(path, f"the folder has {len(found)} safetensors files; name one")])


def _read_gguf(path: Path) -> tuple[dict[str, object], str]:
    """What ftc's key in a GGUF file's metadata says, and the digest of its tensors.

    Raises:
        Refusal: The library that reads it isn't installed (FTC650), or it can't be read (FTC518).
    """
    import hashlib
    from importlib.util import find_spec

    from ftc.spec.documents.provenance import METADATA_KEY
    from ftc.spec.storage.model_files import TensorDigest, content_digest
    from ftc.spec.storage.native import LibraryFault, native

    if find_spec("gguf") is None:
        help, note = "`pip install 'ftc[gguf]'` installs it", "not installed: gguf"
        raise Refusal([diagnostic("FTC650", "reading GGUF files needs one more package", help=help, notes=note)])
    from gguf import GGUFReader

    def read() -> tuple[dict[str, object], str]:
        reader = GGUFReader(path)
        field = reader.get_field(METADATA_KEY)
        digests = {
            one.name: TensorDigest(
                one.tensor_type.name, tuple(map(int, one.shape)), hashlib.sha256(one.data.tobytes()).hexdigest()
            )
            for one in reader.tensors
        }
        return {METADATA_KEY: field.contents()} if field else {}, content_digest(digests)

    try:
        return native(read)
    except LibraryFault as problem:
        raise Refusal([_silent(path, str(problem))]) from None


def _read_onnx(path: Path) -> tuple[dict[str, object], str]:
    """What ftc's key in an ONNX file's metadata says, and the digest of its tensors.

    Raises:
        Refusal: The library that reads it isn't installed (FTC650), or it can't be read, or its tensors lie in another
            file (FTC518).
    """
    import hashlib
    from importlib.util import find_spec

    from ftc.spec.storage.model_files import TensorDigest, content_digest
    from ftc.spec.storage.native import LibraryFault, native

    if find_spec("onnx") is None:
        help, note = "`pip install 'ftc[onnx]'` installs it", "not installed: onnx"
        raise Refusal([diagnostic("FTC650", "reading ONNX files needs one more package", help=help, notes=note)])
    import onnx

    def read() -> tuple[dict[str, object], str]:
        model = onnx.load(str(path), load_external_data=False)
        if outside := [one.name for one in model.graph.initializer if one.data_location == one.EXTERNAL]:
            raise ValueError(f"{len(outside)} of its tensors lie in another file, such as {outside[0]}")
        # A tensor stands in raw bytes or in a field of its type.
        arrays = [(one, onnx.numpy_helper.to_array(one)) for one in model.graph.initializer]
        digests = {
            one.name: TensorDigest(
                str(one.data_type),
                tuple(one.dims),
                hashlib.sha256((array.astype(str) if array.dtype.hasobject else array).tobytes()).hexdigest(),
            )
            for one, array in arrays
        }
        return {one.key: one.value for one in model.metadata_props}, content_digest(digests)

    try:
        return native(read)
    except LibraryFault as problem:
        raise Refusal([_silent(path, str(problem))]) from None


def _silent(path: Path, why: str) -> Diagnostic:
    help = "`ftc used-by FILE` searches locks and records for its digest"
    return diagnostic("FTC518", f"the origin of `{path}` is unknown", help=help, notes=why)


def _refuse_contradicted(path: Path, says: Provenance | None, content: str, known: _Known) -> None:
    """What the project knows of the job that the file names is other weights: the file was changed, or lies.

    Raises:
        Refusal: FTC519.
    """
    if says is None:
        return
    cards = [one for one in MODEL_FORMATS if one.suffix == (path.suffix if path.is_file() else _WEIGHTS)]
    is_own = any(one.has_own_file for one in cards)
    names = {one.name for one in cards}
    exported = [one for one in known.exports if one.job_sha256 == says.job_sha256 and one.format in names]
    merged = [one.content_sha256 for one in known.merges if one.job_sha256 == says.job_sha256]
    if exported and (is_own or (says.adapter_sha256 is not None and not merged)):
        note = f"run {exported[-1].run_id} was exported {len(exported)} times, and no export has these bytes"
        help = "take the file that was exported, or export the run again"
        raise Refusal([diagnostic("FTC519", f"`{path}` doesn't match its header", help=help, notes=note)])
    if is_own:
        return
    named = [run.record for run in known.runs if run.plan.job_sha256() == says.job_sha256]
    if says.adapter_sha256 is None:
        theirs = [(f"the record of run {one.id}", one.final_weights_sha256) for one in named]
    elif merged:
        theirs = [("the ledger of its merges", merged[-1])]
    else:  # it may have been merged elsewhere, out of an adapter that is known here
        theirs, content = (
            [(f"the record of run {one.id}", one.final_weights_sha256) for one in named],
            says.adapter_sha256,
        )
        if any(digest == content for _, digest in theirs):
            return
    if who := next(((name, digest) for name, digest in theirs if digest), None):
        note = f"its tensors have the digest {content[:12]}, but {who[0]} says {who[1][:12]}"
        help = "take the file from the run's folder, and check that with `ftc audit`"
        raise Refusal([diagnostic("FTC519", f"`{path}` doesn't match its header", help=help, notes=note)])


def export(run: Run | Path | str, format: str, *, folder: Path | str = ".") -> str:
    """A statement about a finished run for other people's tools, as the text of its file.

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        format: The name of one of `ftc.views.exports.FORMATS`, such as `slsa`.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: There is no such run, it isn't finished, or its files aren't those of its record (FTC521 to FTC525,
            FTC539).
        ValueError: There is no such format.
    """
    from ftc.views.exports import FORMATS
    from ftc.views.exports.common import as_text

    writers = {one.name: one.write for one in FORMATS}
    if format not in writers:
        raise ValueError(f"no format {format!r}; there are {', '.join(writers)}")
    found = run if isinstance(run, Run) else find_run(str(run), folder)
    refuse_faults(found)
    return as_text(writers[format](found.plan, found.record, found.evaluation))


def refuse_faults(run: Run, *, takes_pulled: bool = False) -> None:
    """Lets pass what a statement can be true of.

    Args:
        run: The run.
        takes_pulled: Whether its weights are enough, so that it may be one that was pulled.

    Raises:
        Refusal: The run isn't finished, its files aren't those of its record (FTC521 to FTC525, FTC539), or it was
            pulled and lacks some (FTC779).
    """
    if run.is_pulled and not takes_pulled:
        raise Refusal([no_longer_whole(run)])
    from ftc.compiler.audit.static_audit import result_faults
    from ftc.spec.storage.paths import RunFolder

    found = result_faults(RunFolder(run.folder), run.plan, run.record)
    if found:
        raise Refusal(
            diagnostic(
                one.code, f"{one.subject}: expected {_short(one.expected)}, found {_short(one.found)}", help=one.hint
            )
            for one in found
        )


def no_longer_whole(run: Run) -> Diagnostic:
    """The finding about a run that was pulled, where all of it is needed."""
    help = "do this in the project where it was trained"
    summary = f"run `{run.record.id}` was pulled, and has no rows, events or checkpoints"
    return diagnostic("FTC779", summary, help=help)


def _short(value: str) -> str:
    """A digest by its beginning, anything else as it is."""
    return value[:12] if len(value) == 64 else value
