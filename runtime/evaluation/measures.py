"""How a model is measured on a split: what its rows ask and answer, what the model said, and metrics by head."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.metrics import (
    LOSSES,
    Pairs,
    Predictions,
    Ranked,
    Rewarded,
    loss_statistics,
    of_figures,
    statistics_of,
)
from ftc.runtime.metrics.classes import Decisions, Tags, entity_types
from ftc.runtime.metrics.numbers import Numbers
from ftc.runtime.metrics.statistics import Statistics
from ftc.runtime.metrics.texts import Found, Written
from ftc.spec.documents.outcomes import NO_ANSWER, as_label
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TextDecoder, TokenStream
from ftc.spec.heads import Answer, head_card
from ftc.spec.metrics import metric_named
from ftc.spec.text_forms import form_card

__all__ = ["AnswerSpan", "Measures"]

_CHOSEN = "the chosen answer"
_RATINGS = ("a bad answer", "a good answer")


class AnswerSpan(NamedTuple):
    """An answer in its context."""

    text: str
    begin: int
    end: int
    margin: float
    """How much higher it scores than "no answer"."""


class Measures:
    """A split, and a plan's way to measure on it.

    Args:
        settings: Head and labels.
        rows: The split.
        model_folder: Where the tokenizer lies.
    """

    def __init__(self, settings: Settings, rows: TokenStream, model_folder: Path) -> None:
        self._settings, self._rows, self._labels = settings, rows, settings.text.labels
        self.decode = TextDecoder(model_folder)
        self._head = head_card(settings.model.head)
        self._answer: Answer = settings.answer

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
                return Rewarded.of(self._settings.train.sampling.rewards, pairs)
            case "text" if len(self._rows) and self._rows.texts(0):
                return self._found(texts, first=0)
            case "text":
                return Written(self._expected(), self._written(texts), self._settings.eval.wordnet)
            case _:
                assert_never(self._answer)

    def expected_classes(self) -> list[int] | list[tuple[int, ...]] | list[str]:
        """What each row should be, for tasks whose rows have classes: a number, several numbers, or a written name."""
        match self._answer:
            case "label":
                return [int(label) for label in self._rows.labels]
            case "labels":
                return [tuple(row) for row in self._targets()]
            case "written label":
                return self._expected()
            case "numbers" | "tags" | "span" | "pair" | "rated" | "rank" | "rewarded" | "text":
                raise ValueError(f"rows that are answered by a {self._answer} have no classes")
            case _:
                assert_never(self._answer)

    def decisions(self, classes: Sequence[Any]) -> Decisions:
        """Rows taken for these classes, in the form of `expected_classes`, by a method that gives no probabilities."""
        expected: Any = self.expected_classes()
        match self._answer:
            case "label":
                return Decisions.single(self._labels, expected, classes)
            case "labels":
                return Decisions.several(self._labels, expected, classes)
            case "written label":
                return Decisions.named(self._labels, expected, classes)
            case "numbers" | "tags" | "span" | "pair" | "rated" | "rank" | "rewarded" | "text":
                raise ValueError(f"rows that are answered by a {self._answer} have no classes")
            case _:
                assert_never(self._answer)

    def tokens(self, number: int) -> list[int]:
        """What a model is given of a row, as tokens."""
        ids = self._rows.ids(number)
        given: list[int] = (ids[: self._rows.prompt_length(number)] if self._head.writes else ids).tolist()
        return given

    def by_class(self, scores: Sequence[RowScore], texts: Mapping[int, str]) -> dict[str, tuple[int, int]]:
        """How often each class, or type of entity, is expected, and how often the model predicts it; empty for tasks
        without classes.
        """
        if not self._labels:
            return {}
        predictions = self._predictions(scores, texts)
        match predictions:
            case Decisions():
                found, counts = {name: name for name in self._labels}, predictions.counts(predictions.rows.sum(axis=0))
            case Tags():
                words = predictions.words()
                found, counts = entity_types(self._labels), words.counts(words.rows.sum(axis=0))
                predictions = words
            case Numbers() | Written() | Found() | Pairs() | Ranked() | Rewarded():
                return {}
            case _:
                assert_never(predictions)
        sums: dict[str, tuple[int, int]] = {}
        for name, expected, predicted in zip(predictions.names, counts.expected, counts.predicted, strict=True):
            if kind := found.get(name):
                before = sums.get(kind, (0, 0))
                sums[kind] = before[0] + int(expected), before[1] + int(predicted)
        return sums

    def _found(self, answers: Mapping[int, str], first: int) -> Found:
        """Questions with their right answers, which stand among a row's texts from the first one on."""
        numbers = sorted(answers)
        right = [self._rows.texts(number)[first:] for number in numbers]
        return Found(right, [answers[number] for number in numbers])

    def targets(self, number: int) -> tuple[int, ...]:
        """Numbers of a row's classes or tags; empty where it has one class, or none."""
        return tuple(self._rows.targets[number].tolist()) if self._head.keeps_targets else ()

    def right(self, number: int) -> tuple[str, ...]:
        """All right answers of a row, where there may be several."""
        return tuple(self._rows.texts(number)[1 if self._head.finds_spans else 0 :])

    @property
    def keeps_predictions(self) -> bool:
        """Whether metrics need more of a row than a text: several classes, tags, numbers, or figures of a pair."""
        is_pair = form_card(self._settings.text.form).is_pair
        return self._head.keeps_targets or not self._head.chooses or is_pair

    def places(self, name: str, scores: Sequence[RowScore]) -> list[int]:
        """The stream's row behind each row of `statistics`: a question's first window stands for all of them."""
        if not self._head.finds_spans or name in LOSSES:
            return [score.row for score in scores]
        first: dict[int, int] = {}
        for score in scores:
            first.setdefault(int(self._rows.rows[score.row]), score.row)
        return sorted(first.values())

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each row; every window of a question counts as its longest, so that they stay together."""
        if not self._head.finds_spans:
            return self._rows.lengths
        _, question = np.unique(self._rows.rows, return_inverse=True)
        longest = np.zeros(question.max(initial=-1) + 1, np.int64)
        np.maximum.at(longest, question, self._rows.lengths)
        return np.asarray(longest[question], np.int64)

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes, or tags, in the order of the head's outputs."""
        return self._labels

    def scored(self, names: Collection[str]) -> list[str]:
        """The loss, and those of the names that need no written answers."""
        losses = [name for name in LOSSES if name == "loss" or name in names]
        if self._settings.labels is not None and self._head.writes:
            return losses
        cards = {name: metric_named(name) for name in sorted(names) if name not in LOSSES}
        return losses + [name for name, card in cards.items() if card and not (self._head.writes and card.generates)]

    def _targets(self) -> list[list[int]]:
        return [self._rows.targets[number].tolist() for number in range(len(self._rows))]

    def _expected(self) -> list[str]:
        return [self.decode.expected(self._rows, number) for number in range(len(self._rows))]

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
                return {row: _CHOSEN if is_chosen else "the rejected answer" for row, is_chosen in chosen.items()}
            case "rated":
                return {score.row: _RATINGS[self._is_good(score.row) == (score.predicted[2] > 0)] for score in scores}
            case "rank":
                return {score.row: f"rank {score.predicted[0]:.0f}" for score in scores}
            case "written label" | "rewarded" | "text":
                return {}
            case _:
                assert_never(self._answer)

    def given(self, number: int) -> str:
        """What a model is given of a row."""
        match self._answer:
            case "pair" | "rated" | "rank" | "written label" | "rewarded" | "text":
                return self.decode.prompt(self._rows, number)
            case "span":
                return f"{self.decode.prompt(self._rows, number)} · {self._rows.texts(number)[0]}"
            case "label" | "labels" | "numbers" | "tags":
                return self.decode(self._rows.ids(number).tolist())
            case _:
                assert_never(self._answer)

    def expected(self, number: int) -> str:
        """What it should say of a row."""
        match self._answer:
            case "label":
                return self._labels[int(self._rows.labels[number])]
            case "labels":
                return self._listed(self._rows.targets[number].tolist())
            case "tags":
                return self._tagged(number, self._rows.targets[number].tolist())
            case "numbers":
                return self._numbered(self._rows.texts(number))
            case "span":
                return next(iter(self._rows.texts(number)[1:]), NO_ANSWER)
            case "pair":
                return _CHOSEN
            case "rated":
                return _RATINGS[self._is_good(number)]
            case "rank":
                return self.decode(self._rows.marked(number)[1].tolist())
            case "rewarded":
                return next(iter(self._rows.texts(number)), "")
            case "written label" | "text":
                return next(iter(self._rows.texts(number)), "") or self.decode.expected(self._rows, number)
            case _:
                assert_never(self._answer)

    def _is_good(self, number: int) -> bool:
        """Whether a row's answer is rated good."""
        return bool(self._rows.targets[number][1:2].sum())

    def _numbered(self, numbers: Sequence[str]) -> str:
        """A number as it is, or each with its name where a row has several."""
        named = zip(self._labels, numbers, strict=True)
        return numbers[0] if len(numbers) == 1 else ", ".join(f"{name} {number}" for name, number in named)

    def _listed(self, classes: Sequence[int]) -> str:
        return ", ".join(self._labels[number] for number in classes) or "(none)"

    def _tagged(self, number: int, tags: Sequence[int]) -> str:
        """Entities with their words, such as `PER: Ada Lovelace`; tags without a scheme word by word."""
        from seqeval.metrics.sequence_labeling import get_entities

        ids, begins = self._rows.ids(number), self._rows.mask(number).nonzero()[0].tolist()
        ends = [*begins[1:], len(ids)]
        words = [self.decode(ids[a:b].tolist()) for a, b in zip(begins, ends, strict=True)]
        names = [self._labels[tag] for tag in tags]
        if "O" not in self._labels:
            return " ".join(f"{word}/{name}" for word, name in zip(words, names, strict=True))
        found = [f"{kind}: {' '.join(words[first : last + 1])}" for kind, first, last in get_entities(names)]
        return "; ".join(found) or "(none)"


def _all(scores: Sequence[RowScore]) -> list[list[int]]:
    return [[int(value) for value in score.predicted] for score in scores]
