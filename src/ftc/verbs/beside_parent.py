"""A run beside the one that it began from: whether it may take its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.slices import EARLIER, EARLIER_GROUPS
from ftc.spec.metrics import metric_named

if TYPE_CHECKING:
    from ftc.verbs.runs import Run

__all__ = ["worse_than_parent"]


def worse_than_parent(run: Run, waived: Collection[str]) -> Iterator[Diagnostic]:
    """Metrics in which a run is worse than the earlier run, beyond what its test rows leave open.

    Asked are all test rows, and the earlier run's own where `eval.slices` names `earlier_test`. The base of a run that
    began from another is that run. A metric without a known direction or without an interval says nothing.

    Args:
        run: The run.
        waived: Metrics that may be worse.
    """
    parent, found = run.plan.settings.model.parent, run.evaluation
    if parent is None or found is None or found.base is None:
        return
    worse = dict[str, str]()
    for name, gain in found.gains.items():
        metric, sure = metric_named(name), gain.interval
        if metric is not None and sure is not None and (sure.high < 0 if metric.higher_is_better else sure.low > 0):
            worse[name] = f"{found.tuned.metrics[name]:.4g} after {found.base.metrics[name]:.4g} on all test rows"
    groups = [group for one in found.slices if one.slice == EARLIER for group in one.groups]
    for group in (one for one in groups if one.group == EARLIER_GROUPS[0]):
        for name, sure in group.intervals.items():
            metric, was = metric_named(name), group.base.get(name)
            if metric is None or was is None:
                continue
            if sure.high < was if metric.higher_is_better else sure.low > was:
                worse[name] = f"{group.tuned[name]:.4g} after {was:.4g} on the earlier run's {group.rows} test rows"
    for name, words in worse.items():
        if name not in waived:
            summary = f"{name} of run `{run.record.id}` is worse than that of run `{parent.run_id}` before it"
            help = f"train with old rows mixed in by `data.source`, or accept it with `--waive {name}`"
            yield diagnostic("FTC672", summary, notes=words, help=help)
