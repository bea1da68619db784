"""The quality of divided rows: what was found, for the plan, and how far annotators agree. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.quality.seen import SeenTexts
from ftc.compiler.quality.sensitive import Presidio
from ftc.compiler.quality.texts import damage
from ftc.compiler.resolve.rows.labels import Labeled
from ftc.compiler.resolve.rows.row_checks import label_text
from ftc.compiler.resolve.rows.table import PartRows, Table, masked_for, shown
from ftc.spec.documents.quality import (
    COPIES,
    NEAR_DUPLICATES,
    Agreement,
    Kind,
    PairAgreement,
    QualityFinding,
    QualityReport,
    Sample,
    overlap_rule,
)
from ftc.spec.documents.streams import SPLITS, Split
from ftc.spec.personal_data import SECRETS
from ftc.spec.sections.data import QualityRules

__all__ = [
    "PAIRS",
    "Divided",
    "agreement",
    "cohen_kappa",
    "fleiss_kappa",
    "krippendorff_alpha",
    "quality_report",
]

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
    pairs = []
    for (a, firsts), (b, seconds) in combinations(zip(columns, judgments, strict=True), 2):
        both = [(x, y) for x, y in zip(firsts, seconds, strict=True) if x is not None and y is not None]
        pairs.append(PairAgreement(columns=(a, b), rows=len(both), cohen=cohen_kappa(both)))
    return Agreement(
        columns=tuple(columns),
        rows=sum(len(labels) > 1 for labels in rows),
        complete_rows=len(complete),
        pairs=tuple(pairs),
        fleiss=fleiss_kappa(complete),
        krippendorff=krippendorff_alpha(rows),
    )


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


PAIRS: tuple[tuple[Split, Split], ...] = (("test", "train"), ("validation", "train"), ("test", "validation"))
"""Parts that may not share rows: the measured one, and the one that knew them before."""

_SHOWN = 3
_SECRETS = frozenset(rule.words for rule in SECRETS)


@dataclass(frozen=True, slots=True)
class Divided:
    """One part of the data, with what its rows are compared by.

    Attributes:
        rows: The rows and their places.
        texts: Text of each.
        seen: What was found in the texts.
        keys: For each, a number that it shares with all rows of which the task reads the same.
        normal: For each, a number that it shares with all whose texts differ only in case, marks and white space.
        clusters: For each, a number that it shares with all rows that resemble it.
    """

    rows: PartRows
    texts: Sequence[str]
    seen: SeenTexts
    keys: NDArray[np.int64]
    normal: NDArray[np.int64]
    clusters: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    def place(self, index: int) -> str:
        """Where the part's row of this index stands."""
        return self.rows.place(self.rows.numbers[index])

    def shown(self, index: int) -> str:
        """What the row says, for a message."""
        return shown(self.texts[index])


@dataclass(frozen=True, slots=True)
class _Match:
    """Rows of a part that a rule matched, at least one."""

    kind: Kind
    rule: str
    split: Split
    part: Divided
    rows: NDArray[np.int64]
    show: Callable[[int], str]

    def finding(self) -> QualityFinding:
        """As the plan holds it."""
        return QualityFinding(
            kind=self.kind,
            rule=self.rule,
            split=self.split,
            rows=len(self.rows),
            of=len(self.part),
            samples=tuple(
                Sample(place=self.part.place(row), shown=self.show(row)) for row in self.rows[:_SHOWN].tolist()
            ),
        )


def quality_report(
    parts: Mapping[Split, Divided],
    rules: QualityRules,
    labeled: Labeled | None,
    counts: Mapping[Split, Mapping[str, int]],
    table: Table,
    presidio: Presidio | None = None,
) -> QualityReport:
    """Everything that is found in the rows.

    Args:
        parts: The parts that there are.
        rules: What is looked for.
        labeled: Where labels stand, in tasks that have any.
        counts: How often each label occurs in the rows of each part; empty in other tasks.
        table: The main file, whose annotation columns are compared.
        presidio: Its recognizers, where the recipe asks for them.
    """
    ordered: list[tuple[Split, Divided]] = [(name, parts[name]) for name in SPLITS if name in parts]
    matches = [
        *(match for name, part in ordered for match in _copies(name, part, labeled.stratum if labeled else None)),
        *(match for part, other in PAIRS for match in _overlap(part, other, parts)),
        *(match for name, part in ordered for match in _in_texts(name, part)),
    ]
    labels: dict[Split, dict[str, int]] = {
        name: dict(sorted(counts[name].items())) for name, _ in ordered if name in counts
    }
    rows_by_kind: dict[str, dict[Split, list[NDArray[np.int64]]]] = {}
    for match in matches:
        rows_by_kind.setdefault(match.kind, {}).setdefault(match.split, []).append(match.rows)
    not_checked = list(presidio.not_checked()) if presidio else []
    if rules.similarity is None:
        not_checked.insert(0, f"{NEAR_DUPLICATES}: `data.quality.similarity` is null")
    judgments = [[_judgment(row.get(column)) for row in table.rows] for column in rules.annotations]
    return QualityReport(
        rows=sum(map(len, parts.values())),
        similarity=rules.similarity,
        findings=tuple(match.finding() for match in matches),
        rows_by_kind={
            kind: sum(len(np.unique(np.concatenate(rows))) for rows in by_split.values())
            for kind, by_split in rows_by_kind.items()
        },
        labels=labels,
        agreement=agreement(rules.annotations, judgments) if len(judgments) > 1 else None,
        presidio=presidio.use() if presidio else None,
        not_checked=tuple(not_checked),
    )


