"""What each of the hub library's exceptions means for the user, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ftc.compiler.resolve.files.hub_splits import NoSplit
from ftc.compiler.resolve.files.safe_files import UnsafePath, safe_path
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import quoted
from ftc.spec.storage.model_files import INDEX_FILE, SINGLE_FILE

__all__ = [
    "HubFault",
    "check_name",
    "check_names",
    "fault_of",
    "no_file",
    "no_split",
    "not_cached",
    "of_locked",
    "refuse_no_model",
]

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack")

_LOG_IN = "accept the terms on the repository's page on the hub, then `hf auth login` or set `HF_TOKEN`"
_INSIDE = "write it as on the repository's page on the hub"


class HubFault(NamedTuple):
    """Parts of a finding. Texts of the library are left out: they may quote addresses and headers."""

    code: str
    summary: str
    help: str
    notes: str | tuple[str, ...] = ()


def fault_of(error: Exception, repo: str, revision: str) -> HubFault | None:
    """The fault behind an exception of huggingface_hub, or None for one that is a bug or no fault of the hub."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # "not in the cache either" hides why the hub couldn't be asked
    match error:
        case errors.GatedRepoError():
            return HubFault("FTC315", f"no access to `{repo}`", _LOG_IN, "the owner requires that you accept the terms")
        case errors.RepositoryNotFoundError():
            help = "check the spelling; for a private repository `hf auth login` or set `HF_TOKEN`"
            note = f"there is also no folder `{repo}` beside the recipe"
            return HubFault("FTC314", f"the hub has no repository `{repo}`, or it is private", help, note)
        case errors.RevisionNotFoundError():
            help = "give a branch, tag or commit of the repository, or remove `revision`"
            return HubFault("FTC316", f"`{repo}` has no revision `{revision[:80]}`", help)
        case errors.EntryNotFoundError() if not isinstance(error, errors.LocalEntryNotFoundError):
            help = "run again; the repository may have changed meanwhile"
            return HubFault("FTC323", f"a file of `{repo}` no longer exists", help)
        case errors.HFValidationError():
            return HubFault("FTC321", f"{quoted(repo)} is not a hub id", "give an id such as `owner/name`")
        case errors.HfHubHTTPError():
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status in (401, 403):
                return HubFault("FTC315", f"no access to `{repo}`", _LOG_IN, f"the hub answered {status}")
            return _unreachable(f"status {status}")
        case OSError():
            return _unreachable(type(error).__name__)
        case _:
            return _unreachable(type(error).__name__) if _is_transport_error(error) else None


def of_locked(found: Diagnostic, commit: str | None) -> Diagnostic:
    """A finding about a repository, where the lock and not the recipe asked for `commit`."""
    if commit is None or found.code != "FTC316":
        return found
    note = f"the lock pins commit `{commit[:12]}`, which the repository no longer has"
    help = "restore the commit there, or delete the lock file and run `ftc plan` to pin a newer one"
    return replace(found, notes=(*found.notes, note), help=(help,))


def no_file(name: str, names: Collection[str], repo: str, span: Span | None, path: str) -> Refusal:
    """A data set without the file that is asked for."""
    near = nearest(name, names)
    help = f"did you mean `{near}`?" if near else f"check the file list of `{repo}` on the hub"
    return Refusal([diagnostic("FTC323", f"`{repo}` has no file `{name}`", span, help=help, path=path)])


def no_split(problem: NoSplit, repo: str, span: Span | None, path: str) -> Refusal:
    """A data set without the split that is asked for."""
    code = "FTC324" if problem.is_ambiguous else "FTC323"
    return Refusal([diagnostic(code, f"`{repo}` {problem.summary}", span, help=problem.help, path=path)])


def not_cached(file: str, repo: str, revision: str, span: Span | None, path: str) -> Refusal:
    """A file that the cache lacks where it must do."""
    summary = f"`{repo}` at `{revision}` isn't in the hub's cache"
    note = f"`{file}` is missing there, and ftc is offline"
    help = "run once with a network, without `--offline`, `FTC_OFFLINE` and `HF_HUB_OFFLINE`"
    return Refusal([diagnostic("FTC318", summary, span, notes=note, help=help, path=path)])


def check_name(name: str) -> None:
    """Lets pass a name that means a place inside of its repository alone.

    Raises:
        UnsafePath: It may mean another.
    """
    if ".." in name.split("/"):
        raise UnsafePath(name, "contains `..`", _INSIDE)
    try:
        safe_path(Path("/repository"), name)
    except UnsafePath as error:
        raise UnsafePath(name, error.reason, _INSIDE) from None


def check_names(names: Collection[str], span: Span | None, path: str) -> None:
    """Lets pass a list of a repository's files.

    Raises:
        Refusal: One may mean a place outside of the repository (FTC319).
    """
    for name in names:
        try:
            check_name(name)
        except UnsafePath as error:
            summary = f"the repository lists a file whose name {error.reason}: {quoted(name)}"
            help = "don't use this repository; report it to the hub"
            raise Refusal([diagnostic("FTC319", summary, span, help=help, path=path)]) from error


def refuse_no_model(names: Collection[str], repo: str, span: Span | None, path: str) -> None:
    """Lets pass a repository that holds a model that ftc opens, before anything is downloaded.

    Raises:
        Refusal: FTC302, FTC303 or FTC312.
    """
    if "config.json" not in names:
        is_adapter = "adapter_config.json" in names
        code = "FTC312" if is_adapter else "FTC302"
        summary = f"`{repo}` has {'an adapter' if is_adapter else 'no config.json'}"
        help = (
            "give the base model's id" if is_adapter else "give the id of a repository that holds a transformers model"
        )
        raise Refusal([diagnostic(code, summary, span, help=help, path=path)])
    if SINGLE_FILE not in names and INDEX_FILE not in names:
        other = next((name for name in sorted(names) if name.endswith(_PICKLES)), None)
        code = "FTC303" if other else "FTC302"
        summary = f"`{repo}` has no safetensors weights"
        notes = f"it has `{other}`, which ftc doesn't open" if other else ()
        help = "find a revision or a copy in safetensors format; many repositories have one under `refs/pr/`"
        raise Refusal([diagnostic(code, summary, span, notes=notes, help=help, path=path)])


def _is_transport_error(error: Exception) -> bool:
    """Whether it comes from the HTTP client, whose package differs between releases of huggingface_hub."""
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


def _unreachable(reason: str) -> HubFault:
    help = "check the network, the proxy settings and `HF_ENDPOINT`; `--offline` uses cached files"
    return HubFault("FTC317", "the hub can't be reached", help, f"the request ended with {reason}")
