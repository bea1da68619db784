"""Every metric's card beside what is computed under its name: nothing that people add here can be half there."""

from __future__ import annotations

import math
import random
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.metrics import (
    LOSSES,
    PAIRS,
    RANKED,
    REWARDED,
    Pairs,
    Ranked,
    Rewarded,
    loss_statistics,
    statistics_of,
)
from ftc.runtime.metrics.classes import Decisions, Tags
from ftc.runtime.metrics.numbers import NUMBERS, Numbers
from ftc.runtime.metrics.statistics import Statistics, intervals
from ftc.runtime.metrics.texts import FOUND, WRITTEN, Found, Written
from ftc.spec.documents.companion_settings import WordnetSettings
from ftc.spec.metrics import METRIC_BY_NAME, METRICS, Metric, metric_called, metric_named, needs_of
from ftc.spec.rewards import RewardTerm
from ftc.spec.sections.evaluation import metrics_for
from ftc.spec.storage import wordnet
from ftc.spec.tasks import TASKS
from ftc.spec.tasks.classification import Classification
from ftc.spec.tasks.token_classification import TokenClassification
from ftc.views.words import metric_title
from tests.support import metric_oracles as oracles
from tests.support.wordnets import write_wordnet

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
ONLY_HERE = {"valid_json", "logps_accuracy", "first_error_accuracy"}
"""Metrics that no other tool has a word for."""
ROWS = 40
NAMES = ("a", "b", "c", "d")
TAGS = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")
WORDS = "the council approved a new plan for trams after long talks on tuesday night".split()
Rows = Sequence[int]


class Example(NamedTuple):
    """Rows that a metric is for.

    `statistics` takes them apart by the metric's name, and `oracle` gives the value of any draw of them as the library
    that defines the metric says.
    """

    statistics: Callable[[str], Statistics]
    oracle: Callable[[str, Rows], float]


def numbers(seed: int, count: int, most: int) -> list[int]:
    chance = random.Random(seed)
    return [chance.randrange(most) for _ in range(count)]


def single() -> Example:
    wanted, other = numbers(1, ROWS, 4), numbers(2, ROWS, 4)
    got = [want if place % 3 else said for place, (want, said) in enumerate(zip(wanted, other, strict=True))]
    sure = np.random.default_rng(3).uniform(0.25, 1, ROWS)
    decisions = Decisions.single(NAMES, wanted, got, sure)

    def oracle(name: str, rows: Rows) -> float:
        if name == "calibration_error":
            return oracles.calibration_error([wanted[row] == got[row] for row in rows], sure[list(rows)].tolist())
        return oracles.class_metric(name, [wanted[row] for row in rows], [got[row] for row in rows])

    return Example(lambda name: statistics_of(name, decisions), oracle)


def several() -> Example:
    chance = random.Random(4)
    wanted, got = ([sorted(chance.sample(range(4), chance.randrange(4))) for _ in range(ROWS)] for _ in range(2))
    decisions = Decisions.several(NAMES, wanted, got)

    def oracle(name: str, rows: Rows) -> float:
        return oracles.multi_label_metric(name, [wanted[row] for row in rows], [got[row] for row in rows], 4)

    return Example(lambda name: statistics_of(name, decisions), oracle)


def tags() -> Example:
    chance = random.Random(5)
    lengths = [chance.randrange(1, 9) for _ in range(ROWS)]
    wanted, got = ([[chance.randrange(5) for _ in range(length)] for length in lengths] for _ in range(2))
    first, second = ([[TAGS[tag] for tag in row] for row in side] for side in (wanted, got))
    return Example(
        lambda name: statistics_of(name, Tags(TAGS, wanted, got)),
        lambda name, rows: oracles.tag_metric(name, [first[row] for row in rows], [second[row] for row in rows]),
    )


def texts() -> Example:
    chance = random.Random(6)
    wanted = [" ".join(chance.sample(WORDS, 9)) for _ in range(ROWS - 3)] + ['{"a": 1}', "[1]", "(none)"]
    got = [text if chance.random() < 0.3 else " ".join(text.split()[:6]) for text in wanted[:-3]] + ['{"a": 2}', "", ""]
    return Example(
        lambda name: statistics_of(name, Written(wanted, got, settled() if name == "meteor" else None)),
        lambda name, rows: oracles.answer_metric(name, [wanted[row] for row in rows], [got[row] for row in rows]),
    )


