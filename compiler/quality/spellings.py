"""Labels that a person takes for one: equal but for case, white space or Unicode form, or a typing slip away. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping

from ftc.spec.sections.data import Difference

__all__ = ["DIFFERENCES", "odd_labels", "separating", "slips", "spellings", "variants"]

DIFFERENCES: tuple[Difference, ...] = ("case", "space", "unicode")
"""Every way in which two labels can differ and look or read alike."""

_LARGE = 10
"""Rows that a class has at least, for a single row of almost the same name to look like a slip."""
_LEAST_LETTERS = 4
_JOINERS = "\u200c\u200d"  # invisible, and yet part of how some scripts are spelled


def _cleaned(label: str, ignored: Collection[Difference]) -> str:
    """A label without the differences that nobody sees."""
    if "unicode" in ignored:
        label = unicodedata.normalize("NFC", label)
    if "space" in ignored:
        seen = (c for c in label if c in _JOINERS or unicodedata.category(c) != "Cf")
        label = " ".join("".join(seen).split())
    return label


def _folded(label: str, ignored: Collection[Difference]) -> str:
    label = _cleaned(label, ignored)
    return _cleaned(label.casefold(), ignored) if "case" in ignored else label


def variants(counts: Mapping[str, int], ignored: Collection[Difference] = DIFFERENCES) -> list[list[str]]:
    """Labels that are one but for such differences, two or more in each list, the most frequent first."""
    groups: dict[str, list[str]] = {}
    for label in counts:
        groups.setdefault(_folded(label, ignored), []).append(label)
    several = [sorted(group, key=lambda label: (-counts[label], label)) for group in groups.values() if len(group) > 1]
    return sorted(several, key=lambda group: (-sum(map(counts.__getitem__, group)), group[0]))


def separating(groups: Collection[Collection[str]]) -> tuple[Difference, ...]:
    """The differences that keep the labels of some group apart."""
    others: dict[Difference, list[Difference]] = {
        kind: [one for one in DIFFERENCES if one != kind] for kind in DIFFERENCES
    }
    return tuple(
        kind for kind in DIFFERENCES if any(len({_folded(one, others[kind]) for one in group}) > 1 for group in groups)
    )


def spellings(
    counts: Mapping[str, int], ignored: Collection[Difference], declared: Collection[str] = ()
) -> dict[str, str]:
    """How each label is spelled that is not spelled so already.

    A class has the spelling that the recipe declares, else its most frequent one, so that a case that people chose is
    kept; of white space and Unicode forms the plain one.

    Args:
        counts: Rows by label, over all parts.
        ignored: Differences that don't make a class.
        declared: Labels that the recipe names.
    """
    by_fold = {_folded(label, ignored): label for label in declared}
    found: dict[str, str] = {}
    groups: dict[str, dict[str, int]] = {}
    for label, count in counts.items():
        clean, of = _cleaned(label, ignored), groups.setdefault(_folded(label, ignored), {})
        of[clean] = of.get(clean, 0) + count
    for label in counts:
        fold = _folded(label, ignored)
        best = by_fold.get(fold) or min(groups[fold], key=lambda clean: (-groups[fold][clean], clean))
        if best and best != label:
            found[label] = best
    return found


def slips(counts: Mapping[str, int]) -> dict[str, str]:
    """Classes of one row that are one letter away from a large class, with that class.

    Numbers that differ are no slip: `level 1` and `level 2` are meant.
    """
    large = [label for label, count in counts.items() if count >= _LARGE]
    found = {}
    for label in (one for one, count in counts.items() if count == 1 and len(one) >= _LEAST_LETTERS):
        digits = [c for c in label if c.isdigit()]
        near = [one for one in large if _is_slip(label, one) and digits == [c for c in one if c.isdigit()]]
        if near:
            found[label] = max(near, key=lambda one: (counts[one], one))
    return found


def _is_slip(word: str, other: str) -> bool:
    """Whether one letter was changed, left out or written twice, or two neighbors changed places."""
    if len(word) > len(other):
        word, other = other, word
    if len(other) - len(word) > 1 or word == other:
        return False
    start = next((at for at, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), len(word))
    if len(word) < len(other):
        return word[start:] == other[start + 1 :]
    swapped = word[:start] + word[start : start + 2][::-1] + word[start + 2 :]
    return word[start + 1 :] == other[start + 1 :] or swapped == other


def odd_labels(counts: Mapping[str, int]) -> set[str]:
    """Labels that are probably another class, spelled differently: more rows of them would not help."""
    return {label for group in variants(counts) for label in group[1:]} | slips(counts).keys()
