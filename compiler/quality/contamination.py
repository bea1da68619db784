"""N-gram overlap of validation and test rows with training rows, counted on tokens.

A token counts as seen if it is part of a 10-gram that a training row contains as well, as in Touvron et al. 2023
(Llama 2, appendix A.6), whose threshold is used too: a row counts as seen from `SEEN_SHARE` of its tokens on. Only a
row's own text counts: tokens that a template adds at the start of a text and before its answer are left out, and so are
10-grams that many evaluated rows have in common, such as an instruction.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.quality.near import is_among
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.documents.quality import SEEN_SHARE, Contamination, QualityReport
from ftc.spec.documents.streams import Split, TokenStream

__all__ = ["with_contamination", "with_other_rows"]

_RUN = 10
_TEMPLATE_SHARE = 0.95
"""Share of the training rows from which what they begin with comes from a template, not from their text."""
_LEAST_ROWS = 8
"""Fewest training rows from which a template can be recognized."""
_MARKS = 2
"""Tokens such as `<s>` that mark a text without a template."""
_COMMON_SHARE, _COMMON_FLOOR = 0.02, 20
_CHUNK = 1_000_000
"""Training tokens that are compared at once."""
_FACTORS = np.random.Generator(np.random.PCG64(10)).integers(1, 2**63, size=_RUN, dtype=np.uint64) * np.uint64(2) + (
    np.uint64(1)
)

Digests = NDArray[np.uint64]
_MEASURED: tuple[Split, ...] = ("validation", "test")


def with_contamination(
    report: QualityReport, splits: Mapping[str, TokenRows], image_token: int | None = None
) -> QualityReport:
    """The report with what validation and test rows share with training rows, and test rows with validation rows.

    Args:
        report: Of the rows.
        splits: Their tokens.
        image_token: The token that stands for images; None where rows have none.
    """
    splits = {name: replace(rows, ids=_with_images(rows, image_token)) for name, rows in splits.items()}
    return report.model_copy(
        update={
            "contamination": _contaminations(
                {name: splits[name] for name in _MEASURED if name in splits}, splits["train"]
            ),
            "chosen_by": _same_rows(splits["test"], splits["validation"]) if {*_MEASURED} <= splits.keys() else 0,
            "trained_on": _same_rows(splits["test"], splits["train"]) if "test" in splits else 0,
        }
    )


def with_other_rows(
    report: QualityReport,
    test: TokenRows,
    train: TokenStream,
    valid: TokenStream | None,
    image_token: int | None = None,
) -> QualityReport:
    """The report with what other test rows share with the rows that a run learned from and was chosen by.

    Args:
        report: Of the run's own rows.
        test: The other rows.
        train: What the run learned from.
        valid: What its checkpoint was chosen by; None for nothing.
        image_token: The token that stands for images; None where rows have none.
    """
    learned = _Known.of(train, image_token)
    test = replace(test, ids=_with_images(test, image_token))
    return report.model_copy(
        update={
            "contamination": _contaminations({"test": test}, learned),
            "chosen_by": _same_rows(test, _Known.of(valid, image_token)) if valid is not None else 0,
            "trained_on": _same_rows(test, learned),
        }
    )


class _Known(NamedTuple):
    """What is compared of rows: their tokens and classes."""

    ids: NDArray[np.int32]
    boundaries: NDArray[np.int64]
    label: NDArray[np.int32]
    prompt_length: NDArray[np.int32]

    @classmethod
    def of(cls, rows: TokenStream, image_token: int | None) -> Self:
        """The same of a stream."""
        images = [rows.images(number) for number in range(len(rows))] if rows.has_images else None
        ids = _image_numbers(rows.all_ids, rows.boundaries, images, image_token)
        return cls(ids, rows.boundaries, rows.labels, rows.prompt_lengths)


def _with_images(rows: TokenRows, image_token: int | None) -> NDArray[np.int32]:
    return _image_numbers(rows.ids, rows.boundaries, rows.images, image_token)


def _image_numbers(
    ids: NDArray[np.int32],
    boundaries: NDArray[np.int64],
    images: Sequence[Sequence[str]] | None,
    image_token: int | None,
) -> NDArray[np.int32]:
    """The tokens with a number that tells a row's images in the place of the one that stands for every image."""
    if images is None or image_token is None:
        return ids
    found = ids.copy()
    for begin, end, shown in zip(boundaries, boundaries[1:], images, strict=False):
        number = int.from_bytes(hashlib.sha256("".join(shown).encode()).digest()[:4]) >> 1
        row = found[begin:end]
        row[row == image_token] = -1 - number
    return found


def _contaminations(parts: Mapping[Split, TokenRows], train: TokenRows | _Known) -> tuple[Contamination, ...]:
    """What each of the parts shares with training rows, which are gone through once."""
    runs = {name: _runs(measured.ids, measured.boundaries) for name, measured in parts.items()}
    known = _are_in(np.concatenate([np.zeros(0, np.uint64), *(digests for digests, _ in runs.values())]), train)
    found, end = [], 0
    for name, measured in parts.items():
        begin, end = end, end + len(runs[name][0])
        found.append(_contamination(name, measured, train, runs[name], known[begin:end]))
    return tuple(found)


