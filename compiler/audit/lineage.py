"""The runs that an audited one is made from: still those that the plan pins?"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ftc.compiler.audit.parts import tensors_of
from ftc.compiler.audit.tally import Tally, finding
from ftc.compiler.resolve.files.safe_files import UnsafePath, safe_path
from ftc.compiler.resolve.models.weights import read_header, read_ranges
from ftc.spec.canonical import file_digest, own_digest
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.hosted import HOSTED_FILE, HostedJob
from ftc.spec.documents.lineage import ADAPTER_WEIGHTS
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.step_log import StepLog, first_difference, read_step_log
from ftc.spec.providers import not_proved_of, provider_title
from ftc.spec.storage.model_files import TensorDigest, content_digest
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import read_regular

__all__ = ["check_combined", "check_continued", "check_fetched", "check_parent"]


def check_parent(tally: Tally, plan: Plan, folder: Path | None) -> None:
    """Compares the earlier run's record, and the adapter that was trained further, with what the plan pins.

    What the run left stands by itself, so an earlier run that isn't here is no finding.

    Args:
        tally: Takes what is found.
        plan: The audited run's plan.
        folder: The earlier run's folder; None where it isn't here.
    """
    parent = plan.settings.model.parent
    if parent is None:
        return
    name = f"run {parent.run_id}, from which this one began"
    if folder is None:
        tally.not_checked.append(f"{name}: `{parent.folder}` is not in this project")
        return
    try:
        found = own_digest(RunFolder(folder).record)
    except (OSError, ValueError) as error:
        found = str(error) or type(error).__name__
    hint = "restore its folder from a copy"
    if found != parent.record_sha256:
        tally.findings.append(finding("FTC567", f"{name}: record.json", parent.record_sha256, found, hint))
    tally.findings += [
        Finding(code="FTC567", subject=f"{name}: {file}", expected=facts.sha256, found=sha256, hint=hint)
        for file, facts in parent.files.items()
        if (sha256 := _digest(RunFolder(folder).adapter / file)) != facts.sha256
    ]
    up = f", and {len(parent.ancestors)} before it by name alone" if parent.ancestors else ""
    tally.files += len(parent.files)
    tally.bytes += sum(facts.size for facts in parent.files.values())
    tally.checked.append(f"the record of {name}{up}")


def check_combined(tally: Tally, plan: Plan, root: Path) -> None:
    """Compares the runs whose adapters were combined with what the plan pins of them, those that are here.

    Args:
        tally: Takes what is found.
        plan: The audited run's plan.
        root: The project's root.
    """
    made = plan.settings.model.combined
    for one in made.adapters if made else ():
        name = f"run {one.run_id}, whose adapter was combined"
        try:
            folder = safe_path(root, one.folder)
            record = own_digest(RunFolder(folder.parent).record)
            weights = content_digest(tensors_of(folder / ADAPTER_WEIGHTS))
        except (UnsafePath, OSError, ValueError):
            tally.not_checked.append(f"{name}: `{one.folder}` is not in this project")
            continue
        hint = "restore its folder from a copy"
        pairs = ("record.json", one.record_sha256, record), (ADAPTER_WEIGHTS, one.weights_sha256, weights)
        for file, said, found in pairs:
            if said != found:
                tally.findings.append(finding("FTC567", f"{name}: {file}", said, found, hint))
        tally.checked.append(f"record and adapter of run {one.run_id}")
    if made is not None:
        tally.not_checked.append("whether combining the adapters again gives these weights: it is not repeated")


def check_fetched(tally: Tally, run: RunFolder, plan: Plan, record: RunRecord, root: Path) -> None:
    """Compares what a hosted service trained with the run's own weights, and with the notes of its job.

    What the service did can't be done again; what it sent, and what was made of that here, can be compared.

    Args:
        tally: Takes what is found.
        run: The audited run's folder.
        plan: Its plan.
        record: Its record.
        root: The project's root.
    """
    taken = plan.settings.model.fetched
    if taken is None:
        return
    name, hint = f"job {taken.job} of {provider_title(taken.provider)}", "restore the job's folder from a copy"
    folder = root / taken.folder
    try:
        folder = safe_path(root, taken.folder)
        notes = HostedJob.model_validate_json(read_regular(folder / HOSTED_FILE))
    except (UnsafePath, OSError, ValueError):
        notes = None
    if notes is None or notes.job is None or notes.job.id != taken.job:
        tally.not_checked.append(f"what {name} sent: its notes in `{taken.folder}` are not in this project")
    else:
        said = {"plan_sha256": taken.plan_sha256, "request_sha256": taken.request_sha256}
        pairs = [(field, value, str(getattr(notes, field))) for field, value in said.items()]
        pairs += [(file, facts.sha256, _digest(folder / file)) for file, facts in taken.files.items()]
        for what, expected, found in pairs:
            if expected != found:
                tally.findings.append(finding("FTC567", f"{name}: {what}", expected, found, hint))
        try:
            weights = content_digest(_widened(folder / "adapter" / ADAPTER_WEIGHTS, run.adapter / ADAPTER_WEIGHTS))
        except (OSError, ValueError) as problem:
            tally.not_checked.append(f"whether the run's weights are those of {name}: {problem}")
        else:
            if weights != record.final_weights_sha256:
                subject = f"the weights of {name} beside the run's"
                tally.findings.append(finding("FTC567", subject, str(record.final_weights_sha256), weights, hint))
        tally.files += len(taken.files)
        tally.bytes += sum(facts.size for facts in taken.files.values())
        tally.checked.append(f"{len(taken.files)} files that {name} left, and the run's weights beside them")
    tally.not_checked += not_proved_of(taken.provider)


def check_continued(tally: Tally, run: RunFolder, record: RunRecord, root: Path) -> None:
    """Compares the steps that other runs did first with their own step logs, those that are here.

    Args:
        tally: Takes what is found.
        run: The audited run's folder.
        record: Its record.
        root: The project's root.
    """
    if not record.continued:
        return
    log = read_step_log(run.step_log) if run.step_log.is_file() else StepLog()
    begin = 0
    for one in record.continued:
        name = f"run {one.run_id}, which did the first {one.step} steps"
        hint = "restore its folder from a copy"
        noted = log.checksums.get(one.step)
        said = {
            "weights_sha256": (one.weights_sha256, noted.weights_sha256 if noted else "nothing"),
            "step": (str(one.step), str(min(max(one.step, begin), record.steps_done))),
            "segments": (str(one.segments), str(min(one.segments, len(record.segments) - 1))),
        }
        for field, (expected, found) in said.items():
            if expected != found:
                tally.findings.append(finding("FTC567", f"{name}: `continued.{field}`", expected, found, hint))
        begin = one.step
        try:
            before = RunFolder(safe_path(root, one.folder))
            parted = first_difference(read_step_log(before.step_log), log, 0, one.step)
        except (UnsafePath, OSError, ValueError):
            tally.not_checked.append(f"{name}: `{one.folder}` is not in this project")
            continue
        if parted is not None:
            subject = f"{name}: step {parted.step}, {parted.component}"
            tally.findings.append(finding("FTC567", subject, parted.expected, parted.found, hint))
        tally.checked.append(f"the first {one.step} steps beside the step log of run {one.run_id}")
    shared = " and ".join(f"{one.world_size} up to step {one.step}" for one in record.continued)
    tally.not_checked.append(f"whether one number of processes gives these weights: there were {shared}, then others")


def _widened(theirs: Path, ours: Path) -> dict[str, TensorDigest]:
    """Digests of a service's tensors once they have the types of a run's, which loses no bit.

    Raises:
        ValueError: A type is narrower than the service's, or unknown here.
        OSError: A file can't be read.
    """
    types, found = read_header(ours), dict[str, TensorDigest]()
    for name, one in read_ranges(theirs).items():
        raw = np.fromfile(theirs, np.uint8, one.end - one.begin, offset=one.begin)
        type = types[name].dtype if name in types else one.facts.dtype
        if (one.facts.dtype, type) == ("BF16", "F32"):
            raw = (raw.view("<u2").astype("<u4") << 16).view(np.uint8)
        elif (one.facts.dtype, type) == ("F16", "F32"):
            raw = raw.view("<f2").astype("<f4").view(np.uint8)
        elif one.facts.dtype != type:
            raise ValueError(f"{name} is {one.facts.dtype} there and {type} here")
        found[name] = TensorDigest(type, one.facts.shape, hashlib.sha256(raw.tobytes()).hexdigest())
    return found


def _digest(file: Path) -> str:
    try:
        return file_digest(file)
    except OSError:
        return "nothing"
