"""Evaluation: validation during training, and the test split once at the end, base and tuned by the same code."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from ftc.runtime.artifacts.export import load_exported
from ftc.runtime.evaluation.attributions import attributions
from ftc.runtime.evaluation.drift_reference import write_drift_reference
from ftc.runtime.evaluation.generate import answers
from ftc.runtime.evaluation.judge_requests import Question
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.evaluation.reference import write_reference
from ftc.runtime.evaluation.scoring import (
    RowScore,
    as_base,
    eval_mode,
    gathered,
    learn_references,
    score_rows,
    shared_batches,
)
from ftc.runtime.evaluation.shortcuts import faster_linears, fold_adapter
from ftc.runtime.execution.accelerator import StopTogether
from ftc.runtime.execution.session import Session
from ftc.runtime.metrics.statistics import Statistics
from ftc.runtime.models.number_types import mixed_precision
from ftc.runtime.models.sharding import is_sharded
from ftc.runtime.models.tensor_parallel import reports_rows
from ftc.runtime.tasks.language import LanguageScorer
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.runtime.training.signals import StopRequest
from ftc.spec.batches import by_length, cut
from ftc.spec.context_parallel import row_shares
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.attributions import Attribution
from ftc.spec.documents.decoded import TextDecoder
from ftc.spec.documents.events import TestProgress
from ftc.spec.documents.prompted import PromptBaseline, until_separator
from ftc.spec.documents.record import SubjectResult
from ftc.spec.documents.streams import TokenStream, open_stream

__all__ = [
    "Measurement",
    "become_tuned",
    "measure",
    "measure_prompted",
    "measure_validation",
    "prompted_as_base",
    "retained",
    "written",
]

Subject = Literal["base", "tuned"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One model on the test split."""

    result: SubjectResult
    scores: list[RowScore]
    """In the order of the stream's rows."""
    texts: dict[int, str]
    """What the model said, by row of the stream: classes or written answers; empty for a loss alone."""
    statistics: dict[str, Statistics]
    """Each metric, taken apart into what rows add to it."""
    retained: list[RowScore] = field(default_factory=list)
    """General text, block by block; empty where none is measured."""
    swapped: dict[int, str] = field(default_factory=dict)
    """What the model said of rows with words exchanged, by row of their stream."""
    attributions: tuple[Attribution, ...] = ()
    """Why the tuned model chose, for the rows that are shown."""
    scored: dict[int, float] = field(default_factory=dict)
    """What the evaluation's reward model makes of each answer, by row of the stream; empty until it has read them."""


def measure_validation(session: Session) -> tuple[dict[str, float], float] | None:
    """Metrics of the model in training on validation, `val_loss` among them, and the seconds that it took.

    Written answers take too long to be part of it, unless their rewards are all that there is. None where there are no
    validation rows.

    Raises:
        Refusal: The loss is not finite.
    """
    rows, work = session.stream("validation"), session.trained
    if rows is None:
        return None
    assert work is not None, "validation measures the model in training"
    started = time.perf_counter()
    settings = session.plan.settings
    measures = Measures(settings, rows, session.inputs.model_folder)
    if measures.is_rewarded:
        with eval_mode(work.model), faster_linears(work.model):
            texts = _answers(session, None, work, rows, measures.decode, StopRequest())
        graded = _graded(session, measures, texts, "validation")
        statistics = measures.statistics(settings.eval.metrics, graded, texts)
        return {name: one.observed for name, one in statistics.items()}, time.perf_counter() - started
    with eval_mode(work.model), faster_linears(work.model):
        # A signal takes effect after the evaluation: a checkpoint never lacks the validation that the plan asks for.
        batches = score_rows(work, rows, settings.eval.batch_size, session.accelerator, StopRequest())
        scores = gathered(work, rows, [score for batch in batches for score in batch], session.accelerator)
    watched = settings.train.select_metric.removeprefix("val_")
    names = measures.scored({*settings.eval.metrics, watched})
    known = {name: one.observed for name, one in measures.statistics(names, scores, {}).items()}
    if not math.isfinite(known["loss"]):
        summary = f"the validation loss is {known['loss']}"
        raise Refusal([diagnostic("FTC626", summary, help="lower `train.learning_rate`")])
    metrics = {"val_loss" if name == "loss" else name: value for name, value in known.items()}
    return metrics, time.perf_counter() - started


