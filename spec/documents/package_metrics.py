"""Which results of a run come from packages that somebody else wrote."""

from __future__ import annotations

from ftc.spec.documents.settings import Settings
from ftc.spec.extension_points import package_entry
from ftc.spec.rewards import asks_packages, records

__all__ = ["judged_metrics", "package_metrics"]


def package_metrics(settings: Settings) -> frozenset[str]:
    """Metrics that installed packages compute, and those of rewards that such packages give: a run alone asks them, no
    audit and no comparison.
    """
    sampling = settings.train.sampling
    is_rewarded = sampling is not None and asks_packages(sampling.rewards)
    return frozenset(name for name in settings.eval.metrics if is_rewarded or package_entry(name))


def judged_metrics(settings: Settings) -> frozenset[str]:
    """Metrics of rewards that another model gives, which is asked about the answers of a run and about no others."""
    sampling = settings.train.sampling
    is_judged = sampling is not None and records(sampling.rewards)
    return frozenset(settings.eval.metrics if is_judged else ())
