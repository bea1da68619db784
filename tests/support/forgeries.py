"""Forgeries of a finished run after which every checksum is right again, each with the finding that has to follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ftc.spec.documents.interruption import Interruption
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.segments import ProcessSeen
from ftc.spec.storage.paths import RunFolder
from ftc.verbs.runs import load_run
from tests.support.forging import cut_ledger, edit, edit_json, edit_lines, rechain, reseal, reseal_plan

__all__ = ["FOUND", "STEPS", "record", "unproved"]

STEPS = 6
"""Steps of the run that is forged."""


def scores(run: RunFolder, path: str, value: Any) -> None:
    """Another figure in eval.json, everything sealed and the ledger chained again."""
    edit_json(run.evaluation, path, value)
    reseal(run, with_ledger=False)
    rechain(run)


def record(run: RunFolder, **changes: Any) -> None:
    reseal(run, with_ledger=False, **changes)
    rechain(run)


def rows(run: RunFolder, change: Callable[[int, dict[str, Any]], None]) -> None:
    edit_lines(run.outcomes, change)
    reseal(run, with_ledger=False)
    rechain(run)


def ledger_cut(run: RunFolder) -> None:
    """A2: another score, and the ledger's end cut away."""
    edit_json(run.evaluation, "tuned.metrics.macro_f1", "0.95")
    reseal(run, with_ledger=False)
    cut_ledger()


def ledger_kept(run: RunFolder) -> None:
    """A1: another score, and the ledger as it was."""
    edit_json(run.evaluation, "tuned.metrics.macro_f1", "0.95")
    reseal(run, with_ledger=False)


def device(run: RunFolder) -> None:
    """G3."""
    seen = load_run(run.path).record.observed.model_copy(update={"device": "NVIDIA H100"})
    record(run, observed=seen)


def process_of_many(run: RunFolder) -> None:
    """A second process, in a run of one."""
    seen = load_run(run.path).record.observed
    each = [
        ProcessSeen(rank=rank, device=seen.device, machine_sha256=seen.machine.digest(), ftc_sha256="")
        for rank in (0, 1)
    ]
    record(run, observed=seen.model_copy(update={"processes": tuple(each)}))


def process_of_other_code(run: RunFolder) -> None:
    """Two processes, of which the second one has packages of its own."""
    *earlier, last = load_run(run.path).record.segments
    each = [
        ProcessSeen(
            rank=rank,
            device="",
            machine_sha256=last.machine_sha256,
            ftc_sha256=last.ftc_sha256,
            packages_sha256=str(rank) * 64,
        )
        for rank in (0, 1)
    ]
    record(run, segments=(*earlier, last.model_copy(update={"processes": tuple(each)})))


def data_of_the_plan(run: RunFolder) -> None:
    """Fewer test rows in what the report shows of the data."""
    plan = load_run(run.path).plan
    test = plan.data["test"].model_copy(update={"truncated_rows": 3})
    reseal_plan(run, {"data": {**plan.data, "test": test}})


def lengths_of_the_plan(run: RunFolder) -> None:
    plan = load_run(run.path).plan
    test = plan.data["test"].model_copy(update={"length_max": 3})
    reseal_plan(run, {"data": {**plan.data, "test": test}})


def quality_of_the_plan(run: RunFolder) -> None:
    """As if nothing had been found in the rows."""
    quality = load_run(run.path).plan.quality
    reseal_plan(run, {"quality": quality.model_copy(update={"contamination": ()})})


def reworded(run: RunFolder) -> None:
    first, *others = load_run(run.path).record.findings
    record(run, findings=(first.model_copy(update={"text": "All is well."}), *others))


def resized(run: RunFolder) -> None:
    """A size that no file has, under the right digest."""
    outputs = load_run(run.path).record.outputs
    reseal(run, with_ledger=False)
    known = outputs["eval.json"]
    forged = RunRecord.model_validate_json(run.record.read_bytes())
    files = {**forged.outputs, "eval.json": known.model_copy(update={"size": known.size + 1})}
    run.record.write_text(forged.model_copy(update={"outputs": files}).sealed().to_text(), encoding="utf-8")
    rechain(run)


def slower(run: RunFolder) -> None:
    phases = load_run(run.path).record.time_by_phase
    longer = [one.model_copy(update={"seconds": 99.0}) if one.phase == "validate" else one for one in phases]
    record(run, time_by_phase=tuple(longer))


def roomier(run: RunFolder) -> None:
    """The plan's own estimate, made to fit what happened."""
    first, *others = load_run(run.path).record.memory_by_phase
    record(run, memory_by_phase=(first.model_copy(update={"planned_bytes": first.peak_bytes}), *others))


def untimed(run: RunFolder) -> None:
    (segment,) = load_run(run.path).record.segments
    record(run, segments=(segment.model_copy(update={"ended_at": "yesterday"}),))


