"""Signatures over folders in the form of OpenSSF model signing: a sigstore bundle over a manifest of all files.

The library of that name does what is cryptographic. Its own command verifies what is signed here, and the other way
round, as long as a local key signed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.provenance import SignedFolder
from ftc.spec.storage.outputs import OutputKind, claim_output
from ftc.verbs.provenance import refuse_faults
from ftc.verbs.runs import Run, find_run

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["SIGNATURE_FILE", "sign", "sign_folder", "verify", "verify_folder"]

SIGNATURE_FILE = "model.sig"
"""Usual name of a signature; it lies in the folder that it is about."""

_OF_A_RUN = ("checkpoints", ".lock", ".holder.json")
"""What a run needs while it goes on, and what may go when it is over."""

_LARGEST_SIGNATURE = 64 * 2**20
_NAMED = 10
"""Files that a refusal names at most."""


def sign(
    target: Run | Path | str,
    *,
    key: Path | str,
    signature: Path | str | None = None,
    force: bool = False,
    folder: Path | str = ".",
) -> SignedFolder:
    """Signs a finished run, or any other folder, with a local key; the form is that of OpenSSF model signing.

    Args:
        target: The run, its folder, its id or the beginning of that, its recipe's name, or another folder, such as an
            adapter's.
        key: File of a private key on an elliptic curve, PEM, without a password.
        signature: Where it goes; `model.sig` in the folder where left out. An older signature is replaced.
        force: Replace any other file there too.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: There is nothing whole to sign, no usable key (FTC540), or another file in its place (FTC651).
        OSError: A file can't be read or written.
    """
    found = _folder_or_run(target, folder)
    if isinstance(found, Run):
        refuse_faults(found)
        found = found.folder
    return sign_folder(found, Path(key), Path(signature) if signature else None, force=force)


def verify(
    target: Run | Path | str, *, key: Path | str, signature: Path | str | None = None, folder: Path | str = "."
) -> SignedFolder:
    """Compares a folder with its signature; see `sign` for the arguments, of which the key is the public one.

    Raises:
        Refusal: There is no signature (FTC541), or it doesn't hold (FTC542).
        OSError: A file can't be read.
    """
    named = target.folder if isinstance(target, Run) else Path(target)
    found = named if named.is_dir() else find_run(str(target), folder).folder
    return verify_folder(found, Path(key), Path(signature) if signature else None)


def _folder_or_run(target: Run | Path | str, folder: Path | str) -> Run | Path:
    """A run where there is a record, else the folder as it is."""
    if isinstance(target, Run):
        return target
    path = Path(target)
    return path if path.is_dir() and not (path / "record.json").exists() else find_run(str(target), folder)


def sign_folder(folder: Path, key: Path, signature: Path | None = None, *, force: bool = False) -> SignedFolder:
    """Signs all files of a folder but the signature, git's own files, and what a run needs while it goes on.

    Args:
        folder: The folder, such as a run's or an adapter's.
        key: The private key's file.
        signature: Where the signature goes; `SIGNATURE_FILE` in the folder where left out.
        force: Replace a file there that is no signature.

    Raises:
        Refusal: The packages are missing (FTC650), the key can't be used (FTC540), the folder can't be signed
            (FTC543), or something else is in the signature's place (FTC651, FTC653).
        OSError: A file can't be read or written.
    """
    path = signature or folder / SIGNATURE_FILE
    claim_output(path, OutputKind.SIGNATURE, force=force)
    signing, _, hashing = _library("sign")
    left_out = [*_OF_A_RUN, *_inside(folder, path)]
    config = signing.Config()
    _with_key(key, "private", lambda path: config.use_elliptic_key_signer(private_key=path))
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=left_out))
    if not any(file.is_file() and not _is_left_out(file.relative_to(folder), left_out) for file in folder.rglob("*")):
        raise Refusal([diagnostic("FTC543", f"`{folder}` has no file to sign", help="name a run or its folder")])
    try:
        config.sign(folder, path)
    except ValueError as problem:
        help = "replace links by the files that they point to"
        raise Refusal([diagnostic("FTC543", f"`{folder}` can't be signed", help=help, notes=str(problem))]) from None
    return _described(folder, path, _statement(path))


def verify_folder(folder: Path, key: Path, signature: Path | None = None) -> SignedFolder:
    """Compares a folder with its signature.

    Args:
        folder: The folder.
        key: The public key's file.
        signature: The signature; `SIGNATURE_FILE` in the folder where left out.

    Raises:
        Refusal: The packages are missing (FTC650), the key can't be used (FTC540), there is no signature (FTC541), or
            it doesn't hold (FTC542).
        OSError: A file can't be read.
    """
    _, verifying, _ = _library("verify")
    path = signature or folder / SIGNATURE_FILE
    if not path.is_file():
        help = "name it with `--signature`, or sign with `ftc run sign`"
        raise Refusal([diagnostic("FTC541", f"no signature `{path}`", help=help)])
    config = verifying.Config()
    _with_key(key, "public", lambda path: config.use_elliptic_key_verifier(public_key=path))
    statement = _statement(path)
    from cryptography.exceptions import InvalidSignature

    try:
        config.verify(folder, path)
    except InvalidSignature:
        raise _refused(path, "it was not made with this key over these contents") from None
    except (ValueError, KeyError, TypeError) as problem:
        raise _mismatch(folder, path, statement, str(problem)) from None
    return _described(folder, path, statement)


def _library(verb: str) -> tuple[ModuleType, ModuleType, ModuleType]:
    """The parts for signing, verifying and hashing.

    Raises:
        Refusal: They are not installed (FTC650).
    """
    try:
        from model_signing import hashing, signing, verifying
    except ModuleNotFoundError as error:
        help, note = "`pip install 'ftc[sign]'` installs what signatures need", f"`{error.name}` is not installed"
        raise Refusal([diagnostic("FTC650", f"`{verb}` needs more packages", help=help, notes=note)]) from None
    return signing, verifying, hashing


def _inside(folder: Path, path: Path) -> tuple[str, ...]:
    """The signature's own path in the folder, where it lies there."""
    own, root = path.resolve(), folder.resolve()
    return (own.relative_to(root).as_posix(),) if own.is_relative_to(root) else ()


