"""A tuned model in another program's format: built in a temporary folder, proved, and moved into its place."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ftc.runtime.artifacts.export import load_exported
from ftc.runtime.artifacts.merge import allowed_share, on_processor
from ftc.runtime.evaluation.evaluate_again import reopened
from ftc.runtime.evaluation.reference import Reference, read_reference, reference_of, split_of
from ftc.runtime.execution.verify import verify_some
from ftc.spec.canonical import file_digest
from ftc.spec.documents.exported import EXPORT_FILE, AnswersKept, Converter, ExportedModel, Parity, Speed, TemplateKept
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.provenance import header_text, provenance_of
from ftc.spec.model_formats import file_type
from ftc.spec.storage.atomic_write import building_folder
from ftc.spec.version import VERSION

if TYPE_CHECKING:
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.execution.session import Session
    from ftc.runtime.exports.asked import AskedFile
    from ftc.runtime.tasks.scorer import ModelWithScorer
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import RunRecord
    from ftc.spec.documents.streams import Split
    from ftc.spec.storage.paths import RunFolder

__all__ = ["Job", "Writer", "Written", "export_file"]

_FEW_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a format's writer made of a run, with its proofs.

    Attributes:
        converter: What converted it.
        libraries: Names of the packages that took part.
        tensor_types: How many tensors the file has of each type, as read back from it.
        conversion: Proof of the file in float32, from which the others are made.
        parity: Proof of the file.
        tokenized: Rows whose text becomes the run's tokens again.
        answers: What became of the recipe's gates; None where the type keeps enough bits.
        template: Of a chat template beside the file.
        notes: What a user has to know.
        texts: Texts to try its program with.
        speed: How quickly it reads; None where its own program isn't run.
    """

    converter: Converter
    libraries: tuple[str, ...]
    tensor_types: Mapping[str, int]
    conversion: Parity
    parity: Parity
    tokenized: int
    answers: AnswersKept | None = None
    template: TemplateKept | None = None
    notes: tuple[str, ...] = ()
    texts: str = ""
    speed: Speed | None = None


class Writer(Protocol):
    """What writes one format."""

    def __call__(self, job: Job, folder: Path) -> Written:
        """Writes the files into a folder, which is empty, and proves them.

        Raises:
            Refusal: The converter failed (FTC668), the file says something else (FTC669), or the recipe's gates don't
                hold with it (FTC670).
            KeyboardInterrupt: Somebody asked to stop.
        """
        ...


class Job:
    """One export: what it is compared with, and where its files lie until they are proved."""

    def __init__(self, session: Session, run: RunFolder, record: RunRecord, asked: AskedFile, scratch: Path) -> None:
        split = split_of(session)
        assert split is not None, "a run has rows to train on"
        rows = session.stream(split)
        assert rows is not None, "the split was chosen for its rows"
        self.split: Split = split
        self.session, self.asked, self.scratch, self.rows, self.run = session, asked, scratch, rows, run
        made = provenance_of(session.plan).model_copy(update={"adapter_sha256": record.final_weights_sha256})
        self.origin = header_text(made)
        self.reference = read_reference(session, run) or self._new_reference()

    def _new_reference(self) -> Reference:
        """Of a run of an earlier release, which kept none."""
        return reference_of(self.tuned(), self.session, self.split)

    def tuned(self) -> ModelWithScorer:
        """The tuned model, loaded once."""
        session = self.session
        if session.base is None:
            session.base = session.build()
            load_exported(session, session.base.model)
        return session.base

    @property
    def widest(self) -> float:
        """What scores may differ at least: a run that rounds by itself differs from its own merge by more."""
        return allowed_share(self.session.plan.settings, "float32")


def export_file(
    plan: Plan,
    inputs: Inputs,
    run: RunFolder,
    record: RunRecord,
    asked: AskedFile,
    writer: Writer,
    listen: EventListener,
) -> ExportedModel:
    """Writes the folder of an exported model.

    Raises:
        Refusal: Base, rows or weights are not the run's (FTC620, FTC621, FTC630); see `Writer`.
        KeyboardInterrupt: Somebody asked to stop; nothing is left behind.
    """
    with (
        reopened(on_processor(plan), inputs, run, record, listen) as session,
        tempfile.TemporaryDirectory(prefix=".ftc-export-", dir=_parent(asked.target)) as scratch,
        building_folder(asked.target) as folder,
    ):
        job = Job(session, run, record, asked, Path(scratch))
        with session.journal.phase("verify", "rows and base"):
            verify_some(plan, inputs, [job.split], session.stamps)
        made = writer(job, folder)
        exported = ExportedModel(
            ftc_version=VERSION,
            packages={name: version(name) for name in made.libraries},
            converter=made.converter,
            format=asked.format,
            name=plan.name,
            run_id=record.id,
            job_sha256=plan.job_sha256(),
            record_sha256=record.sha256,
            weights_sha256=record.final_weights_sha256 or "",
            weight_type=asked.weight_type,
            tensor_types=dict(sorted(made.tensor_types.items())),
            files=dict(_files(folder)),
            conversion=made.conversion,
            parity=made.parity,
            tokenized=made.tokenized,
            base=plan.settings.model.base.rstrip("/").rpartition("/")[2],
            texts=made.texts,
            answers=made.answers,
            template=made.template,
            speed=made.speed,
            notes=(*made.notes, *_notes(plan, asked, made)),
        )
        (folder / EXPORT_FILE).write_text(exported.to_text(), encoding="utf-8")
    return exported


def _parent(target: Path) -> Path:
    """The nearest folder that is there: what is renamed has to lie on the same disk."""
    return next(one for one in target.parents if one.is_dir())


def _files(folder: Path) -> Iterator[tuple[str, FileFacts]]:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield file.relative_to(folder).as_posix(), FileFacts(size=file.stat().st_size, sha256=file_digest(file))


def _notes(plan: Plan, asked: AskedFile, made: Written) -> Iterator[str]:
    """What is to be said of the tokenizer and of gates, whatever the format."""
    if not made.tokenized:
        yield "no row's text gives its own tokens again, so the file's tokenizer was not compared"
    if (answers := made.answers) is None:
        if plan.settings.eval.gates and file_type(asked.weight_type).is_measured:
            yield f"gates that were not checked: {', '.join(sorted(plan.settings.eval.gates))}"
        return
    if answers.rows < _FEW_ROWS:
        yield f"gates were checked on {answers.rows} rows ({_FEW_ROWS} or more advised); rely on the intervals"
    if answers.unchecked:
        yield f"gates that were not checked: {', '.join(answers.unchecked)}"
