"""Checks of values that only make sense together: words and tags, stretches and their text, answers and their context.

Each finding names the first place, with line and column where the file has lines, and how many rows are alike.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, assert_never

from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.in_processes import found_in
from ftc.compiler.resolve.rows.ratings import answers_in
from ftc.compiler.resolve.rows.row_store import Row, rewrite
from ftc.compiler.resolve.rows.table import Table, shown
from ftc.compiler.resolve.rows.transcripts import is_transcript
from ftc.spec.code_tests import read_code_tests
from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.row_files import CONLL
from ftc.spec.tags import OUTSIDE
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import (
    ANSWER_COLUMN,
    NEGATIVES_COLUMN,
    NUMBERS_COLUMN,
    REFERENCES_COLUMN,
    AnswerRows,
    InstructionRows,
    LabelRows,
    MessageRows,
    NumberRows,
    PairRows,
    PromptRows,
    RatedRows,
    ScoredAnswerRows,
    StepRows,
    TagRows,
    TextGroupRows,
    TextRows,
)

__all__ = ["check_together"]


class _Fault(NamedTuple):
    """What is wrong with a row: words that complete "… in 3 of 40 rows", what is shown of it, and a word's number."""

    code: str
    words: str
    value: Any
    word: int | None = None


_HELP = {
    "FTC296": "write as many numbers in every row, or name a column for each in `task.scores`",
    "FTC495": "write one rating for each step, and one number for a whole answer",
    "FTC376": "write one tag per word: `O`, `B-PER` where an entity begins, `I-PER` where it continues",
    "FTC377": ('write spans as `{"start": 0, "end": 5, "label": "PER"}` in characters, `end` after the last one'),
    "FTC463": "give each row at least one wrong text in `negative`, and one margin for each with `loss: margin_mse`",
    "FTC456": "write assert statements, functions `test_…`, a function `check(candidate)`, or inputs with outputs",
    "FTC460": "write one number, such as a share between 0 and 1, or use `loss: cosent`, which compares any scores",
    "FTC378": ('write answers as `{"text": ["…"], "answer_start": [0]}`, with each answer\'s position in the context'),
    "FTC379": "write two different answers to the same prompt, both as texts or both as conversations",
}
_SCHEMES = {"iob2": re.compile(r"O|[BI]-\S+"), "iob1": re.compile(r"O|[BI]-\S+"), "plain": re.compile(r"\S.*")}


def check_together(task: Task, columns: Columns, table: Table) -> list[Diagnostic]:
    """Findings for values that don't fit each other: one for each kind of fault, with the rows that have it.

    Rows must have passed the checks of single values.
    """
    check = _check_of(task, columns.by_part, table)
    if check is None:
        return []
    if isinstance(kind_of_rows := task.rows(), AnswerRows) and kind_of_rows.is_extractive:
        context, answers = columns.by_part["context"], columns.by_part["answers"]
        rewrite(table.rows, lambda row: _fill_starts(row[context], row[answers]), apart=True)
    rows_by_kind: dict[tuple[str, str], array[int]] = {}
    firsts: dict[tuple[str, str], _Fault] = {}
    for number, (code, words, value, word) in found_in(table.rows, check):
        rows_by_kind.setdefault((code, words), array("q")).append(number)
        firsts.setdefault((code, words), _Fault(code, words, value, word))
    found = []
    has_lines = table.lines is not None and table.file.lower().endswith(CONLL)  # one for each word
    for kind, rows in rows_by_kind.items():
        fault, first = firsts[kind], rows[0]
        place, span = table.where(first), table.span(first)
        if fault.word is not None:
            place = f"word {fault.word + 1} of {place}"
            if has_lines and table.lines is not None:
                line = table.lines[first] + fault.word
                span = Span(table.file, line, 1, line, 2)
        found.append(
            diagnostic(
                fault.code,
                f"{fault.words} in {len(rows):,} of {len(table.rows):,} rows",
                span,
                help=_HELP[fault.code],
                notes=[table.places(rows), f"{place} contains {shown(fault.value)}"],
                path="data.source",
            )
        )
    return found


