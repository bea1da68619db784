"""How far annotators agree beyond chance: Cohen's and Fleiss' kappa, and Krippendorff's alpha for nominal labels. Pure.

All three compare the disagreement that is there with the disagreement that chance would give. They differ in what
chance means: each annotator's own labels (Cohen 1960), the labels of all together (Fleiss 1971), or these drawn without
putting one back (Krippendorff 2004), which alone bears rows that somebody has not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from ftc.spec.documents.quality import Agreement, PairAgreement

__all__ = ["agreement", "cohen_kappa", "fleiss_kappa", "krippendorff_alpha"]

_Judgments = Sequence[str | None]
"""One annotator's label of each row; None where there is none."""


def agreement(columns: Sequence[str], judgments: Sequence[_Judgments]) -> Agreement:
    """All figures for two or more annotators.

    Args:
        columns: Name of each annotator's column.
        judgments: Their labels, row by row.
    """
    rows = [[label for label in labels if label is not None] for labels in zip(*judgments, strict=True)]
    complete = [labels for labels in rows if len(labels) == len(columns)]
    return Agreement(
        columns=tuple(columns),
        rows=sum(len(labels) > 1 for labels in rows),
        complete_rows=len(complete),
        pairs=tuple(_pair(columns, judgments, a, b) for a, b in combinations(range(len(columns)), 2)),
        fleiss=fleiss_kappa(complete),
        krippendorff=krippendorff_alpha(rows),
    )


def _pair(columns: Sequence[str], judgments: Sequence[_Judgments], a: int, b: int) -> PairAgreement:
    both = [(x, y) for x, y in zip(judgments[a], judgments[b], strict=True) if x is not None and y is not None]
    return PairAgreement(columns=(columns[a], columns[b]), rows=len(both), cohen=cohen_kappa(both))


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Agreement of two annotators beyond what their own habits would give by chance; None where chance explains all."""
    total = len(pairs)
    firsts, seconds = Counter(x for x, _ in pairs), Counter(y for _, y in pairs)
    same = sum(x == y for x, y in pairs)
    by_chance = sum(firsts[label] * seconds[label] for label in firsts)
    if total == 0 or by_chance == total * total:
        return None
    return (same * total - by_chance) / (total * total - by_chance)


def fleiss_kappa(rows: Sequence[Sequence[str]]) -> float | None:
    """Agreement of several annotators, all of whom have judged each of the rows; None where chance explains all."""
    if not rows or len(rows[0]) < 2:
        return None
    judges = len(rows[0])
    labels = Counter(label for row in rows for label in row)
    by_chance = sum((count / labels.total()) ** 2 for count in labels.values())
    if len(labels) < 2:
        return None
    pairs = sum(count * (count - 1) for row in rows for count in Counter(row).values())
    observed = pairs / (len(rows) * judges * (judges - 1))
    return (observed - by_chance) / (1 - by_chance)


def krippendorff_alpha(rows: Sequence[Sequence[str]]) -> float | None:
    """Agreement over rows with any number of judgments; those with fewer than two say nothing.

    1 less the observed disagreement by the expected one, both from the matrix of coincidences, in which each row's
    pairs of judgments weigh 1 / (judgments - 1).
    """
    paired = [row for row in rows if len(row) > 1]
    labels = Counter(label for row in paired for label in row)
    total = labels.total()
    expected = total * total - sum(count * count for count in labels.values())
    if expected == 0:
        return None
    observed = sum((len(row) ** 2 - sum(c * c for c in Counter(row).values())) / (len(row) - 1) for row in paired)
    return 1 - (total - 1) * observed / expected
