"""Static audit: does everything that a finished run names still have the bytes that it says?

Nothing is executed and no model is loaded. Inputs are compared with the plan that the run carried out, outputs with
the run's record, and each document with its own digest. That a run could be repeated is more than this level can say.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ftc.compiler.audit.answers import TestSplit, check_answers
from ftc.compiler.audit.contradictions import Witnesses, contradictions, is_ours
from ftc.compiler.audit.ledger import check_ledger
from ftc.compiler.audit.lineage import check_combined, check_continued, check_fetched, check_parent
from ftc.compiler.audit.model_texts import text_part
from ftc.compiler.audit.pages import Pages, check_pages
from ftc.compiler.audit.parts import active_parameters, base_part, has_rows, run_part, source_part, tensors_of
from ftc.compiler.audit.remarks import check_links, check_remarks
from ftc.compiler.audit.row_losses import check_row_losses
from ftc.compiler.audit.sampled import check_sampled
from ftc.compiler.audit.scores import check_scores
from ftc.compiler.audit.streams import check_streams
from ftc.compiler.audit.tally import WEIGHTS, Tally, difference, finding, plural
from ftc.compiler.audit.thumbnails import check_thumbnails
from ftc.spec.canonical import file_digest, own_digest
from ftc.spec.codes import CODES
from ftc.spec.companions import COMPANIONS, Companion, Role
from ftc.spec.documents.audit import AuditReport, Finding, SignatureSeen
from ftc.spec.documents.facts import EnvironmentFacts, FileFacts
from ftc.spec.documents.lockfile import is_weight_file
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.pushed import read_pulled
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.step_log import read_step_log
from ftc.spec.exit_codes import ExitCode
from ftc.spec.metrics import Need, needs_of
from ftc.spec.storage.model_files import SINGLE_FILE, content_digest, stray_files
from ftc.spec.storage.paths import RunFolder

__all__ = ["AuditInputs", "audit_static", "result_faults", "signed"]

_SIGNATURE = ".sig"
"""A signature lies beside what it signs; no program loads it."""

_NEVER_CHECKED = (
    WEIGHTS,
    "whether the record was truthful when it was written",
    "peak memory, times of day and words of the record: nothing else shows them",
    "the estimates and reasons in plan.json: what was done doesn't depend on them",
    "byte code and CUDA libraries of the packages: known by the sources and by what was installed",
)


@dataclass(frozen=True, slots=True)
class AuditInputs:
    """Where the run's inputs lie on this machine.

    Attributes:
        model: Folder of the base model, or None where it is not here.
        companions: Folders of the models beside the base, by role; those that are here.
        parent: Folder of the run that this one began from, or None where it is not here.
        lacking: Data of metrics that aren't here as the plan pins them.
        sources: Data files by their key in the lock; None where one is not here.
        streams: Folder of the token streams, or None where the cache no longer has them.
        environment: Packages as installed here.
        pages: What the report and the model card should say.
        previous: The record that the run's record follows, or None where it isn't here.
        witnesses: What speaks about the run beside its record.
        cache: ftc's cache, which knows rows and tensors one by one.
    """

    model: Path | None
    companions: Mapping[Role, Path]
    parent: Path | None
    lacking: tuple[Need, ...]
    sources: Mapping[str, Path | None]
    streams: Path | None
    environment: EnvironmentFacts
    pages: Pages
    previous: RunRecord | None
    witnesses: Witnesses
    cache: Path


def audit_static(
    run: RunFolder, plan: Plan, record: RunRecord, inputs: AuditInputs, *, strict: bool = False, gone: str = ""
) -> AuditReport:
    """Compares everything and gives the verdict; a strict audit takes for a finding what else is a remark.

    `gone` says why the process of a run is gone whose record says that it runs.
    """
    started, tally, ours = time.monotonic(), Tally(strict), is_ours(record)
    _check_documents(tally, run, plan, record, gone=gone)
    _check_outputs(tally, run, record.outputs, (run.adapter, run.model, run.checkpoints))
    _check_step_log(tally, run, record)
    _check_chain(tally, run, record, inputs.previous)
    check_pages(tally, run, record, inputs.pages, inputs.witnesses.ledger, ours=ours)
    _check_model(tally, plan, inputs.model)
    for card in COMPANIONS:
        _check_companion(tally, plan, card, inputs.companions.get(card.role))
    check_parent(tally, plan, inputs.parent)
    check_combined(tally, plan, run.path.resolve().parents[2])
    check_fetched(tally, run, plan, record, run.path.resolve().parents[2])
    check_continued(tally, run, record, run.path.resolve().parents[2])
    _check_metric_data(tally, plan, inputs.lacking)
    _check_sources(tally, plan, inputs.sources)
    check_streams(tally, plan, inputs.streams, ours=ours)
    check_remarks(tally, plan, record, inputs.witnesses.events, inputs.environment, inputs.model)
    check_links(tally, run.path.resolve().parents[2], _input_files(plan, inputs))
    _name_parts(tally, run, plan, record, inputs)
    in_ledger = _check_testimony(tally, run, plan, record, inputs, ours=ours)
    verdict, exit_code = _verdict(tally.findings)
    return AuditReport(
        run_id=record.id,
        level="static",
        verdict=verdict,
        findings=tuple(tally.findings),
        checked=tuple(tally.checked),
        checked_files=tally.files,
        checked_bytes=tally.bytes,
        num_steps=record.steps_done,
        seconds=time.monotonic() - started,
        not_checked=(*tally.not_checked, *_NEVER_CHECKED),
        in_ledger=in_ledger,
        inputs_changed=any(one.code == "FTC515" for one in record.interruptions),
        exit_code=exit_code,
    )


def signed(report: AuditReport, signature: SignatureSeen, fault: Finding | None) -> AuditReport:
    """The report with what a signature proves."""
    findings = (*report.findings, fault) if fault else report.findings
    verdict, exit_code = _verdict(findings)
    changes = {"signature": signature, "findings": findings, "verdict": verdict, "exit_code": exit_code}
    return report.model_copy(update=changes)


def result_faults(run: RunFolder, plan: Plan, record: RunRecord) -> tuple[Finding, ...]:
    """What is wrong with a run's own documents and files, whatever became of its inputs.

    Nothing is wrong with a whole, finished one, and of that alone a statement can be true. Checkpoints are no part of
    the result: they may be gone by then. Of a run that was pulled, what came is compared: documents without rows with
    the list by which they came, and everything else with the record.
    """
    tally, result, pulled = Tally(), (run.adapter, run.model), read_pulled(run.path)
    _check_documents(tally, run, plan, record, bare_plan=pulled.left_behind("plan.json") if pulled else None)
    left = {name: facts for name, facts in record.outputs.items() if run.checkpoints not in (run.path / name).parents}
    if pulled is not None:
        left = {name: pulled.left_behind(name) or facts for name, facts in left.items() if name not in pulled.left_out}
    _check_outputs(tally, run, left, result)
    return tuple(tally.findings)


def _verdict(findings: Iterable[Finding]) -> tuple[Literal["CONSISTENT", "TAMPERED", "INCONCLUSIVE"], int]:
    """Tampering outweighs what is missing: a wrong byte is proof, a missing one is not."""
    codes = {CODES[finding.code].exit_code for finding in findings}
    if ExitCode.INTEGRITY in codes:
        return "TAMPERED", ExitCode.INTEGRITY
    return ("INCONCLUSIVE", ExitCode.INCONCLUSIVE) if codes else ("CONSISTENT", ExitCode.FINE)


def _check_documents(
    tally: Tally, run: RunFolder, plan: Plan, record: RunRecord, bare_plan: FileFacts | None = None, gone: str = ""
) -> None:
    pairs = {
        "record.json": (record.sha256, own_digest(run.record)),
        "plan.json": (bare_plan.sha256, file_digest(run.plan)) if bare_plan else (plan.sha256, own_digest(run.plan)),
        "plan.json, as the record names it": (record.plan_sha256, plan.sha256),
    }
    pairs |= {
        f"plan.json, lock section `{name}`": (section.seal, section.expected_seal())
        for name, section in plan.lock.sections()
    }
    for subject, (said, found) in pairs.items():
        if said != found:
            tally.findings.append(finding("FTC523", subject, said, found, "restore the file from a copy or from git"))
    tally.checked.append(f"{len(pairs)} digests of documents")
    if not record.is_finished:
        hint = "apply the plan again; it continues from the last checkpoint"
        if record.is_open and not gone:
            hint = f"`ftc watch {record.id}` shows how far it is; audit it when it has ended"
        found = f"{record.status}; {gone}" if gone else record.status
        tally.findings.append(finding("FTC525", "record.json", "finished", found, hint))


def _check_outputs(tally: Tally, run: RunFolder, outputs: Mapping[str, FileFacts], folders: Iterable[Path]) -> None:
    """Every file that the run left is as it was, and there is no other in folders that programs load."""
    tally.findings += _compare(tally, run.path, outputs, "the run's folder")
    tally.checked.append(f"{len(outputs)} files of the run")
    if not outputs:
        return
    known = {run.path / name for name in outputs}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path not in known and path.suffix != _SIGNATURE:
                tally.findings.append(_planted(path.relative_to(run.path).as_posix()))


def _check_step_log(tally: Tally, run: RunFolder, record: RunRecord) -> None:
    """The step log has no gap, and its checksums hold the weights that the record and the checkpoints name."""
    if not run.step_log.is_file():
        return  # told with the other outputs
    step_log = read_step_log(run.step_log)
    hint = "restore the file from a copy"
    if step_log.height < record.steps_done:
        lines = f"{step_log.height} steps without a gap"
        tally.findings.append(finding("FTC534", "ladder.ndjson", f"{record.steps_done} steps", lines, hint))
    first = step_log.checksums.get(0)
    if first and first.weights_sha256 != record.initial_weights_sha256:
        said = str(record.initial_weights_sha256)
        tally.findings.append(finding("FTC534", "ladder.ndjson, step 0: weights", said, first.weights_sha256, hint))
    tally.checked.append(
        f"{plural(step_log.height, 'step')} and {plural(len(step_log.checksums), 'weight checksum')} of the step log"
    )


def _check_chain(tally: Tally, run: RunFolder, record: RunRecord, previous: RunRecord | None) -> None:
    """The record before this one is still the one that this one was written after."""
    link = record.previous
    if link is None:
        return
    if previous is None:
        tally.not_checked.append(f"the record of run {link.run_id}, which ended before this one: it is missing")
        return
    found = own_digest(RunFolder(run.path.parent / link.run_id).record)
    if previous.sha256 != link.record_sha256 or found != link.record_sha256:
        hint = "restore the record from a copy or from git"
        subject = f"record of run {link.run_id}, which ended before"
        tally.findings.append(finding("FTC533", subject, link.record_sha256, found, hint))
    tally.checked.append("the record before")


def _check_model(tally: Tally, plan: Plan, folder: Path | None) -> None:
    if folder is None:
        hint = f"restore `{plan.lock.model.asked['base']}`"
        tally.findings.append(finding("FTC522", plan.model.name, "a model folder", "nothing", hint))
        return
    found = list(_compare(tally, folder, plan.lock.model.files, plan.model.name))
    tally.findings += _of_another_meaning(plan, folder, found)
    if not found and (active := active_parameters(folder, plan)) is not None:
        tally.findings += difference("plan.json: model.num_active", plan.model.num_active, active, "the model's files")
    tally.checked.append(plural(len(plan.lock.model.files), "model file"))
    tally.findings += [_planted(f"{plan.model.name}: {name}") for name in stray_files(folder, plan.lock.model.files)]


def _check_companion(tally: Tally, plan: Plan, card: Companion, folder: Path | None) -> None:
    """Where weights hang on every byte of a companion, one that is gone leaves the question open."""
    asked, pinned = card.asked(plan.recipe), card.pinned(plan.settings)
    if asked is None or pinned is None:
        return
    if folder is not None:
        found = list(_compare(tally, folder, pinned.files, pinned.base))
        if card.shapes_weights:
            found += [_planted(f"{pinned.base}: {name}") for name in stray_files(folder, pinned.files)]
        tally.findings += found
        tally.changed |= {card.role} if found else set()
        tally.checked.append(plural(len(pinned.files), "file") + f" of the {card.title}")
    elif card.shapes_weights:
        hint = f"restore `{asked.base}`"
        tally.findings.append(finding("FTC522", pinned.base, f"a {card.title}'s folder", "nothing", hint))
    else:
        tally.not_checked.append(f"the {card.title} `{asked.base}`: it is not on this machine")


def _check_metric_data(tally: Tally, plan: Plan, lacking: tuple[Need, ...]) -> None:
    for need in needs_of(plan.settings.eval.metrics):
        if need in lacking:
            tally.not_checked.append(f"{need.data} as the run used it: it is not on this machine")
        else:
            tally.checked.append(f"{need.data}'s files")


def _of_another_meaning(plan: Plan, folder: Path, findings: list[Finding]) -> list[Finding]:
    """Weights may lie in files of other bytes as long as every tensor is the same; what else differs is a finding."""
    weights = {finding.subject for finding in findings if is_weight_file(finding.subject)}
    if not weights:
        return findings
    shards = [folder / SINGLE_FILE] if (folder / SINGLE_FILE).is_file() else sorted(folder.glob("*.safetensors"))
    tensors = {name: one for file in shards for name, one in tensors_of(file).items()}
    is_same = content_digest(tensors) == plan.lock.model.content_sha256
    return [finding for finding in findings if not (is_same and finding.subject in weights)]


def _check_sources(tally: Tally, plan: Plan, paths: Mapping[str, Path | None]) -> None:
    if (images := plan.lock.data.images) is not None:
        named = plural(images.files, "image file")
        tally.not_checked.append(f"{named} that rows name: `ftc plan --locked` compares them with the lock")
    for use, locked in plan.lock.data.sources.items():
        files = {name: (paths.get(key), facts) for key, name, facts in locked.each_file(use)}
        found: list[Finding] = []
        for name, (path, facts) in files.items():
            if path is None:
                found.append(finding("FTC522", name, facts.sha256, "nothing", "restore the file"))
            else:
                found += _compare_file(tally, path, facts, name)
        here = [path for path, _ in files.values() if path is not None]
        if found and len(here) == len(files) and has_rows(here, locked):
            for one in found:
                words = f"{one.subject}: its bytes differ from the recorded ones and its rows are the same"
                tally.remark(f"{words}, in line endings, a BOM, the order of keys or layout", one)
        else:
            tally.findings += found
    count = sum(len(locked.files) or 1 for locked in plan.lock.data.sources.values())
    tally.checked.append(plural(count, "data file"))


def _compare(tally: Tally, folder: Path, files: Mapping[str, FileFacts], owner: str) -> Iterator[Finding]:
    for name, facts in files.items():
        yield from _compare_file(tally, folder / name, facts, f"{owner}: {name}")


def _compare_file(tally: Tally, path: Path, facts: FileFacts, subject: str) -> Iterator[Finding]:
    if not path.is_file():
        yield finding("FTC522", subject, facts.sha256, "nothing", "restore the file")
        return
    size, found = path.stat().st_size, file_digest(path)
    tally.files += 1
    tally.bytes += size
    hint = "compare it with a copy, or with git's version"
    if found != facts.sha256:
        tally.damaged[subject] = path
        yield finding("FTC521", subject, facts.sha256, found, hint)
    elif size != facts.size:
        yield finding("FTC521", f"{subject}: size", f"{facts.size} bytes", f"{size} bytes", hint)


def _name_parts(tally: Tally, run: RunFolder, plan: Plan, record: RunRecord, inputs: AuditInputs) -> None:
    """Says of every file with other bytes which part of it is another, where something knows its parts."""
    single = plan.lock.data.sources
    uses = {path: use for use, path in inputs.sources.items() if path is not None and use in single}

    def part(path: Path, sha256: str) -> str:
        if path in uses:
            return source_part(path, plan.lock.data.sources[uses[path]], inputs.cache)
        if path.is_relative_to(run.path):
            return run_part(path, run, plan, record)
        named = base_part(path, plan.lock.model.content_sha256, inputs.cache) or text_part(path, sha256, inputs.cache)
        link = f"behind a link to {path.resolve()}" if path.is_symlink() else ""
        return ", ".join(filter(None, (named, link)))

    for number, one in enumerate(tally.findings):
        path = tally.damaged.get(one.subject)
        if path is not None and (found := part(path, one.expected)):
            tally.findings[number] = one.model_copy(update={"subject": f"{one.subject}, {found}"})


def _check_testimony(
    tally: Tally, run: RunFolder, plan: Plan, record: RunRecord, inputs: AuditInputs, *, ours: bool
) -> bool:
    """What events, step log, checkpoints, result and ledger say of each other; a contradiction names the field.

    Returns:
        Whether the project's ledger has entries of the run.
    """
    witnesses, known = inputs.witnesses, set[Path]()
    measured, folders = witnesses.evaluation, _trusted(tally, inputs)
    if record.outputs:
        known = {run.path / name for name in record.outputs} - set(tally.damaged.values())
        known = {path for path in known if path.is_file()}
        tally.findings[:0] = contradictions(run, plan, record, witnesses, known, ours=ours)
        tally.checked.append("events, step log, checkpoints and result compared with each other")
    if measured is not None and run.evaluation in known:
        rows = witnesses.outcomes if run.outcomes in known else ()
        recompute = partial(witnesses.recompute, *folders)
        check_scores(tally, plan, record, measured, rows, recompute, ours=ours)
        words = witnesses.words if ours else None
        check_answers(tally, plan, TestSplit(folders[1], folders[0], words), rows)
        check_row_losses(tally, plan, rows)
        pictures = run.thumbnails if run.thumbnails in known else None
        check_thumbnails(tally, plan, pictures, rows, folders[1], ours=ours)
    check_sampled(tally, plan, run, record, witnesses.events, folders, witnesses.sampled)
    return check_ledger(tally, plan, record, measured, witnesses.ledger, witnesses.torn)


def _trusted(tally: Tally, inputs: AuditInputs) -> tuple[Path | None, Path | None]:
    """Folders of the base model and of the token streams; None where what is read of them isn't what was locked."""
    model = inputs.model
    if model is not None and (
        model / "tokenizer.json" in tally.damaged.values() or not (model / "tokenizer.json").is_file()
    ):
        model = None
    return model, None if tally.other_rows else inputs.streams


def _input_files(plan: Plan, inputs: AuditInputs) -> Iterator[Path]:
    yield from (path for path in inputs.sources.values() if path is not None)
    if inputs.model is not None:
        yield from (inputs.model / name for name in plan.lock.model.files)


def _planted(subject: str) -> Finding:
    hint = "move it elsewhere; a program that loads the folder would include it"
    return finding("FTC539", subject, "nothing", "a file", hint)
