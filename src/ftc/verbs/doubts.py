"""Whether a run's documents are still those that the run wrote; said wherever their numbers are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftc.spec.canonical import file_digest, is_as_sealed
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.pushed import read_pulled
from ftc.spec.storage.paths import RunFolder

if TYPE_CHECKING:
    from ftc.verbs.runs import Run

__all__ = ["changed_documents"]


def changed_documents(run: Run) -> tuple[Diagnostic, ...]:
    """A warning where plan, record, scores or predictions have another checksum than the run left them with.

    This costs reading five small files. What else a change contradicts is the audit's to find.
    """
    place, pulled = RunFolder(run.folder), read_pulled(run.folder)
    bare = {
        file: facts
        for file in (place.plan, place.evaluation)
        if pulled and (facts := pulled.left_behind(file.name)) is not None
    }
    changed = [file.name for file, facts in bare.items() if not file.is_file() or file_digest(file) != facts.sha256]
    changed += [file.name for file in (place.plan, place.record) if file not in bare and not is_as_sealed(file)]
    for file in (place.evaluation, place.outcomes, place.thumbnails):
        facts = run.record.outputs.get(file.name)
        if file not in bare and facts is not None and file.is_file() and file_digest(file) != facts.sha256:
            changed.append(file.name)
    if not changed:
        return ()
    names = " and ".join(f"`{name}`" for name in changed)
    verb = "was" if len(changed) == 1 else "were"
    summary = f"{names} of run {run.record.id} {verb} changed after the run wrote {'it' if verb == 'was' else 'them'}"
    help = f"`ftc audit {run.record.id}` says in what; restore the run's folder from a copy"
    return (diagnostic("FTC551", summary, help=help),)
