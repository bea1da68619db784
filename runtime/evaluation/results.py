"""Two measurements made into documents: metrics, gates and a sample in `eval.json`, every row beside it."""

from __future__ import annotations

import json

from ftc.runtime.evaluation.classifier_results import classifier_result
from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.evaluation.gates import with_gates
from ftc.runtime.evaluation.judge_results import judge_result
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.evaluation.probe_results import retention_result, swaps_result
from ftc.runtime.evaluation.probing import read_swapped
from ftc.runtime.execution.session import Session
from ftc.runtime.metrics.intervals import certainty
from ftc.runtime.metrics.slices import slice_results
from ftc.spec.documents.outcomes import Outcome, Said
from ftc.spec.documents.record import Evaluation, Prediction
from ftc.spec.heads import head_card

__all__ = ["evaluation", "outcomes"]

_SHOWN_CHARACTERS = 600


def evaluation(session: Session, base: Measurement | None, tuned: Measurement) -> Evaluation:
    """The evaluation of a run."""
    measures, rows = _measures(session), session.stream("test")
    assert rows is not None, "what was measured has rows"
    sure = certainty(base, tuned)
    slices = slice_results(session.plan.settings.eval.slices, session.groups(), rows, measures, base, tuned)
    kept = retention_result(base, tuned)
    swaps = swaps_result(read_swapped(session), rows, base, tuned) if tuned.swapped else None
    judged = judge_result(session, measures, base, tuned)
    flagged = classifier_result(session, base, tuned)
    found = Evaluation(
        split="test",
        tuned=tuned.result.model_copy(update={"intervals": sure.tuned}),
        base=base.result.model_copy(update={"intervals": sure.base}) if base else None,
        gains=sure.gains,
        slices=slices,
        retention=kept,
        swaps=swaps,
        gates=(),
        judge=judged,
        classifier=flagged,
        predictions=_predictions(session, base, tuned),
    )
    return with_gates(found, session.plan.settings.eval.gates)


def outcomes(session: Session, base: Measurement | None, tuned: Measurement) -> bytes:
    """Every row of the test split with what each model made of it, a JSON line each."""
    rows = session.stream("test")
    assert rows is not None, "what was measured has rows"
    measures = _measures(session)
    has_class = head_card(session.plan.settings.model.head).has_confidence
    groups = session.groups()
    lines = (
        Outcome(
            row=int(rows.rows[number]),
            prompt=measures.given(number),
            expected=measures.expected(number) if tuned.texts else None,
            targets=measures.targets(number),
            right=measures.right(number),
            slices={name: values[number] for name, values in groups.items()},
            base=_said(base, number, measures, has_class=has_class) if base else None,
            tuned=_said(tuned, number, measures, has_class=has_class),
        ).to_json()
        for number in sorted(tuned.texts) or range(len(rows))
    )
    return b"".join(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n" for line in lines)


def _said(measured: Measurement, number: int, measures: Measures, *, has_class: bool) -> Said:
    score = measured.scores[number]
    return Said(
        text=measured.texts.get(number),
        loss_sum=score.loss_sum,
        targets=score.targets,
        confidence=score.predicted[1] if has_class else None,
        predicted=score.predicted if measures.keeps_predictions else (),
    )


def _measures(session: Session) -> Measures:
    rows = session.stream("test")
    assert rows is not None, "what was measured has rows"
    return Measures(session.plan.settings, rows, session.inputs.model_folder)


def _predictions(session: Session, base: Measurement | None, tuned: Measurement) -> tuple[Prediction, ...]:
    """The first rows of the split, which stand in the split's own random order."""
    rows = session.stream("test")
    if rows is None or not tuned.texts:
        return ()
    measures = _measures(session)
    return tuple(
        Prediction(
            row=int(rows.rows[number]),
            text=_shortened(measures.given(number)),
            expected=measures.expected(number),
            base=base.texts[number] if base else None,
            tuned=tuned.texts[number],
        )
        for number in sorted(tuned.texts)[: session.plan.settings.eval.samples]
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