def measure(session: Session, subject: Subject) -> Measurement | None:
    """One model on the test split; None where the plan has no test rows.

    `base` is the model as it is before the first step; `tuned` is the same with the exported weights loaded from the
    run's folder, so that what is measured is what was saved.

    Raises:
        Interrupted: Somebody asked to stop; nothing is lost but this measurement.
        Refusal: The saved weights are not those of the record.
    """
    rows = session.stream("test")
    if rows is None:
        return None
    work = session.base or session.build()
    session.base = work
    learn_references(session, work, "test")
    if subject == "tuned":
        become_tuned(session, work)
    with session.journal.phase("evaluate", subject):
        started = time.perf_counter()
        as_subject = as_base(session.plan.settings, work.model) if subject == "base" else nullcontext()
        with eval_mode(work.model), faster_linears(work.model), as_subject:
            scores, texts = _measured(session, subject, work, rows)
            kept = retained(session, work)
            swapped = _swapped(session, work) if session.plan.settings.eval.swaps_sha256 is not None else {}
        reasons = attributions(session, work, rows, scores) if subject == "tuned" else ()
        measures = Measures(session.plan.settings, rows, session.inputs.model_folder)
        statistics = measures.statistics(session.plan.settings.eval.metrics, scores, texts)
        metrics = {name: one.observed for name, one in statistics.items()}
        measured = session.plan.data["test"].measured(session.plan.settings.text.form)
        result = SubjectResult(metrics=metrics, rows=measured, seconds=time.perf_counter() - started)
        if subject == "tuned" and session.weights is None:
            write_reference(session, work)
            write_drift_reference(session, work)
    session.note_memory("evaluate")
    return Measurement(result, scores, texts, statistics, kept, swapped, reasons)


def measure_prompted(session: Session, asked: PromptBaseline) -> Measurement:
    """The model as it is before the first step, on the test rows behind a baseline's prompt.

    Raises:
        Interrupted: Somebody asked to stop; nothing is lost but this measurement.
    """
    settings = session.plan.settings
    rows = open_stream(session.inputs.streams_folder / f"{asked.name}.arrow")
    work = session.base or session.build()
    session.base = work
    with session.journal.phase("evaluate", asked.name):
        started = time.perf_counter()
        with eval_mode(work.model), faster_linears(work.model), as_base(settings, work.model):
            scores, texts = _measured(session, asked.name, work, rows)
        found = _until_separator(session, asked, rows, scores, texts, time.perf_counter() - started)
    session.note_memory("evaluate")
    return found


def prompted_as_base(session: Session, asked: PromptBaseline, base: Measurement) -> Measurement:
    """The same where the base was given these very prompts: its answers, up to what ends one."""
    rows = session.stream("test")
    assert rows is not None, "the base was measured"
    return _until_separator(session, asked, rows, base.scores, base.texts, base.result.seconds)


def _until_separator(
    session: Session,
    asked: PromptBaseline,
    rows: TokenStream,
    scores: list[RowScore],
    texts: Mapping[int, str],
    seconds: float,
) -> Measurement:
    settings = session.plan.settings
    cut = {row: until_separator(text, asked.separator) for row, text in texts.items()}
    measures = Measures(settings, rows, session.inputs.model_folder)
    statistics = measures.statistics(settings.eval.metrics, scores, cut)
    metrics = {name: one.observed for name, one in statistics.items()}
    return Measurement(SubjectResult(metrics=metrics, rows=len(rows), seconds=seconds), scores, cut, statistics)


def become_tuned(session: Session, work: ModelWithScorer) -> None:
    """Loads the exported weights of the session's run into a model that is as it was before the first step.

    Raises:
        Refusal: They are not those of the record.
    """
    session.base = None  # it is the base no longer
    load_exported(session, work.model)
    fold_adapter(work.model, session.plan.settings)


def _swapped(session: Session, work: ModelWithScorer) -> dict[int, str]:
    """What a model says of the test rows with words exchanged."""
    settings = session.plan.settings
    rows = open_stream(session.inputs.streams_folder / "swaps.arrow")
    measures = Measures(settings, rows, session.inputs.model_folder)
    if measures.is_written:
        return written(session, None, work, rows, measures.decode)
    batches = score_rows(work, rows, settings.eval.batch_size, session.accelerator, session.stop)
    return measures.said(gathered(work, rows, [score for batch in batches for score in batch], session.accelerator))


