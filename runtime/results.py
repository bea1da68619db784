"""Two measurements made into documents: metrics, gates and a sample in `eval.json`, every row beside it."""

from __future__ import annotations

import json

from ftc.runtime.certainty import Certainty, Expected, certainty
from ftc.runtime.evaluate import Measurement
from ftc.runtime.generate import TextDecoder
from ftc.runtime.session import Session
from ftc.spec.outcomes import Outcome, Said
from ftc.spec.record import Evaluation, GateResult, Prediction
from ftc.spec.streams import TokenStream

__all__ = ["evaluation", "outcomes"]

_SHOWN_CHARACTERS = 600


def evaluation(session: Session, base: Measurement | None, tuned: Measurement) -> Evaluation:
    """The evaluation of a run."""
    sure = certainty(base, tuned, _expected(session))
    return Evaluation(
        split="test",
        tuned=tuned.result.model_copy(update={"intervals": sure.tuned}),
        base=base.result.model_copy(update={"intervals": sure.base}) if base else None,
        gains=sure.gains,
        gates=_gates(session, tuned, sure),
        predictions=_predictions(session, base, tuned),
    )


def outcomes(session: Session, base: Measurement | None, tuned: Measurement) -> bytes:
    """Every row of the test split with what each model made of it, a JSON line each."""
    rows = session.stream("test")
    assert rows is not None, "what was measured has rows"
    texts = _Texts(session, rows)
    lines = (
        Outcome(
            row=int(rows.rows[number]),
            prompt=texts.prompt(number),
            expected=texts.expected(number) if tuned.texts else None,
            base=_said(base, number) if base else None,
            tuned=_said(tuned, number),
        ).to_json()
        for number in range(len(rows))
    )
    return b"".join(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n" for line in lines)


def _said(measured: Measurement, number: int) -> Said:
    score = measured.scores[number]
    return Said(
        text=measured.texts.get(number),
        loss_sum=score.loss_sum,
        targets=score.targets,
        confidence=score.confidence if score.predicted >= 0 else None,
    )


def _expected(session: Session) -> Expected:
    """What the test rows answer, in the form that the plan's metrics need."""
    rows, settings = session.stream("test"), session.plan.settings
    assert rows is not None, "what was measured has rows"
    if settings.model.head == "classification":
        return Expected(rows.labels.tolist(), [])
    if settings.eval.max_new_tokens is None:
        return Expected([], [])
    texts = _Texts(session, rows)
    return Expected([], [texts.expected(number) for number in range(len(rows))])


def _gates(session: Session, tuned: Measurement, sure: Certainty) -> tuple[GateResult, ...]:
    return tuple(
        GateResult(
            metric=metric,
            bound=f"{gate.comparison} {gate.bound:g}",
            value=tuned.result.metrics[metric],
            interval=sure.tuned.get(metric),
            passed=gate.holds(tuned.result.metrics[metric]),
        )
        for metric, gate in sorted(session.plan.settings.eval.gates.items())
    )


def _predictions(session: Session, base: Measurement | None, tuned: Measurement) -> tuple[Prediction, ...]:
    """The first rows of the split, which stand in the split's own random order."""
    rows = session.stream("test")
    if rows is None or not tuned.texts:
        return ()
    texts = _Texts(session, rows)
    return tuple(
        Prediction(
            row=int(rows.rows[number]),
            text=_shortened(texts.prompt(number)),
            expected=texts.expected(number),
            base=base.texts[number] if base else None,
            tuned=tuned.texts[number],
        )
        for number in range(min(session.plan.settings.eval.samples, len(rows)))
    )


class _Texts:
    """What the models were given of a row, and what the row itself answers."""

    def __init__(self, session: Session, rows: TokenStream) -> None:
        self._rows = rows
        self._decode = TextDecoder(session.inputs.model_folder)
        self._labels = session.plan.settings.text.labels
        self._is_class = session.plan.settings.model.head == "classification"

    def prompt(self, number: int) -> str:
        if self._is_class:
            return self._decode(self._rows.ids(number).tolist())
        return self._decode.prompt(self._rows, number)

    def expected(self, number: int) -> str:
        return self._labels[self._rows.labels[number]] if self._is_class else self._decode.expected(self._rows, number)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
