"""What `ftc eval --harness` prints."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.spec.documents.outcomes import HarnessMetric, HarnessReport
from ftc.spec.documents.record import Gain, Interval
from ftc.views.comparison import harness_text


@pytest.mark.slow
def test_base_beside_tuned() -> None:
    sure, unsure = Interval(low=0.1, high=0.3), Interval(low=-0.1, high=0.3)
    plain: dict[str, Any] = {"rows": 1000, "filter": "none", "base_error": None, "tuned_error": None}
    exact: dict[str, Any] = {**plain, "base_error": 0.01, "tuned_error": 0.02}
    strict: dict[str, Any] = {**plain, "filter": "strict"}
    metrics = (
        HarnessMetric(
            task="arc", metric="acc", higher_is_better=True, base=0.5, tuned=0.7,
            gain=Gain(value=0.2, interval=sure), **exact,
        ),
        HarnessMetric(
            task="arc", metric="acc", higher_is_better=True, base=0.5, tuned=0.6,
            gain=Gain(value=0.1, interval=unsure), **strict,
        ),
        HarnessMetric(
            task="<x>", metric="ppl", higher_is_better=False, base=9, tuned=8,
            gain=Gain(value=-1, interval=None), **plain,
        ),
    )  # fmt: skip
    report = HarnessReport(run="abc", lm_eval="0.4.9", versions={"arc": "1"}, limit=1000, metrics=metrics)
    lines = [" ".join(line.split()).replace("\u2212", "-") for line in harness_text(report).splitlines()]
    assert lines == [
        "run abc by lm_eval 0.4.9, at most 1,000 rows of a task",
        "task metric rows base tuned gain",
        "arc acc 1,000 0.5000 ± 0.0100 0.7000 ± 0.0200 +0.200 (+0.100 to +0.300)",
        "arc acc (strict) 1,000 0.5000 0.6000 +0.100 (-0.100 to +0.300, not significant)",
        "<x> ppl, lower is better 1,000 9.0000 8.0000 -1.000",
    ]