def _check_of(task: Task, by_part: Mapping[str, str], table: Table) -> Callable[[Row], _Fault | None] | None:
    rows = task.rows()
    match rows:
        case TagRows(scheme=scheme) if "tokens" in by_part:
            return lambda row: _tags_fault(row[by_part["tokens"]], row[by_part["tags"]], scheme)
        case TagRows():
            return lambda row: _spans_fault(row[by_part["text"]], row[by_part["spans"]])
        case AnswerRows(is_extractive=True):
            return lambda row: _answers_fault(row[by_part["context"]], row[by_part["answers"]])
        case AnswerRows():
            words = "a question has no answer to train on"
            return lambda row: None if row[ANSWER_COLUMN].strip() else _Fault("FTC378", words, row[ANSWER_COLUMN])
        case NumberRows():
            return partial(_count_fault, count=len(table.rows[0][NUMBERS_COLUMN]) if table.rows else 0)
        case TextGroupRows(is_scored=True) | TextGroupRows(is_ranked=True):
            return partial(_score_fault, task=task) if rows.is_scored else _ranking_fault
        case PairRows():
            return lambda row: _pair_fault(row, by_part)
        case RatedRows() | ScoredAnswerRows() | StepRows():
            return partial(_rating_fault, kind=rows, by_part=by_part)
        case PromptRows(has_tests=True):
            return lambda row: _tests_fault(row[REFERENCES_COLUMN][0])
        case TextRows() | LabelRows() | InstructionRows() | MessageRows() | TextGroupRows() | PromptRows():
            return None
        case _:
            assert_never(rows)


def _tests_fault(tests: str) -> _Fault | None:
    try:
        read_code_tests(tests)
    except ValueError as error:
        return _Fault("FTC456", f"the tests {error}", tests)
    return None


def _count_fault(row: Row, count: int) -> _Fault | None:
    numbers = row[NUMBERS_COLUMN]
    if len(numbers) == count:
        return None
    return _Fault("FTC296", f"the number of scores is not {count}, as in the first row,", numbers)


def _score_fault(row: Row, task: Task) -> _Fault | None:
    """One number, which the loss can learn."""
    numbers, bounds = row[NUMBERS_COLUMN], task.vector_loss.score_range if task.vector_loss else None
    if len(numbers) != 1:
        return _Fault("FTC460", "the score is not a single number", numbers)
    if bounds is None or bounds[0] <= numbers[0] <= bounds[1]:
        return None
    return _Fault("FTC460", f"the score is not between {bounds[0]:g} and {bounds[1]:g}", numbers[0])


def _tags_fault(words: list[str], tags: list[Any], scheme: str) -> _Fault | None:
    if len(words) != len(tags):
        return _Fault("FTC376", "the numbers of words and tags differ", f"{len(words)} words, {len(tags)} tags")
    before = OUTSIDE
    for number, tag in enumerate(tags):
        if not _SCHEMES[scheme].fullmatch(tag):
            return _Fault("FTC376", f"a tag does not fit the scheme `{scheme}`", tag, number)
        if scheme == "iob2" and tag.startswith("I-") and before[2:] != tag[2:]:
            words_ = "an entity begins with `I-`, but IOB2 needs `B-` (`scheme: iob1` accepts it)"
            return _Fault("FTC376", words_, f"{tag} after {before}", number)
        before = tag
    return None


def _spans_fault(text: str, spans: list[Any]) -> _Fault | None:
    def start(span: Any) -> int:
        begin = span.get("start") if isinstance(span, dict) else None
        return begin if isinstance(begin, int) else -1

    end = 0
    for span in sorted(spans, key=start):
        has_label = isinstance(span, dict) and isinstance(span.get("label"), str) and span["label"].strip()
        if not has_label or not all(type(span.get(key)) is int for key in ("start", "end")):
            return _Fault("FTC377", "a span is not a `{start, end, label}` object", span)
        if not 0 <= span["start"] < span["end"] <= len(text):
            return _Fault("FTC377", "a span is outside its text, or empty", span)
        if span["start"] < end:
            return _Fault("FTC377", "two spans overlap", span)
        if not text[span["start"] : span["end"]].strip():
            return _Fault("FTC377", "a span contains only spaces", span)
        end = span["end"]
    return None


