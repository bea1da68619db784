"""Parts of an evaluation beside its metrics: groups, general text, exchanged phrases, a judge, a classifier."""

from __future__ import annotations

from ftc.spec.documents.judging import JudgeUse
from ftc.spec.documents.quality import Contamination
from ftc.spec.documents.record import (
    ClassifierResult,
    Gain,
    Gap,
    GateResult,
    GroupResult,
    Interval,
    JudgeResult,
    RetentionResult,
    SliceResult,
    SwapExample,
    SwapPair,
    SwapsResult,
)

__all__ = ["BY_REGION", "CONTAMINATION", "FLAGGED", "GATE", "JUDGED", "RETENTION", "SWAPS"]

_GROUPS = (
    GroupResult(
        group="north",
        rows=60,
        tuned={"accuracy": 0.9, "macro_f1": 0.88},
        base={"accuracy": 0.2, "macro_f1": 0.1},
        intervals={"accuracy": Interval(low=0.8, high=0.95)},
    ),
    GroupResult(group="<south>", rows=12, tuned={"accuracy": 0.75, "macro_f1": 0.7}),
)
_SURE = Interval(low=0.01, high=0.3)
_GAP = Gap(value=0.15, interval=_SURE, base=None, by_chance=0.11, lowest="<south>", highest="north")
BY_REGION = SliceResult(slice="region", groups=_GROUPS, gaps={"accuracy": _GAP, "macro_f1": _GAP})
GATE = GateResult(metric="accuracy gap on region", bound="<= 0.1", value=0.15, interval=_GAP.interval, passed=False)
RETENTION = RetentionResult(
    blocks=3,
    tokens=1200,
    base=2.5,
    tuned=2.7,
    forgetting=Gain(value=0.2, interval=Interval(low=0.1, high=0.3)),
)
SWAPS = SwapsResult(
    rows=4,
    share=0.25,
    interval=None,
    base=0.5,
    change=Gain(value=-0.25, interval=Interval(low=-0.75, high=0.25)),
    pairs=(
        SwapPair(phrase="he", other="<she>", rows=4, changed=1, base=2),
        SwapPair(phrase="x", other="y", rows=0, changed=0, base=0),
    ),
    examples=(SwapExample(row=7, phrase="he", other="<she>", before="tech", after="sports"),),
)
CONTAMINATION = Contamination(split="test", run=10, of=213, rows=9, mostly=3, share=0.1)
JUDGED = JudgeResult(
    model="<large>",
    rows=9,
    graded=8,
    tuned=7.5,
    interval=None,
    base=5.5,
    gain=Gain(value=2.0, interval=Interval(low=1.0, high=3.0)),
    failure="no number",
    use=JudgeUse(
        url="http://localhost/v1",
        requests=20,
        answered=18,
        at_once=4,
        seconds=4.0,
        answer_seconds=15.0,
        with_usage=0,
        sent_tokens=0,
        received_tokens=0,
    ),
)
FLAGGED = ClassifierResult(
    name="<tox>",
    label="toxic",
    rows=200,
    tuned=0.01,
    interval=Interval(low=0.001, high=0.036),
    base=0.03,
    gain=Gain(value=-0.02, interval=Interval(low=-0.05, high=0.01)),
    examples=(4, 91),
    cut=1,
)
