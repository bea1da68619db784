"""The answer: the tuned model beside the base on the test split, gates, and a sample of predictions."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, GateResult, Interval, RunRecord
from ftc.spec.heads import head_card
from ftc.spec.row_names import shown_row
from ftc.views import numbers
from ftc.views.report.charts import Axis, Drawer, Range, Ranges, are_shares, figure
from ftc.views.report.elements import beginning_html, long_text, marked_up, pictures, section, table, text
from ftc.views.results import Comparison, change_words, comparisons, reservations
from ftc.views.row_texts import RowTexts
from ftc.views.words import metric_title, steps_words

__all__ = ["lead", "predictions_section", "result_section"]


def lead(plan: Plan, record: RunRecord, evaluation: Evaluation | None) -> str:
    """The result in a sentence or two, as text."""
    if evaluation is None or not evaluation.tuned.metrics:
        is_own = plan.settings.model.fetched is None
        done = f"with {steps_words(plan, record)} done" if is_own else steps_words(plan, record)
        return f"Not evaluated on the test split. The run is {record.status.replace('_', ' ')}, {done}."
    found, gates = comparisons(evaluation), evaluation.gates
    main = next((one for one in found if one.gate is not None), found[0])
    title, after = metric_title(main.name), numbers.metric(main.tuned)
    named = title[:1].upper() + title[1:]
    if main.base is None:
        change = f"{named} is {after}"
    elif main.trend == "equal":
        change = f"{named} is {after}, the same as before tuning,"
    elif main.trend == "not significant":
        change = (
            f"The change in {title} is not significant: {numbers.metric(main.base)} before and {after} after tuning"
        )
    else:
        verb = "rose" if main.tuned > main.base else "fell"
        worse = ", which is worse," if main.trend == "worse" else ""
        change = f"{named} {verb} from {numbers.metric(main.base)} to {after}{worse}"
    passed = sum(gate.passed for gate in gates)
    words = f"All {len(gates)} gates passed." if passed == len(gates) else f"{passed} of {len(gates)} gates passed."
    if len(gates) == 1:
        words = f"The gate {metric_title(gates[0].metric)} {_bound(gates[0])} {'passed' if passed else 'failed'}."
    on = f"{change} on {numbers.plural(evaluation.tuned.rows, 'test row')}."
    return f"{on} {words}" if gates else on


def result_section(plan: Plan, evaluation: Evaluation | None, drawn: Drawer) -> str:
    """Large figures, a picture of those that are shares, then the table of all metrics."""
    if evaluation is None or not evaluation.tuned.metrics:
        return ""
    found = comparisons(evaluation)
    tiles, metric_rows = [], []
    for one in found:
        name, gate = text(metric_title(one.name)), f"{text(_bound(one.gate))}: {_verdict(one.gate)}" if one.gate else ""
        before = "" if one.base is None else f'<span class="from">{numbers.metric(one.base)} <span>→</span> </span>'
        gain = "unchanged" if one.change == 0 else change_words(one)
        tiles.append(
            f'<div class="tile"><p class="name">{name}</p>'
            f'<p class="value">{before}<strong>{numbers.metric(one.tuned)}</strong></p>'
            f'<p class="gain {one.trend if one.trend in ("better", "worse") else ""}">{text(gain)}</p>'
            + (f'<p class="gate">gate {gate}</p></div>' if gate else "</div>")
        )
        sure = one.gain.interval if one.gain else None
        between = f" ({numbers.interval(sure, numbers.signed)})" if sure else ""
        metric_rows.append(
            (
                name + ("" if one.higher_is_better else " <small>(lower is better)</small>"),
                "–" if one.base is None else numbers.metric(one.base),
                numbers.metric(one.tuned),
                numbers.interval(one.interval),
                "–" if one.change is None else f"{numbers.signed(one.change)}{between}, {one.trend}",
                gate or "–",
            )
        )
    note = "" if evaluation.base else "<p>The base model was not evaluated, so the gain is unknown.</p>"
    doubts = "".join(f'<p class="reservation">{marked_up(one)}</p>' for one in reservations(plan, evaluation))
    header = ("metric", "base", "tuned", "95 % interval", "gain (95 % interval)", "gate")
    measured = f"Evaluated once, by the same code, on {numbers.plural(evaluation.tuned.rows, 'test row')}"
    gate_rows = [
        (
            text(metric_title(gate.metric)),
            "not measured" if gate.value is None else numbers.metric(gate.value),
            numbers.interval(gate.interval),
            f"{text(_bound(gate))}: {_verdict(gate)}",
        )
        for gate in evaluation.gates
        if gate.metric not in evaluation.tuned.metrics
    ]
    tables = (
        table(measured, header, metric_rows, right=(1, 2, 3, 4)),
        table("Further gates", ("figure", "tuned", "95 % interval", "gate"), gate_rows, right=(1, 2)),
    )
    return section(
        "result",
        "Result on the test split",
        f'<div class="tiles">{"".join(tiles)}</div>',
        note,
        doubts,
        _shares(found, evaluation, drawn),
        *tables,
    )


def _shares(found: Sequence[Comparison], evaluation: Evaluation, drawn: Drawer) -> str:
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
    return figure(
        Ranges(
            key="metrics",
            title="Base and tuned, with 95 % intervals",
            description="; ".join(value.label for _, values in rows for value in values),
            rows=rows if len(rows) > 1 else [],
            names=("base", "tuned") if evaluation.base else (),
            axis=Axis("value", limits=(0.0, 1.0)),
        ),
        drawn,
    )


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    return (interval.low, interval.high) if interval else None


def predictions_section(plan: Plan, evaluation: Evaluation | None, texts: RowTexts) -> str:
    """Rows of the test split with what each model answered, and a word for right and wrong."""
    if evaluation is None or not evaluation.predictions:
        return ""
    right, wrong = ("right", "wrong") if plan.settings.has_one_answer else ("correct", "differs")
    shown, chooses = evaluation.predictions, head_card(plan.settings.model.head).chooses
    has_base = any(one.base is not None for one in shown)
    words = f"A sample of {numbers.plural(len(shown), 'test row')}."
    if chooses:
        words += f" Tuned: {sum(_same(one.tuned, one.expected) for one in shown)} {right}."
    if chooses and has_base:
        words += f" Base: {sum(_same(one.base, one.expected) for one in shown)} {right}."
    header = ("row", "text", "expected", *(("base",) if has_base else ()), "tuned")
    begin, rows = texts.beginning([one.text for one in shown]), []
    for one in shown:
        name = shown_row(one.place, one.row)
        given, expected, *said = texts.row(name, one.text[begin:], one.expected, one.base, one.tuned)
        sides = list(zip((one.base, one.tuned), said, strict=True))[0 if has_base else 1 :]
        answers = [_answer(answer, words, one.expected if chooses else None, right, wrong) for answer, words in sides]
        given = pictures(name, texts.pictures.get(one.row)) + long_text(given)
        rows.append((text(name), given, long_text(expected), *answers))
    kind = "labels" if head_card(plan.settings.model.head).scores_rows else "answers"
    grid = table("Sample of predictions", header, rows, kind=f"predictions {kind}")
    return section("predictions", "Predictions", f"<p>{text(words)}</p>", beginning_html(shown[0].text[:begin]), grid)


def _bound(gate: GateResult) -> str:
    """Such as `≥ 0.9`."""
    return gate.bound.replace(">=", "≥").replace("<=", "≤")


def _verdict(gate: GateResult) -> str:
    return '<span class="better">passed</span>' if gate.passed else '<span class="worse">failed</span>'


def _same(answer: str | None, expected: str) -> bool:
    return answer is not None and answer.strip() == expected.strip()


def _answer(answer: str | None, words: str, expected: str | None, right: str, wrong: str) -> str:
    """What is shown of an answer, and whether it is the expected one, where it is right or wrong at all."""
    if answer is None:
        return "–"
    if expected is None:
        return long_text(words)
    is_same = _same(answer, expected)
    shown = long_text(words) if answer.strip() else "<em>nothing</em>"
    return f'{shown} <span class="verdict {"better" if is_same else wrong}">{right if is_same else wrong}</span>'