def _contamination(
    name: Split,
    measured: TokenRows,
    train: TokenRows | _Known,
    runs: tuple[Digests, NDArray[np.int64]],
    are_known: NDArray[np.bool_],
) -> Contamination:
    digests, starts = runs
    rows = np.searchsorted(measured.boundaries, starts, side="right") - 1
    written = np.concatenate([[0], np.cumsum(_of_template(measured, train))])  # (tokens + 1,) template's before each
    is_own = written[starts + _RUN] == written[starts]
    seen = is_own & _is_telling(digests, rows, len(measured.row)) & are_known
    marks = np.zeros(len(measured.ids) + 1, dtype=np.int64)
    np.add.at(marks, starts[seen], 1)
    np.add.at(marks, starts[seen] + _RUN, -1)
    is_seen = np.concatenate([[0], np.cumsum(np.cumsum(marks)[:-1] > 0)])  # (tokens + 1,) seen ones before each
    counts = np.diff(is_seen[measured.boundaries])
    own = np.diff(measured.boundaries) - np.diff(written[measured.boundaries])
    shares = counts / np.maximum(1, own)
    return Contamination(
        split=name,
        run=_RUN,
        of=len(measured.row),
        rows=int((counts > 0).sum()),
        mostly=int((shares >= SEEN_SHARE).sum()),
        share=float(counts.sum() / max(1, int(own.sum()))),
    )


def _of_template(measured: TokenRows, train: TokenRows | _Known) -> NDArray[np.bool_]:
    """Which tokens of the measured rows a template wrote: those with which almost all training rows begin, and those
    that stand before almost all their answers.
    """
    is_written = np.zeros(len(measured.ids), dtype=bool)
    firsts, answers = measured.boundaries[:-1], measured.boundaries[:-1] + measured.prompt_length
    ends = measured.boundaries[1:]
    known, known_ends = train.boundaries[:-1], train.boundaries[1:]
    opening = _common(train.ids, known, known_ends, 1)
    for place, token in enumerate(opening):
        at = firsts + place
        at = at[at < ends]
        is_written[at[measured.ids[at] == token]] = True
    closing = _common(train.ids, known + train.prompt_length - 1, known - 1, -1)
    for place, token in enumerate(closing):
        at = answers - 1 - place
        at = at[at >= firsts]
        is_written[at[measured.ids[at] == token]] = True
    return is_written


def _common(ids: NDArray[np.int32], starts: NDArray[np.int64], ends: NDArray[np.int64], step: int) -> list[int]:
    """The tokens that almost all rows have from a place on, forward or backward; a few of them are no template but the
    marks of a text's begin and end.
    """
    found: list[int] = []
    while len(starts) >= _LEAST_ROWS:
        at = starts + step * len(found)
        at = at[(ends - at) * step > 0]
        if len(at) < _TEMPLATE_SHARE * len(starts):
            break
        tokens, counts = np.unique(ids[at], return_counts=True)
        if counts.max() < _TEMPLATE_SHARE * len(starts):
            break
        found.append(int(tokens[counts.argmax()]))
    return found if len(found) > _MARKS else []


def _runs(ids: NDArray[np.int32], boundaries: NDArray[np.int64]) -> tuple[Digests, NDArray[np.int64]]:
    """A digest of each run of tokens within a row, and where each begins."""
    count = len(ids) - _RUN + 1
    if count <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    wide = ids.astype(np.uint64) + np.uint64(1)
    digests = np.zeros(count, np.uint64)
    for place, factor in enumerate(_FACTORS):
        digests += (wide[place : place + count] * factor) ^ (digests >> np.uint64(29))
    is_inside = np.ones(count, dtype=np.bool_)
    for before in range(1, _RUN):
        places = boundaries[1:] - before  # a run from here goes on in the next row, whichever row here is
        is_inside[places[(places >= 0) & (places < count)]] = False
    return digests[is_inside], np.flatnonzero(is_inside)


def _is_telling(digests: Digests, rows: NDArray[np.int64], num_rows: int) -> NDArray[np.bool_]:
    """Which runs few enough rows have in common."""
    most = max(1, min(max(_COMMON_FLOOR, int(_COMMON_SHARE * num_rows)), num_rows // 2))
    known, places = np.unique(digests, return_inverse=True)
    pairs = np.unique(np.stack([places, rows], axis=1), axis=0)[:, 0]
    return np.asarray(np.bincount(pairs, minlength=len(known))[places] <= most)


def _are_in(digests: Digests, train: TokenRows | _Known) -> NDArray[np.bool_]:
    """Which runs stand in a training row."""
    known, places = np.unique(digests, return_inverse=True)
    found = np.zeros(len(known), dtype=bool)
    first, bounds = 0, train.boundaries
    while first < len(train.label) and len(known):
        end = max(first + 1, int(np.searchsorted(bounds, bounds[first] + _CHUNK, side="right")) - 1)
        part = train.ids[bounds[first] : bounds[end]]
        runs, _ = _runs(part, bounds[first : end + 1] - bounds[first])
        found |= is_among(known, runs)
        first = end
    return np.asarray(found[places])


def _same_rows(test: TokenRows, others: TokenRows | _Known) -> int:
    """Test rows that are among the others as well, token for token and with the same class."""
    counts = Counter(_wholes(test))
    return sum(counts[row] for row in {row for row in _wholes(others) if row in counts})


def _wholes(rows: TokenRows | _Known) -> Iterator[tuple[bytes, int]]:
    for begin, end, label in zip(rows.boundaries, rows.boundaries[1:], rows.label, strict=False):
        yield rows.ids[begin:end].tobytes(), int(label)
