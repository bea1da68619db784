"""Rows of a token stream and a model's answers to them as samples that drift tests compare."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.evaluation.drift_tests import Compared, Sample
from ftc.runtime.evaluation.two_samples import Counts
from ftc.runtime.metrics.texts import is_json
from ftc.spec.documents.data_drift import NovelRow, has_own_form
from ftc.spec.documents.decoded import TextDecoder
from ftc.spec.documents.outcomes import OTHER_LABEL
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.predictions import RowPrediction
from ftc.spec.documents.streams import TokenStream, open_stream
from ftc.spec.heads import AnswerFigure, head_card
from ftc.spec.personal_data import in_decoded
from ftc.spec.tags import OUTSIDE
from ftc.spec.text_forms import form_card

__all__ = ["CLASSES", "Rows", "given", "novel_rows", "reads_own_form", "rows_of", "write_part"]

Floats = NDArray[np.float64]

CLASSES = "predicted classes"
_MOST_NOVEL = 10
_TEXT_CHARACTERS = 160
_LEAST_SHARED = 20
"""Characters that texts need to share for their beginning to be left out."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One side of a comparison.

    Attributes:
        numbers: Number of each row in its table.
        sample: The rows.
    """

    numbers: Sequence[int]
    sample: Sample


@dataclass(slots=True)
class _Figures:
    """What is compared of answers, by title."""

    names: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    flags: dict[str, list[bool]] = field(default_factory=dict)


def reads_own_form(plan: Plan) -> bool:
    """Whether rows are compared in the form that was trained on."""
    return has_own_form(plan.settings.text.form, plan.settings.model.head)


def rows_of(
    plan: Plan,
    stream: TokenStream,
    predictions: Sequence[RowPrediction],
    *,
    text: int = 0,
    damaged: Mapping[str, Counts],
    states: Mapping[int, Floats] | None = None,
) -> Rows:
    """A stream's rows, of which a long one may have several windows, with the answers to them.

    Args:
        plan: The run's plan.
        stream: The rows.
        predictions: One for each row; none where answers aren't compared.
        text: Which of several texts of a row is compared, where they are read apart.
        damaged: By title, how many rows can't be used as they are.
        states: By number of the row, as `row_states` gives them.
    """
    tokens: dict[int, list[int]] = {}
    for index in range(len(stream)):
        tokens.setdefault(int(stream.rows[index]), []).extend(given(plan, stream, index, text))
    answered = {one.row: one for one in predictions}
    numbers = [number for number in tokens if not predictions or number in answered]
    answers = [answered[number] for number in numbers] if predictions else []
    figures, vectors = _Figures(), None
    for figure in head_card(plan.settings.model.head).figures if answers else ():
        _add(figure, figures, answers, plan.settings.text.labels)
        if figure == "vectors":
            vectors = np.array([one.vectors[text] for one in answers], np.float64)
    sample = Sample.of(
        [tokens[number] for number in numbers],
        states=None if states is None else np.stack([states[number] for number in numbers]),
        names=figures.names,
        numbers=figures.numbers,
        flags=figures.flags,
        vectors=vectors,
        damaged=damaged,
    )
    return Rows(numbers, sample)


def given(plan: Plan, stream: TokenStream, index: int, text: int = 0) -> list[int]:
    """What the model is given of a row of a stream; of several texts one."""
    form = form_card(plan.settings.text.form)
    if form.has_texts:
        return [int(one) for one in stream.marked(index)[text]]
    ids = stream.ids(index)
    if head_card(plan.settings.model.head).writes and not reads_own_form(plan):
        ids = ids[: stream.prompt_length(index)]
    return [int(one) for one in ids]


def _add(figure: AnswerFigure, into: _Figures, answers: Sequence[RowPrediction], labels: Sequence[str]) -> None:
    """One figure of all answers. Written classes are compared as classes, other written answers as texts."""
    texts = [one.prediction or "" for one in answers]
    match figure:
        case "classes" if labels:
            into.names[CLASSES] = [_classes(one) for one in answers]
        case "confidence":
            into.numbers["confidence"] = [_or_nan(one.probability) for one in answers]
        case "numbers":
            for name in dict.fromkeys(name for one in answers for name in one.numbers):
                into.numbers[f"predicted {name}"] = [_or_nan(one.numbers.get(name)) for one in answers]
        case "length" if not labels:
            into.numbers["characters of an answer"] = [float(len(text)) for text in texts]
        case "JSON" if not labels:
            into.flags["answers that are JSON"] = [is_json(text) for text in texts]
        case "classes" | "length" | "JSON" | "vectors":
            pass  # another kind of answer, or none that a row has by itself
        case "entities" | "entity count" | "certainty" | "answered":
            _add_of_spans(figure, into, answers, has_scheme=OUTSIDE in labels)
        case _:
            assert_never(figure)


def _add_of_spans(
    figure: Literal["entities", "entity count", "certainty", "answered"],
    into: _Figures,
    answers: Sequence[RowPrediction],
    *,
    has_scheme: bool,
) -> None:
    """One figure of all answers that are places in a text. Tags without a scheme stand for themselves."""
    from seqeval.metrics.sequence_labeling import get_entities

    tags = [list(one.labels or ()) for one in answers]
    match figure:
        case "entities" if has_scheme:
            into.names["types of entities"] = [[kind for kind, _, _ in get_entities(row)] for row in tags]
        case "entities":
            into.names["tags"] = [*tags]
        case "entity count" if has_scheme:
            into.numbers["entities of a row"] = [float(len(get_entities(row))) for row in tags]
        case "certainty":
            scores = [next((span.score for span in one.spans or ()), None) for one in answers]
            into.numbers["score of an answer"] = [_or_nan(one) for one in scores]
        case "answered":
            into.flags["questions with an answer"] = [bool(one.spans) for one in answers]
        case "entity count":
            pass
        case _:
            assert_never(figure)


def _classes(answer: RowPrediction) -> Sequence[str]:
    """The classes of an answer: one, several, or none that there is."""
    if answer.labels is None:
        return (answer.prediction or "",)
    return answer.labels or (OTHER_LABEL,)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def novel_rows(new: Rows, known: Rows, found: Compared, decode: TextDecoder) -> Iterator[tuple[int, NovelRow]]:
    """The new rows that are farthest from the run's, the farthest first, each with its number; `place` is empty.

    Args:
        new: The new rows.
        known: The run's.
        found: What comparing them gave.
        decode: Ids back to text.
    """
    (across, within), kept = found.distances, found.kept
    order = np.argsort(-across, kind="stable")[:_MOST_NOVEL].tolist()
    assert new.sample.tokens is not None, "they were just read"
    texts = [decode(list(new.sample.tokens[kept[place]])) for place in order]
    others = [decode(list(one)) for one in (known.sample.tokens or new.sample.tokens)[:_MOST_NOVEL]]
    start = _beginning([*texts, *others])
    for place, text in zip(order, texts, strict=True):
        p = (1 + int((within >= across[place]).sum())) / (1 + len(within))
        words, found_in = " ".join(text[start:].split()), in_decoded(text)
        short = words if len(words) <= _TEXT_CHARACTERS else words[: _TEXT_CHARACTERS - 1] + "…"
        shown = f"[masked: {', '.join(found_in)}]" if found_in else short
        yield new.numbers[kept[place]], NovelRow(place="", distance=float(across[place]), p=p, text=shown)


def _beginning(texts: Sequence[str]) -> int:
    """Characters with which all texts begin, such as a system message, up to the end of a word."""
    first, last = min(texts), max(texts)
    shared = next((index for index, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    length = max(first[:shared].rfind(end) for end in (" ", "\n")) + 1
    return length if length >= _LEAST_SHARED else 0


def write_part(source: Path, target: Path, rows: Collection[int]) -> None:
    """Writes a stream with some of another's rows alone, by their numbers.

    Raises:
        OSError: It can't be read or written.
    """
    import pyarrow as pa

    stream = open_stream(source)
    places = np.flatnonzero(np.isin(stream.rows, sorted(rows))).astype(np.int64)
    # Arrow's own way from NumPy or a list imports pandas first.
    taken = pa.Int64Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])
    part = stream.table.take(taken).combine_chunks()
    with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, part.schema) as writer:
        writer.write_table(part)
