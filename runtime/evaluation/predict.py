"""A finished run's model in use: its answers to rows without labels, by the code that evaluated it.

What is heavy is imported where it is used, since memory and threads are configured before torch is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, assert_never

from ftc.runtime.evaluation.evaluate_again import reopened
from ftc.runtime.execution.execute import Inputs
from ftc.spec.documents.events import EventListener
from ftc.spec.documents.outcomes import OTHER_LABEL, as_label
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.predictions import FoundSpan, RowPrediction
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.streams import TokenStream
from ftc.spec.heads import head_card
from ftc.spec.storage.paths import RunFolder
from ftc.spec.tags import OUTSIDE
from ftc.spec.text_forms import form_card

if TYPE_CHECKING:
    from ftc.runtime.evaluation.measures import AnswerSpan, Measures
    from ftc.runtime.evaluation.scoring import RowScore
    from ftc.runtime.execution.session import Session
    from ftc.runtime.tasks.scorer import ModelWithScorer

__all__ = ["load_tuned", "predict_rows", "said_of"]


def load_tuned(plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, listen: EventListener) -> ModelWithScorer:
    """The base model with what the run trained, ready to answer.

    Raises:
        Refusal: The weights are not those of the record, or the base model isn't the plan's.
        KeyboardInterrupt: Somebody asked to stop.
    """
    from ftc.runtime.evaluation.evaluate import become_tuned
    from ftc.runtime.execution.verify import verify_model

    with reopened(plan, inputs, run, record, listen) as session:
        with session.journal.phase("verify", f"{len(plan.lock.model.files)} files"):
            verify_model(plan, inputs)
        work = session.build()
        become_tuned(session, work)
        return work


def predict_rows(
    plan: Plan, inputs: Inputs, run: RunFolder, record: RunRecord, work: ModelWithScorer, listen: EventListener
) -> list[RowPrediction]:
    """What a loaded model says of the rows of the plan's test split, in their order.

    Raises:
        KeyboardInterrupt: Somebody asked to stop.
    """
    with reopened(plan, inputs, run, record, listen) as session:
        rows = session.stream("test")
        assert rows is not None, "there are rows to predict for"
        with session.journal.phase("predict", _count(rows)):
            return said_of(session, work, rows)


def said_of(session: Session, work: ModelWithScorer, rows: TokenStream) -> list[RowPrediction]:
    """What a model says of rows, in their order.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    from ftc.runtime.evaluation.measures import Measures
    from ftc.runtime.evaluation.scoring import eval_mode
    from ftc.runtime.evaluation.shortcuts import faster_linears

    settings = session.plan.settings
    measures = Measures(settings, rows, session.inputs.model_folder)
    with eval_mode(work.model), faster_linears(work.model):
        if (vectors := settings.train.embedding) is not None:
            return list(_vectors(_scores(session, work, rows), rows, normalize=vectors.normalize))
        if form_card(settings.text.form).ranks_texts:
            return list(_ranked(_scores(session, work, rows), rows))
        if head_card(settings.model.head).writes:
            return list(_written(session, work, rows, measures))
        return list(_chosen(session, rows, _scores(session, work, rows), measures))


def _count(rows: TokenStream) -> str:
    count = len(set(rows.rows.tolist()))
    return f"{count:,} row{'' if count == 1 else 's'}"


def _written(session: Session, work: ModelWithScorer, rows: TokenStream, measures: Measures) -> Iterator[RowPrediction]:
    from ftc.runtime.evaluation.evaluate import written

    labels = session.plan.settings.text.labels
    for number, text in sorted(written(session, "tuned", work, rows, measures.decode).items()):
        said = as_label(text, labels)
        classes = None if not labels else () if said == OTHER_LABEL else (said,)
        yield RowPrediction(row=int(rows.rows[number]), prediction=text, labels=classes)


def _scores(session: Session, work: ModelWithScorer, rows: TokenStream) -> list[RowScore]:
    from ftc.runtime.evaluation.evaluate import report_progress
    from ftc.runtime.evaluation.scoring import score_rows

    size, scores = session.plan.settings.eval.batch_size, []
    for batch in score_rows(work, rows, size, session.accelerator, session.stop, with_probabilities=True, alone=True):
        scores += batch
        report_progress(session, "tuned", len(scores), rows)
    return sorted(scores)


