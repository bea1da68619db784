"""Scores of a finished run against the rows that they come from.

Metrics, intervals, gains and groups are computed again from `predictions.ndjson`; everything else in `eval.json` that
follows from other figures by arithmetic is added up again, gates included. What can't be computed here is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from ftc.compiler.audit.shown import check_shown
from ftc.compiler.audit.tally import Tally, difference, finding, plural
from ftc.spec.documents.audit import Finding, Recomputed
from ftc.spec.documents.findings import BaselineResult
from ftc.spec.documents.outcomes import Outcome, gate_results
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.prompted import PromptedResult
from ftc.spec.documents.record import (
    Evaluation,
    Gain,
    Interval,
    RewardModelResult,
    RunRecord,
    SliceResult,
    SubjectResult,
)
from ftc.spec.metrics import metric_named

__all__ = ["check_scores"]

_CLOSE = 1e-6
"""Relative and absolute: sums may have been added up in another order."""
_ROWS = "predictions.ndjson"


def check_scores(
    tally: Tally,
    plan: Plan,
    record: RunRecord,
    measured: Evaluation,
    rows: Sequence[Outcome],
    recompute: Callable[[], Recomputed | str],
    *,
    ours: bool,
) -> None:
    """Compares an evaluation with itself, with the plan and with its rows.

    Args:
        tally: What was found so far.
        plan: What was to be measured.
        record: The run's record.
        measured: The evaluation.
        rows: The lines of `predictions.ndjson`; empty where the file is gone or not the run's own.
        recompute: Gives the scores that these rows give, or why they can't be computed, in words.
        ours: Whether the code that wrote the run is the code that looks at it.
    """
    found = [*_gates(plan, record, measured), *_as_planned(plan, measured), *_arithmetic(measured)]
    if rows:
        recomputed = recompute()
        found = [
            *_by_rows(tally, record, measured, rows, recomputed, ours=ours),
            *found,
            *check_shown(measured, rows),
            *_findings(tally, record, recomputed, ours=ours),
        ]
        others = ("attributions", "retention", "swaps", "judge", "classifier")
        if there := [f"`{name}`" for name in others if getattr(measured, name)]:
            tally.not_checked.append(f"figures under {', '.join(there)} in eval.json: only models give them")
        if measured.reward_model is not None:
            tally.not_checked.append(f"each answer's score by the reward model in {_ROWS}: only the model gives it")
    else:
        tally.not_checked.append(f"the scores in eval.json: {_ROWS} is missing or changed")
    tally.findings[:0] = found


def _by_rows(
    tally: Tally,
    record: RunRecord,
    measured: Evaluation,
    rows: Sequence[Outcome],
    recomputed: Recomputed | str,
    *,
    ours: bool,
) -> Iterator[Finding]:
    """Scores, intervals and baselines that the rows give otherwise."""
    if isinstance(recomputed, str):
        tally.not_checked.append(f"the scores in eval.json: {recomputed}")
        return
    yield from _values(measured, recomputed)
    if ours:
        yield from difference("eval.json: resampling", measured.resampling, recomputed.resampling, "this release")
    tally.not_checked += [f"{name} in eval.json: {why}" for name, why in recomputed.not_computed.items()]
    names = len(recomputed.tuned) + len(recomputed.base)
    tally.checked.append(f"{plural(names, 'score')} computed again from {plural(len(rows), 'row')}")
    others = list(_intervals(measured, recomputed))
    why = _other_method(record, measured, recomputed)
    if why and others:
        tally.not_checked.append(f"intervals in eval.json that come out otherwise here: {why}")
    yield from (one for one, excludes_value in others if excludes_value or not why)


def _other_method(record: RunRecord, measured: Evaluation, found: Recomputed) -> str:
    """Why intervals may differ although nobody changed them; empty where they may not."""
    then = record.observed.environment.packages.get("numpy")
    if measured.resampling is None:
        return "the run didn't record how they were computed"
    if measured.resampling != found.resampling:
        return "another method computed them"
    if then is not None and then.version != found.numpy:
        return f"numpy {then.version} drew their resamples, here is {found.numpy}"
    return ""


def _as_planned(plan: Plan, measured: Evaluation) -> Iterator[Finding]:
    """What was measured is what the plan asks for: these metrics, of these models, on all rows."""
    asked, test = plan.settings.eval, plan.data.get("test")
    yield from difference("eval.json: base", measured.base is not None, asked.baseline, "plan.json")
    scored = measured.reward_model.name if measured.reward_model else None
    yield from difference(
        "eval.json: reward_model", scored, asked.reward_model.base if asked.reward_model else None, "plan.json"
    )
    for subject, result in _subjects(measured):
        yield from difference(f"eval.json: metrics of {subject}", sorted(result.metrics), sorted(asked.metrics), "plan")
        rows = test.measured(plan.settings.text.form) if test else 0
        yield from difference(f"eval.json: rows of {subject}", result.rows, rows, "plan.json")
    named = [one.name for one in asked.baselines]
    yield from difference("eval.json: prompted", [one.name for one in measured.prompted], named, "plan.json")
    for one in measured.prompted:
        where = f"eval.json: prompted.{one.name}"
        planned = next((two for two in asked.baselines if two.name == one.name), None)
        for part in ("title", "prompt_tokens", "own_tokens") if planned else ():
            yield from difference(f"{where}.{part}", getattr(one, part), getattr(planned, part), "plan.json")
        yield from difference(f"{where}: metrics", sorted(one.metrics), sorted(asked.metrics), "plan.json")
        yield from difference(f"{where}: rows", one.rows, measured.tuned.rows, "the tuned model's")
    yield from difference("eval.json: slices", [one.slice for one in measured.slices], [*asked.slices], "plan.json")


def _subjects(measured: Evaluation) -> Iterator[tuple[str, SubjectResult]]:
    for name, result in (("base", measured.base), ("tuned", measured.tuned)):
        if result is not None:
            yield name, result


def _arithmetic(measured: Evaluation) -> Iterator[Finding]:
    """Figures that follow from others in the same file."""
    for subject, result in _subjects(measured):
        yield from _within_limits(subject, result.metrics)
    base = measured.base.metrics if measured.base else {}
    for name, gain in measured.gains.items():
        yield from _gained(f"gain in {name}", gain, measured.tuned.metrics.get(name), base.get(name))
    others: list[tuple[str, BaselineResult | PromptedResult]] = [(one.name, one) for one in measured.prompted]
    others += [(f"the baseline {one.kind}", one) for one in measured.baselines]
    for where, baseline in others:
        yield from _within_limits(where, baseline.metrics)
        for name, gain in baseline.gains.items():
            over = f"gain in {name} over {where}"
            yield from _gained(over, gain, measured.tuned.metrics.get(name), baseline.metrics.get(name))
    for one in measured.slices:
        for metric, gap in one.gaps.items():
            values = [group.tuned[metric] for group in one.groups if metric in group.tuned]
            yield from _apart(f"{metric} gap on {one.slice}", gap.value, max(values) - min(values) if values else None)
    if kept := measured.retention:
        yield from _gained("forgetting", kept.forgetting, kept.tuned, kept.base)
    if swaps := measured.swaps:
        pairs = swaps.pairs
        yield from difference("eval.json: swaps.rows", swaps.rows, sum(one.rows for one in pairs), "its pairs")
        yield from _apart("swaps.share", swaps.share, sum(one.changed for one in pairs) / max(1, swaps.rows))
        yield from _gained("swaps.change", swaps.change, swaps.share, swaps.base)
    if judge := measured.judge:
        yield from _gained("judge.gain", judge.gain, judge.tuned, judge.base)
    if flagged := measured.classifier:
        yield from _gained("classifier.gain", flagged.gain, flagged.tuned, flagged.base)
    if scored := measured.reward_model:
        yield from _gained("reward_model.gain", scored.gain, scored.tuned, scored.base)


def _within_limits(subject: str, metrics: Mapping[str, float]) -> Iterator[Finding]:
    for name, value in metrics.items():
        card = metric_named(name)
        if card is not None and not card.least - _CLOSE <= value <= card.most + _CLOSE:
            limits = f"{card.least:g} to {card.most:g}"
            yield from difference(f"eval.json: {name} of {subject}", value, limits, "the metric's definition")


def _gained(name: str, gain: Gain | None, tuned: float | None, base: float | None) -> Iterator[Finding]:
    if gain is not None:
        yield from _apart(name, gain.value, None if tuned is None or base is None else tuned - base)


def _apart(
    name: str, said: float, follows: float | None, source: str = "the figures that it follows from"
) -> list[Finding]:
    if follows is not None and math.isclose(said, follows, rel_tol=_CLOSE, abs_tol=_CLOSE):
        return []
    return difference(f"eval.json: {name}", said, follows, source)


def _gates(plan: Plan, record: RunRecord, measured: Evaluation) -> Iterator[Finding]:
    """Each gate of the plan against the value that is measured."""
    ought = {gate.metric: gate for gate in gate_results(measured, plan.settings.eval.gates)}
    said = {gate.metric: gate for gate in measured.gates}
    for name in sorted(ought.keys() | said.keys()):
        told, follows = said.get(name), ought.get(name)
        if told is None or follows is None:
            yield from difference(f"eval.json: gate {name}", bool(told), bool(follows), "the plan")
            continue
        for part in ("bound", "value", "interval", "passed"):
            subject = f"eval.json: gate {name}" if part == "value" else f"eval.json: gate {name}, {part}"
            yield from difference(subject, getattr(told, part), getattr(follows, part), "what is measured")
    status = "finished" if all(gate.passed for gate in ought.values()) else "gate_failed"
    yield from difference("record.json: status", record.status, status, "eval.json")


def _findings(tally: Tally, record: RunRecord, found: Recomputed | str, *, ours: bool) -> Iterator[Finding]:
    """What the run said of its own result, which somebody may want to be silent about."""
    if isinstance(found, str) or not ours:
        why = found if isinstance(found, str) else "another release of ftc wrote them"
        tally.not_checked.append(f"the findings in record.json: {why}")
        return
    told = "events.ndjson and predictions.ndjson"
    codes = [one.code for one in record.findings]
    wanted = [one.code for one in found.findings]
    yield from difference("record.json: findings", codes, wanted, told)
    if codes == wanted:
        for number, (one, again) in enumerate(zip(record.findings, found.findings, strict=True)):
            for part in ("severity", "text", "help", "change"):
                subject = f"record.json: findings.{number}.{part}"
                yield from difference(subject, getattr(one, part), getattr(again, part), told)


def _values(measured: Evaluation, found: Recomputed) -> Iterator[Finding]:
    """Values of both models and of groups."""
    for subject, result in _subjects(measured):
        again = found.tuned if subject == "tuned" else found.base
        for name, value in again.items():
            yield from _apart(f"{name} of {subject}", result.metrics.get(name, math.nan), value, _ROWS)
    prompted = {one.name: one for one in found.prompted}
    for prompt in measured.prompted:
        computed = prompted[prompt.name].metrics if prompt.name in prompted else {}
        if not computed:
            yield from difference(f"eval.json: prompted.{prompt.name}", "answers", "none", _ROWS)
        for name, value in computed.items():
            yield from _apart(f"{name} of {prompt.name}", prompt.metrics.get(name, math.nan), value, _ROWS)
    yield from _mean_scores(measured.reward_model, found.reward_model)
    known = {one.slice: one for one in measured.slices}
    for one in found.slices:
        yield from _groups(known[one.slice], one)
    for baseline in found.baselines:
        for said in measured.baselines:  # all are fitted to the same rows
            where = f"the baseline {said.kind}"
            yield from difference(f"eval.json: rows of {where}", said.rows, baseline.rows, "the training split")
            if said.kind == baseline.kind:
                names = sorted(baseline.metrics)
                yield from difference(f"eval.json: metrics of {where}", sorted(said.metrics), names, "plan.json")
                for name, value in baseline.metrics.items():
                    told = said.metrics.get(name, math.nan)
                    yield from _apart(f"{name} of {where}", told, value, "the training split")


def _mean_scores(said: RewardModelResult | None, found: RewardModelResult | None) -> Iterator[Finding]:
    """Means of a reward model's scores."""
    if said is not None:
        yield from _apart("reward_model.tuned", said.tuned, found.tuned if found else None, _ROWS)
        if said.base is not None:
            yield from _apart("reward_model.base", said.base, found.base if found else None, _ROWS)


