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

from ftc.compiler.quality.digest_sets import Digests, distinct, is_among
from ftc.compiler.quality.sought_runs import SoughtRuns
from ftc.compiler.resolve.rows.in_processes import spread
from ftc.compiler.resolve.rows.spool import forget
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
_PLACES = 64
"""Places of rows whose tokens are counted at once."""
_COMMON_SHARE, _COMMON_FLOOR = 0.02, 20
_CHUNK = 1_000_000
"""Tokens that are compared at once."""
_FACTORS = np.random.Generator(np.random.PCG64(10)).integers(1, 2**63, size=2, dtype=np.uint64) * np.uint64(2) + (
    np.uint64(1)
)
_SHIFT = np.uint64(29)

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
    if not parts:
        return ()
    sought = SoughtRuns(sum(len(measured.ids) for measured in parts.values()))
    for number, measured in enumerate(parts.values()):
        for first, end in _chunks(measured):
            digests, starts = _runs_of(measured, first, end)
            sought.add(number, digests, starts + int(measured.boundaries[first]))
    chunks = [*_chunks(train)]

    def survivors(which: range) -> Iterator[bytes]:
        for first, end in (chunks[number] for number in which):
            digests, _ = _runs_of(train, first, end)
            forget(train.ids)
            yield distinct(digests[sought.may_have(digests)]).tobytes()

    for data in spread(len(chunks), survivors):
        sought.meet(np.frombuffer(data, np.uint64))
    seen = {number: np.zeros(len(measured.ids), np.bool_) for number, measured in enumerate(parts.values())}
    for number, digests, starts, are_known in sought.met():
        measured = [*parts.values()][number]
        rows = np.searchsorted(measured.boundaries, starts, side="right") - 1
        seen[number][starts[_is_telling(digests, rows, len(measured.row)) & are_known]] = True
    openings = _template_of(train)
    return tuple(
        _contamination(name, measured, seen[number], openings) for number, (name, measured) in enumerate(parts.items())
    )


def _chunks(rows: TokenRows | _Known) -> Iterator[tuple[int, int]]:
    """The first row and the one behind the last of each so many tokens, at least one row in each."""
    first, bounds = 0, rows.boundaries
    while first < len(rows.label):
        end = max(first + 1, int(np.searchsorted(bounds, bounds[first] + _CHUNK, side="right")) - 1)
        yield first, end
        first = end


def _runs_of(rows: TokenRows | _Known, first: int, end: int) -> tuple[Digests, NDArray[np.int64]]:
    """The runs of some rows, and where each begins, from the first row's first token on."""
    bounds = rows.boundaries[first : end + 1]
    return _runs(rows.ids[bounds[0] : bounds[-1]], bounds - bounds[0])


def _contamination(
    name: Split, measured: TokenRows, is_start: NDArray[np.bool_], template: tuple[list[int], list[int]]
) -> Contamination:
    """What a part's rows share, by where the runs begin that training rows have, too."""
    num_rows = num_mostly = num_seen = num_own = 0
    for first, end in _chunks(measured):
        bounds = measured.boundaries[first : end + 1] - measured.boundaries[first]
        begin = int(measured.boundaries[first])
        ids = measured.ids[begin : begin + int(bounds[-1])]
        is_written = _of_template(ids, bounds, measured.prompt_length[first:end], template)
        written = np.concatenate([[0], np.cumsum(is_written)])  # (tokens + 1,) template's before each
        starts = np.flatnonzero(is_start[begin : begin + len(ids)])
        starts = starts[written[starts + _RUN] == written[starts]]
        marks = np.zeros(len(ids) + 1, dtype=np.int64)
        np.add.at(marks, starts, 1)
        np.add.at(marks, starts + _RUN, -1)
        is_seen = np.concatenate([[0], np.cumsum(np.cumsum(marks)[:-1] > 0)])  # (tokens + 1,) seen ones before each
        counts = np.diff(is_seen[bounds])
        own = np.diff(bounds) - np.diff(written[bounds])
        num_rows += int((counts > 0).sum())
        num_mostly += int((counts / np.maximum(1, own) >= SEEN_SHARE).sum())
        num_seen, num_own = num_seen + int(counts.sum()), num_own + int(own.sum())
        forget(measured.ids)
    return Contamination(
        split=name,
        run=_RUN,
        of=len(measured.row),
        rows=num_rows,
        mostly=num_mostly,
        share=float(num_seen / max(1, num_own)),
    )


def _of_template(
    ids: NDArray[np.int32],
    bounds: NDArray[np.int64],
    prompt_length: NDArray[np.int32],
    template: tuple[list[int], list[int]],
) -> NDArray[np.bool_]:
    """Which tokens of some rows a template wrote: those with which almost all training rows begin, and those that
    stand before almost all their answers.
    """
    is_written = np.zeros(len(ids), dtype=bool)
    firsts, answers, ends = bounds[:-1], bounds[:-1] + prompt_length, bounds[1:]
    for place, token in enumerate(template[0]):
        at = firsts + place
        at = at[at < ends]
        is_written[at[ids[at] == token]] = True
    for place, token in enumerate(template[1]):
        at = answers - 1 - place
        at = at[at >= firsts]
        is_written[at[ids[at] == token]] = True
    return is_written


def _template_of(train: TokenRows | _Known) -> tuple[list[int], list[int]]:
    """The tokens with which almost all training rows begin, and those before almost all answers, backward."""
    return _common(train, from_answer=False), _common(train, from_answer=True)


