"""What each of the hub library's exceptions means for the user, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ftc.spec.diagnostics import Diagnostic
from ftc.spec.language.safe_repr import quoted

__all__ = ["HubFault", "fault_of", "of_locked"]

_LOG_IN = "accept the terms on the repository's page on the hub, then `hf auth login` or set `HF_TOKEN`"


@dataclass(frozen=True, slots=True)
class HubFault:
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


def _is_transport_error(error: Exception) -> bool:
    """Whether it comes from the HTTP client, whose package differs between releases of huggingface_hub."""
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


def _unreachable(reason: str) -> HubFault:
    help = "check the network, the proxy settings and `HF_ENDPOINT`; `--offline` uses cached files"
    return HubFault("FTC317", "the hub can't be reached", help, f"the request ended with {reason}")