def _vectors(scores: Sequence[RowScore], rows: TokenStream, *, normalize: bool) -> Iterator[RowPrediction]:
    """The vector of each text of a row, and how similar two texts are."""
    from ftc.runtime.tasks.text_groups import units

    for score in scores:
        assert score.vectors is not None, "texts became vectors"
        row, whole = int(rows.rows[score.row]), units(score.vectors)
        shown = tuple(map(tuple, (whole if normalize else score.vectors).tolist()))
        if len(whole) == 1:
            yield RowPrediction(row=row, prediction=f"vector of {len(shown[0])} components", vectors=shown)
            continue
        alike = float(whole[0] @ whole[1])
        yield RowPrediction(row=row, prediction=f"{alike:.6g}", numbers={"similarity": alike}, vectors=shown)


def _ranked(scores: Sequence[RowScore], rows: TokenStream) -> Iterator[RowPrediction]:
    """The best text of a query, and the scores of all by their numbers from 1, the best one first."""
    for score in scores:
        _, *texts = rows.texts(score.row)
        order = sorted(range(len(texts)), key=lambda place: -score.predicted[1 + place])
        numbers = {str(1 + place): score.predicted[1 + place] for place in order}
        yield RowPrediction(row=int(rows.rows[score.row]), prediction=texts[order[0]], numbers=numbers)


def _chosen(
    session: Session, rows: TokenStream, scores: Sequence[RowScore], measures: Measures
) -> Iterator[RowPrediction]:
    """What a head chose of each row: the texts are those of `predictions.ndjson`."""
    head, labels = head_card(session.plan.settings.model.head), session.plan.settings.text.labels
    said, by_number = measures.said(scores), {score.row: score for score in scores}
    answers = measures.found_spans(scores) if head.finds_spans else {}
    for number, text in sorted(said.items()):
        score = by_number[number]
        found = RowPrediction(row=int(rows.rows[number]), prediction=text)
        match head.labels:
            case None if not head.chooses:
                yield found.model_copy(update={"numbers": _numbers(labels, score)})
            case None if not head.finds_spans:  # the text itself is all that is said of it
                yield found
            case None:
                yield found.model_copy(update={"spans": _answers(answers[number])})
            case "words":
                tags = [labels[int(tag)] for tag in score.predicted]
                # Without `O` each tag stands for itself; rows of a run's own splits don't keep the places of words.
                has_entities = OUTSIDE in labels and bool(rows.texts(number))
                spans = tuple(_entities(rows, number, tags, score.probabilities)) if has_entities else None
                chances = _of_steps(score) if form_card(session.plan.settings.text.form).rates_steps else {}
                yield found.model_copy(update={"labels": tuple(tags), "spans": spans, "numbers": chances})
            case "several":
                classes = tuple(labels[int(one)] for one in score.predicted)
                yield found.model_copy(update={"labels": classes, "probabilities": _known(labels, score)})
            case "one":
                known = _known(labels, score)
                yield found.model_copy(update={"probability": known.get(text), "probabilities": known})
            case _:
                assert_never(head.labels)


def _of_steps(score: RowScore) -> dict[str, float]:
    """How likely each step is right, by its number from 1: tag 1, of which the chosen one's probability is known."""
    known = zip(score.predicted, score.probabilities, strict=True)
    chances = (one if tag else 1 - one for tag, one in known)
    return {str(number): one for number, one in enumerate(chances, 1) if math.isfinite(one)}


def _known(labels: Sequence[str], score: RowScore) -> dict[str, float]:
    """Probabilities by class; one that is no number is nobody's."""
    return {name: one for name, one in zip(labels, score.probabilities, strict=True) if math.isfinite(one)}


def _numbers(labels: Sequence[str], score: RowScore) -> dict[str, float]:
    """Numbers by name; what is no number is nobody's."""
    return {name: one for name, one in zip(labels, score.predicted, strict=True) if math.isfinite(one)}


def _answers(span: AnswerSpan | None) -> tuple[FoundSpan, ...]:
    if span is None:
        return ()
    score = span.margin if math.isfinite(span.margin) else None
    return (FoundSpan(label=None, text=span.text, start=span.begin, end=span.end, score=score),)


def _entities(
    rows: TokenStream, number: int, tags: Sequence[str], probabilities: Sequence[float]
) -> Iterator[FoundSpan]:
    """Entities with their places, of words with IOB2 tags."""
    from seqeval.metrics.sequence_labeling import get_entities

    (text,), places = rows.texts(number), rows.offsets[number].reshape(-1, 2).tolist()
    for kind, first, last in get_entities(list(tags)):
        start, end, known = places[first][0], places[last][1], probabilities[first : last + 1]
        score = min(known) if all(map(math.isfinite, known)) else None
        yield FoundSpan(label=kind, text=text[start:end], start=start, end=end, score=score)