def found() -> Example:
    chance = random.Random(7)
    right = [[" ".join(chance.sample(WORDS, 3)) for _ in range(1 + row % 3)] for row in range(ROWS)]
    got = [chance.choice(some) if row % 2 else " ".join(chance.sample(WORDS, 4)) for row, some in enumerate(right)]
    return Example(
        lambda name: statistics_of(name, Found(right, got)),
        lambda name, rows: oracles.found_metric(name, [right[row] for row in rows], [got[row] for row in rows]),
    )


def pairs() -> Example:
    gained = np.random.default_rng(8).normal(size=(ROWS, 3))
    return Example(
        lambda name: statistics_of(name, Pairs(gained)),
        lambda name, rows: oracles.pair_metric(name, gained[list(rows)].tolist()),
    )


def ranked() -> Example:
    places = np.random.default_rng(12).integers(1, 15, size=ROWS).astype(float)
    return Example(
        lambda name: statistics_of(name, Ranked(places)),
        lambda name, rows: oracles.ranked_metric(name, [int(places[row]) for row in rows]),
    )


def rewarded() -> Example:
    chance = random.Random(12)
    rewards = [RewardTerm(kind="exact_match"), RewardTerm(kind="length", max_characters=6, weight=0.25)]
    answers = [(chance.choice(("one", "two", "seventeen")), chance.choice(("one", "two"))) for _ in range(ROWS)]
    earned = [(float(said == wanted), 0.25 * (len(said) <= 6)) for said, wanted in answers]

    def oracle(name: str, rows: Rows) -> float:
        some = [earned[row] for row in rows]
        return math.fsum(sum(one) if name == "mean_reward" else one[0] for one in some) / len(some)

    return Example(lambda name: statistics_of(name, Rewarded.of(rewards, answers)), oracle)


def rated(count: int) -> Example:
    chance = np.random.default_rng(11)
    expected: Any = chance.integers(0, 6, size=(ROWS, count)) * 1.5 + 1e4  # far from zero, and with ties
    predicted = 6e3 + 0.4 * expected + chance.normal(size=(ROWS, count))
    return Example(
        lambda name: statistics_of(name, Numbers(expected, predicted)),
        lambda name, rows: oracles.number_metric(name, expected[list(rows)], predicted[list(rows)]),
    )


def rewards(metric: Metric) -> list[Example]:
    """Rows of each kind that a reward model learns from."""
    made = [pairs()] if "compared" not in metric.lacks else []
    made += [rated(1)] if "scored" not in metric.lacks else []
    made += [good_or_bad()] if "good_or_bad" not in metric.lacks else []
    return made + ([steps()] if "stepwise" not in metric.lacks else [])


def good_or_bad() -> Example:
    chance = np.random.default_rng(13)
    expected: Any = chance.integers(0, 2, size=(ROWS, 1)).astype(float)
    predicted = expected - 0.5 + chance.normal(size=(ROWS, 1))
    return Example(
        lambda name: statistics_of(name, Numbers(expected, predicted)),
        lambda name, rows: oracles.rating_metric(name, expected[list(rows)], predicted[list(rows)]),
    )


def steps() -> Example:
    chance = random.Random(14)
    expected = [[chance.randrange(2) for _ in range(chance.randrange(1, 5))] for _ in range(ROWS)]
    predicted = [[one if chance.random() < 0.7 else 1 - one for one in row] for row in expected]
    return Example(
        lambda name: statistics_of(name, Tags(("wrong", "right"), expected, predicted)),
        lambda name, rows: oracles.step_metric(name, [expected[row] for row in rows], [predicted[row] for row in rows]),
    )


def losses() -> Example:
    chance = random.Random(9)
    scores = [RowScore(row, chance.random() * 20, chance.randrange(1, 30)) for row in range(ROWS)]
    return Example(
        lambda name: loss_statistics(name, scores),
        lambda name, rows: oracles.loss_metrics([scores[row] for row in rows])[name],
    )


def settled() -> WordnetSettings:
    (one,) = wordnet.wordnets()
    return WordnetSettings(release=one.release, sha256=one.sha256)


