"""How far a share of rows could be off by the chance of which rows were drawn, in closed form.

Resamples fail where few rows tell something: of rows that are all right no resample differs from another, and where two
models differ on three rows of a hundred, too few resamples hold what a further hundred rows could have shown. For
shares it is known how to do without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from ftc.spec.documents.record import Interval

__all__ = ["gain_interval", "share_interval"]


def share_interval(flags: Sequence[bool], level: float = 0.95) -> Interval:
    """The exact interval of a share (Clopper & Pearson 1934). Unlike resamples it tells what no row of many says: none
    of 200 means less than 1.8 %.
    """
    from scipy.stats import binomtest

    found = binomtest(sum(flags), len(flags)).proportion_ci(level, method="exact")
    return Interval(low=float(found.low), high=float(found.high))


def gain_interval(base: Sequence[bool], tuned: Sequence[bool], level: float = 0.95) -> Interval:
    """The interval of what a share gains on the same rows (Bonett & Price 2012): only rows that differ tell, and one
    more of each kind is counted than there are, so that few of them promise no more than they hold.
    """
    more = 1 + sum(after and not before for before, after in zip(base, tuned, strict=True))
    fewer = 1 + sum(before and not after for before, after in zip(base, tuned, strict=True))
    rows = len(base) + 2
    middle = (more - fewer) / rows
    reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(((more + fewer) / rows - middle**2) / rows)
    return Interval(low=max(-1.0, middle - reach), high=min(1.0, middle + reach))