def _copies(name: Split, part: Divided, label: str | None) -> Iterator[_Match]:
    """Rows that an earlier row of the same part resembles, by the strongest likeness; then classes that contradict."""
    kinds = (
        ("exact duplicates", part.keys),
        ("duplicates except for case and punctuation", part.normal),
        ("near duplicates", part.clusters),
    )
    is_taken = np.zeros(len(part), np.bool_)
    for rule, values in kinds:
        first = _first_in(values, values)
        later = np.flatnonzero((first != np.arange(len(part))) & ~is_taken)
        is_taken[later] = True
        if len(later):
            yield _Match("copies", rule, name, part, later, _like(part, first))
    if not label:
        return
    known: dict[str, int] = {}
    numbers = (known.setdefault(str(row[label]), len(known)) for row in part.rows.rows)
    classes, names = np.fromiter(numbers, np.int32, len(part)), [*known]
    first = _first_in(part.normal, part.normal)
    rows = np.flatnonzero(classes[first] != classes)

    def show(row: int) -> str:
        other = int(first[row])
        here, there = (shown(names[classes[one]]) for one in (row, other))
        return f"{here}, and {there} in {part.place(other)}: {part.shown(row)}"

    if len(rows):
        yield _Match("labels", "same text, different labels", name, part, rows, show)


def _overlap(name: Split, other: Split, parts: Mapping[Split, Divided]) -> Iterator[_Match]:
    """Rows of one part that the other has, too, by the strongest likeness."""
    if name not in parts or other not in parts:
        return
    part, known = parts[name], parts[other]
    kinds = (
        (COPIES, part.keys, known.keys),
        ("duplicates (except for case and punctuation)", part.normal, known.normal),
        ("near duplicates", part.clusters, known.clusters),
    )
    is_taken = np.zeros(len(part), np.bool_)
    for likeness, values, others in kinds:
        first = _first_in(values, others)
        rows = np.flatnonzero((first >= 0) & ~is_taken)
        is_taken[rows] = True
        if len(rows):
            yield _Match("overlap", overlap_rule(likeness, other), name, part, rows, _like(known, first))


def _first_in(values: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """(values,) For each value, the first place among the others that has it; -1 where none does."""
    known, first = np.unique(others, return_index=True)
    if not len(known):
        return np.full(len(values), -1)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[places] == values, first[places], -1)


def _like(part: Divided, first: NDArray[np.int64]) -> Callable[[int], str]:
    """Shows a row by the first one that is like it."""

    def show(row: int) -> str:
        other = int(first[row])
        return f"like {part.place(other)}: {part.shown(other)}"

    return show


def _in_texts(name: Split, part: Divided) -> Iterator[_Match]:
    """What was found in the texts."""
    damaged: dict[str, list[NDArray[np.int64]]] = {}
    sensitive: dict[str, list[NDArray[np.int64]]] = {}
    for seen, rows in part.seen.kinds():
        for words in seen.damages:
            damaged.setdefault(words, []).append(rows)
        for words in seen.rules:
            sensitive.setdefault(words, []).append(rows)
    for words, some in sorted(damaged.items()):
        yield _Match("encoding", words, name, part, np.sort(np.concatenate(some)), _around(part, words))
    for words, some in sorted(sensitive.items()):
        kind: Kind = "secrets" if words in _SECRETS else "personal"
        yield _Match(kind, words, name, part, np.sort(np.concatenate(some)), lambda row: "")


def _around(part: Divided, words: str) -> Callable[[int], str]:
    """Shows the text around a row's first damage of a kind; nothing of it where it holds personal data or secrets."""

    def show(row: int) -> str:
        rules = part.seen.rules_of(row)
        return masked_for(rules) if rules else shown(dict(damage(part.texts[row]))[words])

    return show


def _judgment(value: object) -> str | None:
    """A label as text; nothing, and text of nothing, is no judgment."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return label_text(value) if isinstance(value, str | int | float) else str(value)
