"""`ftc run pull owner/name[@revision]`: a run that was pushed, brought back by its commit and compared file by file.

What comes is a stranger's until it is compared. Only files that the run's own record names as what was trained are
fetched, beside its documents; names that lead elsewhere make the list unreadable, and nothing of it is executed.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from ftc.spec.base import Document
from ftc.spec.canonical import file_digest, is_as_sealed
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.pushed import CARD, EVALUATION, LIST_FILE, PLAN, PULLED_FILE, RECORD, PulledRun, Pushed
from ftc.spec.storage.atomic_write import building_folder
from ftc.spec.storage.outputs import reason_of
from ftc.spec.storage.paths import runs_folder
from ftc.spec.storage.reading import LARGEST_DOCUMENT, read_regular
from ftc.verbs.runs import Run, load_run

if TYPE_CHECKING:
    from ftc.compiler.resolve.files.hub_repository import Head, HubRepository

AnyDocument = TypeVar("AnyDocument", bound=Document)

__all__ = ["Pull", "pull"]

_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model")
"""Of files of a model: no other is loaded, and some others hold programs."""


@dataclass(frozen=True, slots=True)
class Pull:
    """A pulled run.

    Attributes:
        run: The run.
        report: What came.
    """

    run: Run
    report: PulledRun


def pull(target: str, *, fetch_base: bool = True, offline: bool = False, folder: Path | str = ".") -> Pull:
    """Brings a pushed run into a project, where `predict`, `chat`, `show` and `merge` take it as any other.

    Args:
        target: `owner/name`, with `@` and a branch, tag or commit where it is not the main branch.
        fetch_base: Whether the base model comes too, into the hub's cache, where it is one of the hub.
        offline: Whether nothing may be connected to.
        folder: Any folder of the project.

    Raises:
        Refusal: The hub can't be asked (FTC314 to FTC323, FTC777), there is no run (FTC778), a file is another one than
            was pushed (FTC776), there is no room (FTC663), or another run has the folder (FTC651).
        OSError: The disk refused; nothing is left behind.
    """
    from ftc.compiler.resolve.files.hub_repository import HubRepository, refuse_offline
    from ftc.compiler.resolve.files.safe_files import project_root
    from ftc.spec.documents.ledger import RunPulled, append_entry
    from ftc.spec.storage.ignored import make_ignored

    repo, at, revision = target.partition("@")
    place = HubRepository(repo)
    refuse_offline("run pull", offline=offline)
    head = place.head(revision if at else None)
    if head is None:
        help = "check the spelling; for a private repository `hf auth login` or set `HF_TOKEN`"
        raise Refusal([diagnostic("FTC314", f"the hub has no repository `{repo}`, or it is private", help=help)])
    root = project_root(Path(folder) / "recipe").resolve()
    make_ignored(root / ".ftc")
    with tempfile.TemporaryDirectory(prefix=".pulling-", dir=root / ".ftc") as scratch:
        source = _Source(place, head, Path(scratch))
        listed = source.list()
        where = runs_folder(root, listed.name) / listed.run_id
        is_new = not where.exists()
        if is_new:
            make_ignored(root / "runs")
            source.bring(listed, where)
    found = load_run(where)
    if found.record.sha256 != listed.record_sha256:
        help = "move that folder away, then pull again; nothing was changed"
        summary = f"`runs/{listed.name}/{listed.run_id}` is another run, with another record"
        raise Refusal([diagnostic("FTC651", summary, help=help)])
    if is_new:
        facts = {"repo": repo, "commit": head.commit, "record_sha256": listed.record_sha256}
        append_entry(root, RunPulled, name=listed.name, run_id=listed.run_id, **facts)
    report = PulledRun(
        status="pulled" if is_new else "up to date",
        run_id=listed.run_id,
        name=listed.name,
        repo=repo,
        commit=head.commit,
        folder=where.relative_to(root).as_posix(),
        files=len(listed.files) + 1,
        size=sum(one.size for one in listed.files.values()),
        base=found.plan.settings.model.base,
        base_is_here=_has_base(found, fetches=fetch_base),
        without_rows=listed.without_rows,
        left_out=listed.left_out,
    )
    return Pull(found, report)


def _has_base(run: Run, *, fetches: bool) -> bool:
    """Whether the base model is on this machine, downloaded where it is one of the hub."""
    from ftc.compiler.audit.locate import model_folder
    from ftc.compiler.resolve.files.digests import DigestCache
    from ftc.compiler.resolve.files.hub import Hub
    from ftc.spec.storage.cached import DIGESTS
    from ftc.spec.storage.paths import cache_folder

    model = run.plan.settings.model
    if model_folder(run.plan, run.root) is not None:
        return True
    if not fetches or model.commit is None:
        return False
    Hub().model_snapshot(model.base, model.commit, DigestCache(DIGESTS.under(cache_folder())), lambda path: None)
    return model_folder(run.plan, run.root) is not None


@dataclass(frozen=True, slots=True)
class _Source:
    """A repository at a commit, and a folder of this machine for what comes from it."""

    place: HubRepository
    head: Head
    scratch: Path

    def list(self) -> Pushed:
        """The list of what was pushed.

        Raises:
            Refusal: FTC778.
        """
        facts = self.head.files.get(LIST_FILE)
        help = f"`{LIST_FILE}` says what a push put there; `hf download` brings files of other repositories"
        if facts is None or facts.size > LARGEST_DOCUMENT:
            summary = f"`{self.place.repo}` at commit {self.head.commit[:12]} was not pushed by ftc"
            raise Refusal([diagnostic("FTC778", summary, help=help)])
        found = self._document(LIST_FILE, Pushed)
        if not found.is_run:
            summary = f"`{self.place.repo}` holds a {found.what} model, and not the run"
            help = "its card says how to use it; push the run itself to a repository of its own to pull it"
            raise Refusal([diagnostic("FTC778", summary, help=help)])
        return found

    def bring(self, listed: Pushed, where: Path) -> None:
        """Downloads a run, compares it, and puts it in its place.

        Raises:
            Refusal: FTC663, FTC776, FTC778.
            OSError: The disk refused; nothing is left behind.
        """
        from ftc.spec.documents.plan import Plan
        from ftc.spec.documents.record import RunRecord
        from ftc.views.numbers import byte_size

        needed, free = sum(facts.size for facts in listed.files.values()), shutil.disk_usage(self.scratch).free
        if free < needed:
            summary = f"the run needs {byte_size(needed)} on disk, but only {byte_size(free)} are free"
            raise Refusal([diagnostic("FTC663", summary, help="free space where the project lies")])
        for path in (RECORD, PLAN):
            self._file(path, listed)
        record, plan = self._document(RECORD, RunRecord), self._document(PLAN, Plan)
        is_sealed = "plan.json" in listed.without_rows or is_as_sealed(self.scratch / PLAN)
        said = {
            "the record's own checksum": is_as_sealed(self.scratch / RECORD),
            "the record in the list": record.sha256 == listed.record_sha256,
            "the plan in the record": is_sealed and record.plan_sha256 == plan.sha256,
            "the run's name": record.id == listed.run_id and record.id.startswith(plan.run_id),
            "the job's name": record.name == plan.name == listed.name,
        }
        if wrong := [what for what, holds in said.items() if not holds]:
            raise Refusal([self._differs("its documents", f"they disagree about {', '.join(wrong)}")])
        trained = [name for name in record.outputs if name.startswith(f"{listed.what}/")]
        for name in trained:
            path = name.removeprefix(f"{listed.what}/")
            if Path(path).suffix not in _SUFFIXES or listed.files.get(path) != record.outputs[name]:
                raise Refusal([self._differs(path, "the record names another file")])
        paths = [*(name.removeprefix(f"{listed.what}/") for name in trained), CARD]
        paths += [EVALUATION] if EVALUATION in listed.files else []
        for path in paths:
            self._file(path, listed)
        where.parent.mkdir(parents=True, exist_ok=True)
        with building_folder(where) as target:
            for path in (*paths, RECORD, PLAN):
                place = target / listed.in_run(path)
                place.parent.mkdir(parents=True, exist_ok=True)
                (self.scratch / path).rename(place)
            (self.scratch / LIST_FILE).rename(target / PULLED_FILE)

    def _file(self, path: str, listed: Pushed) -> None:
        """Downloads a file, and compares it with the list.

        Raises:
            Refusal: FTC776.
        """
        facts = listed.files.get(path)
        if facts is None or path not in self.head.files:
            raise Refusal([self._differs(path, "it is missing there")])
        if file_digest(self.place.fetch(path, self.head.commit, self.scratch)) != facts.sha256:
            raise Refusal([self._differs(path, f"its sha256 should be {facts.sha256[:12]}…")])

    def _document(self, path: str, kind: type[AnyDocument]) -> AnyDocument:
        file = self.scratch / path
        if not file.exists():
            self.place.fetch(path, self.head.commit, self.scratch)
        try:
            return kind.model_validate_json(read_regular(file, LARGEST_DOCUMENT))
        except (ValidationError, OSError) as problem:
            summary = f"`{path}` in `{self.place.repo}` can't be read"
            help = "pull an earlier commit, with `@` and the commit behind the name"
            raise Refusal([diagnostic("FTC778", summary, help=help, notes=reason_of(problem))]) from None

    def _differs(self, path: str, why: str) -> Diagnostic:
        help = "pull the commit that the push reported, with `@` and the commit behind the name; nothing was kept"
        summary = f"`{path}` in `{self.place.repo}` is not what was pushed"
        return diagnostic("FTC776", summary, help=help, notes=why)