def license_of_the_plan(run: RunFolder) -> None:
    model = load_run(run.path).plan.model.model_copy(update={"license": "mit"})
    reseal_plan(run, {"model": model})


def exchanged_ids(_number: int, line: dict[str, Any]) -> None:
    line["row"] += 1


def losses(_number: int, line: dict[str, Any]) -> None:
    line["tuned"]["loss_sum"] = "0.01"


def no_code_event(run: RunFolder) -> None:
    """G2 the other way round: the run said that its code changed, and the record doesn't."""
    noticed = {"code": "FTC645", "kind": "noticed", "text": "ftc's own files changed while the run went on"}
    with run.events.open("ab") as file:
        file.write(json.dumps(noticed).encode() + b"\n")
    record(run)


def segment_of_more_steps(run: RunFolder) -> None:
    known = load_run(run.path).record
    before = known.segments[0].model_copy(update={"to_step": 3})
    after = known.segments[0].model_copy(update={"from_step": 5})
    record(run, segments=(before, after))


def unproved(run: RunFolder, *, usable: int | None, proved: int | None) -> None:
    """Inputs changed behind step 3, and what came afterwards is said to count."""
    reason = "`model.safetensors` of the model changed after it was verified"
    at = "2026-01-01T00:00:00Z"
    one = Interruption(at=at, segment=1, kind="failed", code="FTC515", reason=reason, step=4, usable_step=usable)
    record(run, interruptions=(one,), proved_step=proved)


