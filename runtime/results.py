"""Two measurements made into `eval.json`: metrics, gates, and a sample of what the models said."""

from __future__ import annotations

from ftc.runtime.evaluate import Measurement
from ftc.runtime.generate import TextDecoder
from ftc.runtime.session import Session
from ftc.spec.record import Evaluation, GateResult, Prediction

__all__ = ["evaluation"]

_SHOWN_CHARACTERS = 600


def evaluation(session: Session, base: Measurement | None, tuned: Measurement) -> Evaluation:
    """The evaluation of a run."""
    return Evaluation(
        split="test",
        tuned=tuned.result,
        base=base.result if base else None,
        gates=_gates(session, tuned),
        predictions=_predictions(session, base, tuned),
    )


def _gates(session: Session, tuned: Measurement) -> tuple[GateResult, ...]:
    return tuple(
        GateResult(
            metric=metric,
            bound=f"{gate.comparison} {gate.bound:g}",
            value=tuned.result.metrics[metric],
            passed=gate.holds(tuned.result.metrics[metric]),
        )
        for metric, gate in sorted(session.plan.settings.eval.gates.items())
    )


def _predictions(session: Session, base: Measurement | None, tuned: Measurement) -> tuple[Prediction, ...]:
    """The first rows of the split, which stand in the split's own random order."""
    rows, settings = session.stream("test"), session.plan.settings
    if rows is None or not tuned.texts:
        return ()
    decode = TextDecoder(session.inputs.model_folder)
    is_class = settings.model.head == "classification"
    return tuple(
        Prediction(
            row=int(rows.rows[number]),
            text=_shortened(decode(rows.ids(number).tolist()) if is_class else decode.prompt(rows, number)),
            expected=settings.text.labels[rows.labels[number]] if is_class else decode.expected(rows, number),
            base=base.texts[number] if base else None,
            tuned=tuned.texts[number],
        )
        for number in range(min(settings.eval.samples, len(rows)))
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
