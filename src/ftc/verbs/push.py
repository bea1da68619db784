"""`ftc run push RUN owner/name`: a finished run on the hub, checked before, in one commit, compared afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.exported import EXPORT_FILE
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.merged import MERGE_FILE
from ftc.spec.documents.pushed import LIST_FILE, Pushed, PushReport
from ftc.spec.language.safe_repr import quoted
from ftc.spec.storage.paths import RunFolder
from ftc.verbs.push_checks import require_shareable
from ftc.verbs.push_files import Staged, made_in, staged
from ftc.verbs.runs import Run, find_run

if TYPE_CHECKING:
    from ftc.compiler.resolve.files.hub_repository import Head, HubRepository
    from ftc.spec.documents.ledger import RunPushed

__all__ = ["Push", "push"]

_NEW = (".gitattributes", ".gitignore")
"""What a repository has that the hub has just created."""


@dataclass(frozen=True, slots=True)
class Push:
    """A push.

    Attributes:
        run: The run.
        report: What was done.
        card: The model card.
    """

    run: Run
    report: PushReport
    card: str


@dataclass(frozen=True, slots=True)
class _Asked:
    run: Run
    repo: str
    staged: Staged
    is_public: bool
    parent: str | None
    waived: tuple[str, ...]


def push(
    run: Run | Path | str,
    repo: str,
    *,
    made: Path | str | None = None,
    public: bool = False,
    parent: str | None = None,
    languages: Sequence[str] = (),
    waive: Sequence[str] = (),
    dry_run: bool = False,
    offline: bool = False,
    folder: Path | str = ".",
) -> Push:
    """Puts a finished run into a repository of the hub, in one commit, and notes the commit in the project's ledger.

    What goes is the adapter, or the whole model where all was trained, with the plan, the record, the scores and a
    model card. Texts of rows stay here.

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        repo: `owner/name`. It is created where it isn't there.
        made: A folder that `ftc run merge` or `ftc run export` made of the run, to push instead.
        public: Whether everybody may read a repository that is created, or that is public already.
        parent: The commit that the repository has to stand at; None for the last push of this project, or a
            repository without files.
        languages: Codes of the languages that the model is for, such as `en`, for the model card.
        waive: What may be passed over: `license`, `gated-base`, `audit`, `personal-data`, or a gate by its metric.
        dry_run: Show what would go, and connect to nothing.
        offline: Whether nothing may be connected to.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: It is nothing to push (FTC770), it may not or should not be shared (FTC771 to FTC773), the repository
            is another one than expected (FTC774), the hub refuses (FTC315 to FTC317, FTC321, FTC775, FTC777), or it
            has other files than were sent (FTC776).
        OSError: A file can't be read or written.
    """
    from ftc.compiler.resolve.files.hub_repository import refuse_offline

    found = run if isinstance(run, Run) else find_run(str(run), folder)
    place = _repository(found, repo, has_folder=made is not None)
    if not dry_run:
        refuse_offline("run push", offline=offline)
        place.require_login()
    notes = require_shareable(found, waive, None if dry_run else place.is_gated)
    with tempfile.TemporaryDirectory(prefix="ftc-push-") as scratch:
        source = None if made is None else made_in(found, Path(made), waive)
        ready = staged(found, source, repo, languages, waive, Path(scratch))
        asked = _Asked(found, repo, ready, public, parent, tuple(sorted(waive)))
        report = _report(asked, "dry run", is_private=not public) if dry_run else _pushed(asked, place)
    return Push(found, report.model_copy(update={"notes": tuple(notes)}), ready.card)


def _repository(run: Run, repo: str, *, has_folder: bool) -> HubRepository:
    """The repository of an id.

    Raises:
        Refusal: It is no such id, or a folder that ftc wrote has that path and none is named by `--from` (FTC321).
    """
    from ftc.compiler.resolve.files.hub_repository import HubRepository

    helps = (
        f"`ftc run merge {run.record.id} -o FOLDER` writes the model into a folder, `ftc run export` in other formats",
        f"the run is a folder already, {run.folder}",
        f"`ftc run push {run.record.id} OWNER/NAME --from FOLDER` puts such a folder on the hub",
    )
    try:
        place = HubRepository(repo)
    except Refusal as error:
        (found,) = error.diagnostics
        raise Refusal([replace(found, help=(*found.help, *helps))]) from error
    written = (MERGE_FILE, EXPORT_FILE, RunFolder(Path(repo)).record.name)
    if not has_folder and any(Path(repo, name).is_file() for name in written):
        raise Refusal([diagnostic("FTC321", f"{quoted(repo)} is a folder that ftc wrote", help=helps)])
    return place


def _pushed(asked: _Asked, place: HubRepository) -> PushReport:
    from ftc.compiler.resolve.files.hub_repository import differing

    head = place.head()
    if head is None:
        place.create(private=not asked.is_public)
        head = place.head()
        if head is None:
            help = "wait a moment, then run the same command again"
            raise Refusal([diagnostic("FTC775", f"the hub created `{asked.repo}` and doesn't show it", help=help)])
    if not head.is_private and not asked.is_public:
        helps = ("push with `--public` where everybody may read it", "or make it private on its page on the hub")
        summary = f"`{asked.repo}` is public, and a push is private unless you say otherwise"
        raise Refusal([diagnostic("FTC774", summary, help=helps)])
    files = asked.staged.files
    old = _earlier_list(place, head)
    deleted = tuple(sorted(path for path in (old.files if old else ()) if path in head.files and path not in files))
    if not differing(head.files, files) and not deleted:
        if head.commit not in [one.commit for one in _earlier_pushes(asked)]:
            _note(asked, head.commit, "")  # of a push whose answer was lost, or of another copy of the project
        return _report(asked, "up to date", is_private=head.is_private, commit=head.commit)
    parent = _parent(asked, head)
    message = f"{asked.staged.listed.what} of run {asked.run.record.id}, pushed by ftc"
    commit = place.commit(files, deleted, message, parent)
    _note(asked, commit, parent)
    if wrong := differing(place.listed(files, commit), files):
        notes = [f"`{path}`" for path in wrong]
        help = f"delete commit {commit[:12]} there, check the connection and proxies, and push again"
        summary = f"{len(wrong)} of {len(files)} files in `{asked.repo}` are not those that were sent"
        raise Refusal([diagnostic("FTC776", summary, help=help, notes=notes)])
    done = _report(asked, "pushed", is_private=head.is_private, commit=commit, parent=parent)
    return done.model_copy(update={"deleted": deleted})


def _parent(asked: _Asked, head: Head) -> str:
    """The commit to stand on: the one that was named, this project's last push, or a new repository's first.

    Raises:
        Refusal: The repository stands elsewhere (FTC774).
    """
    ours = _earlier_pushes(asked)
    stated = asked.parent or (ours[-1].commit if ours else None)
    if stated is None and all(path in _NEW for path in head.files):
        return head.commit
    if stated is not None and head.commit.startswith(stated):
        return head.commit
    whose = "you named" if asked.parent else "this project pushed last"
    expected = f"the commit {whose} is {stated[:12]}" if stated else "this project has pushed nothing to it"
    helps = (
        f"check what is there, then run again with `--parent {head.commit}`: files of the same name are replaced",
        "or choose another name",
    )
    summary = f"`{asked.repo}` is at commit {head.commit[:12]}, with {len(head.files)} files"
    raise Refusal([diagnostic("FTC774", summary, help=helps, notes=expected)])


def _earlier_pushes(asked: _Asked) -> list[RunPushed]:
    from ftc.spec.documents.ledger import RunPushed, read_ledger

    return [one for one in read_ledger(asked.run.root) if isinstance(one, RunPushed) and one.repo == asked.repo]


def _note(asked: _Asked, commit: str, parent: str) -> None:
    from ftc.spec.documents.ledger import RunPushed, append_entry

    append_entry(
        asked.run.root,
        RunPushed,
        name=asked.run.plan.name,
        run_id=asked.run.record.id,
        repo=asked.repo,
        commit=commit,
        parent=parent,
        what=asked.staged.listed.what,
        files_sha256={path: facts.sha256 for path, facts in asked.staged.listed.files.items()},
    )


def _earlier_list(place: HubRepository, head: Head) -> Pushed | None:
    """What an earlier push put there; None where there was none, or its list can't be read."""
    from pydantic import ValidationError

    from ftc.spec.storage.reading import LARGEST_DOCUMENT, read_regular

    if LIST_FILE not in head.files or head.files[LIST_FILE].size > LARGEST_DOCUMENT:
        return None
    with tempfile.TemporaryDirectory(prefix="ftc-list-") as scratch:
        file = place.fetch(LIST_FILE, head.commit, Path(scratch))
        try:
            return Pushed.model_validate_json(read_regular(file, LARGEST_DOCUMENT))
        except ValidationError:
            return None


def _report(
    asked: _Asked,
    status: Literal["dry run", "up to date", "pushed"],
    *,
    is_private: bool,
    commit: str | None = None,
    parent: str | None = None,
) -> PushReport:
    listed, files = asked.staged.listed, asked.staged.files
    own = FileFacts(size=files[LIST_FILE].stat().st_size, sha256=file_digest(files[LIST_FILE]))
    return PushReport(
        status=status,
        run_id=asked.run.record.id,
        repo=asked.repo,
        what=listed.what,
        commit=commit,
        parent=parent,
        is_private=is_private,
        files={**listed.files, LIST_FILE: own},
        without_rows=listed.without_rows,
        left_out=listed.left_out,
        waived=asked.waived,
    )