def examples(metric: Metric) -> list[Example]:
    """Rows of each kind that a metric's card says it can be computed of."""
    if metric.name in LOSSES:
        return [losses()]
    made: list[Example] = []
    for kind in metric.tasks:
        if kind == "classification":
            made += [single()] if "single_label" not in metric.lacks else []
            made += [several()] if "multi_label" not in metric.lacks else []
        elif kind == "token_classification":
            made.append(tags())
        elif kind == "regression":
            made += [rated(1), rated(3)]
        elif kind == "preference":
            made.append(pairs())
        elif kind == "reward":
            made += rewards(metric)
        elif kind == "embedding":
            made += [rated(1)] if "rated" not in metric.lacks else [ranked()]
        elif kind == "reranking":
            made.append(ranked())
        elif kind == "reinforcement":
            made.append(rewarded())
        elif kind == "question_answering":
            made.append(found())
        else:
            made.append(texts())
    return made


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_all_there(metric: Metric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_wordnet(tmp_path / "wordnet")
    monkeypatch.setattr(wordnet, "wordnet_places", lambda: (folder,))
    made = examples(metric)
    assert made, "rows that it is for"
    for statistics, oracle in ((example.statistics(metric.name), example.oracle) for example in made):
        value = statistics.observed
        assert metric.least <= value <= metric.most
        assert value == pytest.approx(oracle(metric.name, range(ROWS)), abs=1e-12)
        chance = random.Random(10)
        for rows in ([chance.randrange(ROWS) for _ in range(ROWS)] for _ in range(5)):
            drawn = float(statistics.value(statistics.rows[rows].sum(axis=0)))
            assert drawn == pytest.approx(oracle(metric.name, rows), abs=1e-10)
        (interval,) = intervals([statistics], resamples=100)
        assert interval is not None
        assert interval.low <= value <= interval.high
        half = statistics.of(np.arange(ROWS) < ROWS // 2)
        assert half.observed == pytest.approx(oracle(metric.name, range(ROWS // 2)), abs=1e-12)
    assert (metric.kind == "share") == any(example.statistics(metric.name).shares is not None for example in made)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_has_words(metric: Metric) -> None:
    assert metric_title(metric.name) == metric.title
    assert f"\n| `{metric.name}` | {metric.title} |" in REFERENCE
    assert bool(metric.foreign) == (metric.name not in ONLY_HERE)
    assert all(metric_called(word, [metric.name]) == metric.name for word in metric.foreign)
    assert metric_called(f"eval_{metric.name}", METRIC_BY_NAME) == metric.name


def test_names_are_told_apart_and_mean_one_thing() -> None:
    assert len(METRIC_BY_NAME) == len(METRICS)
    computed = {*LOSSES, *NUMBERS, *PAIRS, *RANKED, *REWARDED, *WRITTEN, *FOUND}
    assert computed <= METRIC_BY_NAME.keys()
    assert {metric.name for metric in METRICS if metric.of_loss} == LOSSES.keys()
    assert {kind for metric in METRICS for kind in metric.tasks} == {task.name() for task in TASKS}
    card = metric_named("f1 of sport")
    assert card is not None
    assert (card.title, card.hub, card.kind) == ("F1 of sport", "f1", "corpus")
    assert metric_named("accuracy of sport") is None


@pytest.mark.parametrize(
    ("task", "without"),
    [
        (Classification, {"micro_f1", "micro_precision", "micro_recall"}),
        (TokenClassification, {"macro_f1", "macro_precision", "macro_recall"}),
    ],
)
def test_what_says_nothing_new_of_labels_is_left_out(task: Any, without: set[str]) -> None:
    of_kind = {metric.name for metric in METRICS if task.name() in metric.tasks}
    assert of_kind - set(metrics_for(task.model_construct(kind=task.name()))) == without


def test_what_a_metric_needs_has_an_extra_that_brings_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = needs_of(METRIC_BY_NAME)
    assert needs
    for need in needs:
        assert any(line.startswith(need.package) for line in project["optional-dependencies"][need.extra])


def test_one_metric_at_most_stands_first_for_a_result() -> None:
    ranks = [metric.headline for metric in METRICS if metric.headline is not None]
    assert sorted(ranks) == list(range(1, len(ranks) + 1))
