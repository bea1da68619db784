"""The answer: the tuned model beside the base on the test split, gates, and a sample of predictions."""

from __future__ import annotations

from collections.abc import Iterable

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, GateResult, Interval, Prediction, RunRecord
from ftc.spec.heads import head_card
from ftc.views import numbers
from ftc.views.report.charts import Axis, Drawer, Range, Ranges, are_shares, figure
from ftc.views.report.elements import long_text, section, table, text
from ftc.views.results import Comparison, change_words, comparisons, reservations
from ftc.views.words import metric_title

__all__ = ["lead", "predictions_section", "result_section"]


def lead(plan: Plan, record: RunRecord, evaluation: Evaluation | None) -> str:
    """The result in a sentence or two, as text."""
    if evaluation is None or not evaluation.tuned.metrics:
        return _unmeasured(plan, record)
    main = _main(comparisons(evaluation))
    rows = f"{numbers.plural(evaluation.tuned.rows, 'test row')}"
    return f"{_change(main)} on {rows}. {_gate_words(evaluation.gates)}".rstrip()


def result_section(plan: Plan, evaluation: Evaluation | None, drawn: Drawer) -> str:
    """Large figures, a picture of those that are shares, then the table of all metrics."""
    if evaluation is None or not evaluation.tuned.metrics:
        return ""
    found = comparisons(evaluation)
    tiles = f'<div class="tiles">{"".join(map(_tile, found))}</div>'
    note = "" if evaluation.base else "<p>The base model was not measured, so no gain is known.</p>"
    doubts = "".join(f'<p class="reservation">{text(one)}</p>' for one in reservations(plan, evaluation))
    tables = (_metrics_table(evaluation, found), _other_gates(evaluation))
    picture = figure(_chart(evaluation, found), drawn)
    return section("result", "Result on the test split", tiles, note, doubts, picture, *tables)


def _chart(evaluation: Evaluation, found: Iterable[Comparison]) -> Ranges:
    """Metrics between 0 and 1 beside each other, base and tuned with their intervals."""
    bases = evaluation.base.intervals if evaluation.base else {}
    rows = []
    for one in found:
        title = metric_title(one.name)
        values = [Range(1, one.tuned, _ends(one.interval), f"{title}, tuned: {numbers.metric(one.tuned)}")]
        if one.base is not None:
            label = f"{title}, base: {numbers.metric(one.base)}"
            values.insert(0, Range(0, one.base, _ends(bases.get(one.name)), label))
        if are_shares(values):
            rows.append((title, values))
    return Ranges(
        key="metrics",
        title="Base and tuned, with 95 % intervals",
        description="; ".join(value.label for _, values in rows for value in values),
        rows=rows if len(rows) > 1 else [],
        names=("base", "tuned") if evaluation.base else (),
        axis=Axis("value", limits=(0.0, 1.0)),
    )


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    return (interval.low, interval.high) if interval else None


def predictions_section(plan: Plan, evaluation: Evaluation | None) -> str:
    """Rows of the test split with what each model answered, and a word for right and wrong."""
    if evaluation is None or not evaluation.predictions:
        return ""
    right, wrong = ("right", "wrong") if plan.settings.has_one_answer else ("as expected", "differs")
    shown = evaluation.predictions
    has_base = any(one.base is not None for one in shown)
    words = f"A sample of {numbers.plural(len(shown), 'test row')}. "
    words += f"Tuned: {_tally([one.tuned for one in shown], shown, right)}."
    if has_base:
        words += f" Base: {_tally([one.base for one in shown], shown, right)}."
    header = ("row", "text", "expected", *(("base",) if has_base else ()), "tuned")
    rows = [
        (
            numbers.count(one.row),
            long_text(one.text),
            long_text(one.expected),
            *((_answer(one.base, one.expected, right, wrong),) if has_base else ()),
            _answer(one.tuned, one.expected, right, wrong),
        )
        for one in shown
    ]
    kind = "labels" if head_card(plan.settings.model.head).scores_rows else "answers"
    grid = table("Sample of predictions", header, rows, right=(0,), kind=f"predictions {kind}")
    return section("predictions", "Predictions", f"<p>{text(words)}</p>", grid)


def _unmeasured(plan: Plan, record: RunRecord) -> str:
    done = f"{numbers.count(record.steps_done)} of {numbers.plural(plan.settings.train.num_steps, 'step')}"
    return f"Nothing is measured on the test split. The run is {record.status.replace('_', ' ')}, with {done} done."


def _main(found: tuple[Comparison, ...]) -> Comparison:
    """The metric that a gate asks for, else the first."""
    return next((one for one in found if one.gate is not None), found[0])


