"""How a model is measured on a split: what its rows ask and answer, what the model said, and metrics by head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.metrics.bootstrap import Statistics
from ftc.runtime.metrics.metrics import (
    answer_metric,
    calibration_error,
    class_metric,
    found_scores,
    multi_label_metric,
    preference_scores,
    tag_metric,
)
from ftc.runtime.metrics.row_statistics import (
    answer_statistics,
    calibration_statistics,
    class_statistics,
    label_statistics,
    loss_statistics,
    score_statistics,
    tag_statistics,
)
from ftc.spec.decoding import TextDecoder
from ftc.spec.documents.outcomes import NO_ANSWER, OTHER_LABEL, as_label
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.heads import Head
from ftc.spec.sections.evaluation import CLASS_METRICS, has_entities, metric_kind, split_metric

__all__ = ["Measures"]

_CHOSEN = "the chosen answer"
_LOSSES = ("loss", "perplexity")


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
        self._head: Head = settings.model.head
        self._is_preference = settings.train.preference is not None
        self._writes_labels = self._head == "lm" and bool(self._labels)

    @property
    def is_written(self) -> bool:
        """Whether metrics look at answers that the model writes."""
        return self._settings.eval.max_new_tokens is not None

    def metric(self, name: str, scores: Sequence[RowScore], texts: Mapping[int, str]) -> float:
        """A metric that isn't a loss.

        Args:
            name: One of `ftc.spec.sections.evaluation.METRICS`, or that of a class.
            scores: One for each row, in their order.
            texts: Written answers by row; empty where none are needed.
        """
        part, label = split_metric(name)
        match self._head:
            case "classification" if name == "calibration_error":
                return calibration_error(*self._confidence(scores))
            case "classification":
                return class_metric(part, self._rows.labels.tolist(), _firsts(scores), self._number(label))
            case "multi_label":
                size = len(self._labels)
                return multi_label_metric(part, self._targets(), _all(scores), size, self._number(label))
            case "token_classification":
                return tag_metric(self._of_tags(part), self._named(self._targets()), self._named(_all(scores)), label)
            case "lm" if self._writes_labels:
                return class_metric(part, self._expected(), self._labels_of(texts), label)
            case "lm" if not self._is_preference and not self._has_references():
                return answer_metric(name, self._expected(), self._written(texts), self._settings.eval.wordnet)
            case _:
                return _mean(self._row_scores(name, scores, texts))

    def statistics(self, name: str, scores: Sequence[RowScore], texts: Mapping[int, str]) -> Statistics:
        """The same, and the losses, taken apart into what each row adds."""
        if name in _LOSSES:
            return loss_statistics(name, [(score.loss_sum, score.targets) for score in scores])
        part, label = split_metric(name)
        match self._head:
            case "classification" if name == "calibration_error":
                return calibration_statistics(*self._confidence(scores))
            case "classification":
                wanted, among = self._rows.labels.tolist(), range(len(self._labels))
                return class_statistics(part, wanted, _firsts(scores), self._number(label), among)
            case "multi_label":
                return label_statistics(name, self._targets(), _all(scores), self._labels)
            case "token_classification":
                return tag_statistics(name, self._targets(), _all(scores), self._labels)
            case "lm" if self._writes_labels:
                said = self._labels_of(texts)
                return class_statistics(part, self._expected(), said, label, (*self._labels, OTHER_LABEL))
            case "lm" if not self._is_preference and not self._has_references():
                return answer_statistics(name, self._expected(), self._written(texts), self._settings.eval.wordnet)
            case _:
                return score_statistics(name, self._row_scores(name, scores, texts))

    def targets(self, number: int) -> tuple[int, ...]:
        """Numbers of a row's classes or tags; empty where it has one class, or none."""
        if self._head not in ("multi_label", "token_classification"):
            return ()
        return tuple(self._rows.targets[number].tolist())

    def right(self, number: int) -> tuple[str, ...]:
        """All right answers of a row, where there may be several."""
        return tuple(self._rows.texts(number)[1 if self._head == "span" else 0 :])

    @property
    def keeps_predictions(self) -> bool:
        """Whether metrics need more of a row than a text: several classes, tags, or figures of a pair."""
        return self._head in ("multi_label", "token_classification") or self._is_preference

    def places(self, name: str, scores: Sequence[RowScore]) -> list[int]:
        """The stream's row behind each row of `statistics`: a question's first window stands for all of them."""
        if self._head != "span" or name in _LOSSES:
            return [score.row for score in scores]
        first: dict[int, int] = {}
        for score in scores:
            first.setdefault(int(self._rows.rows[score.row]), score.row)
        return sorted(first.values())

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each row; every window of a question counts as its longest, so that they stay together."""
        if self._head != "span":
            return self._rows.lengths
        _, question = np.unique(self._rows.rows, return_inverse=True)
        longest = np.zeros(question.max(initial=-1) + 1, np.int64)
        np.maximum.at(longest, question, self._rows.lengths)
        return np.asarray(longest[question], np.int64)

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes, or tags, in the order of the head's outputs."""
        return self._labels

    def scored(self, names: Sequence[str]) -> list[str]:
        """Those of the names that need no written answers and are no losses."""
        is_lm = self._head == "lm"
        kinds = [(name, metric_kind(name)) for name in names if name not in _LOSSES]
        if self._writes_labels:
            return []
        return [name for name, kind in kinds if kind is not None and not (is_lm and kind.generates)]

    def written(self, names: Sequence[str]) -> list[str]:
        """Those of the names that need answers which the model writes."""
        scored = self.scored(names)
        return [name for name in names if name not in (*_LOSSES, *scored)] if self.is_written else []

    def _confidence(self, scores: Sequence[RowScore]) -> tuple[list[bool], list[float]]:
        """Whether each row's class is right, and its probability."""
        pairs = zip(scores, self._rows.labels.tolist(), strict=True)
        return [score.predicted[0] == label for score, label in pairs], [score.predicted[1] for score in scores]

    def _number(self, label: str | None) -> int | None:
        return None if label is None else self._labels.index(label)

    def _of_tags(self, part: str) -> str:
        """A class of tagged words is a type of entity, or a tag where tags stand for themselves."""
        return f"entity_{part}" if part in CLASS_METRICS and has_entities(self._labels) else part

    def _row_scores(self, name: str, scores: Sequence[RowScore], texts: Mapping[int, str]) -> list[float]:
        """One score a row, or a question, whose mean the metric is."""
        if self._is_preference:
            return preference_scores(name, [score.predicted for score in scores])
        answers = self._answers(scores) if self._head == "span" else texts
        numbers = sorted(answers)
        begin = 1 if self._head == "span" else 0  # before the answers stands the context
        right = [self._rows.texts(number)[begin:] for number in numbers]
        return found_scores(name, right, [answers[number] for number in numbers])

    def _has_references(self) -> bool:
        return len(self._rows) > 0 and bool(self._rows.texts(0))

    def _targets(self) -> list[list[int]]:
        return [self._rows.targets[number].tolist() for number in range(len(self._rows))]

    def _named(self, tags: Sequence[Sequence[int]]) -> list[list[str]]:
        return [[self._labels[tag] for tag in row] for row in tags]

    def _expected(self) -> list[str]:
        return [self.decode.expected(self._rows, number) for number in range(len(self._rows))]

    def _written(self, texts: Mapping[int, str]) -> list[str]:
        return [texts[number] for number in range(len(self._rows))]

    def _labels_of(self, texts: Mapping[int, str]) -> list[str]:
        """Written labels; what is none of them is one of its own, which no row has."""
        return [as_label(text, self._labels) for text in self._written(texts)]

    def _answers(self, scores: Sequence[RowScore]) -> dict[int, str]:
        """The answer to each question, by its first window: the best of all, or none where that scores higher."""
        windows: dict[int, list[RowScore]] = {}
        for score in scores:
            windows.setdefault(int(self._rows.rows[score.row]), []).append(score)
        return {group[0].row: self._answer(group) for group in windows.values()}

    def _answer(self, windows: Sequence[RowScore]) -> str:
        nothing = min(score.predicted[0] for score in windows)
        best, begin, end = max(score.predicted[1:] for score in windows)
        return self._rows.texts(windows[0].row)[0][int(begin) : int(end)] if best > nothing else ""

    def said(self, scores: Sequence[RowScore]) -> dict[int, str]:
        """What a model said without writing, by row, a question's first window standing for all; empty for losses."""
        match self._head:
            case "classification":
                return {score.row: self._labels[int(score.predicted[0])] for score in scores}
            case "multi_label":
                return {score.row: self._listed(tags) for score, tags in zip(scores, _all(scores), strict=True)}
            case "token_classification":
                return {score.row: self._tagged(score.row, t) for score, t in zip(scores, _all(scores), strict=True)}
            case "span":
                return {number: answer or NO_ANSWER for number, answer in self._answers(scores).items()}
            case "lm":
                return {score.row: _choice(score.predicted) for score in scores} if self._is_preference else {}

    def given(self, number: int) -> str:
        """What a model is given of a row."""
        match self._head:
            case "lm":
                return self.decode.prompt(self._rows, number)
            case "span":
                return f"{self.decode.prompt(self._rows, number)} · {self._rows.texts(number)[0]}"
            case _:
                return self.decode(self._rows.ids(number).tolist())

    def expected(self, number: int) -> str:
        """What it should say of a row."""
        match self._head:
            case "classification":
                return self._labels[int(self._rows.labels[number])]
            case "multi_label":
                return self._listed(self._rows.targets[number].tolist())
            case "token_classification":
                return self._tagged(number, self._rows.targets[number].tolist())
            case "span":
                return next(iter(self._rows.texts(number)[1:]), NO_ANSWER)
            case "lm":
                return _CHOSEN if self._is_preference else self._answer_of(number)

    def _answer_of(self, number: int) -> str:
        return next(iter(self._rows.texts(number)), "") or self.decode.expected(self._rows, number)

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


def _firsts(scores: Sequence[RowScore]) -> list[int]:
    return [int(score.predicted[0]) for score in scores]


def _all(scores: Sequence[RowScore]) -> list[list[int]]:
    return [[int(value) for value in score.predicted] for score in scores]


def _choice(predicted: Sequence[float]) -> str:
    chosen, rejected, _ = predicted
    return _CHOSEN if chosen > rejected else "the rejected answer"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
