"""Parts of an evaluation that lie beside its metrics: groups, general text, exchanged phrases."""

from __future__ import annotations

from ftc.spec.quality import Contamination
from ftc.spec.record import (
    Gain,
    Gap,
    GateResult,
    GroupResult,
    Interval,
    RetentionResult,
    SliceResult,
    SwapExample,
    SwapPair,
    SwapsResult,
)

__all__ = ["BY_REGION", "CONTAMINATION", "GATE", "RETENTION", "SWAPS"]

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
_GAP = Gap(value=0.15, interval=Interval(low=0.01, high=0.3), base=None, lowest="<south>", highest="north")
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
    pairs=(
        SwapPair(phrase="he", other="<she>", rows=4, changed=1),
        SwapPair(phrase="x", other="y", rows=0, changed=0),
    ),
    examples=(SwapExample(row=7, phrase="he", other="<she>", before="tech", after="sports"),),
)
CONTAMINATION = Contamination(split="test", run=10, of=213, rows=9, mostly=3, share=0.1)