def _measured(
    session: Session, subject: str, work: ModelWithScorer, rows: TokenStream
) -> tuple[list[RowScore], dict[int, str]]:
    """What the plan's metrics are computed from: each row's scores, and what the model said of it."""
    settings = session.plan.settings
    measures = Measures(settings, rows, session.inputs.model_folder)
    if measures.is_rewarded:
        texts = written(session, subject, work, rows, measures.decode)
        return _graded(session, measures, texts, "test"), texts
    scores: list[RowScore] = []
    for batch in score_rows(work, rows, settings.eval.batch_size, session.accelerator, session.stop):
        scores += batch
        if settings.eval.max_new_tokens is None:
            report_progress(session, subject, len(scores), rows)
    scores = gathered(work, rows, scores, session.accelerator)
    if settings.eval.max_new_tokens is None:
        return scores, measures.said(scores)
    return scores, written(session, subject, work, rows, measures.decode)


def _graded(
    session: Session, measures: Measures, texts: Mapping[int, str], split: Literal["validation", "test"]
) -> list[RowScore]:
    """Rows of which written answers are all that there is, with what a judge and a reward model give these."""
    numbers, stop = sorted(texts), StopRequest() if split == "validation" else session.stop

    def question(place: int) -> Question:
        number = numbers[place]
        return Question(measures.given(number), measures.expected(number), texts[number])

    said, rows = [texts[number] for number in numbers], session.plan.settings.eval.batch_size
    given = session.graders.recorded(split, numbers, said, question, rows, stop)
    return [RowScore(number, 0.0, 0, predicted) for number, predicted in zip(numbers, given, strict=True)]


def written(
    session: Session, subject: str | None, work: ModelWithScorer, rows: TokenStream, decode: TextDecoder
) -> dict[int, str]:
    """Every row's answer, from the longest prompt to the shortest; progress is reported of a subject alone."""
    with session.writing():
        return _answers(session, subject, work, rows, decode, session.stop)


def _answers(
    session: Session,
    subject: str | None,
    work: ModelWithScorer,
    rows: TokenStream,
    decode: TextDecoder,
    stop: StopRequest,
) -> dict[int, str]:
    settings, accelerator = session.plan.settings, session.accelerator
    order = by_length(list(range(len(rows))), rows.prompt_lengths.astype("int64"))
    batches = list(
        shared_batches(work.model, order, lambda mine: cut(mine, settings.eval.batch_size), session.accelerator)
    )
    stop = StopTogether(accelerator, stop) if is_sharded(work.model) else stop
    mine = {row for numbers, counts in batches if counts for row in numbers}
    texts: dict[int, str] = {}
    for some in answers(
        work.model, rows, [numbers for numbers, _ in batches], settings, decode, stop, accelerator.device
    ):
        texts |= {row: text for row, text in some.items() if row in mine and row not in texts}
        if subject is not None:
            report_progress(session, subject, len(texts), rows)
    if accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        said = list(texts.items()) if reports_rows(work.model, accelerator.process_index) else []
        texts = dict(gather_object(said))
    return texts


def report_progress(session: Session, subject: str, done: int, rows: TokenStream) -> None:
    """Progress over all processes, which share the rows evenly."""
    shares = row_shares(session.accelerator.num_processes, session.plan.settings.train.tensor_parallel)
    everywhere = min(len(rows), done * shares)
    session.journal.emit(TestProgress(subject=subject, done=everywhere, rows=len(rows)))


def retained(session: Session, work: ModelWithScorer) -> list[RowScore]:
    """The loss of each block of general text, in their order; empty where the plan has none.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    settings = session.plan.settings
    if settings.eval.retention_sha256 is None:
        return []
    rows = open_stream(session.inputs.streams_folder / "retention.arrow")
    # A scorer of preferences would compare pairs, so plain text has one of its own.
    arithmetic = partial(mixed_precision, settings.train.precision)
    scorer = LanguageScorer(work.model, settings.model, arithmetic, settings.train.loss_chunk_size)
    plain = ModelWithScorer(work.model, scorer)
    batches = score_rows(plain, rows, settings.eval.batch_size, session.accelerator, session.stop)
    return gathered(plain, rows, [score for batch in batches for score in batch], session.accelerator)
