"""A hosted job from its rows to its weights, step by step; each is noted before what costs money and after it.

Between the notes anything may end this process. What is asked again are questions; the one request that creates a job
is sent only where a note says that it never was, and where the service lists no job of this digest.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ftc.compiler.resolve.files.safe_files import read_recipe
from ftc.spec.base import parse_money
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.hosted import HOSTED_FILE, HostedJob, Moment, Preview, TheirJob
from ftc.spec.documents.plan import ExportStep
from ftc.spec.storage.atomic_write import sweep, write_file, write_text
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.run_folders import read_document
from ftc.verbs.hosted.prepare import Prepared
from ftc.verbs.hosted.protocol import is_gone
from ftc.verbs.hosted.sent_rows import file_facts, stream_of
from ftc.verbs.hosted.service import ServiceFault
from ftc.verbs.pack import recipe_files

if TYPE_CHECKING:
    from ftc.verbs.hosted.protocol import Hosted

__all__ = ["Wishes", "walk"]

T = TypeVar("T")
_LOOKS = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each look for a job whose creation got no answer."""
_MOST_FAULTS = 10
"""Questions in a row without an answer after which following a job ends; the job goes on."""
_HOPELESS = (400, 401, 402, 403, 404)
"""Statuses that stay the same however often a running job is asked for."""
_READY_SECONDS = 3600.0
_NEAR = timedelta(days=90)
_TOKENS_APART = 0.02
_ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Wishes:
    """How far to go.

    Attributes:
        another: Whether one more paid job may be created, where the last one ended or can't be found.
        waits: Whether to follow the job until it is over.
        tell: Hears what is done, a line each.
        sleep: Waits for some seconds.
        today: The day.
    """

    another: bool
    waits: bool
    tell: Callable[[str], None]
    sleep: Callable[[float], None]
    today: date


def walk(prepared: Prepared, service: Hosted, wishes: Wishes) -> HostedJob:
    """Goes on with a job from wherever its notes say that it stands.

    Raises:
        Refusal: FTC792 to FTC798; what was noted stays.
        OSError: A note can't be written.
    """
    from filelock import FileLock, Timeout

    folder = prepared.folder
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        help = "wait for it; two at once could create two jobs"
        raise Refusal([diagnostic("FTC794", f"another process works on `{prepared.job.id}`", help=help)]) from None
    try:
        sweep(folder)
        return _Walk(prepared, service, wishes, folder).through()
    finally:
        lock.release()