def _of_scores(said: RewardModelResult | None, found: RewardModelResult | None) -> list[_Pair]:
    """Intervals of a reward model's mean scores."""
    if said is None or found is None:
        return []
    name = "reward_model"
    pairs: list[_Pair] = [(name, f"interval of {name}.tuned", found.tuned, said.interval, found.interval)]
    if said.gain is not None and found.gain is not None:
        gained = f"interval of {name}.gain"
        pairs.append((name, gained, found.gain.value, said.gain.interval, found.gain.interval))
    return pairs


def _groups(said: SliceResult, found: SliceResult) -> Iterator[Finding]:
    names = [group.group for group in said.groups]
    wanted = [group.group for group in found.groups]
    if names != wanted:
        yield from difference(f"eval.json: groups on {said.slice}", names, wanted, _ROWS)
        return
    for mine, again in zip(said.groups, found.groups, strict=True):
        where = f"on {said.slice} = {again.group}"
        yield from difference(f"eval.json: rows {where}", mine.rows, again.rows, _ROWS)
        yield from difference(f"eval.json: words {where}", mine.detail, again.detail, "the test split")
        for name, value in again.tuned.items():
            yield from _apart(f"{name} {where}", mine.tuned.get(name, math.nan), value, _ROWS)
        for name, value in again.base.items():
            yield from _apart(f"{name} of base {where}", mine.base.get(name, math.nan), value, _ROWS)
    yield from _gap_parts(said, found)