def _fill_starts(context: str, answers: Mapping[str, Any]) -> None:
    """Fills in where an answer begins, where it stands in the context only once."""
    texts = answers["text"]
    if texts and not answers["answer_start"] and all(context.count(text) == 1 for text in texts):
        answers["answer_start"][:] = [context.index(text) for text in texts]


def _answers_fault(context: str, answers: Mapping[str, Any]) -> _Fault | None:
    texts, starts = answers["text"], answers["answer_start"]
    if len(texts) != len(starts) or not all(type(start) is int for start in starts):
        return _Fault(
            "FTC378", "an answer has no `answer_start`, and does not occur exactly once in its context", texts
        )
    for text, start in zip(texts, starts, strict=True):
        if start < 0 or context[start : start + len(text)] != text:
            found = context[max(0, start) : max(0, start) + len(text)]
            return _Fault(
                "FTC378",
                "an answer does not match the context at `answer_start`",
                f"{text!r}, but the context has {found!r}",
            )
    return None


def _ranking_fault(row: Row) -> _Fault | None:
    """Wrong texts to rank the right one among, and a margin for each where there are margins."""
    wrong, margins = row[NEGATIVES_COLUMN], row.get(NUMBERS_COLUMN)
    if not wrong:
        return _Fault("FTC463", "there is no wrong text to rank the right one among", wrong)
    if margins is not None and len(margins) != len(wrong):
        return _Fault("FTC463", "the numbers of margins and wrong texts differ", f"{len(margins)} and {len(wrong)}")
    return None


def _rating_fault(row: Row, kind: RatedRows | ScoredAnswerRows | StepRows, by_part: Mapping[str, str]) -> _Fault | None:
    """As many ratings as there is to rate: each step, or the answer, which of a conversation is the last turn."""
    if isinstance(kind, StepRows):
        steps, ratings = len(row[by_part["steps"]]), len(row[by_part["step_labels"]])
        words, shown_ = "the numbers of steps and ratings differ", f"{steps} steps, {ratings} ratings"
        return None if steps == ratings else _Fault("FTC495", words, shown_)
    if isinstance(kind, ScoredAnswerRows) and len(row[NUMBERS_COLUMN]) != 1:
        return _Fault("FTC495", "the score is not a single number", row[NUMBERS_COLUMN])
    if "messages" in by_part and (turns := row[by_part["messages"]])[-1]["role"] != "assistant":
        return _Fault("FTC379", "the rated conversation does not end with the assistant", turns)
    return None


def _pair_fault(row: Row, by_part: Mapping[str, str]) -> _Fault | None:
    """Every preferred answer makes a pair with every rejected one."""
    chosen, rejected = (answers_in(row[by_part[part]]) for part in ("chosen", "rejected"))
    answers = [*chosen, *rejected]
    if len({type(one) for one in answers}) > 1:
        return _Fault(
            "FTC379", "one answer is a text, the other a conversation", {"chosen": chosen, "rejected": rejected}
        )
    if same := [one for one in chosen if one in rejected]:
        return _Fault("FTC379", "both answers are the same", same[0])
    if isinstance(answers[0], list) and any(one[:-1] != answers[0][:-1] for one in answers):
        return _Fault("FTC379", "the two conversations differ before their last turn", answers[-1])
    if isinstance(answers[0], str) and "prompt" not in by_part and all(map(is_transcript, answers)):
        return _Fault("FTC379", "the two transcripts differ before the last turn of the chosen one", answers[-1])
    if isinstance(answers[0], str) and "prompt" not in by_part:
        return _Fault("FTC379", "two answers as texts have no prompt", answers[0])
    return None