def _common(train: TokenRows | _Known, *, from_answer: bool) -> list[int]:
    """The tokens that almost all rows have from a place on, forward or backward; a few of them are no template but the
    marks of a text's begin and end.
    """
    found: list[int] = []
    num_rows = len(train.label)
    while num_rows >= _LEAST_ROWS:
        for counts in _counted(train, range(len(found), len(found) + _PLACES), from_answer=from_answer):
            most, times = max(counts.items(), key=lambda one: (one[1], -one[0]), default=(0, 0))
            if times < _TEMPLATE_SHARE * num_rows:
                return found if len(found) > _MARKS else []
            found.append(most)
    return []


def _counted(train: TokenRows | _Known, places: range, *, from_answer: bool) -> list[Counter[int]]:
    """How often each token stands at each of some places of all rows, up to the first one where the first rows differ.

    The rows, of which there may be more than memory holds, are gone through once for all places.
    """
    found = [Counter[int]() for _ in places]
    for first, end in _chunks(train):
        bounds = train.boundaries[first : end + 1]
        begins, ends = bounds[:-1] - bounds[0], bounds[1:] - bounds[0]
        ids, prompts = train.ids[bounds[0] : bounds[-1]], train.prompt_length[first:end]
        for number, counts in enumerate(found):
            at = begins + (prompts - 1 - places[number] if from_answer else places[number])
            counts.update(_frequencies(ids[at[at >= begins] if from_answer else at[at < ends]]))
            if first == 0 and max(counts.values(), default=0) < _TEMPLATE_SHARE * end:
                del found[number + 1 :]
        forget(train.ids)
    return found


def _frequencies(tokens: NDArray[np.int32]) -> dict[int, int]:
    """How often each token is among some, most of which are often the same."""
    if not len(tokens):
        return {}
    usual = int(tokens[len(tokens) // 2])
    others = tokens[tokens != usual]
    found, each = np.unique(others, return_counts=True)
    return {usual: len(tokens) - len(others), **dict(zip(found.tolist(), each.tolist(), strict=True))}


def _runs(ids: NDArray[np.int32], boundaries: NDArray[np.int64]) -> tuple[Digests, NDArray[np.int64]]:
    """A digest of each run of tokens within a row, and where each begins."""
    count = len(ids) - _RUN + 1
    if count <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    digests = _of_runs(ids.astype(np.uint64) + np.uint64(1), _RUN)
    is_inside = np.ones(count, dtype=np.bool_)
    for before in range(1, _RUN):
        places = boundaries[1:] - before  # a run from here goes on in the next row, whichever row here is
        is_inside[places[(places >= 0) & (places < count)]] = False
    return digests[is_inside], np.flatnonzero(is_inside)


def _of_runs(tokens: Digests, length: int) -> Digests:
    """A digest of each run of so many tokens, put together from digests of 1, 2, 4, 8 … of them, the longest first."""
    by_power = [tokens]
    for power in range(length.bit_length() - 1):
        by_power.append(_both(by_power[-1][: -(1 << power)], by_power[-1][1 << power :]))
    count, covered = len(tokens) - length + 1, 0
    found = by_power[-1][:count]
    for power in reversed(range(len(by_power))):
        size = 1 << power
        if covered and length & size:
            found = _both(found, by_power[power][covered : covered + count])
        covered += length & size
    return found


def _both(one: Digests, behind: Digests) -> Digests:
    """A digest of each two digests, in their order."""
    found: Digests = one * _FACTORS[0] + behind * _FACTORS[1]
    found ^= found >> _SHIFT
    return found


def _is_telling(digests: Digests, rows: NDArray[np.int64], num_rows: int) -> NDArray[np.bool_]:
    """Which runs few enough rows have in common; the rows ascend."""
    most = max(1, min(max(_COMMON_FLOOR, int(_COMMON_SHARE * num_rows)), num_rows // 2))
    order = np.argsort(digests, kind="stable")
    ascending, owners = digests[order], rows[order]
    is_other = np.ones(len(order), np.bool_)  # another run than the one before
    is_other[1:] = ascending[1:] != ascending[:-1]
    run = np.cumsum(is_other) - 1
    is_other[1:] |= owners[1:] != owners[:-1]
    is_telling = np.zeros(len(order), np.bool_)
    is_telling[order] = (np.bincount(run[is_other]) <= most)[run]
    return is_telling


def _same_rows(test: TokenRows, others: TokenRows | _Known) -> int:
    """Test rows that are among the others as well, token for token and with the same class."""
    own = [np.zeros(0, np.uint64), *(_wholes(test, first, end) for first, end in _chunks(test))]
    known, times = np.unique(np.concatenate(own), return_counts=True)
    chunks = [*_chunks(others)]

    def common(which: range) -> Iterator[bytes]:
        for first, end in (chunks[number] for number in which):
            found = _wholes(others, first, end)
            forget(others.ids)
            yield found[is_among(found, known)].tobytes()

    is_met = np.zeros(len(known), np.bool_)
    for data in spread(len(chunks), common):
        is_met[np.searchsorted(known, np.frombuffer(data, np.uint64))] = True
    return int(times[is_met].sum())


def _wholes(rows: TokenRows | _Known, first: int, end: int) -> Digests:
    """A digest of each of some rows, of its tokens and its class."""
    bounds = rows.boundaries[first : end + 1] - rows.boundaries[first]
    ids = np.ascontiguousarray(rows.ids[rows.boundaries[first] : rows.boundaries[end]])
    data, ends = ids.view(np.uint8).data, (bounds * ids.itemsize).tolist()
    salts = (label.to_bytes(8, "little", signed=True) for label in rows.label[first:end].tolist())
    digests = (
        hashlib.blake2b(data[begin:behind], digest_size=8, salt=salt).digest()
        for begin, behind, salt in zip(ends, ends[1:], salts, strict=False)
    )
    return np.frombuffer(b"".join(digests), np.uint64)