def _gap_parts(said: SliceResult, found: SliceResult) -> Iterator[Finding]:
    for name, gap in found.gaps.items():
        told = said.gaps.get(name)
        where = f"the {name} gap on {said.slice}"
        if told is None:
            yield from difference(f"eval.json: {where}", "none", gap.value, _ROWS)
            continue
        for part in ("lowest", "highest"):
            yield from difference(f"eval.json: {part} of {where}", getattr(told, part), getattr(gap, part), _ROWS)
        if not _is_near(told.base, gap.base):
            yield from difference(f"eval.json: base of {where}", told.base, gap.base, _ROWS)


_Pair = tuple[str, str, float, Interval | None, Interval | None]
"""Metric, subject of a finding, value, the recorded interval, and the one that the rows give."""


def _intervals(measured: Evaluation, found: Recomputed) -> Iterator[tuple[Finding, bool]]:
    """Intervals that come out otherwise, and whether they exclude their own value although a share's never does."""
    pairs: list[_Pair] = _of_scores(measured.reward_model, found.reward_model)
    for subject, result in _subjects(measured):
        again = found.tuned_intervals if subject == "tuned" else found.base_intervals
        computed = found.tuned if subject == "tuned" else found.base
        pairs += [
            (name, f"interval of {name} of {subject}", computed[name], result.intervals.get(name), again.get(name))
            for name in computed
        ]
    said_of = {one.kind: one.gains for one in measured.baselines}
    gains = [(measured.gains, found.gains, "")]
    gains += [(said_of[one.kind], one.gains, f" over the baseline {one.kind}") for one in found.baselines]
    prompts = {one.name: one for one in measured.prompted}
    for asked in found.prompted:
        if asked.name in prompts:
            of_prompt, values = prompts[asked.name], asked.metrics
            gains.append((of_prompt.gains, asked.gains, f" over {asked.name}"))
            pairs += [
                (name, f"interval of {name} of {asked.name}", values[name], of_prompt.intervals.get(name), sure)
                for name, sure in asked.intervals.items()
            ]
    for mine, others, over in gains:
        for name, gain in others.items():
            subject, said_gain = f"interval of the gain in {name}{over}", mine.get(name)
            pairs.append((name, subject, gain.value, said_gain.interval if said_gain else None, gain.interval))
    known = {one.slice: one for one in measured.slices}
    for one in found.slices:
        pairs += _of_slice(known[one.slice], one)
        for name, gap in one.gaps.items():
            told = known[one.slice].gaps.get(name)
            if told is not None and not _is_near(told.by_chance, gap.by_chance):
                subject = f"eval.json: {name} gap on {one.slice} by chance"
                yield from ((changed, False) for changed in difference(subject, told.by_chance, gap.by_chance, _ROWS))
    for metric, subject, value, said, ought in pairs:
        if not _is_same(said, ought):
            card = metric_named(metric)
            outside = said is not None and not said.low - _CLOSE <= value <= said.high + _CLOSE
            is_share = card is not None and card.is_share
            hint = f"{_ROWS} gives another one; restore the run's folder from a copy"
            changed = finding("FTC537", f"eval.json: {subject}", _text(said), _text(ought), hint)
            yield changed, outside and is_share


def _of_slice(said: SliceResult, found: SliceResult) -> Iterator[_Pair]:
    for mine, again in zip(said.groups, found.groups, strict=False):
        for name, value in again.tuned.items():
            subject = f"interval of {name} on {said.slice} = {again.group}"
            yield name, subject, value, mine.intervals.get(name), again.intervals.get(name)
    for name, gap in found.gaps.items():
        told = said.gaps.get(name)
        yield (
            name,
            f"interval of the {name} gap on {said.slice}",
            gap.value,
            told.interval if told else None,
            gap.interval,
        )


def _is_near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)


def _is_same(one: Interval | None, other: Interval | None) -> bool:
    if one is None or other is None:
        return one is other
    return _is_near(one.low, other.low) and _is_near(one.high, other.high)


def _text(interval: Interval | None) -> str:
    return "none" if interval is None else f"{interval.low:.6g} to {interval.high:.6g}"