class _Walk:
    def __init__(self, prepared: Prepared, service: Hosted, wishes: Wishes, folder: Path) -> None:
        self._prepared, self._service, self._wishes, self._folder = prepared, service, wishes, folder
        file = folder / HOSTED_FILE
        self._job = read_document(file, HostedJob) if file.exists() else prepared.job
        if self._job.request_sha256 != prepared.job.request_sha256:
            help = f"move `{folder}` away"
            raise Refusal([diagnostic("FTC794", "the notes in the job's folder are another job's", help=help)])
        if self._job.job is None:  # what may be asked again, and is no part of the request
            asked = {"waived": prepared.job.waived, "price": prepared.job.price}
            self._job = self._job.model_copy(update=asked)

    def through(self) -> HostedJob:
        """Every step that is still to be done."""
        launch, place = self._prepared.launch, RunFolder(self._folder)
        if not place.recipe_lock.exists():
            write_text(place.recipe_lock, self._job.locked(launch.plan.lock).to_text())
        if not place.plan.exists():
            with suppress(Refusal, OSError):  # for the run that takes the result, where the recipe is still the plan's
                recipe_files(launch.plan, launch.root)
                write_file(place.recipe, read_recipe(launch.root / launch.plan.recipe_file))
            write_text(place.plan, launch.plan.to_text())
        if self._wishes.another:
            if self._job.creating:  # the job may be listed by now, and is paid for
                self._adopt()
            self._begin_another()
        if self._job.job is None:
            self._adopt()
        if self._job.job is None:
            if self._job.creating:
                self._unknown()
            self._before()
            self._create()
        self._in_ledger()
        if self._wishes.waits:
            self._follow()
            self._fetch()
        return self._job

    def _note(self, what: str, **changes: Any) -> None:
        """Writes the record with a change; what isn't on the disk after this didn't happen."""
        moment = Moment(at=datetime.now(UTC).isoformat(timespec="seconds"), what=what)
        changed = {**changes, "moments": (*self._job.moments, moment)}
        self._job = self._job.model_copy(update=changed).sealed()
        write_text(self._folder / HOSTED_FILE, self._job.to_text())
        self._wishes.tell(what)

    def _asked(self, doing: str, ask: Callable[[], T]) -> T:
        """An answer to a question.

        Raises:
            Refusal: There is none (FTC794).
        """
        try:
            return ask()
        except ServiceFault as fault:
            raise self._unable(doing, fault) from None

    def _unable(self, doing: str, fault: ServiceFault) -> Refusal:
        title, key = self._prepared.card.title, self._prepared.key
        help = f"check `{key}`" if fault.status in (401, 403) else "the same command goes on from here"
        return Refusal([diagnostic("FTC794", f"{title}: {doing}: {fault.reason}", help=help)])

    def _begin_another(self) -> None:
        seen = self._job.job
        if seen is not None and seen.status not in _ENDED:
            help = "the same command without `--another` follows it"
            raise Refusal([diagnostic("FTC794", f"job `{seen.id}` is not over: it is {seen.their_status}", help=help)])
        if seen is not None or self._job.creating:
            # New names for the rows: a server that keeps no marker finds a job by them.
            rows = {"train": self._prepared.job.train, "validation": self._prepared.job.validation}
            changes: dict[str, Any] = {
                "attempt": self._job.attempt + 1,
                "creating": False,
                "job": None,
                "outputs": {},
                **rows,
            }
            self._note("another job is asked for", **changes, fetched=False)

    def _adopt(self) -> None:
        """Takes up a job of this digest that the service has, whatever became of the notes about it."""
        found = self._asked("looking for jobs of this plan", self._found)
        if found:
            self._note(f"found job {found[-1].id} at the service", job=found[-1], creating=False)

    def _found(self) -> tuple[TheirJob, ...]:
        return self._service.find(self._job.marker, self._job.train.id)

    def _unknown(self) -> NoReturn:
        helps = (
            "run the same command again later: it searches again, and creates nothing",
            f"once the service's own page shows no job `{self._job.marker}`, `--another` asks for one",
        )
        summary = "the request for a job was sent, and nobody knows whether it arrived"
        raise Refusal([diagnostic("FTC797", summary, help=helps)])

    def _before(self) -> None:
        """Everything that costs nothing: limits, rows, tokens, price."""
        prepared, wishes = self._prepared, self._wishes
        body = prepared.body(self._job)
        if broken := self._asked("asking for limits", lambda: self._service.broken_limits(body)):
            summary = f"{prepared.card.title} doesn't take these numbers for `{self._job.model}`"
            help = "change them in the recipe, and plan again"
            raise Refusal([diagnostic("FTC791", summary, notes=broken, help=help)])
        ends = self._asked("asking for the base", lambda: self._service.shutdown(self._job.model))
        if ends is not None and ends < wishes.today + _NEAR and "shutdown" not in self._job.waived:
            summary = f"`{self._job.model}` is shut down on {ends}, and what is tuned from it, too"
            help = "train another base, or pass `--waive shutdown`"
            raise Refusal([diagnostic("FTC792", summary, help=help)])
        self._upload()
        self._compare()
        self._estimate()

    def _upload(self) -> None:
        for part, file in self._prepared.files.items():
            sent = self._job.validation if part == "validation" else self._job.train
            assert sent is not None, "files are written for what is sent"
            old, asking = sent.id, f"asking for the {part} rows"
            if old is not None and self._asked(asking, partial(is_gone, self._service, old)):
                sent = sent.model_copy(update={"id": None})
                self._note(f"{old} is no longer at the service", **{part: sent})
            if sent.id is None:
                upload = partial(self._service.upload, file, sent.facts.sha256)
                named = self._asked(f"uploading the {part} rows", upload)
                sent = sent.model_copy(update={"id": named})
                self._note(f"uploaded the {part} rows as {named}", **{part: sent})
            assert sent.id is not None, "named above"
            until, id = time.monotonic() + _READY_SECONDS, sent.id
            is_ready = partial(self._service.is_ready, id)
            while not self._asked(asking, is_ready):
                if time.monotonic() > until:
                    raise self._unable("waiting for the rows", ServiceFault("they were not checked within an hour"))
                self._wishes.sleep(min(5.0, self._prepared.site.poll_seconds))
            self._read_back(part, id, sent.facts.sha256)

    def _read_back(self, part: str, id: str, sha256: str) -> None:
        with tempfile.TemporaryDirectory(prefix="ftc-back-") as scratch:
            target = Path(scratch) / "rows"
            is_given = self._asked(f"reading the {part} rows back", lambda: self._service.content(id, target))
            if is_given and file_facts(target).sha256 != sha256:
                summary = f"the {part} rows at the service are not those that were sent"
                help = "delete the file there and run the same command again"
                forgotten = {part: getattr(self._job, part).model_copy(update={"id": None})}
                self._note(f"{id} holds other bytes than were sent", **forgotten)
                raise Refusal([diagnostic("FTC795", summary, help=help)])
        self._note(f"the service {'gives back the same bytes of' if is_given else 'does not show'} the {part} rows")

    def _compare(self) -> None:
        """The first rows as the service reads them beside the plan's own."""
        body, site = self._prepared.body(self._job), self._prepared.site
        seen = self._asked("asking for tokens", lambda: self._service.preview(body, site.preview_rows))
        if seen is None:
            return
        stream = stream_of(self._prepared.launch.plan, "train")
        assert stream is not None, "the rows were just written from it"
        differing, tokens = list[str](), 0
        expected = min(site.preview_rows, len(stream))
        if len(seen) != expected:
            differing.append(f"{len(seen)} rows instead of {expected}")
        for number, row in enumerate(seen[:expected]):
            ids, mask = stream.ids(number).tolist(), stream.mask(number).tolist()
            labels = [token if kept else -100 for token, kept in zip(ids, mask, strict=True)]
            tokens += len(ids)
            place = stream.place(number) or f"row {number + 1}"
            if list(row.ids) != ids:
                at = next((i for i, (a, b) in enumerate(zip(row.ids, ids, strict=False)) if a != b), len(row.ids))
                differing.append(f"{place}: {len(row.ids)} tokens there, {len(ids)} here, first other one at {at + 1}")
            elif list(row.labels) != labels:
                there = sum(label != -100 for label in row.labels)
                differing.append(f"{place}: {there} tokens trained on there, {sum(mask)} here")
        preview = Preview(rows=expected, tokens=tokens, differing=tuple(differing[:20]))
        words = f"{len(differing)} of {expected} rows are read otherwise" if differing else "the same tokens"
        self._note(f"tokens of the first {expected} rows: {words}", preview=preview)
        if differing and "tokens" not in self._job.waived:
            summary = f"{self._prepared.card.title} would train on other tokens than the plan's"
            helps = ("name the base whose tokenizer and template the plan has", "or pass `--waive tokens`")
            raise Refusal([diagnostic("FTC795", summary, notes=differing[:5], help=helps)])

    def _estimate(self) -> None:
        body = self._prepared.body(self._job)
        seen = self._asked("asking for the price", lambda: self._service.estimate(body))
        if seen is not None:
            theirs = {"their_tokens": seen.tokens, "their_price": seen.price}
            words = "no price" if seen.price is None else f"{seen.price:.2f} USD"
            self._note(f"the service expects {words}", price=self._job.price.model_copy(update=theirs))
        found, price, most = list[str](), self._job.price, self._prepared.site.most
        if seen is not None and not seen.is_allowed:
            found.append("the service doesn't allow this account to go on: its limit or balance is too low")
        if price.their_tokens is not None and abs(price.their_tokens - price.tokens) > _TOKENS_APART * price.tokens:
            found.append(f"the service counts {price.their_tokens:,.0f} tokens, the plan {price.tokens:,}")
        known = [parse_money(price.price)] if price.price else []
        known += [(price.their_price, "USD")] if price.their_price is not None else []
        if most is not None:
            same = [amount for amount, currency in known if currency == most.currency]
            if not same:
                found.append(f"nobody knows the price in {most.currency}, and `most` is {most.amount:g}")
            elif max(same) > most.amount:
                found.append(f"{max(same):.2f} {most.currency} are expected, and `most` is {most.amount:g}")
        if found and "price" not in self._job.waived:
            help = "change `most` or the price in ftc.launch.yaml, or pass `--waive price`"
            raise Refusal([diagnostic("FTC796", "the job was not created", notes=found, help=help)])

    def _create(self) -> None:
        """The one request that costs money."""
        self._adopt()  # somebody else's process, or another copy of the project, may have been quicker
        if self._job.job is not None:
            return
        body = self._prepared.body(self._job)
        self._note("asks for the job", creating=True)
        try:
            job = self._service.create(body)
        except ServiceFault as fault:
            if fault.is_refused:
                self._note(f"the service refuses the job: {fault.reason}", creating=False)
                raise self._unable("creating the job", fault) from None
            self._wishes.tell(f"no answer to the request for the job: {fault.reason}")
            self._look()
            return
        self._note(f"created job {job.id}", job=job, creating=False)

    def _look(self) -> None:
        """Looks for a job whose creation got no answer.

        Raises:
            Refusal: It isn't listed (FTC797).
        """
        for seconds in _LOOKS:
            self._wishes.sleep(seconds)
            try:
                found = self._found()
            except ServiceFault:
                continue
            if found:
                self._note(f"found job {found[-1].id} at the service", job=found[-1], creating=False)
                return
        self._unknown()

    def _in_ledger(self) -> None:
        from ftc.spec.documents.ledger import HostedCreated, append_entry, read_ledger

        job, root = self._job.job, self._prepared.launch.root
        assert job is not None, "created or found"
        if any(isinstance(one, HostedCreated) and one.job == job.id for one in read_ledger(root)):
            return
        append_entry(
            root,
            HostedCreated,
            name=self._job.name,
            run_id=self._job.id,
            plan_sha256=self._job.plan_sha256,
            provider=self._job.provider,
            job=job.id,
            rows_sha256=self._job.train.facts.sha256,
        )

    def _follow(self) -> None:
        faults = 0
        if (begun := self._job.job) is not None and begun.status not in _ENDED:
            self._wishes.tell(f"follows job {begun.id}, which goes on at the service if this command is stopped")
        while (seen := self._job.job) is not None and seen.status not in _ENDED:
            try:
                now = self._service.job(seen.id)
                faults = 0
            except ServiceFault as fault:
                faults += 1
                if fault.status in _HOPELESS or faults >= _MOST_FAULTS:
                    raise self._unable("following the job, which goes on there", fault) from None
                now = seen
            if now != seen:
                self._note(f"job {now.id} is {now.their_status}", job=now)
            if now.status not in _ENDED:
                self._wishes.sleep(self._prepared.site.poll_seconds)
        if seen is not None and seen.status != "succeeded":
            notes = [seen.error] if seen.error else []
            helps = ("see the service's own page about it", "`--another` creates another paid job")
            summary = f"job `{seen.id}` ended without a model: it is {seen.their_status}"
            raise Refusal([diagnostic("FTC798", summary, notes=notes, help=helps)])

    def _fetch(self) -> None:
        job = self._job.job
        if self._job.fetched or job is None:
            return
        steps = self._prepared.launch.plan.steps
        whole = any(isinstance(one, ExportStep) and one.artifact == "model" for one in steps)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".tmp-") as scratch:
            try:
                self._service.fetch(job, Path(scratch), whole)
            except ServiceFault as fault:
                if fault.status is None:
                    help = "the same command fetches it again"
                    summary = f"what job `{job.id}` made can't be fetched: {fault.reason}"
                    raise Refusal([diagnostic("FTC798", summary, help=help)]) from None
                raise self._unable("fetching the result", fault) from None
            made = sorted(Path(scratch).iterdir())
            outputs = {
                file.relative_to(scratch).as_posix(): file_facts(file)
                for file in sorted(Path(scratch).rglob("*"))
                if file.is_file()
            }
            for folder in made:
                shutil.rmtree(self._folder / folder.name, ignore_errors=True)
                folder.rename(self._folder / folder.name)
        size = sum(facts.size for facts in outputs.values())
        self._note(f"fetched {len(outputs)} files, {size:,} bytes", outputs=outputs, fetched=True)
