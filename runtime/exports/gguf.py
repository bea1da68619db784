"""A tuned model as one GGUF file for llama.cpp, built in a temporary folder, proved, and moved into its place."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.runtime.artifacts.export import load_exported
from ftc.runtime.artifacts.merge import allowed_share, on_processor
from ftc.runtime.evaluation.evaluate_again import reopened
from ftc.runtime.evaluation.reference import Reference, read_reference, reference_of, split_of
from ftc.runtime.execution.verify import verify_some
from ftc.runtime.exports import gates
from ftc.runtime.exports.children import Llama, convert
from ftc.runtime.exports.converter import CONVERTER
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.exported import EXPORT_FILE, AnswersKept, ExportedModel, Parity, TemplateKept
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.provenance import METADATA_KEY, header_text, provenance_of
from ftc.spec.model_formats import GgufType, gguf_type
from ftc.spec.storage.atomic_write import building_folder
from ftc.spec.version import VERSION

if TYPE_CHECKING:
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.execution.session import Session
    from ftc.runtime.exports.asked import AskedFile
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import RunRecord
    from ftc.spec.documents.streams import Split
    from ftc.spec.storage.paths import RunFolder

__all__ = ["export_gguf"]

_LIBRARIES = ("gguf", "llama-cpp-py-sync", "torch", "transformers")
_MOST_TOKENIZED = 100
_FULL = "f32"


def export_gguf(
    plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, asked: AskedFile, listen: EventListener
) -> ExportedModel:
    """Writes the folder of an exported model.

    Raises:
        Refusal: Base, rows or weights are not the run's (FTC620, FTC621, FTC630), the converter failed (FTC668), the
            file says something else (FTC669), or the recipe's gates don't hold with it (FTC670).
        KeyboardInterrupt: Somebody asked to stop; nothing is left behind.
    """
    from gguf import GGUFReader

    with (
        reopened(on_processor(plan), inputs, run, record, listen) as session,
        tempfile.TemporaryDirectory(prefix=".ftc-export-", dir=_parent(asked.target)) as scratch,
        building_folder(asked.target) as folder,
    ):
        job = _Job(session, run, asked, Path(scratch))
        with session.journal.phase("verify", "rows and base"):
            verify_some(plan, inputs, [job.split], session.stamps)
        with session.journal.phase("export", f"{_FULL} by llama.cpp's converter"):
            origin = header_text(provenance_of(plan).model_copy(update={"adapter_sha256": record.final_weights_sha256}))
            convert(asked.converter, asked.model, job.full, job.scratch, {METADATA_KEY: origin}, asked.pre_tokenizer)
        session.stop.check()
        with session.journal.phase("compare", f"{len(job.reference.rows)} rows of {job.split}"):
            conversion = job.compared(job.full, gguf_type(_FULL))
            gates.require(conversion, "the converted file in f32")
            tokenized = job.tokenized()
        file = folder / f"{plan.name}-{asked.weight_type}.gguf"
        found, answers = job.written(file, conversion)
        template = asked.beside(folder, file.name, job.adds_first)
        exported = ExportedModel(
            ftc_version=VERSION,
            packages={name: version(name) for name in _LIBRARIES},
            converter=CONVERTER,
            format=asked.format,
            name=plan.name,
            run_id=record.id,
            job_sha256=plan.job_sha256(),
            record_sha256=record.sha256,
            weights_sha256=record.final_weights_sha256 or "",
            weight_type=asked.weight_type,
            tensor_types=dict(sorted(Counter(one.tensor_type.name for one in GGUFReader(file).tensors).items())),
            files=dict(_files(folder)),
            conversion=conversion,
            parity=found,
            tokenized=tokenized,
            answers=answers,
            template=template,
            notes=tuple(_notes(plan, asked, tokenized, answers, template)),
        )
        (folder / EXPORT_FILE).write_text(exported.to_text(), encoding="utf-8")
    return exported


class _Job:
    """One export: what it is compared with, and where its files lie until they are proved."""

    def __init__(self, session: Session, run: RunFolder, asked: AskedFile, scratch: Path) -> None:
        split = split_of(session)
        assert split is not None, "a run has rows to train on"
        rows = session.stream(split)
        assert rows is not None, "the split was chosen for its rows"
        self.split: Split = split
        self.scratch = scratch
        self.full = scratch / "full.gguf"
        self.adds_first = False
        self._session, self._asked, self._rows = session, asked, rows
        self.reference = read_reference(session, run) or self._new_reference()

    def _new_reference(self) -> Reference:
        """Of a run of an earlier release, which kept none."""
        session = self._session
        session.base = session.build()
        load_exported(session, session.base.model)
        return reference_of(session.base, session, self.split)

    def _llama(self, file: Path) -> Llama:
        settings = self._session.plan.settings
        longest = int(self._rows.lengths.max()) + (settings.eval.max_new_tokens or 0)
        return Llama(file, self.scratch, settings.device.threads, longest)

    def compared(self, file: Path, bound: GgufType) -> Parity:
        """A file beside the tuned model."""
        settings = self._session.plan.settings
        widest = allowed_share(settings, "float32")  # a run that rounds by itself differs from its own merge by more
        return gates.parity(self._llama(file), self._rows, self.reference, bound, widest)

    def tokenized(self) -> int:
        """Rows that the file's tokenizer splits as the run did.

        Raises:
            Refusal: It splits one otherwise (FTC669).
        """
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self._asked.model, local_files_only=True)
        same, asked, self.adds_first = gates.same_tokens(self._llama(self.full), self._rows, tokenizer, _MOST_TOKENIZED)
        if same < asked:
            summary = (
                f"the file's tokenizer splits {asked - same} of {asked} rows of {self.split} otherwise than the run"
            )
            help = "name the way in which the tokenizer splits texts with `--pre-tokenizer`"
            raise Refusal([diagnostic("FTC669", summary, notes="nothing was kept", help=help)])
        return same

    def written(self, file: Path, conversion: Parity) -> tuple[Parity, AnswersKept | None]:
        """Writes the file in the type that was asked for, and proves it.

        Raises:
            Refusal: It says something else (FTC669), or the recipe's gates don't hold with it (FTC670).
        """
        session, asked = self._session, self._asked
        if asked.weight_type == _FULL:
            self.full.rename(file)
            return conversion, None
        bound = gguf_type(asked.weight_type)
        with session.journal.phase("export", asked.weight_type):
            self._llama(self.full).quantize(bound.number, file)
        session.stop.check()
        with session.journal.phase("compare", f"{len(self.reference.rows)} rows of {self.split}"):
            found = self.compared(file, bound)
            gates.require(found, f"the file in {asked.weight_type}")
        # Gates of preferences compare with the untrained model.
        can_answer = session.plan.settings.answer not in ("pair", "rated")
        return found, self._answers(file) if bound.is_measured and can_answer else None

    def _answers(self, file: Path) -> AnswersKept:
        session, asked = self._session, self._asked
        rows = gates.first_rows(self._rows, asked.rows)
        work = session.base or session.build()
        if session.base is None:
            load_exported(session, work.model)
        with session.journal.phase("compare", f"answers to {len(rows)} rows of {self.split}"):
            tuned = gates.answers_of_model(session, work, rows)
            exported = gates.answers_of_file(session, self._llama(file), rows)
            found = gates.kept(session, rows, self.split, tuned, exported, asked.waived)
            gates.require_gates(found, asked.weight_type)
        return found


def _parent(target: Path) -> Path:
    """The nearest folder that is there: what is renamed has to lie on the same disk."""
    return next(one for one in target.parents if one.is_dir())


def _files(folder: Path) -> Iterator[tuple[str, FileFacts]]:
    for file in sorted(folder.iterdir()):
        yield file.name, FileFacts(size=file.stat().st_size, sha256=file_digest(file))


_FEW_ROWS = 100


def _notes(
    plan: Plan, asked: AskedFile, tokenized: int, answers: AnswersKept | None, template: TemplateKept | None
) -> Iterator[str]:
    if not tokenized:
        yield "no row's text gives its own tokens again, so the file's tokenizer was not compared"
    if template is not None and not template.keeps_spaces:
        yield "the model's own template trims white space around a turn, and this one can't: send turns without it"
    if answers is None:
        if plan.settings.eval.gates and gguf_type(asked.weight_type).is_measured:
            yield f"gates that were not checked: {', '.join(sorted(plan.settings.eval.gates))}"
        return
    if answers.rows < _FEW_ROWS:
        yield f"gates were checked on {answers.rows} rows ({_FEW_ROWS} or more advised); rely on the intervals"
    if answers.unchecked:
        yield f"gates that were not checked: {', '.join(answers.unchecked)}"
