"""A split in words: what its rows ask, and what they should be answered. Needs no model, so an audit asks it too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.metrics.classes import Decisions
from ftc.spec.documents.decoded import TextDecoder
from ftc.spec.documents.outcomes import NO_ANSWER
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.heads import Answer, head_card
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.tags import OUTSIDE
from ftc.spec.text_forms import form_card

__all__ = ["CHOSEN", "RATINGS", "SplitRows"]

CHOSEN = "the chosen answer"
RATINGS = ("a bad answer", "a good answer")


class SplitRows:
    """The rows of a split, as a plan has them read.

    Args:
        settings: Head and labels.
        rows: The split.
        model_folder: The base model, whose tokenizer is loaded once it is needed.
    """

    def __init__(self, settings: Settings, rows: TokenStream, model_folder: Path) -> None:
        self._settings, self._rows, self._labels = settings, rows, settings.text.labels
        self._folder = model_folder
        self._head = head_card(settings.model.head)
        self._answer: Answer = settings.answer

    @cached_property
    def decode(self) -> TextDecoder:
        """Ids back to text."""
        spans = self._settings.train.spans
        shown = spans.sentinels if spans is not None else ()
        return TextDecoder(tokenizer_folder(self._folder, self._settings.model.tokenizer), shown)

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes, or tags, in the order of the head's outputs."""
        return self._labels

    @property
    def counted(self) -> list[int]:
        """Place of each row that people count: of a question that of its first window."""
        if not self._head.finds_spans:
            return list(range(len(self._rows)))
        first: dict[int, int] = {}
        for place, row in enumerate(self._rows.rows.tolist()):
            first.setdefault(row, place)
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

    def tokens(self, number: int) -> list[int]:
        """What a model is given of a row, as tokens."""
        ids = self._rows.ids(number)
        given: list[int] = (ids[: self._rows.prompt_length(number)] if self._head.writes else ids).tolist()
        return given

    def targets(self, number: int) -> tuple[int, ...]:
        """Numbers of a row's classes or tags; empty where it has one class, or none."""
        return tuple(self._rows.targets[number].tolist()) if self._head.keeps_targets else ()

    def right(self, number: int) -> tuple[str, ...]:
        """All right answers of a row, where there may be several."""
        texts = self._rows.texts(number)
        if self._answer == "rank":  # the query, and then its texts, the right one first
            return tuple(texts[1:2])
        return tuple(texts[1 if self._head.finds_spans else 0 :])

    def given(self, number: int) -> str:
        """What a model is given of a row."""
        match self._answer:
            case "rank" if self._rows.texts(number):
                return self._rows.texts(number)[0]
            case "pair" | "rated" | "rank" | "written label" | "rewarded" | "text":
                return self.decode.prompt(self._rows, number)
            case "span":
                return f"{self.decode.prompt(self._rows, number)} · {self._rows.texts(number)[0]}"
            case "filled":
                return self.filled(number, self._rows.ids(number)[self._rows.mask(number)].tolist())
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
            case "pair" | "rated":
                return CHOSEN if self._answer == "pair" else RATINGS[self._rows.is_good(number)]
            case "rank":
                named = self.right(number)  # where a query is read together with each text
                return named[0] if named else self.decode(self._rows.marked(number)[1].tolist())
            case "rewarded":
                return next(iter(self._rows.texts(number)), "")
            case "filled":
                kept = self._rows.targets[number]
                return self.filled(number, kept[self._rows.mask(number)].tolist())
            case "written label" | "text":
                return next(iter(self._rows.texts(number)), "") or self.decode.expected(self._rows, number)
            case _:
                assert_never(self._answer)

    def filled(self, number: int, ids: Sequence[int]) -> str:
        """The text of a row with tokens in its masked places, without what is added around texts."""
        kept, mask = self._rows.targets[number], self._rows.mask(number)
        whole = kept.copy()
        whole[mask] = ids
        return self.decode.whole(whole[kept >= 0].tolist())

    def _numbered(self, numbers: Sequence[str]) -> str:
        """A number as it is, or each with its name where a row has several."""
        named = zip(self._labels, numbers, strict=True)
        return numbers[0] if len(numbers) == 1 else ", ".join(f"{name} {number}" for name, number in named)

    def _listed(self, classes: Sequence[int]) -> str:
        return ", ".join(self._labels[number] for number in classes) or "(none)"

    def _tagged(self, number: int, tags: Sequence[int]) -> str:
        """Entities with their words, such as `PER: Ada Lovelace`; tags without a scheme word by word, of steps bare."""
        from seqeval.metrics.sequence_labeling import get_entities

        names = [self._labels[tag] for tag in tags]
        if form_card(self._settings.text.form).rates_steps:
            return ", ".join(names)
        ids, begins = self._rows.ids(number), self._rows.mask(number).nonzero()[0].tolist()
        ends = [*begins[1:], len(ids)]
        words = [self.decode(ids[a:b].tolist()) for a, b in zip(begins, ends, strict=True)]
        if OUTSIDE not in self._labels:
            return " ".join(f"{word}/{name}" for word, name in zip(words, names, strict=True))
        found = [f"{kind}: {' '.join(words[first : last + 1])}" for kind, first, last in get_entities(names)]
        return "; ".join(found) or "(none)"

    def expected_classes(self) -> list[int] | list[tuple[int, ...]] | list[str]:
        """What each row should be, for tasks whose rows have classes: a number, several numbers, or a written name."""
        match self._answer:
            case "label":
                return [int(label) for label in self._rows.labels]
            case "labels":
                return [tuple(row) for row in self._targets()]
            case "written label":
                return self._expected()
            case "numbers" | "tags" | "span" | "pair" | "rated" | "rank" | "rewarded" | "filled" | "text":
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
            case "numbers" | "tags" | "span" | "pair" | "rated" | "rank" | "rewarded" | "filled" | "text":
                raise ValueError(f"rows that are answered by a {self._answer} have no classes")
            case _:
                assert_never(self._answer)

    def _targets(self) -> list[list[int]]:
        return [self._rows.targets[number].tolist() for number in range(len(self._rows))]

    def _expected(self) -> list[str]:
        return [self.decode.expected(self._rows, number) for number in range(len(self._rows))]