FOUND: dict[str, tuple[Callable[[RunFolder], object], str, str]] = {
    "A1: a score, and the ledger as it was": (ledger_kept, "FTC537", "eval.json: macro_f1 of tuned"),
    "A2: a score, and the ledger cut": (ledger_cut, "FTC537", "eval.json: macro_f1 of tuned"),
    "A3: macro F1 of the tuned model": (
        lambda run: scores(run, "tuned.metrics.macro_f1", "0.95"),
        "FTC537",
        "eval.json: macro_f1 of tuned",
    ),
    "macro F1 of the base": (
        lambda run: scores(run, "base.metrics.macro_f1", "0.01"),
        "FTC537",
        "eval.json: macro_f1 of base",
    ),
    "B1: accuracy": (
        lambda run: scores(run, "tuned.metrics.accuracy", "0.9"),
        "FTC537",
        "eval.json: accuracy of tuned",
    ),
    "calibration": (
        lambda run: scores(run, "tuned.metrics.calibration_error", "0.001"),
        "FTC537",
        "eval.json: calibration_error of tuned",
    ),
    "the F1 of one class": (
        lambda run: scores(run, "tuned.metrics.f1 of sport", "0.9"),
        "FTC537",
        "eval.json: f1 of sport of tuned",
    ),
    "G1: an interval without its value": (
        lambda run: scores(run, "tuned.intervals.accuracy", {"low": "0.9", "high": "0.99"}),
        "FTC537",
        "eval.json: interval of accuracy of tuned",
    ),
    "a narrower interval around its value": (
        lambda run: scores(run, "tuned.intervals.loss.high", "1.2"),
        "FTC537",
        "eval.json: interval of loss of tuned",
    ),
    "a gain": (lambda run: scores(run, "gains.macro_f1.value", "0.4"), "FTC537", "eval.json: gain in macro_f1"),
    "the interval of a gain": (
        lambda run: scores(run, "gains.loss.interval", {"low": "-0.5", "high": "-0.4"}),
        "FTC537",
        "eval.json: interval of the gain in loss",
    ),
    "a group's score": (
        lambda run: scores(run, "slices.0.groups.0.tuned.loss", "0.4"),
        "FTC537",
        "eval.json: loss on label = ",
    ),
    "a group's rows": (lambda run: scores(run, "slices.0.groups.0.rows", 9), "FTC537", "eval.json: rows on label = "),
    "the gap between groups": (
        lambda run: scores(run, "slices.0.gaps.loss.value", "0.0"),
        "FTC537",
        "eval.json: loss gap on label",
    ),
    "the group that is worst": (
        lambda run: scores(run, "slices.0.gaps.loss.lowest", "film"),
        "FTC537",
        "eval.json: lowest of the loss gap on label",
    ),
    "the gap by chance": (
        lambda run: scores(run, "slices.0.gaps.loss.by_chance", "0.9"),
        "FTC537",
        "eval.json: loss gap on label by chance",
    ),
    "a group by length": (
        lambda run: scores(run, "slices.1.groups.0.tuned.loss", "0.4"),
        "FTC537",
        "eval.json: loss on length = short",
    ),
    "what a group by length is": (
        lambda run: scores(run, "slices.1.groups.0.detail", "up to 90 tokens"),
        "FTC537",
        "eval.json: words on length = short",
    ),
    "the most frequent class as a baseline": (
        lambda run: scores(run, "baselines.0.metrics.accuracy", "0.05"),
        "FTC537",
        "eval.json: accuracy of the baseline majority",
    ),
    "a gain over a fitted baseline": (
        lambda run: scores(run, "baselines.1.gains.accuracy.value", "0.5"),
        "FTC537",
        "eval.json: gain in accuracy over the baseline tfidf",
    ),
    "how intervals were computed": (
        lambda run: scores(run, "resampling.method", "other/1"),
        "FTC537",
        "eval.json: resampling",
    ),
    "the place of a row that is shown": (
        lambda run: scores(run, "predictions.0.place", "rows.csv:1"),
        "FTC537",
        "eval.json: predictions.0.place",
    ),
    "the text of a row that is shown": (
        lambda run: scores(run, "predictions.0.text", "another text"),
        "FTC537",
        "eval.json: predictions.0.text",
    ),
    "the class that an explanation is of": (
        lambda run: scores(run, "attributions.0.label", "none"),
        "FTC537",
        "eval.json: attributions.0.label",
    ),
    "the prompts of test rows": (
        lambda run: rows(run, lambda _, line: line.update(prompt="another text")),
        "FTC537",
        r"(predictions\.ndjson, line 1: prompt|eval.json: predictions.0.text)",
    ),
    "a finding that nobody should read": (
        lambda run: record(run, findings=()),
        "FTC537",
        "record.json: findings",
    ),
    "the words of a finding": (reworded, "FTC537", "record.json: findings.0.text"),
    "the size of a file": (resized, "FTC521", "the run's folder: eval.json: size"),
    "seconds of a phase": (slower, "FTC537", "record.json: time_by_phase, validate"),
    "the memory that was planned": (roomier, "FTC537", "record.json: memory_by_phase, .*planned_bytes"),
    "the run's name": (lambda run: record(run, id=run.path.name + "x"), "FTC537", "record.json: id"),
    "a time that is none": (untimed, "FTC537", "record.json: segments.0.ended_at"),
    "an event that is none": (
        lambda run: (edit(run.events, '"kind": "phase_started"', '"kind": "phase"'), record(run)),
        "FTC537",
        "events.ndjson, line ",
    ),
    "near duplicates that the plan found": (quality_of_the_plan, "FTC537", "plan.json: quality"),
    "lengths of the rows": (lengths_of_the_plan, "FTC537", "plan.json: data.test.length_max"),
    "a gate's outcome": (lambda run: scores(run, "gates.0.passed", False), "FTC537", "eval.json: gate loss, passed"),
    "a gate's bound": (lambda run: scores(run, "gates.0.bound", "< 1"), "FTC537", "eval.json: gate loss, bound"),
    "the rows that were measured": (lambda run: scores(run, "tuned.rows", 500), "FTC537", "eval.json: rows of tuned"),
    "an answer that the report shows": (
        lambda run: scores(run, "predictions.0.tuned", "film"),
        "FTC537",
        "eval.json: predictions.0.tuned",
    ),
    "the losses of single rows": (lambda run: rows(run, losses), "FTC537", r"predictions\.ndjson, line \d+: loss_sum"),
    "ids of test rows": (lambda run: rows(run, exchanged_ids), "FTC537", r"predictions\.ndjson, line 1: row"),
    "what a row should be": (
        lambda run: rows(run, lambda _, line: line.update(expected=line["tuned"]["text"])),
        "FTC537",
        r"predictions\.ndjson, line \d+: (expected|loss_sum)",
    ),
    "G3: the device": (device, "FTC537", "record.json: observed.device"),
    "a process more": (process_of_many, "FTC537", "record.json: observed.processes"),
    "a process with other packages": (
        process_of_other_code,
        "FTC537",
        r"record.json: segments\.\d\.processes\.1\.packages_sha256",
    ),
    "that the code changed": (no_code_event, "FTC537", "record.json: code_changed"),
    "steps between two segments": (segment_of_more_steps, "FTC537", "record.json: segments.1"),
    "changed inputs that limit nothing": (
        lambda run: unproved(run, usable=None, proved=STEPS),
        "FTC537",
        "record.json: interruptions.0.usable_step",
    ),
    "steps behind changed inputs that no proof covers": (
        lambda run: unproved(run, usable=3, proved=3),
        "FTC537",
        "record.json: proved_step",
    ),
    "a time below zero": (lambda run: record(run, train_seconds=-4.0), "FTC537", "record.json: "),
    "counts of the data": (data_of_the_plan, "FTC537", "plan.json: data.test.truncated_rows"),
    "the model's license": (license_of_the_plan, "FTC537", "plan.json: model.license"),
    "G4, G5: evaluations cut out of the ledger, chained again": (
        lambda run: rechain(run, without="test_look"),
        "FTC527",
        "ledger.ndjson: evaluations on the test set",
    ),
}
