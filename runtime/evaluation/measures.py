"""How a model is measured on a split: what its rows ask and answer, what the model said, and metrics by head."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple, assert_never

import numpy as np

from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.evaluation.split_rows import CHOSEN, RATINGS, SplitRows
from ftc.runtime.metrics import (
    LOSSES,
    ClassCounts,
    Predictions,
    Rewarded,
    class_counts,
    loss_statistics,
    of_figures,
    statistics_of,
)
from ftc.runtime.metrics.classes import Decisions, Tags
from ftc.runtime.metrics.numbers import Numbers
from ftc.runtime.metrics.statistics import Statistics
from ftc.runtime.metrics.texts import Found, Written
from ftc.spec.documents.outcomes import NO_ANSWER, as_label
from ftc.spec.metrics import metric_named
from ftc.spec.rewards import records
from ftc.spec.text_forms import form_card

__all__ = ["AnswerSpan", "Measures"]


class AnswerSpan(NamedTuple):
    """An answer in its context."""

    text: str
    begin: int
    end: int
    margin: float
    """How much higher it scores than "no answer"."""


class Measures(SplitRows):
    """A split, and a plan's way to measure on it."""

    @property
    def is_rewarded(self) -> bool:
        """Whether written answers are all that is measured, so that no row has a loss."""
        return self._answer == "rewarded"

    @property
    def is_written(self) -> bool:
        """Whether metrics are of answers that the model writes."""
        return self._settings.eval.max_new_tokens is not None

    def statistics(
        self, names: Sequence[str], scores: Sequence[RowScore], texts: Mapping[int, str]
    ) -> dict[str, Statistics]:
        """Metrics, taken apart into what each row adds.

        Args:
            names: Some of `ftc.spec.metrics.METRICS`, or those of a class.
            scores: One for each row, in their order.
            texts: Written answers by row; empty where none are needed.
        """
        found = {name: loss_statistics(name, scores) for name in names if name in LOSSES}
        others = [name for name in names if name not in LOSSES]
        if others:
            predictions = self._predictions(scores, texts)
            found |= {name: statistics_of(name, predictions) for name in others}
        return {name: found[name] for name in names}

    def _predictions(self, scores: Sequence[RowScore], texts: Mapping[int, str]) -> Predictions:
        """What rows expect, and what the model said."""
        match self._answer:
            case "label":
                firsts, confidence = np.array([score.predicted[:2] for score in scores], np.float64).reshape(-1, 2).T
                return Decisions.single(self._labels, self._rows.labels.tolist(), firsts.astype(int), confidence)
            case "labels":
                return Decisions.several(self._labels, self._targets(), _all(scores))
            case "tags":
                return Tags(self._labels, self._targets(), _all(scores))
            case "numbers":
                right = [[float(text) for text in self._rows.texts(number)] for number in range(len(self._rows))]
                return Numbers(np.array(right, np.float64), np.array([one.predicted for one in scores], np.float64))
            case "span":
                return self._found(self._found_answers(scores), first=1)  # before the answers stands the context
            case "written label":
                said = [as_label(text, self._labels) for text in self._written(texts)]
                return Decisions.named(self._labels, self._expected(), said)
            case "pair" | "rated" | "rank":
                return of_figures(self._answer, [score.predicted for score in scores])
            case "rewarded":
                assert self._settings.train.sampling is not None, "the plan says what answers earn"
                pairs = zip(self._written(texts), map(self.expected, range(len(self._rows))), strict=True)
                rewards = self._settings.train.sampling.rewards
                given = [score.predicted for score in scores] if records(rewards) else repeat(())
                return Rewarded.of(rewards, pairs, given)
            case "text" if len(self._rows) and self._rows.texts(0):
                return self._found(texts, first=0)
            case "filled" | "text":
                return Written(self._expected(), self._written(texts), self._settings.eval.wordnet)
            case _:
                assert_never(self._answer)

    def by_class(self, scores: Sequence[RowScore], texts: Mapping[int, str]) -> ClassCounts:
        """How often each class, or type of entity, is expected, and how often the model predicts it; empty for tasks
        without classes.
        """
        return class_counts(self._labels, self._predictions(scores, texts)) if self._labels else {}

    def _found(self, answers: Mapping[int, str], first: int) -> Found:
        """Questions with their right answers, which stand among a row's texts from the first one on."""
        numbers = sorted(answers)
        right = [self._rows.texts(number)[first:] for number in numbers]
        return Found(right, [answers[number] for number in numbers])

    @property
    def keeps_predictions(self) -> bool:
        """Whether metrics need more of a row than a text: several classes, tags, numbers, figures of a pair, or what a
        judge gave.
        """
        is_pair = form_card(self._settings.text.form).is_pair
        return self._head.keeps_targets or not self._head.chooses or is_pair or self.is_rewarded

    def places(self, name: str, scores: Sequence[RowScore]) -> list[int]:
        """The stream's row behind each row of `statistics`: a question's first window stands for all of them."""
        return [score.row for score in scores] if name in LOSSES else self.counted

    def scored(self, names: Collection[str]) -> list[str]:
        """The loss, and those of the names that need no written answers."""
        losses = [name for name in LOSSES if name == "loss" or name in names]
        if self._settings.labels is not None and self._head.writes:
            return losses
        cards = {name: metric_named(name) for name in sorted(names) if name not in LOSSES}
        return losses + [name for name, card in cards.items() if card and not (self._head.writes and card.generates)]

    def _written(self, texts: Mapping[int, str]) -> list[str]:
        return [texts[number] for number in range(len(self._rows))]

    def found_spans(self, scores: Sequence[RowScore]) -> dict[int, AnswerSpan | None]:
        """The answer to each question, by its first window: the best of all, or None where none scores higher."""
        windows: dict[int, list[RowScore]] = {}
        for score in scores:
            windows.setdefault(int(self._rows.rows[score.row]), []).append(score)
        found: dict[int, AnswerSpan | None] = {}
        for group in windows.values():
            nothing = min(score.predicted[0] for score in group)
            best, begin, end = max(score.predicted[1:] for score in group)
            context = self._rows.texts(group[0].row)[0]
            span = AnswerSpan(context[int(begin) : int(end)], int(begin), int(end), best - nothing)
            found[group[0].row] = span if best > nothing else None
        return found

    def _found_answers(self, scores: Sequence[RowScore]) -> dict[int, str]:
        """The same as texts, empty where there is no answer."""
        return {number: span.text if span else "" for number, span in self.found_spans(scores).items()}

    def said(self, scores: Sequence[RowScore]) -> dict[int, str]:
        """What a model said without writing, by row, a question's first window standing for all; empty for losses."""
        match self._answer:
            case "label":
                return {score.row: self._labels[int(score.predicted[0])] for score in scores}
            case "labels":
                return {score.row: self._listed(tags) for score, tags in zip(scores, _all(scores), strict=True)}
            case "tags":
                return {score.row: self._tagged(score.row, t) for score, t in zip(scores, _all(scores), strict=True)}
            case "numbers":
                return {score.row: self._numbered([f"{one:.6g}" for one in score.predicted]) for score in scores}
            case "span":
                return {number: answer or NO_ANSWER for number, answer in self._found_answers(scores).items()}
            case "pair":
                chosen = {score.row: score.predicted[0] > score.predicted[1] for score in scores}
                return {row: CHOSEN if is_chosen else "the rejected answer" for row, is_chosen in chosen.items()}
            case "rated":
                return {s.row: RATINGS[self._rows.is_good(s.row) == (s.predicted[2] > 0)] for s in scores}
            case "rank":
                return {score.row: f"rank {score.predicted[0]:.0f}" for score in scores}
            case "filled":
                return {score.row: self.filled(score.row, [int(one) for one in score.predicted]) for score in scores}
            case "written label" | "rewarded" | "text":
                return {}
            case _:
                assert_never(self._answer)


def _all(scores: Sequence[RowScore]) -> list[list[int]]:
    return [[int(value) for value in score.predicted] for score in scores]
