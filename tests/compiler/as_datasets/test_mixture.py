"""An epoch of weighted sources is what `datasets.interleave_datasets` means by its stopping strategies.

There a source is drawn for each row, by chance; here each source gives its share exactly, so that an epoch is the same
on every machine and no seed gives a source less than its weight. Which rows come first, the split's seed says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.sections.data import Data, MixedPath, Split
from tests.support import resolved_rows

STRATEGIES = ("first_exhausted", "all_exhausted")
DRAWS = 25
A_ROW = 1
"""What shares of whole rows are rounded by."""


def rows_of(word: str, count: int) -> list[dict[str, str]]:
    return [{"text": f"{word} number {number}", "label": ("ham", "spam")[number % 2]} for number in range(count)]


def ours(folder: Path, lengths: Mapping[str, int], weights: Mapping[str, float | None], strategy: Any) -> Counter[str]:
    """How often each row is in an epoch of ftc."""
    for word, count in lengths.items():
        text = "".join(json.dumps(row) + "\n" for row in rows_of(word, count))
        (folder / f"{word}.jsonl").write_text(text, encoding="utf-8")
    sources = tuple(MixedPath(path=f"{word}.jsonl", weight=weights[word]) for word in lengths)
    data = Data(source=sources, split=Split(validation=0, test=0), exhausted=strategy)
    return Counter(row["text"] for row in resolved_rows.resolved(data, folder).parts["train"].rows)


def sources_of(library: Any, lengths: Mapping[str, int]) -> list[Any]:
    return [library.Dataset.from_list(rows_of(word, count)) for word, count in lengths.items()]


def by_source(epoch: Counter[str]) -> dict[str, list[int]]:
    """How often each row of a source occurs, most often first."""
    words = dict.fromkeys(text.split()[0] for text in epoch)
    return {
        word: sorted((count for text, count in epoch.items() if text.split()[0] == word), reverse=True)
        for word in sorted(words)
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "lengths", [{"apple": 30, "pear": 50}, {"apple": 50, "pear": 30, "plum": 41}, {"apple": 7, "pear": 60}]
)
def test_equal_weights_give_the_same_rows_as_often(
    library: Any, tmp_path: Path, strategy: str, lengths: dict[str, int]
) -> None:
    found = by_source(ours(tmp_path, lengths, dict.fromkeys(lengths, 1.0), strategy))
    mixed = library.interleave_datasets(sources_of(library, lengths), stopping_strategy=strategy)
    assert found == by_source(Counter(mixed["text"]))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("lengths", "weights"),
    [
        ({"apple": 60, "pear": 200}, {"apple": 3.0, "pear": 1.0}),
        ({"apple": 300, "pear": 80, "plum": 90}, {"apple": 0.5, "pear": 0.3, "plum": 0.2}),
    ],
)
def test_weights_end_an_epoch_by_the_same_rule(
    library: Any, tmp_path: Path, strategy: str, lengths: dict[str, int], weights: dict[str, float]
) -> None:
    sources, shares = sources_of(library, lengths), [weight / sum(weights.values()) for weight in weights.values()]
    mixed = [library.interleave_datasets(sources, shares, seed, stopping_strategy=strategy) for seed in range(DRAWS)]
    drawn = [by_source(Counter(epoch["text"])) for epoch in mixed]
    found = by_source(ours(tmp_path, lengths, weights, strategy))
    for epoch in (found, *drawn):
        spare = [sum(epoch[word]) - lengths[word] for word in lengths]
        # One source ends it: the first whose rows are used up, or the last.
        assert abs(max(spare) if strategy == "first_exhausted" else min(spare)) <= A_ROW
        # A source begins again when all of its rows were used.
        assert all(repeats[0] - repeats[-1] <= 1 for repeats in epoch.values())
        assert all(len(epoch[word]) == min(lengths[word], sum(epoch[word])) for word in lengths)
    rows = sum(map(sum, found.values()))
    assert rows == pytest.approx(sum(map(len, mixed)) / DRAWS, rel=0.1)
    for word, share in zip(lengths, shares, strict=True):
        assert sum(found[word]) == pytest.approx(share * rows, abs=A_ROW)
        assert sum(sum(epoch[word]) for epoch in drawn) / sum(map(len, mixed)) == pytest.approx(share, abs=0.05)


def test_sources_without_weights_are_behind_one_another(library: Any, tmp_path: Path) -> None:
    """Each row once, as in `concatenate_datasets`; newer releases also call it `all_exhausted_without_replacement`."""
    lengths = {"apple": 30, "pear": 50}
    found = ours(tmp_path, lengths, dict.fromkeys(lengths), "first_exhausted")
    assert found == Counter(library.concatenate_datasets(sources_of(library, lengths))["text"])