def _change(one: Comparison) -> str:
    title = metric_title(one.name)
    title = title[:1].upper() + title[1:]
    if one.base is None:
        return f"{title} is {numbers.metric(one.tuned)}"
    before, after = numbers.metric(one.base), numbers.metric(one.tuned)
    if one.trend == "equal":
        return f"{title} is {after}, as before tuning,"
    if one.trend == "no difference shown":
        return f"No difference in {metric_title(one.name)} is shown: {before} before and {after} after tuning"
    verb = "rose" if one.tuned > one.base else "fell"
    return f"{title} {verb} from {before} to {after}" + (", which is worse," if one.trend == "worse" else "")


def _gate_words(gates: tuple[GateResult, ...]) -> str:
    if not gates:
        return ""
    if len(gates) == 1:
        gate = gates[0]
        return f"The gate {metric_title(gate.metric)} {_bound(gate)} {'passed' if gate.passed else 'failed'}."
    passed = sum(gate.passed for gate in gates)
    return f"All {len(gates)} gates passed." if passed == len(gates) else f"{passed} of {len(gates)} gates passed."


def _tile(one: Comparison) -> str:
    base = "" if one.base is None else f'<span class="from">{numbers.metric(one.base)} <span>→</span> </span>'
    gain = "unchanged" if one.change == 0 else change_words(one)
    gate = f'<p class="gate">gate {text(_bound(one.gate))}: {_verdict(one.gate.passed)}</p>' if one.gate else ""
    return (
        f'<div class="tile"><p class="name">{text(metric_title(one.name))}</p>'
        f'<p class="value">{base}<strong>{numbers.metric(one.tuned)}</strong></p>'
        f'<p class="gain {one.trend if one.trend in ("better", "worse") else ""}">{text(gain)}</p>{gate}</div>'
    )


def _bound(gate: GateResult) -> str:
    """Such as `≥ 0.9`."""
    return gate.bound.replace(">=", "≥").replace("<=", "≤")


def _verdict(passed: bool) -> str:
    return f'<span class="{"better" if passed else "worse"}">{"passed" if passed else "failed"}</span>'


def _metrics_table(evaluation: Evaluation, found: Iterable[Comparison]) -> str:
    rows = [
        (
            text(metric_title(one.name)) + ("" if one.higher_is_better else " <small>(lower is better)</small>"),
            "–" if one.base is None else numbers.metric(one.base),
            numbers.metric(one.tuned),
            f"{numbers.metric(one.interval.low)} to {numbers.metric(one.interval.high)}" if one.interval else "–",
            _gain_words(one),
            f"{text(_bound(one.gate))}: {_verdict(one.gate.passed)}" if one.gate else "–",
        )
        for one in found
    ]
    header = ("metric", "base", "tuned", "95 % interval", "gain (95 % interval)", "gate")
    measured = f"Measured once, by the same code, on {numbers.plural(evaluation.tuned.rows, 'test row')}"
    return table(measured, header, rows, right=(1, 2, 3, 4))


def _gain_words(one: Comparison) -> str:
    """Such as `+0.746 (+0.685 to +0.803), better`."""
    if one.change is None:
        return "–"
    found = one.gain.interval if one.gain else None
    between = f" ({numbers.signed(found.low)} to {numbers.signed(found.high)})" if found else ""
    return f"{numbers.signed(one.change)}{between}, {one.trend}"


def _other_gates(evaluation: Evaluation) -> str:
    """Gates that are about no metric of the table, such as a group's."""
    rows = [
        (
            text(gate.metric),
            "not measured" if gate.value is None else numbers.metric(gate.value),
            f"{numbers.metric(gate.interval.low)} to {numbers.metric(gate.interval.high)}" if gate.interval else "–",
            f"{text(_bound(gate))}: {_verdict(gate.passed)}",
        )
        for gate in evaluation.gates
        if gate.metric not in evaluation.tuned.metrics
    ]
    return table("Further gates", ("figure", "tuned", "95 % interval", "gate"), rows, right=(1, 2))


def _tally(answers: list[str | None], shown: tuple[Prediction, ...], right: str) -> str:
    hits = sum(_same(answer, one.expected) for answer, one in zip(answers, shown, strict=True))
    return f"{hits} {right}"


def _same(answer: str | None, expected: str) -> bool:
    return answer is not None and answer.strip() == expected.strip()


def _answer(answer: str | None, expected: str, right: str, wrong: str) -> str:
    if answer is None:
        return "–"
    is_same = _same(answer, expected)
    shown = long_text(answer) if answer.strip() else "<em>nothing</em>"
    return f'{shown} <span class="verdict {"better" if is_same else wrong}">{right if is_same else wrong}</span>'