def _is_left_out(path: Path, left_out: Sequence[str]) -> bool:
    return any(path == Path(name) or Path(name) in path.parents for name in left_out)


def _with_key(key: Path, kind: str, use: Callable[[Path], object]) -> None:
    """Has the library read a key.

    Raises:
        Refusal: It is none that can be used (FTC540).
        OSError: It can't be read.
    """
    with key.open("rb"):  # a missing file is no wrong key
        pass
    try:
        use(key)
    except (ValueError, TypeError, AttributeError) as problem:
        help = "use a key on an elliptic curve, as PEM, without a password"
        note = " ".join(str(problem).split())
        summary = f"`{key}` is not a usable {kind} key"
        raise Refusal([diagnostic("FTC540", summary, help=help, notes=note)]) from None


def _statement(path: Path) -> dict[str, Any]:
    """What a signature says of its folder; it proves nothing before it is verified.

    Raises:
        Refusal: It isn't in the form of model signing (FTC542).
        OSError: The file can't be read.
    """
    with path.open("rb") as file:
        data = file.read(_LARGEST_SIGNATURE)
    try:
        said = json.loads(base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"], validate=True))
        for one in said["predicate"]["resources"]:
            _ = str(one["name"]) + str(one["digest"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused(path, "it is not in OpenSSF model signing format") from None
    return dict(said)


def _described(folder: Path, path: Path, statement: dict[str, Any]) -> SignedFolder:
    predicate = statement["predicate"]
    left_out = predicate["serialization"].get("ignore_paths", ())
    return SignedFolder(
        folder=str(folder),
        signature=str(path),
        key_sha256=str(json.loads(path.read_bytes())["verificationMaterial"]["publicKey"]["hint"]),
        files=len({one["name"] for one in predicate["resources"]}),
        files_sha256=str(statement["subject"][0]["digest"]["sha256"]),
        not_covered=tuple(sorted({*map(str, left_out)} - {*_inside(folder, path)})),
    )


def _refused(path: Path, why: str, notes: Sequence[str] = ()) -> Refusal:
    help = "get the folder and its signature from their source, and the key from someone you trust"
    return Refusal([diagnostic("FTC542", f"the signature `{path}` is not valid: {why}", help=help, notes=notes)])


def _mismatch(folder: Path, path: Path, statement: dict[str, Any], problem: str) -> Refusal:
    """Names the files that differ from a manifest over whole files; else what the library said."""
    if not problem.startswith("Signature mismatch"):
        return _refused(path, "it can't be verified with this key", [" ".join(problem.split())])
    differing = list(_differences(folder, path, statement["predicate"]))
    if not differing:
        return _refused(path, "the folder changed after it was signed", [problem])
    notes = differing[:_NAMED]
    if more := len(differing) - len(notes):
        notes.append(f"and {more} more")
    return _refused(path, "the folder changed after it was signed", notes)


def _differences(folder: Path, path: Path, predicate: dict[str, Any]) -> Iterator[str]:
    from ftc.spec.canonical import file_digest

    how = predicate["serialization"]
    if how["method"] != "files" or how["hash_type"] != "sha256":
        return
    signed = {str(one["name"]): str(one["digest"]) for one in predicate["resources"]}
    left_out = [*map(str, how.get("ignore_paths", ())), *_inside(folder, path)]
    here = {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not _is_left_out(file.relative_to(folder), left_out)
    }
    yield from (f"`{name}` is missing" for name in sorted(signed.keys() - here.keys()))
    yield from (f"`{name}` was added" for name in sorted(here.keys() - signed.keys()))
    for name in sorted(here.keys() & signed.keys()):
        if (found := file_digest(here[name])) != signed[name]:
            yield f"`{name}` was changed: signed {signed[name][:12]}, found {found[:12]}"
